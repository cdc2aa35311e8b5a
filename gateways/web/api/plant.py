"""What the plant consists of, how the server is doing, and who did what."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from gateways.web.api.common import Answer, End, Start, TheCaller, TheWeb, answer, documented, span
from gateways.web.mapping import condition_form, machine_form

router = APIRouter(tags=["plant"])


class Model(Answer):
    """The plant's objects."""

    name: str
    namespace: str
    machines: list[dict[str, Any]]
    conditions: list[dict[str, Any]]


class Health(Answer):
    """How the server's parts are doing."""

    status: str
    broken: list[str]
    time: str
    parts: list[dict[str, Any]]


class Audit(Answer):
    """Entries of the audit trail."""

    entries: list[dict[str, Any]]


@router.get("/model", responses=documented(Model))
async def read_model(web: TheWeb, _caller: TheCaller) -> Response:
    """Return every object with its variables, commands and conditions."""
    plant = web.context.plant
    machines = [machine_form(plant, it) for it in plant.objects]
    conditions = [condition_form(it) for it in plant.conditions]
    form = {"name": plant.name, "namespace": plant.namespace, "machines": machines, "conditions": conditions}
    return answer(form)


@router.get("/health", responses=documented(Health))
async def read_health(web: TheWeb, _caller: TheCaller) -> Response:
    """Return how sources, gateways and alarms are doing."""
    return answer(web.reading.health())


@router.get("/audit", responses=documented(Audit, 501, 503))
async def read_audit(
    web: TheWeb, caller: TheCaller, start: Start = None, end: End = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000, newest_first: bool = True,
) -> Response:  # fmt: skip
    """Return who did what, from where, and what became of it; for a Supervisor or SecurityAdmin."""
    since, until = span(start, end)
    return answer(
        {"entries": await web.reading.audit(since, until, limit, caller.principal, newest_first=newest_first)}
    )

"""What the plant consists of, how the server is doing, and who did what."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from gateways.web.api.common import Answer, End, Start, TheCaller, TheWeb, answer, documented, span
from gateways.web.events import condition_form
from gateways.web.mapping import machine_form
from server.audit_trail import Key

router = APIRouter(tags=["plant"])


After = Annotated[
    str | None,
    Query(description="Go on after this entry: `next` of the page before.", pattern=r"^[0-9]{1,18}(\.[0-9]{1,18}){3}$"),
]


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
    next: str | None = Field(description="What to ask for `after` to go on; null when there is no more.")


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
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000, newest_first: bool = True, after: After = None,
) -> Response:  # fmt: skip
    """Return who did what, from where, and what became of it; for a Supervisor or SecurityAdmin."""
    entries, end_of_page = await web.reading.audit(
        span(start, end), limit, caller.principal, newest_first=newest_first, after=_key(after)
    )
    return answer({"entries": entries, "next": None if end_of_page is None else _cursor(end_of_page)})


def _cursor(found: Key) -> str:
    """Return time and row of an entry as text."""
    time, place = found
    return ".".join(str(it) for it in (time, *place))


def _key(cursor: str | None) -> Key | None:
    if cursor is None:
        return None
    time, table, number, place = (int(it) for it in cursor.split("."))
    return time, (table, number, place)

"""Conditions: their state, their events, and what operators do with them (OPC 10000-9)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field, FiniteFloat
from starlette.responses import Response

from address_space.model import LIMITS
from gateways.web.actions import CONDITION_METHODS
from gateways.web.api.common import End, Form, Start, TheCaller, TheWeb, answer, documented, span
from gateways.web.api.forms import Alarms, AlarmWithBranches

router = APIRouter(tags=["alarms"])

Method = Annotated[str, Path(json_schema_extra={"enum": list(CONDITION_METHODS)})]
Limit = Annotated[str, Path(json_schema_extra={"enum": list(LIMITS)})]


class Operation(Form):
    """What goes with a method of a condition."""

    event_id: str = Field(default="", pattern="^[0-9a-fA-F]*$", max_length=128, description="By default the newest.")
    comment: str | None = Field(default=None, max_length=4096)
    minutes: float | None = Field(default=None, gt=0, le=1440, allow_inf_nan=False, description="For `shelve`.")


class NewLimit(Form):
    """What to set a limit to."""

    value: float = Field(allow_inf_nan=False)


class NewLimits(Form):
    """What to set limits to, by name."""

    values: dict[Literal["high_high", "high", "low", "low_low"], FiniteFloat] = Field(min_length=1)


@router.get("/alarms", responses=documented(Alarms, 501))
async def list_alarms(
    web: TheWeb,
    _caller: TheCaller,
    everything: Annotated[bool, Query(alias="all", description="Calm ones, too.")] = False,
) -> Response:
    """Return the standing conditions and branches, what needs somebody first."""
    return answer({"alarms": web.reading.alarms(all_of_them=everything)})


@router.get("/alarm-events", responses=documented(Alarms, 501, 503))
async def list_events(
    web: TheWeb, _caller: TheCaller, start: Start = None, end: End = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:  # fmt: skip
    """Return transitions of conditions, oldest first."""
    return answer({"alarms": await web.reading.alarm_events(*span(start, end), limit)})


@router.get("/alarms/{path}", responses=documented(AlarmWithBranches, 404, 501))
async def read_alarm(path: str, web: TheWeb, _caller: TheCaller) -> Response:
    """Return a condition with its branches."""
    return answer(web.reading.alarm(path))


@router.post("/alarms/{path}/{method}", responses=documented(AlarmWithBranches, 404, 409, 501, 503))
async def operate(path: str, method: Method, web: TheWeb, caller: TheCaller, body: Operation | None = None) -> Response:
    """Acknowledge, confirm, comment, shelve and the like; returns the condition as it is then."""
    given = body or Operation()
    await web.actions.on_condition(
        path, method, caller, event_id=given.event_id, comment=given.comment, minutes=given.minutes
    )
    return answer(web.reading.alarm(path))


@router.put("/alarms/{path}/limits/{name}", responses=documented(AlarmWithBranches, 404, 409, 501, 503))
async def set_limit(path: str, name: Limit, body: NewLimit, web: TheWeb, caller: TheCaller) -> Response:
    """Change a limit, and keep it; returns the condition as it is then."""
    await web.actions.set_limit(path, name, body.value, caller)
    return answer(web.reading.alarm(path))


@router.put("/alarms/{path}/limits", responses=documented(AlarmWithBranches, 404, 409, 501, 503))
async def set_limits(path: str, body: NewLimits, web: TheWeb, caller: TheCaller) -> Response:
    """Change several limits, and keep them; none where their order would be wrong."""
    await web.actions.set_limits(path, {str(name): value for name, value in body.values.items()}, caller)
    return answer(web.reading.alarm(path))

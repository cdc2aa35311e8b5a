"""Present values, set-points, and the last ten samples of a machine."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from gateways.web.api.common import Form, TheCaller, TheWeb, answer, documented
from gateways.web.api.forms import MachineSamples, Value, Values, Written, WrittenMany
from gateways.web.mapping import status_name
from gateways.web.problems import of_command
from server.ports import CommandError

router = APIRouter(tags=["values"])

Path = Annotated[str, Field(max_length=100)]
Paths = Annotated[list[Path] | None, Query(description="Variables and machines; all by default.", max_length=50)]


class NewValue(Form):
    """What to write to a set-point."""

    value: bool | int | float | str = Field(description="An enumeration by number or name, a time in ISO 8601.")


class NewValues(Form):
    """What to write to several set-points."""

    values: dict[str, bool | int | float | str] = Field(min_length=1, max_length=1000)


@router.get("/values", responses=documented(Values, 404))
async def read_values(web: TheWeb, caller: TheCaller, under: Paths = None) -> Response:
    """Return present values of all variables that you may read, or of those at and below some paths."""
    variables = web.reading.variables(under or (), caller.principal)
    return Response(await web.reading.many_values(variables), media_type="application/json")


@router.get("/values/{path}", responses=documented(Value, 404))
async def read_value(path: str, web: TheWeb, caller: TheCaller) -> Response:
    """Return the present value of a variable."""
    return answer(web.reading.values([web.reading.variable(path, caller.principal)])[0])


@router.put("/values/{path}", responses=documented(Written, 404, 409, 501, 502, 503, 504))
async def write_value(path: str, body: NewValue, web: TheWeb, caller: TheCaller) -> Response:
    """Write a set-point; answers once its source has accepted it."""
    faults = await web.actions.write({path: body.value}, caller)
    return next((of_command(fault) for fault in faults.values() if fault is not None), answer(_written(path, None)))


@router.put("/values", responses={**documented(WrittenMany, 404), 207: {"description": "Some", "model": WrittenMany}})
async def write_values(body: NewValues, web: TheWeb, caller: TheCaller) -> Response:
    """Write several set-points; none is written when one of them is wrong. 207: not all of them were accepted."""
    faults = await web.actions.write(body.values, caller)
    results = [_written(path, fault) for path, fault in faults.items()]
    return answer({"results": results}, 207 if any(faults.values()) else 200)


@router.get("/data", responses=documented(MachineSamples, 404, 501, 502, 503))
async def last_samples(
    web: TheWeb,
    caller: TheCaller,
    machine: Annotated[str, Query(description="A path, or a name below the plant.", examples=["Line1"])],
) -> Response:
    """Return the last ten samples of a machine, newest first."""
    found = web.reading.machine(machine)
    return answer({"machine": found.path, "samples": await web.reading.last_samples(found, caller.principal)})


def _written(path: str, fault: CommandError | None) -> dict[str, Any]:
    code = 0 if fault is None else fault.status
    return {"path": path, "status": status_name(code), "status_code": code, "message": str(fault or "")}

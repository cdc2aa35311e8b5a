"""History: samples as they came, and aggregates of OPC 10000-13."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from gateways.web.api.common import End, Start, TheCaller, TheWeb, answer, documented, span
from gateways.web.api.forms import Aggregated, Samples

router = APIRouter(tags=["history"])

Limit = Annotated[int, Query(ge=1, le=100_000, description="Samples at most.")]


@router.get("/history/{path}", responses=documented(Samples, 404, 501, 502, 503))
async def read_history(
    path: str, web: TheWeb, caller: TheCaller, start: Start = None, end: End = None, limit: Limit = 1000,
    newest_first: bool = False,
) -> Response:  # fmt: skip
    """Return samples of a variable as they came."""
    since, until = span(start, end)
    found = await web.reading.raw(path, since, until, limit + 1, caller.principal, newest_first=newest_first)
    return answer({"path": path, "samples": found[:limit], "complete": len(found) <= limit})


@router.get("/aggregates/{path}", responses=documented(Aggregated, 404, 501, 502, 503))
async def read_aggregates(
    path: str,
    web: TheWeb,
    caller: TheCaller,
    start: Start = None,
    end: End = None,
    aggregate: Annotated[str, Query(description="Average, TimeAverage, Minimum, Maximum, Count, …")] = "TimeAverage",
    seconds: Annotated[float, Query(ge=0.001, le=31_536_000, allow_inf_nan=False)] = 60.0,
) -> Response:
    """Return one value an interval of `seconds`, at most 10,000 of them."""
    found = await web.reading.aggregate(path, aggregate, span(start, end), seconds, caller.principal)
    return answer({"path": path, "aggregate": aggregate, "seconds": seconds, "intervals": found})

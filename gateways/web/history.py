"""Aggregates of history for charts and REST: the samples where they are kept, the roll-ups where they are not."""

import asyncio
import math

from address_space.model import BuiltinType, Variable
from gateways.web.mapping import Json, iso, quality_of, status_name
from server import quality
from server.history import Historian, Samples
from server.history.aggregates import AGGREGATES, Data, Intervals, Processed, compute, split
from server.history.around import with_neighbours
from server.history.rollups import floats
from server.opcua.history import rolled
from server.opcua.history.policy import HistoryPolicy
from server.ports import CommandError
from server.store.ticks import TICKS_PER_SECOND

MOST_INTERVALS = 10_000
_SPAN = 3600 * TICKS_PER_SECOND
"""How much time is read at once, so that the samples in memory are few."""


async def aggregated(
    historian: Historian, variable: Variable, name: str, span: tuple[int, int], seconds: float
) -> list[Json]:
    """Return one value an interval; raises CommandError for what cannot be worked out."""
    start, end = span
    width = round(seconds * TICKS_PER_SECOND)
    _check(variable, name, start, end, width)
    forms: list[Json] = []
    while start < end:
        oldest = historian.oldest(variable.id)
        gone = oldest is not None and rolled.fits(name, start, width) and start + width <= oldest
        until = min(end, oldest if gone and oldest is not None else start + max(1, _SPAN // width) * width)
        until = start + -(-(until - start) // width) * width if until < end else end
        if gone:
            found = await rolled.compute(historian, variable.id, name, split(start, until, width))
        else:
            samples = await with_neighbours(historian, variable.id, start, until)
            found = await asyncio.to_thread(_computed, variable, name, samples, split(start, until, width))
        forms += _forms(found)
        start = until
    return forms


def _check(variable: Variable, name: str, start: int, end: int, width: int) -> None:
    if name not in AGGREGATES:
        message = f"there is no aggregate {name!r}: choose from {', '.join(AGGREGATES)}"
        raise CommandError(quality.BAD_INVALID_ARGUMENT, message)
    if variable.declaration.type is BuiltinType.String and AGGREGATES[name].numbers_only:
        raise CommandError(quality.BAD_INVALID_ARGUMENT, f"{name} needs numbers, and {variable.path} has texts")
    if width <= 0 or end <= start or -(-(end - start) // width) > MOST_INTERVALS:
        message = f"there are 1 to {MOST_INTERVALS} intervals from start to a later end"
        raise CommandError(quality.BAD_INVALID_ARGUMENT, message)


def _computed(variable: Variable, name: str, samples: Samples, intervals: Intervals) -> Processed:
    configuration = HistoryPolicy().configuration(variable.declaration)
    values = floats(samples, variable.declaration.type)
    return compute(name, Data(samples.stamps, values, samples.statuses, configuration), intervals)


def _forms(found: Processed) -> list[Json]:
    numbers: list[float] = found.values.tolist()
    rows = zip(found.stamps.tolist(), numbers, found.statuses.tolist(), strict=True)
    return [
        {"time": iso(stamp), "value": value if math.isfinite(value) else None, "quality": quality_of(status),
         "status": status_name(status), "status_code": status}
        for stamp, value, status in rows
    ]  # fmt: skip

"""A stretch of one variable's samples with what lies next to it, which aggregates need for their bounds."""

from server.history.ports import Historian, ReadRequest, Samples, join

_AROUND = 256
"""Samples read on both sides: those next to the stretch may be Bad."""
_LEAST, _MOST = -(2**63), 2**63 - 1


async def with_neighbours(historian: Historian, variable: int, low: int, high: int) -> Samples:
    """Return the samples with low <= time < high (ticks), and up to 256 before and after them, by time."""
    before, inside, after = await historian.read_many(
        [
            ReadRequest(variable, _LEAST, low, _AROUND, reverse=True),
            ReadRequest(variable, low, high),
            ReadRequest(variable, high, _MOST, _AROUND),
        ]
    )
    return join([before.take(slice(None, None, -1)), inside, after])

"""Aggregates of a time whose samples are gone: out of the minutes and hours that are kept longer."""

import numpy as np
from numpy.typing import NDArray

from server.history import Historian, Rollup
from server.history.aggregates import Intervals, Processed
from server.history.aggregates.data import CALCULATED, GOOD, NO_DATA, with_bits
from server.store.ticks import TICKS_PER_SECOND

AGGREGATES = frozenset({"Minimum", "Maximum", "Range", "Average", "Count"})
"""What minimum, maximum, mean and count of the Good samples of shorter intervals are enough for."""
_MINUTE, _HOUR = 60, 3600

Floats = NDArray[np.float64]


def fits(name: str, start: int, width: int) -> bool:
    """Whether intervals from `start` on (ticks) consist of whole minutes, and the aggregate can do with those."""
    minute = _MINUTE * TICKS_PER_SECOND
    return name in AGGREGATES and start % minute == 0 and width % minute == 0


async def compute(historian: Historian, variable: int, name: str, intervals: Intervals) -> Processed:
    """Return one value an interval, in the order of the request; BadNoData where no roll-up is kept."""
    low, high = int(intervals.lows[0]), int(intervals.highs[-1])
    widths = (intervals.highs - intervals.lows) % (_HOUR * TICKS_PER_SECOND)
    hourly = low % (_HOUR * TICKS_PER_SECOND) == 0 and not widths.any()
    rolled = await historian.rollup(variable, low, high, _HOUR if hourly else _MINUTE)
    values = _values(name, rolled, intervals)
    statuses = np.where(np.isnan(values), NO_DATA, with_bits(np.full(len(intervals), GOOD), CALCULATED))
    order = slice(None, None, -1) if intervals.reverse else slice(None)
    return Processed(intervals.begins[order], values[order], statuses[order])


def _values(name: str, rolled: Rollup, intervals: Intervals) -> Floats:
    owner = np.searchsorted(intervals.lows, rolled.starts, "right") - 1
    counts = np.bincount(owner, rolled.counts, len(intervals))
    empty = counts == 0
    if name == "Count":
        values = counts.astype(np.float64)
    elif name == "Average":
        sums = np.bincount(owner, rolled.means * rolled.counts, len(intervals))
        values = sums / np.maximum(counts, 1)
    else:
        least, most = np.full(len(intervals), np.inf), np.full(len(intervals), -np.inf)
        np.minimum.at(least, owner, rolled.minima)
        np.maximum.at(most, owner, rolled.maxima)
        values = {"Minimum": least, "Maximum": most}.get(name, np.where(empty, 0.0, most) - np.where(empty, 0.0, least))
    return np.where(empty, np.nan, values)

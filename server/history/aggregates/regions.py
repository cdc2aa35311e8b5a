"""Time cut into pieces at every sample and every end of an interval, each with values and a quality of its own."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.history.aggregates.data import Data, Flags, Floats
from server.history.aggregates.interpolation import interpolated, line, simple
from server.history.aggregates.intervals import Intervals
from server.quality import is_bad, is_good
from server.store.ticks import TICKS_PER_SECOND

MILLISECOND = TICKS_PER_SECOND // 1000
"""What the last sample of all counts for: nobody knows how long it will hold (OPC 10000-13 5.4.3.2)."""

_CLEAR, _DOUBTFUL, _POOR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Regions:
    """Pieces (m,), by time: the interval each is in, its length (ticks), the values at both ends, and what it is worth.

    `counts` is where the values may be used; `good`, `bad` and neither is what the status is worked out from.
    """

    interval: NDArray[np.intp]
    lengths: Floats
    first: Floats
    last: Floats
    counts: Flags
    good: Flags
    bad: Flags

    def total(self, figures: Floats, intervals: Intervals) -> Floats:
        """Return the sums of `figures` (m,) by interval."""
        return np.bincount(self.interval, figures, len(intervals)).astype(np.float64)


def with_simple_bounds(data: Data, intervals: Intervals, *, held: bool) -> Regions:
    """Cut at every sample, with simple bounding values; `held`: the end of a piece has no say in what it is worth."""
    starts, ends, interval = _pieces(data, intervals)
    count = len(data)
    before = np.searchsorted(data.stamps, starts, "right") - 1
    row = np.maximum(before, 0)
    following = np.minimum(row + 1, count - 1)
    at = simple(data, starts)
    as_bad = data.configuration.treat_uncertain_as_bad
    worth = np.where(is_good(at.statuses), _CLEAR, np.where(is_bad(at.statuses), _POOR, _DOUBTFUL))
    worth[at.raw & data.bad[row]] = _POOR
    if as_bad:
        worth[at.raw & data.uncertain[row]] = _POOR
    newest = before == count - 1
    lengths = (ends - starts).astype(np.float64)
    lengths[newest & data.usable[row]] = 0
    the_last = newest & at.raw & data.usable[row]
    lengths[the_last] = np.minimum(MILLISECOND, (ends - starts)[the_last])
    first = at.values
    last = first
    if not data.configuration.stepped:
        drawn = data.usable[row] & data.usable[following] & (following > row)
        last = np.where(drawn, line(data, row, following, ends), first)
        if not held:
            weak = ~(drawn & data.good[following])
            worth = np.where((worth == _CLEAR) & weak, _DOUBTFUL, worth)
    counts = (worth != _POOR) & (before >= 0) & data.usable[row]
    good, bad = worth == _CLEAR, worth == _POOR
    return Regions(interval, lengths, first, last, counts, good, bad)


def with_interpolated_bounds(data: Data, intervals: Intervals) -> Regions:
    """Cut at every sample, with interpolated bounding values: samples that cannot be used are looked over."""
    starts, ends, interval = _pieces(data, intervals)
    usable = np.flatnonzero(data.usable)
    at, to = interpolated(data, starts), interpolated(data, ends)
    before = np.searchsorted(data.stamps[usable], starts, "right") - 1
    row = usable[np.maximum(before, 0)]
    newest = np.searchsorted(data.stamps, starts, "right") - 1
    counts = before >= 0
    weak = ~counts | (before == len(usable) - 1) | ~data.good[row]
    if data.configuration.stepped:
        last = at.values
        weak |= newest > row
    else:
        last = to.values
        following = usable[np.minimum(np.maximum(before, 0) + 1, len(usable) - 1)]
        weak |= ~data.good[following] | (following > row + 1)
    lengths = (ends - starts).astype(np.float64)
    return Regions(interval, lengths, at.values, last, counts, ~weak, ~counts)


def _pieces(data: Data, intervals: Intervals) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp]]:
    first, last = intervals.lows[0], intervals.highs[-1]
    inside = data.stamps[(data.stamps > first) & (data.stamps < last)]
    points = np.concatenate((inside, intervals.lows, intervals.highs[-1:]))
    points.sort(kind="stable")  # two sorted runs: much faster than np.unique, which hashes
    points = points[np.append(points[1:] != points[:-1], True)]
    starts = points[:-1]
    return starts, points[1:], np.searchsorted(intervals.lows, starts, "right") - 1

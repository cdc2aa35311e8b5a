"""Aggregates of the samples in each interval, without bounding values (OPC 10000-13 5.4.3)."""

import numpy as np
from numpy.typing import NDArray

from server.history.aggregates.data import (
    BAD,
    CALCULATED,
    GOOD,
    MULTIPLE_VALUES,
    NO_DATA,
    UNCERTAIN_SUB_NORMAL,
    Data,
    Flags,
    Floats,
    Processed,
    Statuses,
    with_bits,
)
from server.history.aggregates.intervals import Intervals

Indexes = NDArray[np.intp]


class InEach:
    """Sums over the samples of each interval."""

    def __init__(self, data: Data, intervals: Intervals) -> None:
        self.first, self.end = intervals.rows(data.stamps)
        self.rows = self.end - self.first

    def count(self, where: Flags) -> NDArray[np.int64]:
        """Return how many samples `where` (n,) is true for."""
        upto = np.concatenate(([0], np.cumsum(where)))
        return upto[self.end] - upto[self.first]

    def interval_of(self) -> Indexes:
        """Return the interval of each sample from the first one in any to the last one."""
        return np.repeat(np.arange(len(self.first)), self.rows)

    def slice(self) -> slice:
        """Return the samples that are in any interval."""
        return slice(int(self.first[0]), int(self.end[-1]))


def average(data: Data, intervals: Intervals) -> Processed:
    """Return the mean of the Good samples (5.4.3.5)."""
    each = InEach(data, intervals)
    counts = each.count(data.good)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = _sums(data, each, data.values) / counts
    statuses = np.where(counts > 0, with_bits(_by_values(data, each), CALCULATED), NO_DATA)
    return Processed(intervals.begins, values, statuses)


def count(data: Data, intervals: Intervals) -> Processed:
    """Return how many Good samples there are (5.4.3.18)."""
    each = InEach(data, intervals)
    return _counted(data, intervals, each, each.count(data.good).astype(np.float64))


def transitions(data: Data, intervals: Intervals) -> Processed:
    """Return how often the value changed from one usable sample to the next (5.4.3.22)."""
    each = InEach(data, intervals)
    usable = np.flatnonzero(data.usable)
    changed = np.zeros(len(data), np.bool_)
    values = data.values[usable]
    changed[usable] = np.append(True, values[1:] != values[:-1])[: len(usable)]
    return _counted(data, intervals, each, each.count(changed).astype(np.float64))


def extreme(data: Data, intervals: Intervals, *, least: bool, actual_time: bool) -> Processed:
    """Return the minimum or maximum of the Good samples (5.4.3.10 to .13)."""
    each = InEach(data, intervals)
    values, row, multiple = _extreme(data, each, least=least)
    there = row >= 0
    statuses = np.where(each.count(~data.usable) > 0, UNCERTAIN_SUB_NORMAL, GOOD)
    begins = intervals.begins
    stamps = np.where(there, data.stamps[np.maximum(row, 0)], begins) if len(data) else begins
    bits = np.where(multiple, MULTIPLE_VALUES, np.uint32(0))
    if not actual_time:
        bits = np.bitwise_or(bits, np.where(stamps != begins, CALCULATED, np.uint32(0)))
        stamps = begins
    return Processed(stamps, values, np.where(there, with_bits(statuses, bits), NO_DATA))


def span(data: Data, intervals: Intervals) -> Processed:
    """Return the maximum less the minimum of the Good samples (5.4.3.14)."""
    each = InEach(data, intervals)
    most, row, _ = _extreme(data, each, least=False)
    least, _, _ = _extreme(data, each, least=True)
    statuses = np.where(each.count(~data.usable) > 0, UNCERTAIN_SUB_NORMAL, GOOD)
    return Processed(intervals.begins, most - least, np.where(row >= 0, with_bits(statuses, CALCULATED), NO_DATA))


def edge(data: Data, intervals: Intervals, *, end: bool) -> Processed:
    """Return the first or the last sample, as the request goes, with its own timestamp and status (5.4.3.23, .24)."""
    each = InEach(data, intervals)
    there = each.rows > 0
    row = each.end - 1 if end != intervals.reverse else each.first
    row = np.where(there, row, 0)
    if len(data) == 0:
        return nothing(intervals)
    values = np.where(there & ~data.bad[row], data.values[row], np.nan)
    stamps = np.where(there, data.stamps[row], intervals.begins)
    return Processed(stamps, values, np.where(there, data.statuses[row], NO_DATA))


def delta(data: Data, intervals: Intervals) -> Processed:
    """Return the last Good sample less the first, by time (5.4.3.25)."""
    each = InEach(data, intervals)
    good = np.flatnonzero(data.good)
    if len(good) == 0:
        return nothing(intervals)
    first = np.searchsorted(good, each.first)
    last = np.searchsorted(good, each.end) - 1
    there = last >= first
    from_row, to_row = good[np.minimum(first, len(good) - 1)], good[np.maximum(last, 0)]
    skipped = (from_row > each.first) | (to_row < each.end - 1)
    statuses = with_bits(np.where(skipped, UNCERTAIN_SUB_NORMAL, GOOD), CALCULATED)
    values = np.where(there, data.values[to_row] - data.values[from_row], np.nan)
    return Processed(intervals.begins, values, np.where(there, statuses, NO_DATA))


def deviation(data: Data, intervals: Intervals, *, sample: bool, root: bool) -> Processed:
    """Return standard deviation or variance of the Good samples, of a sample (n - 1) or of all (n) (5.4.3.37)."""
    each = InEach(data, intervals)
    counts = each.count(data.good)
    inside = each.slice()
    interval = each.interval_of()
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        means = _sums(data, each, data.values) / counts
        away = np.where(data.good[inside], data.values[inside] - means[interval], 0.0)
        squares = np.bincount(interval, away * away, len(intervals))
        values = np.where(counts > 1, squares / np.maximum(counts - int(sample), 1), 0.0)
    values = np.sqrt(values) if root else values
    statuses = np.where(each.count(~data.good) > 0, UNCERTAIN_SUB_NORMAL, GOOD)
    statuses = np.where(counts > 0, with_bits(statuses, CALCULATED), NO_DATA)
    return Processed(intervals.begins, np.where(counts > 0, values, np.nan), statuses)


def nothing(intervals: Intervals) -> Processed:
    """Return BadNoData for each interval."""
    count = len(intervals)
    return Processed(intervals.begins, np.full(count, np.nan), np.full(count, NO_DATA))


def worst(severities: Statuses) -> tuple[int, bool]:
    """Return the first of the worst StatusCodes, and whether there are several as bad."""
    severity = severities >> np.uint32(30)
    severity = np.minimum(severity, np.uint32(2))
    most = severity.max()
    places = np.flatnonzero(severity == most)
    return int(severities[places[0]]) & 0xFFFF_0000, len(places) > 1 and most > 0


def _sums(data: Data, each: InEach, values: Floats) -> Floats:
    """Return the sums of Good samples, each interval's by itself: no digits are lost to what lies before."""
    inside = each.slice()
    weights = np.where(data.good[inside], values[inside], 0.0)
    return np.bincount(each.interval_of(), weights, len(each.first)).astype(np.float64)


def _by_values(data: Data, each: InEach) -> Statuses:
    good, bad = each.count(data.good), each.count(data.bad)
    return data.by_share(good.astype(np.float64), bad.astype(np.float64), each.rows.astype(np.float64))


def _counted(data: Data, intervals: Intervals, each: InEach, values: Floats) -> Processed:
    statuses = _by_values(data, each)
    return Processed(intervals.begins, values, np.where(statuses == BAD, BAD, with_bits(statuses, CALCULATED)))


def _extreme(data: Data, each: InEach, *, least: bool) -> tuple[Floats, Indexes, Flags]:
    """Return the extremes of the Good samples, the row of the first sample that has it (-1: none), if several do."""
    count = len(each.first)
    good = np.flatnonzero(data.good)
    first, end = np.searchsorted(good, each.first), np.searchsorted(good, each.end)
    there = np.flatnonzero(end > first)
    values, rows, multiple = np.full(count, np.nan), np.full(count, -1, np.intp), np.zeros(count, np.bool_)
    if len(there) == 0:
        return values, rows, multiple
    inside = slice(int(first[there[0]]), int(end[there[-1]]))
    numbers = data.values[good[inside]]
    starts = first[there] - inside.start
    values[there] = (np.minimum if least else np.maximum).reduceat(numbers, starts)
    interval = np.repeat(np.arange(len(there)), np.diff(np.append(starts, len(numbers))))
    hits = np.flatnonzero(numbers == values[there][interval])
    owner = interval[hits]
    firsts = np.searchsorted(owner, np.arange(len(there)))
    rows[there] = good[inside][hits[firsts]]
    multiple[there] = np.bincount(owner, minlength=len(there)) > 1
    return values, rows, multiple

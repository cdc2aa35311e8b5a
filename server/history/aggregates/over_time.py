"""Aggregates that weigh values with time or use bounding values (OPC 10000-13 5.4.3)."""

import numpy as np
from numpy.typing import NDArray

from server.history.aggregates.data import (
    CALCULATED,
    GOOD,
    INTERPOLATED,
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
from server.history.aggregates.interpolation import at_times, simple
from server.history.aggregates.intervals import Intervals
from server.history.aggregates.regions import (
    MILLISECOND,
    Regions,
    with_interpolated_bounds,
    with_simple_bounds,
)
from server.history.aggregates.samples_in import InEach, nothing, worst
from server.quality import is_bad, is_good
from server.store.ticks import TICKS_PER_SECOND


def interpolative(data: Data, intervals: Intervals) -> Processed:
    """Return the value at the beginning of each interval (5.4.3.4)."""
    return at_times(data, intervals.begins)


def area(data: Data, intervals: Intervals, *, mean: bool, simple_bounds: bool) -> Processed:
    """Return what is below the curve (value times seconds), or its mean over time (5.4.3.6 to .9)."""
    if not data.usable.any():
        return nothing(intervals)
    if simple_bounds:
        regions = with_simple_bounds(data, intervals, held=False)
        statuses = _by_time(data, intervals, regions)
    else:
        regions = with_interpolated_bounds(data, intervals)
        weak = regions.total((~regions.good).astype(np.float64), intervals) > 0
        statuses = np.where(weak, UNCERTAIN_SUB_NORMAL, GOOD)
    seconds = np.where(regions.counts, regions.lengths, 0.0) / TICKS_PER_SECOND
    heights = np.where(regions.counts, (regions.first + regions.last) / 2, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        values = regions.total(heights * seconds, intervals)
    known = regions.total(seconds, intervals)
    there = (known > 0) & ~intervals.outside(data)
    if mean:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            values = values / known
    return Processed(intervals.begins, values, np.where(there, with_bits(statuses, CALCULATED), NO_DATA))


def duration(data: Data, intervals: Intervals, *, good: bool, percent: bool) -> Processed:
    """Return how long the quality was Good or Bad, in ms or in percent of the time (5.4.3.29 to .32)."""
    if len(data) == 0:
        return nothing(intervals)
    regions = with_simple_bounds(data, intervals, held=True)
    values = regions.total(np.where(regions.good if good else regions.bad, regions.lengths, 0.0), intervals)
    if percent:
        with np.errstate(invalid="ignore", divide="ignore"):
            values = 100 * values / regions.total(regions.lengths, intervals)
    else:
        values = values / MILLISECOND
    return Processed(intervals.begins, values, with_bits(np.full(len(intervals), GOOD), CALCULATED))


def in_state(data: Data, intervals: Intervals, *, zero: bool) -> Processed:
    """Return how long (ms) the value was zero, or was not, with Good quality (5.4.3.20, .21)."""
    if len(data) == 0:
        return nothing(intervals)
    regions = with_simple_bounds(data, intervals, held=True)
    chosen = regions.good & ((regions.first == 0) == zero)
    values = regions.total(np.where(chosen, regions.lengths, 0.0), intervals) / MILLISECOND
    return Processed(intervals.begins, values, with_bits(_by_time(data, intervals, regions), CALCULATED))


def bound(data: Data, intervals: Intervals, *, end: bool) -> Processed:
    """Return the simple bounding value at the beginning or the end of each interval (5.4.3.26, .27)."""
    values, statuses, raw = _bounds(data, intervals.ends if end else intervals.begins)
    there = ~np.isnan(values)
    bits = np.full(len(intervals), CALCULATED) if end else np.where(raw, np.uint32(0), INTERPOLATED)
    return Processed(intervals.begins, values, np.where(there, with_bits(statuses, bits), NO_DATA))


def delta_bounds(data: Data, intervals: Intervals) -> Processed:
    """Return the bounding value at the end less that at the beginning, by time (5.4.3.28)."""
    first, first_status, _ = _bounds(data, intervals.lows)
    last, last_status, _ = _bounds(data, intervals.highs)
    clear = is_good(first_status) & is_good(last_status)
    statuses = with_bits(np.where(clear, GOOD, UNCERTAIN_SUB_NORMAL), CALCULATED)
    values = last - first
    return Processed(intervals.begins, values, np.where(np.isnan(values), NO_DATA, statuses))


def extreme(data: Data, intervals: Intervals, *, least: bool, actual_time: bool) -> Processed:
    """Return the minimum or maximum of samples and bounding values (5.4.3.15 to .18)."""
    if len(data) == 0:
        return nothing(intervals)
    sign = 1.0 if least else -1.0
    values, stamps, multiple, from_bound = _extreme(data, intervals, sign)
    there = ~np.isnan(values)
    statuses = _by_time(data, intervals, with_simple_bounds(data, intervals, held=False))
    bits = np.bitwise_or(
        np.where(multiple, MULTIPLE_VALUES, np.uint32(0)), np.where(from_bound, INTERPOLATED, np.uint32(0))
    )
    begins = intervals.begins
    if actual_time:
        at_end = there & (stamps == intervals.ends)
        inward = MILLISECOND if intervals.reverse else -MILLISECOND
        bits = np.bitwise_or(bits, np.where(at_end, INTERPOLATED, np.uint32(0)))
        stamps = np.where(there, np.where(at_end, stamps + inward, stamps), begins)
    else:
        bits = np.bitwise_or(bits, np.where((stamps != begins) & ~from_bound, CALCULATED, np.uint32(0)))
        stamps = begins
    statuses = np.where(there & ~intervals.outside(data), with_bits(statuses, bits), NO_DATA)
    return Processed(stamps, values, statuses)


def span(data: Data, intervals: Intervals) -> Processed:
    """Return the maximum less the minimum of samples and bounding values (5.4.3.19)."""
    if len(data) == 0:
        return nothing(intervals)
    least, _, _, _ = _extreme(data, intervals, 1.0)
    most, _, _, _ = _extreme(data, intervals, -1.0)
    values = most - least
    statuses = _by_time(data, intervals, with_simple_bounds(data, intervals, held=False))
    there = ~np.isnan(values) & ~intervals.outside(data)
    return Processed(intervals.begins, values, np.where(there, with_bits(statuses, CALCULATED), NO_DATA))


def worst_quality(data: Data, intervals: Intervals, *, bounds: bool) -> Processed:
    """Return the worst StatusCode of the samples, with `bounds` of the bounding values too (5.4.3.33, .34)."""
    each = InEach(data, intervals)
    values = np.full(len(intervals), np.nan)
    statuses = np.full(len(intervals), NO_DATA)
    low, high = simple(data, intervals.lows), simple(data, intervals.highs)
    for place, (first, end) in enumerate(zip(each.first.tolist(), each.end.tolist(), strict=True)):
        seen = [data.statuses[first:end]]
        if bounds:
            at_low = first < end and bool(data.stamps[first] == intervals.lows[place])
            at_high = first < end and bool(data.stamps[end - 1] == intervals.highs[place])
            seen = [low.statuses[place : place + 1]] * (not at_low) + seen
            seen += [high.statuses[place : place + 1]] * (not at_high)
        codes = np.concatenate(seen[::-1] if intervals.reverse else seen)
        if len(codes):
            code, several = worst(codes)
            values[place] = code
            statuses[place] = with_bits(np.full(1, GOOD), CALCULATED | (MULTIPLE_VALUES if several else GOOD))[0]
    return Processed(intervals.begins, values, statuses)


def _bounds(data: Data, times: NDArray[np.int64]) -> tuple[Floats, Statuses, Flags]:
    """Return simple bounding values, NaN where they may not be used."""
    points = simple(data, times)
    if len(data) == 0:
        return points.values, points.statuses, points.raw
    row = np.maximum(np.searchsorted(data.stamps, times, "right") - 1, 0)
    fit = np.where(points.raw, data.usable[row], ~is_bad(points.statuses))
    return np.where(fit, points.values, np.nan), points.statuses, points.raw


def _by_time(data: Data, intervals: Intervals, regions: Regions) -> Statuses:
    doubtful = ~regions.good & ~regions.bad
    as_bad = data.configuration.treat_uncertain_as_bad
    good = regions.good if as_bad else regions.good | doubtful
    bad = regions.bad | doubtful if as_bad else regions.bad
    return data.by_share(
        regions.total(np.where(good, regions.lengths, 0.0), intervals),
        regions.total(np.where(bad, regions.lengths, 0.0), intervals),
        regions.total(regions.lengths, intervals),
    )


def _extreme(data: Data, intervals: Intervals, sign: float) -> tuple[Floats, NDArray[np.int64], Flags, Flags]:
    """Return least (of values times `sign`), its time, whether several have it, and whether it is no sample."""
    count = len(intervals)
    first, end = np.searchsorted(data.stamps, intervals.lows, "right"), np.searchsorted(data.stamps, intervals.highs)
    rows = np.maximum(end - first, 0)
    places = np.arange(count)
    inside = slice(int(first[0]), int(max(end[-1], first[0])))
    low_values, _, low_raw = _bounds(data, intervals.lows)
    high_values, _, high_raw = _bounds(data, intervals.highs)
    if data.configuration.stepped:
        high_values = np.full(count, np.nan)
    samples = np.arange(inside.start, inside.stop)
    samples = samples[~np.isin(data.stamps[samples], intervals.lows)]  # those come as bounding values
    owner = np.concatenate((places, np.repeat(places, rows), places))
    values = np.concatenate((low_values, np.where(data.usable[samples], data.values[samples], np.nan), high_values))
    stamps = np.concatenate((intervals.lows, data.stamps[samples], intervals.highs))
    bound_ = np.concatenate((~low_raw, np.zeros(len(samples), np.bool_), ~high_raw))
    fit = np.flatnonzero(~np.isnan(values))
    fit = fit[np.lexsort((stamps[fit] * (-1 if intervals.reverse else 1), sign * values[fit], owner[fit]))]
    result, when = np.full(count, np.nan), intervals.begins.copy()
    several, from_bound = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    if len(fit) == 0:
        return result, when, several, from_bound
    heads = np.flatnonzero(np.append(True, owner[fit][1:] != owner[fit][:-1]))
    chosen, whose = fit[heads], owner[fit[heads]]
    result[whose], when[whose], from_bound[whose] = values[chosen], stamps[chosen], bound_[chosen]
    second = np.minimum(heads + 1, len(fit) - 1)
    several[whose] = (second > heads) & (owner[fit[second]] == whose) & (values[fit[second]] == values[chosen])
    return result, when, several, from_bound

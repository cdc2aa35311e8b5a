"""Values between samples: bounding values, and what a variable had at a time (OPC 10000-13 3.1.5 to 3.1.9)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.history.aggregates.data import (
    GOOD,
    INTERPOLATED,
    NO_DATA,
    UNCERTAIN_SUB_NORMAL,
    Data,
    Flags,
    Floats,
    Processed,
    Stamps,
    Statuses,
    with_bits,
)


@dataclass(frozen=True, slots=True)
class Points:
    """Values at some times, NaN where there is none, their statuses without InfoBits, and whether they are samples."""

    values: Floats
    statuses: Statuses
    raw: Flags


def line(data: Data, early: NDArray[np.intp], late: NDArray[np.intp], times: Stamps) -> Floats:
    """Return values at `times` on the lines through the samples at rows `early` and `late`."""
    first, last = data.stamps[early], data.stamps[late]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        share = (times - first) / (last - first)
        return data.values[early] + (data.values[late] - data.values[early]) * share


def simple(data: Data, times: Stamps) -> Points:
    """Return simple bounding values: from the samples right beside each time, whatever they are worth (3.1.9)."""
    count = len(data)
    if count == 0:
        return Points(np.full(len(times), np.nan), np.full(len(times), NO_DATA), np.zeros(len(times), np.bool_))
    before = np.searchsorted(data.stamps, times, "right") - 1
    row = np.maximum(before, 0)
    following = np.minimum(row + 1, count - 1)
    raw = (before >= 0) & (data.stamps[row] == times)
    there = (before >= 0) & (before < count - 1)
    values = np.where(raw | there & data.usable[row], data.values[row], np.nan)
    statuses = np.full(len(times), NO_DATA)
    if data.configuration.stepped:
        statuses[there & data.good[row]] = GOOD
        statuses[there & data.uncertain[row]] = UNCERTAIN_SUB_NORMAL
    else:
        drawn = there & data.usable[row] & data.usable[following]
        values = np.where(drawn & ~raw, line(data, row, following, times), values)
        statuses[there & data.usable[row]] = UNCERTAIN_SUB_NORMAL
        statuses[drawn & data.good[row] & data.good[following]] = GOOD
    return Points(values, np.where(raw, data.statuses[row], statuses), raw)


def interpolated(data: Data, times: Stamps) -> Points:
    """Return interpolated bounding values: from the usable samples around each time (3.1.8), after the last too."""
    usable = np.flatnonzero(data.usable)
    if len(usable) == 0:
        return Points(np.full(len(times), np.nan), np.full(len(times), NO_DATA), np.zeros(len(times), np.bool_))
    stamps = data.stamps[usable]
    before = np.searchsorted(stamps, times, "right") - 1
    place = np.maximum(before, 0)
    after = np.minimum(place + 1, len(usable) - 1)
    row, following = usable[place], usable[after]
    there = before >= 0
    raw = there & (data.stamps[row] == times)
    last = there & (before == len(usable) - 1)
    values = np.where(there, data.values[row], np.nan)
    doubtful = ~data.good[row] | last
    if data.configuration.stepped:
        newest = np.searchsorted(data.stamps, times, "right") - 1  # one that is not usable lies between
        doubtful |= newest > row
    else:
        doubtful |= ~data.good[following] | (following > row + 1)
        values = np.where(there & ~last, line(data, row, following, times), values)
        if data.configuration.sloped_extrapolation and len(usable) > 1:
            second = np.full(len(times), usable[-2])
            values = np.where(last, line(data, second, row, times), values)
    values = np.where(raw, data.values[row], values)
    statuses = np.where(there, np.where(doubtful, UNCERTAIN_SUB_NORMAL, GOOD), NO_DATA)
    return Points(values, np.where(raw, data.statuses[row], statuses), raw)


def at_times(data: Data, times: Stamps, *, simple_bounds: bool = False) -> Processed:
    """Return the values at `times` (ticks): samples where there are, else interpolated (OPC 10000-11 6.5.5)."""
    if simple_bounds:
        points = simple(data, times)
        unusable = np.isnan(points.values) & ~points.raw
        points = Points(points.values, np.where(unusable, NO_DATA, points.statuses), points.raw)
    else:
        points = interpolated(data, times)
    found = ~points.raw & ~np.isnan(points.values)
    statuses = with_bits(points.statuses, np.where(found, INTERPOLATED, np.uint32(0)))
    return Processed(times, points.values, statuses)

"""The aggregates by name: how each is worked out, and of which type its values are (OPC 10000-13 Table 13)."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from server.history.aggregates import over_time, samples_in
from server.history.aggregates.data import PARTIAL, Data, Processed, with_bits
from server.history.aggregates.intervals import Intervals
from server.quality import is_bad


class Kind(enum.Enum):
    """Of which type the values of an aggregate are."""

    SOURCE = "as the variable"
    DOUBLE = "Double"
    INT32 = "Int32"
    STATUS = "StatusCode"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate; `counts` says that an interval without samples is known to have none."""

    name: str
    kind: Kind
    compute: Callable[[Data, Intervals], Processed]
    partial: bool = True
    outside: bool = False
    """Whether there may be something to say of intervals beyond the data."""
    numbers_only: bool = True


def _table() -> Mapping[str, Aggregate]:
    source, double = Kind.SOURCE, Kind.DOUBLE
    rows = [
        Aggregate("Interpolative", source, over_time.interpolative, partial=False, outside=True),
        Aggregate("Average", double, samples_in.average, partial=False),
        Aggregate("TimeAverage", double, partial(over_time.area, mean=True, simple_bounds=False)),
        Aggregate("TimeAverage2", double, partial(over_time.area, mean=True, simple_bounds=True)),
        Aggregate("Total", double, partial(over_time.area, mean=False, simple_bounds=False)),
        Aggregate("Total2", double, partial(over_time.area, mean=False, simple_bounds=True)),
        Aggregate("Range", double, samples_in.span),
        Aggregate("Range2", double, over_time.span),
        Aggregate("Count", Kind.INT32, samples_in.count, numbers_only=False),
        Aggregate("NumberOfTransitions", Kind.INT32, samples_in.transitions),
        Aggregate("DurationInStateZero", double, partial(over_time.in_state, zero=True)),
        Aggregate("DurationInStateNonZero", double, partial(over_time.in_state, zero=False)),
        Aggregate("Start", source, partial(samples_in.edge, end=False)),
        Aggregate("End", source, partial(samples_in.edge, end=True)),
        Aggregate("Delta", source, samples_in.delta),
        Aggregate("StartBound", source, partial(over_time.bound, end=False)),
        Aggregate("EndBound", source, partial(over_time.bound, end=True)),
        Aggregate("DeltaBounds", source, over_time.delta_bounds),
        Aggregate("WorstQuality", Kind.STATUS, partial(over_time.worst_quality, bounds=False), numbers_only=False),
        Aggregate("WorstQuality2", Kind.STATUS, partial(over_time.worst_quality, bounds=True), numbers_only=False),
    ]
    for name, least in (("Minimum", True), ("Maximum", False)):
        for suffix, part in (("", samples_in.extreme), ("2", over_time.extreme)):
            rows.append(Aggregate(name + suffix, source, partial(part, least=least, actual_time=False)))
            timed = partial(part, least=least, actual_time=True)
            rows.append(Aggregate(f"{name}ActualTime{suffix}", source, timed))
    for name, good in (("Good", True), ("Bad", False)):
        for unit, percent in (("Duration", False), ("Percent", True)):
            how = partial(over_time.duration, good=good, percent=percent)
            rows.append(Aggregate(unit + name, double, how, numbers_only=False))
    for name, sample in (("Sample", True), ("Population", False)):
        for figure, root in (("StandardDeviation", True), ("Variance", False)):
            how = partial(samples_in.deviation, sample=sample, root=root)
            rows.append(Aggregate(figure + name, double, how))
    return {row.name: row for row in rows}


AGGREGATES = _table()


def compute(name: str, data: Data, intervals: Intervals) -> Processed:
    """Return one value an interval, in the order of the request; `data` must reach beyond them on both sides."""
    aggregate = AGGREGATES[name]
    if len(data) == 0 and not aggregate.outside:
        found = samples_in.nothing(intervals)
    else:
        found = aggregate.compute(data, intervals)
    if not aggregate.outside:
        gone = intervals.outside(data)
        beyond = samples_in.nothing(intervals)
        found = Processed(
            np.where(gone, beyond.stamps, found.stamps), found.values, np.where(gone, beyond.statuses, found.statuses)
        )
    statuses = found.statuses
    if aggregate.partial:
        statuses = with_bits(statuses, np.where(intervals.partial(data), PARTIAL, np.uint32(0)))
    values = np.where(is_bad(statuses), np.nan, found.values)
    if intervals.reverse:
        return Processed(found.stamps[::-1], values[::-1], statuses[::-1])
    return Processed(found.stamps, values, statuses)

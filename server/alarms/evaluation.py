"""Which limits are exceeded, for all conditions at once: values in columns, no Python per condition.

A mask of limits says how a condition is: 0 normal, else the bits of `server.alarms.ports`; kinds without limits have 1.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from address_space.model import LIMITS, AlarmDeclaration, AlarmKind, Condition, Plant
from server.alarms.ports import HIGH, HIGH_HIGH, LOW, LOW_LOW
from server.quality import is_bad, worst
from server.store import Batch
from server.store.ticks import TICKS_PER_SECOND

Ids = NDArray[np.int64]
Masks = NDArray[np.uint8]
_EXCLUSIVE = {AlarmKind.LEVEL, AlarmKind.RATE_OF_CHANGE, AlarmKind.DEVIATION}
_SIDES = (
    (0, HIGH_HIGH, 1, HIGH_HIGH),
    (1, HIGH, 1, HIGH | HIGH_HIGH),
    (2, LOW, -1, LOW | LOW_LOW),
    (3, LOW_LOW, -1, LOW_LOW),
)
"""Of each limit: its place, its bit, its side, and the bits that say it was exceeded so far."""

_HIGH_SIDE, _LOW_SIDE = HIGH | HIGH_HIGH, LOW | LOW_LOW


class Values:
    """What the engine has seen of every variable; columns of shape (variables,)."""

    def __init__(self, count: int) -> None:
        self.numbers = np.full(count, np.nan)
        self.statuses = np.full(count, 0x80320000, np.uint32)
        self.stamps = np.zeros(count, np.int64)


class Group:
    """The m conditions of one declaration: `rows` are their ids, `inputs` those of their variables, (inputs, m)."""

    def __init__(self, declaration: AlarmDeclaration, conditions: Sequence[Condition]) -> None:
        self.declaration = declaration
        self.rows = np.array([condition.id for condition in conditions], np.int64)
        self.inputs = np.array([[v.id for v in condition.inputs] for condition in conditions], np.int64).T
        self.limits = np.full((len(LIMITS), len(conditions)), np.nan)
        for place, name in enumerate(LIMITS):
            self.limits[place] = declaration.limits.get(name, np.nan)
        self.before = np.full(len(conditions), np.nan), np.zeros(len(conditions), np.int64)
        """Of a rate of change: the last value and its time."""
        self._mask = _MASKS.get(declaration.kind, _limited)

    def evaluate(self, places: Ids, values: Values, masks: Masks) -> tuple[Masks, NDArray[np.uint32]]:
        """Return masks and qualities of the conditions at `places` of the group; `masks` are those so far.

        Where an input is Bad, or is no number, the mask stays.
        """
        ids = self.inputs[:, places]
        statuses = worst([values.statuses[row] for row in ids])
        columns = values.numbers[ids]
        usable = ~is_bad(statuses) & np.isfinite(columns).all(axis=0)
        found = np.where(usable, self._mask(self, places, ids, values, masks), masks)
        return found.astype(np.uint8), statuses

    def stamps(self, places: Ids, values: Values) -> Ids:
        """Return when the newest input of each was measured (ticks)."""
        return values.stamps[self.inputs[:, places]].max(axis=0)


Mask = Callable[[Group, Ids, Ids, Values, Masks], Masks]


def groups(plant: Plant) -> list[Group]:
    """Return the groups of conditions that depend on variables."""
    by_declaration: dict[int, list[Condition]] = {}
    for condition in plant.conditions:
        if condition.inputs:
            by_declaration.setdefault(id(condition.declaration), []).append(condition)
    return [Group(found[0].declaration, found) for found in by_declaration.values()]


class Stream:
    """Groups that are evaluated together, and what they have seen.

    Of conditions with one input, every change of it is seen by itself. With several, what was measured at the same time
    belongs together (`by_time`): so nothing is seen together that never was, and nothing that was is missed.
    """

    def __init__(self, plant: Plant, chosen: Sequence[Group], *, by_time: bool) -> None:
        self.groups = tuple(chosen)
        self.values = Values(len(plant.variables))
        self.used = np.zeros(len(plant.variables), np.bool_)
        for group in chosen:
            self.used[group.inputs] = True
        self.ids = np.flatnonzero(self.used).astype(np.int64)
        self._told_again = np.zeros(len(plant.variables), np.bool_)
        """Variables of which the same value again says something: their rate of change is watched."""
        for group in chosen:
            if by_time or group.declaration.kind is AlarmKind.RATE_OF_CHANGE:
                self._told_again[group.inputs] = True
        self._by_time = by_time
        sizes = [len(group.rows) for group in chosen]
        self._first = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
        """The number of each group's first condition, were those of all groups numbered in a row, and their count."""
        read = [np.tile(np.arange(first, first + size), len(group.inputs)) for group, first, size in
                zip(chosen, self._first.tolist(), sizes, strict=False)]  # fmt: skip
        inputs = np.concatenate([np.zeros(0, np.int64), *(group.inputs.ravel() for group in chosen)])
        order = np.argsort(inputs, kind="stable")
        self._readers = np.concatenate([np.zeros(0, np.int64), *read])[order]
        """The numbers of the conditions that read variable 0, then of those that read variable 1, and so on."""
        self._reader = np.searchsorted(inputs[order], np.arange(len(plant.variables) + 1))
        """Where those of each variable begin."""

    def touched(self, ids: Ids) -> Iterator[tuple[Group, Ids]]:
        """Yield the groups with conditions that read one of `ids`, and the places of these."""
        begin = self._reader[ids]
        counts = self._reader[ids + 1] - begin
        ends = np.cumsum(counts)
        if not len(ids) or not ends[-1]:
            return
        found = np.unique(self._readers[np.repeat(begin - ends + counts, counts) + np.arange(ends[-1])])
        cuts = np.searchsorted(found, self._first).tolist()
        for place, group in enumerate(self.groups):
            if cuts[place] < cuts[place + 1]:
                yield group, found[cuts[place] : cuts[place + 1]] - self._first[place]

    def parts(self, batch: Batch) -> Iterator[slice]:
        """Split rows of the journal into parts that have every variable at most once, in order."""
        times = batch.source_timestamps
        later = np.flatnonzero(times[1:] != times[:-1]) + 1 if self._by_time else np.zeros(0, np.int64)
        return segments(batch.ids, later)

    def news(self, ids: Ids, numbers: NDArray[np.float64], statuses: NDArray[np.uint32]) -> Ids:
        """Return those of `ids` whose conditions are to be evaluated; the others are as they were when last seen."""
        seen = self.values
        same = (seen.numbers[ids] == numbers) & (seen.statuses[ids] == statuses) & ~self._told_again[ids]
        return ids[~same] if same.any() else ids

    def note(self, ids: Ids, numbers: NDArray[np.float64], statuses: NDArray[np.uint32], stamps: Ids) -> None:
        """Take note of values; what is Bad or infinite is no number."""
        self.values.numbers[ids] = np.where(is_bad(statuses) | np.isinf(numbers), np.nan, numbers)
        self.values.statuses[ids] = statuses
        self.values.stamps[ids] = stamps


def segments(ids: Ids, breaks: Ids) -> Iterator[slice]:
    """Split rows at `breaks`, and where a variable comes again."""
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    before = dict.fromkeys(breaks.tolist(), len(ids))
    before |= {
        place: max(earlier, before.get(place, -1))
        for place, earlier in zip(order[again + 1].tolist(), order[again].tolist(), strict=True)
    }
    start = 0
    for place in sorted(before):
        if before[place] >= start:
            yield slice(start, place)
            start = place
    if start < len(ids):
        yield slice(start, len(ids))


def _limited(group: Group, places: Ids, ids: Ids, values: Values, masks: Masks) -> Masks:
    declaration = group.declaration
    signal = values.numbers[ids[0]]
    if declaration.kind is AlarmKind.DEVIATION:
        signal = signal - values.numbers[ids[1]]
    elif declaration.kind is AlarmKind.RATE_OF_CHANGE:
        signal = _rate(group, places, signal, values.stamps[ids[0]])
    return _exceeded(signal, group.limits[:, places], declaration.deadband, masks, declaration.kind in _EXCLUSIVE)


def _exceeded(
    signal: NDArray[np.float64], limits: NDArray[np.float64], deadband: float, masks: Masks, exclusive: bool
) -> Masks:
    """Compare with limits (4, m); a limit that is exceeded stays so until the signal is `deadband` within it."""
    found = np.zeros(len(signal), np.uint8)
    for place, bit, sign, held in _SIDES:
        slack = np.where(masks & held, deadband, 0.0)
        found |= np.where(sign * (signal - limits[place]) > -slack, bit, 0).astype(np.uint8)
    if exclusive:
        both = ((found & _HIGH_SIDE) != 0) & ((found & _LOW_SIDE) != 0)  # one of them by the deadband alone
        found = np.where(both, found & np.where(masks & _HIGH_SIDE, _LOW_SIDE, _HIGH_SIDE), found).astype(np.uint8)
        for outer, inner in ((HIGH_HIGH, HIGH), (LOW_LOW, LOW)):
            found = np.where(found & outer, found & ~np.uint8(inner), found)
    return np.where(np.isnan(signal), masks, found)


def _rate(group: Group, places: Ids, signal: NDArray[np.float64], stamps: Ids) -> NDArray[np.float64]:
    """Return the change a second since the value before; NaN where there is none, or no time has passed."""
    last, when = group.before
    seconds = (stamps - when[places]) / TICKS_PER_SECOND
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(seconds > 0, (signal - last[places]) / seconds, np.nan)
    newer = (seconds > 0) & np.isfinite(signal)
    last[places[newer]], when[places[newer]] = signal[newer], stamps[newer]
    return rate


def _discrepancy(group: Group, _places: Ids, ids: Ids, values: Values, masks: Masks) -> Masks:
    apart = np.abs(values.numbers[ids[0]] - values.numbers[ids[1]])
    slack = np.where(masks, group.declaration.deadband, 0.0)
    return (apart > group.declaration.tolerance - slack).astype(np.uint8)


def _off_normal(group: Group, _places: Ids, ids: Ids, values: Values, _masks: Masks) -> Masks:
    return (~np.isin(values.numbers[ids[0]], group.declaration.normal)).astype(np.uint8)


def _trip(group: Group, _places: Ids, ids: Ids, values: Values, _masks: Masks) -> Masks:
    return np.isin(values.numbers[ids[0]], group.declaration.tripped).astype(np.uint8)


def _rule(group: Group, _places: Ids, ids: Ids, values: Values, masks: Masks) -> Masks:
    when = group.declaration.when
    if when is None:
        return masks
    result = when(dict(zip(when.names, values.numbers[ids], strict=True)))
    return np.where(np.isnan(result), masks, result != 0).astype(np.uint8)


_MASKS: dict[AlarmKind, Mask] = {
    AlarmKind.DISCREPANCY: _discrepancy,
    AlarmKind.OFF_NORMAL: _off_normal,
    AlarmKind.TRIP: _trip,
    AlarmKind.VISION: _off_normal,
    AlarmKind.RULE: _rule,
}

"""Evaluation in columns says what a plain evaluator says that looks at one row after another."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from alarms_rig import ALARMS, BAD, plant_of
from hypothesis import given, settings
from hypothesis import strategies as st

from address_space.model import AlarmKind, Condition, Plant
from server.alarms.evaluation import Stream, groups
from server.store import Store

Row = tuple[int, float, int, int]
"""Id, value, status and source timestamp."""
T0 = 133_000_000_000_000_000
PATHS = [f"Plant.M{number}.{name}" for number in (1, 2) for name in "XZSB"]
_SIDES = (("high_high", 1, 1, 1), ("high", 2, 1, 3), ("low", 4, -1, 12), ("low_low", 8, -1, 8))


class Reference:
    """One condition, evaluated in plain Python."""

    def __init__(self, condition: Condition) -> None:
        self.number, self.declaration = condition.id, condition.declaration
        self.inputs = [variable.id for variable in condition.inputs]
        self.seen: dict[int, tuple[float, int, int]] = {}
        self.last: tuple[float, int] | None = None
        self.masks = [0]
        """All masks that it had, each once in a row."""

    def see(self, measurement: list[Row]) -> None:
        own = {id_: (value, status, at) for id_, value, status, at in measurement if id_ in self.inputs}
        self.seen |= own
        if own and len(self.seen) == len(self.inputs) and all(map(_usable, self.seen.values())):
            mask = self._mask()
            if mask != self.masks[-1]:
                self.masks.append(mask)

    def _mask(self) -> int:
        values = [self.seen[id_][0] for id_ in self.inputs]
        match self.declaration.kind:
            case AlarmKind.LEVEL:
                return self._worst(self._exceeded(values[0]))
            case AlarmKind.NON_EXCLUSIVE_LEVEL:
                return self._exceeded(values[0])
            case AlarmKind.DEVIATION:
                return self._worst(self._exceeded(values[0] - values[1]))
            case AlarmKind.RATE_OF_CHANGE:
                return self._rate(values[0], self.seen[self.inputs[0]][2])
            case AlarmKind.DISCREPANCY:
                slack = self.declaration.deadband if self.masks[-1] else 0
                return int(abs(values[0] - values[1]) > self.declaration.tolerance - slack)
            case AlarmKind.OFF_NORMAL:
                return int(values[0] not in self.declaration.normal)
            case AlarmKind.VISION:
                return int(bool(values[0]))
            case AlarmKind.TRIP:
                return int(values[0] in self.declaration.tripped)
            case _:
                return int(values[0] > 10 and values[1] < 5)

    def _rate(self, value: float, at: int) -> int:
        before, mask = self.last, self.masks[-1]
        if before is None:
            self.last = value, at
        elif at > before[1]:
            self.last = value, at
            mask = self._worst(self._exceeded((value - before[0]) / ((at - before[1]) / 1e7)))
        return mask

    def _exceeded(self, signal: float) -> int:
        mask = 0
        for name, bit, side, held in _SIDES:
            if name in self.declaration.limits:
                slack = self.declaration.deadband if self.masks[-1] & held else 0
                mask |= bit if side * (signal - self.declaration.limits[name]) > -slack else 0
        return mask

    @staticmethod
    def _worst(mask: int) -> int:
        return next((bit for bit in (1, 8) if mask & bit), mask)


def _usable(seen: tuple[float, int, int]) -> bool:
    return seen[1] < 0x80000000 and math.isfinite(seen[0])


def measurements(rows: list[Row]) -> Iterator[list[Row]]:
    """Split rows where the time changes, and where a variable comes again."""
    found: list[Row] = []
    for row in rows:
        if found and (found[-1][3] != row[3] or row[0] in [it[0] for it in found]):
            yield found
            found = []
        found.append(row)
    if found:
        yield found


class References:
    """The conditions of M1 and M2."""

    def __init__(self, plant: Plant) -> None:
        found = [Reference(it) for it in plant.conditions if it.machine.name.startswith("M")]
        self.single = [it for it in found if len(it.inputs) == 1]
        self.several = [it for it in found if len(it.inputs) > 1]
        self._read = {id_ for it in self.several for id_ in it.inputs}

    def see(self, rows: list[Row]) -> None:
        for row in rows:
            for reference in self.single:
                reference.see([row])
        for measurement in measurements([row for row in rows if row[0] in self._read]):
            for reference in self.several:
                reference.see(measurement)


class Columns:
    """All conditions of a plant, evaluated as the engine does."""

    def __init__(self, plant: Plant) -> None:
        found = groups(plant)
        self.store = Store(plant, 4096)
        self.cursor = self.store.journal.cursor("test")
        self.cursor.read()
        self.streams = [
            Stream(plant, [it for it in found if (len(it.inputs) > 1) == several], by_time=several)
            for several in (False, True)
        ]
        self.masks = np.zeros(len(plant.conditions), np.uint8)
        self.all = {condition.id: [0] for condition in plant.conditions}

    def see(self, rows: list[Row]) -> None:
        if not rows:
            return
        ids, values, statuses, stamps = zip(*rows, strict=True)
        self.store.write(np.array(ids), np.array(values), np.array(stamps), np.array(statuses, np.uint32))
        batch = self.cursor.read()
        for stream in self.streams:
            own = batch.take(np.flatnonzero(stream.used[batch.ids]))
            numbers = self.store.floats(own)
            for part in stream.parts(own):
                ids = own.ids[part]
                news = stream.news(ids, numbers[part], own.statuses[part])
                stream.note(ids, numbers[part], own.statuses[part], own.source_timestamps[part])
                self._evaluate(stream, news)

    def _evaluate(self, stream: Stream, touched: np.ndarray) -> None:
        for group, places in stream.touched(touched):
            numbers = group.rows[places]
            self.masks[numbers], _ = group.evaluate(places, stream.values, self.masks[numbers])
            for number in numbers.tolist():
                if self.all[number][-1] != self.masks[number]:
                    self.all[number].append(int(self.masks[number]))


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return plant_of(tmp_path_factory.mktemp("evaluation"), ALARMS, count=2)


_NUMBERS = st.one_of(
    st.integers(-25, 25).map(float),
    st.sampled_from([8.0, 8.5, 10.0, 10.5, 18.0, 20.0, 20.5, -8.0, -10.5, -20.5, math.nan, math.inf]),
)
_STATUSES = st.sampled_from([0, 0, 0, 0x40900000, BAD])
_ROWS = st.lists(
    st.tuples(st.sampled_from(PATHS), _NUMBERS, _STATUSES, st.sampled_from([0, 0, 1, 5_000_000, 10_000_000])),
    max_size=40,
)


def test_columns_say_what_the_reference_says(plant: Plant) -> None:
    @settings(max_examples=150, deadline=None)
    @given(written=_ROWS, cuts=st.sets(st.integers(0, 40), max_size=4))
    def compare(written: list[tuple[str, float, int, int]], cuts: set[int]) -> None:
        now, rows = T0, list[Row]()
        for path, given_number, status, later in written:
            now += later
            number, states = given_number, {"S": 3, "B": 2}.get(path[-1])
            if states is not None:
                number = abs(number) % states // 1 if math.isfinite(number) else 0.0
            rows.append((plant.variable(path).id, number, status, now))
        columns, references, start = Columns(plant), References(plant), 0
        for end in sorted({cut for cut in cuts if cut < len(rows)} | {len(rows)}):
            columns.see(rows[start:end])
            references.see(rows[start:end])
            start = end
        for reference in (*references.single, *references.several):
            assert columns.all[reference.number] == reference.masks, reference.declaration.name

    compare()


def test_the_reference_sees_every_kind_active(plant: Plant) -> None:
    """So that the comparison above compares something."""
    x, z, s, b = (plant.variable(f"Plant.M1.{name}").id for name in "XZSB")
    rows = [(x, 0.0, 0, T0), (z, 0.0, 0, T0), (s, 0.0, 0, T0), (x, 30.0, 0, T0 + 10_000_000), (s, 2.0, 0, T0 + 1)]
    rows += [(b, 1.0, 0, T0 + 1)]
    references = References(plant)
    references.see(rows)
    active = {it.declaration.kind for it in (*references.single, *references.several) if it.masks[-1]}
    assert active == {*AlarmKind} - {AlarmKind.COMMUNICATION, AlarmKind.CERTIFICATE_EXPIRY}


def test_an_excursion_between_two_measurements_of_one_batch_is_seen(plant: Plant) -> None:
    x, z = (plant.variable(f"Plant.M1.{name}").id for name in "XZ")
    rule = plant.find_condition("Plant.M1.Rule")
    assert rule is not None
    columns = Columns(plant)
    columns.see([(z, 0.0, 0, T0), (x, 0.0, 0, T0), (x, 15.0, 0, T0 + 1), (z, 9.0, 0, T0 + 2)])
    assert columns.all[rule.id] == [0, 1, 0]


def test_what_was_measured_at_the_same_time_is_seen_together(plant: Plant) -> None:
    """X and Z jump together: their deviation stays, though X comes first."""
    x, z = (plant.variable(f"Plant.M1.{name}").id for name in "XZ")
    deviation = plant.find_condition("Plant.M1.Deviation")
    assert deviation is not None
    columns = Columns(plant)
    columns.see([(x, 0.0, 0, T0), (z, 0.0, 0, T0), (x, 100.0, 0, T0 + 1), (z, 100.0, 0, T0 + 1)])
    assert columns.all[deviation.id] == [0]


def test_a_bad_value_is_not_what_a_rate_starts_from(plant: Plant) -> None:
    x, rate = plant.variable("Plant.M1.X").id, plant.find_condition("Plant.M1.Rate")
    assert rate is not None
    second = 10_000_000
    columns = Columns(plant)
    columns.see([(x, 100.0, 0, T0), (x, 0.0, BAD, T0 + second), (x, 101.0, 0, T0 + 2 * second)])
    assert columns.all[rate.id] == [0]

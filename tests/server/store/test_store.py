"""The store: any writes equal a plain dict, and its records are the bytes that asyncua would send."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from address_space import BuiltinType, Plant, load_plant
from server.quality import BAD_NOT_CONNECTED, BAD_SENSOR_FAILURE, BAD_WAITING_FOR_INITIAL_DATA, UNCERTAIN_LAST_USABLE
from server.store import Store, from_ticks, now_ticks, to_ticks
from server.store.ticks import TICKS_PER_SECOND

STATUSES = [0, UNCERTAIN_LAST_USABLE, BAD_SENSOR_FAILURE, 0x40000000, 0x80000000, 0x00960000]
LAST_TICK = 2_650_467_743_990_000_000  # 9999-12-31
FIXED = [builtin for builtin in BuiltinType if builtin is not BuiltinType.String]


def integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high) | st.sampled_from([low, high])


VALUES: dict[BuiltinType, st.SearchStrategy[Any]] = {
    BuiltinType.Boolean: st.booleans(),
    BuiltinType.SByte: integers(-(2**7), 2**7 - 1),
    BuiltinType.Byte: integers(0, 2**8 - 1),
    BuiltinType.Int16: integers(-(2**15), 2**15 - 1),
    BuiltinType.UInt16: integers(0, 2**16 - 1),
    BuiltinType.Int32: integers(-(2**31), 2**31 - 1),
    BuiltinType.UInt32: integers(0, 2**32 - 1),
    BuiltinType.Int64: integers(-(2**63), 2**63 - 1),
    BuiltinType.UInt64: integers(0, 2**64 - 1),
    BuiltinType.Float: st.floats(width=32, allow_nan=False),
    BuiltinType.Double: st.floats(allow_nan=False),
    BuiltinType.String: st.text(max_size=5),
    BuiltinType.DateTime: integers(0, LAST_TICK),
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """Two machines with a variable of every built-in type."""
    names = "\n".join(f"      {kind.name}: {{type: {kind.name}, description: A {kind.name}}}" for kind in BuiltinType)
    text = f"""\
plant: {{type: PlantType}}
types:
  PlantType: {{description: The plant}}
  AllType:
    description: One of each
    variables:
{names}
sources: {{s: {{kind: physics}}}}
objects:
  A: {{type: AllType, source: s}}
  B: {{type: AllType, source: s}}
  Lonely: {{type: AllType}}
"""
    file: Path = tmp_path_factory.mktemp("store") / "plant.yaml"
    file.write_text(text, encoding="utf-8")
    return load_plant(file)


def ids(plant: Plant, *paths: str) -> np.ndarray:
    return np.array([plant.variable(f"Plant.{path}").id for path in paths], np.int64)


@dataclass
class Model:
    """What the store should hold, said plainly."""

    values: dict[int, Any] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    stamps: dict[int, int] = field(default_factory=dict)
    rows: list[tuple[int, Any, int, int]] = field(default_factory=list)

    def write(self, rows: list[tuple[int, Any, int, int]]) -> None:
        for id_, value, stamp, status in rows:
            self.values[id_], self.stamps[id_], self.statuses[id_] = value, stamp, status
        self.rows += rows

    def set_status(self, ids: list[int], status: int, held: Callable[[int], tuple[Any, int]]) -> None:
        for id_ in ids:
            self.statuses[id_] = status
            value, stamp = held(id_)
            self.rows.append((id_, self.values.get(id_, value), self.stamps.get(id_, stamp), status))


def zero(builtin: BuiltinType) -> Any:
    return {BuiltinType.Boolean: False, BuiltinType.String: None}.get(builtin, 0)


@st.composite
def histories(draw: st.DrawFn) -> list[Any]:
    """Batches as (machine, type) rows, single values, and changes of status between them."""
    place = st.tuples(st.sampled_from("AB"), st.sampled_from(BuiltinType))
    row = place.flatmap(
        lambda at: st.tuples(st.just(at), VALUES[at[1]], st.integers(0, LAST_TICK), st.sampled_from(STATUSES))
    )
    batch = st.lists(row, max_size=12)
    status = st.tuples(st.lists(place, max_size=6, unique=True), st.sampled_from(STATUSES))
    single = row.filter(lambda one: one[0][1] is not BuiltinType.String).map(lambda one: [(*one[:3], 0), ...])
    return draw(st.lists(batch | single | status, max_size=8))


@given(histories())
@settings(max_examples=150, deadline=None)
def test_any_history_equals_the_model(plant: Plant, history: list[Any]) -> None:
    store, model = Store(plant, 1024), Model()
    cursor = store.journal.cursor("test")

    def number(at: tuple[str, BuiltinType]) -> int:
        return plant.variable(f"Plant.{at[0]}.{at[1].name}").id

    for step in history:
        if isinstance(step, tuple):
            places, status = [number(at) for at in step[0]], step[1]
            before = {i: (zero(plant.variables[i].declaration.type), store.read(i)[2]) for i in places}
            model.set_status(places, status, before.__getitem__)
            store.set_status(np.array(places, np.int64), status)
            continue
        alone = bool(step) and step[-1] is ...
        rows = [(number(at), value, stamp, status) for at, value, stamp, status in step[: -1 if alone else None]]
        model.write(rows)
        if alone:
            store.write_one(*rows[0][:3])
            continue
        values = np.empty(len(rows), object)
        values[:] = [row[1] for row in rows]
        columns = [np.array([row[i] for row in rows], dtype) for i, dtype in ((0, "i8"), (2, "i8"), (3, "u4"))]
        store.write(columns[0], values, columns[1], columns[2])

    for id_, status in model.statuses.items():
        bad = bool(status & 0x80000000)
        value = None if bad else model.values.get(id_)
        assert store.value(id_) == value
        assert store.read(id_)[1] == status
        if id_ in model.stamps:
            assert store.read(id_)[2] == model.stamps[id_]
    batch = cursor.read()
    assert batch.ids.tolist() == [row[0] for row in model.rows]
    assert store.objects(batch) == [row[1] for row in model.rows]
    assert batch.source_timestamps.tolist() == [row[2] for row in model.rows]
    assert batch.statuses.tolist() == [row[3] for row in model.rows]


@pytest.mark.parametrize("builtin", FIXED, ids=lambda builtin: builtin.name)
@pytest.mark.parametrize("status", [0, UNCERTAIN_LAST_USABLE, BAD_SENSOR_FAILURE], ids=["good", "uncertain", "bad"])
def test_record_is_the_data_value_on_the_wire(plant: Plant, builtin: BuiltinType, status: int) -> None:
    """OPC 10000-6 5.2.2.17: of a Bad value the record's value bytes are behind a mask without its bit."""
    store = Store(plant, 16)
    target = ids(plant, f"A.{builtin.name}")
    value = {BuiltinType.Boolean: True, BuiltinType.Float: 1.5, BuiltinType.Double: 0.1}.get(builtin, 100)
    stamp = to_ticks(from_ticks(now_ticks()))
    store.write(target, np.array([value]), stamp, status)
    server = store.read(int(target[0]))[3]
    shown: Any = from_ticks(value) if builtin is BuiltinType.DateTime else value
    encoded = ua.DataValue(
        Value=None if status == BAD_SENSOR_FAILURE else ua.Variant(shown, ua.VariantType(int(builtin))),
        StatusCode=ua.StatusCode(status),
        SourceTimestamp=from_ticks(stamp),
        ServerTimestamp=from_ticks(server),
    )
    record = store.table(builtin)[store.rows(target)[0]].copy()
    record["server"] = server // 10 * 10  # asyncua's datetimes end at the microsecond
    expected = struct_to_binary(encoded)
    if status == BAD_SENSOR_FAILURE:
        width = record.dtype["value"].itemsize
        sent = record.tobytes()[:1] + record.tobytes()[2 + width :]
        assert sent == b"\x0e" + expected[2:], "asyncua sends a Null where this leaves the value out"
        decoded = struct_from_binary(ua.DataValue, Buffer(sent))
        assert (decoded.Value.Value, decoded.StatusCode.value) == (None, status)
    else:
        assert record.tobytes() == expected


@pytest.mark.parametrize(("name", "value"), [("Byte", 256), ("Int16", 1.5), ("UInt64", -1), ("Double", "1")])
def test_a_single_value_of_another_type_changes_nothing(plant: Plant, name: str, value: Any) -> None:
    store, target = Store(plant, 16), int(ids(plant, f"A.{name}")[0])
    before, end = store.read(target), store.journal.end
    with pytest.raises((struct.error, OverflowError)):
        store.write_one(target, value, 1000)
    assert (store.read(target), store.journal.end) == (before, end)


def test_records_cannot_be_changed_from_outside(plant: Plant) -> None:
    table = Store(plant, 16).table(BuiltinType.Double)
    with pytest.raises(ValueError, match="read-only"):
        table["value"][0] = 1.0


def test_before_anything_is_written(plant: Plant) -> None:
    store = Store(plant, 16)
    fed, lonely = ids(plant, "A.Double", "Lonely.Double")
    assert (store.value(fed), store.read(fed)[1]) == (None, BAD_WAITING_FOR_INITIAL_DATA)
    assert (store.value(lonely), store.read(lonely)[1]) == (None, BAD_NOT_CONNECTED)
    store.set_status(np.array([fed]), 0)
    assert store.value(fed) is None, "a status cannot make a value of nothing"
    assert abs(store.read(fed)[2] - now_ticks()) < 60 * TICKS_PER_SECOND


def test_a_string_that_was_never_written_is_none_in_the_journal(plant: Plant) -> None:
    store = Store(plant, 16)
    cursor = store.journal.cursor("test")
    store.set_status(np.array(ids(plant, "A.String")), BAD_SENSOR_FAILURE)
    assert store.objects(cursor.read()) == [None]


def test_bad_hides_the_value_and_good_shows_it_again(plant: Plant) -> None:
    store, target = Store(plant, 16), ids(plant, "A.Double", "A.String")
    values = np.array([1.5, "x"], object)
    store.write(target, values, 1000)
    store.set_status(target, BAD_SENSOR_FAILURE)
    assert [store.value(i) for i in target] == [None, None]
    assert np.isnan(store.values(target)).all()
    store.set_status(target, UNCERTAIN_LAST_USABLE)
    assert [store.value(i) for i in target] == [1.5, "x"]
    assert store.source_timestamps(target).tolist() == [1000, 1000]
    assert store.statuses(target).tolist() == [UNCERTAIN_LAST_USABLE] * 2


def test_last_row_wins_where_an_id_comes_twice(plant: Plant) -> None:
    store, (target,) = Store(plant, 16), ids(plant, "A.Int32")
    store.write(np.array([target] * 3), np.array([1, 2, 3]), np.array([10, 20, 30]), np.array([0, 0, 0x40000000]))
    assert store.read(target)[:3] == (3, 0x40000000, 30)


def test_numbers_are_cast_to_the_variable_s_type(plant: Plant) -> None:
    store = Store(plant, 16)
    target = ids(plant, "A.Int32", "A.Double", "A.Boolean", "A.UInt64")
    store.write(target, np.array([2.6, 2.6, 1.0, 7.0]), 0)
    assert [store.value(i) for i in target] == [3, 2.6, True, 7]
    mixed = np.array([2.6, 2, True, 2**64 - 1], object)
    store.write(target, mixed, 0)
    assert [store.value(i) for i in target] == [3, 2.0, True, 2**64 - 1], "an object column is rounded too"
    assert store.values(target).tolist() == [3.0, 2.0, 1.0, float(2**64)]


def test_numbers_of_a_batch_as_floats(plant: Plant) -> None:
    store = Store(plant, 16)
    cursor = store.journal.cursor("test")
    target = ids(plant, "A.SByte", "A.String", "A.Float", "A.Boolean")
    store.write(target, np.array([-5, "x", 0.5, True], object), 0)
    np.testing.assert_array_equal(store.floats(cursor.read()), [-5.0, np.nan, 0.5, 1.0])


def test_writing_nothing_changes_nothing(plant: Plant) -> None:
    store = Store(plant, 16)
    end = store.journal.end
    store.write(np.array([], np.int64), np.array([]), 0)
    store.set_status(np.array([], np.int64), 0)
    assert store.journal.end == end


@given(st.integers(0, LAST_TICK))
def test_ticks_and_datetimes_agree_to_the_microsecond(ticks: int) -> None:
    assert to_ticks(from_ticks(ticks)) == ticks // 10 * 10


def test_ticks_of_a_known_moment() -> None:
    """2000-01-01T00:00:00Z, as Windows counts it."""
    assert from_ticks(125_911_584_000_000_000).isoformat() == "2000-01-01T00:00:00+00:00"

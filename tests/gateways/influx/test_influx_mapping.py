"""Samples as lines: each read back by a parser that is not ours."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_protocol_parser import parse_line

from address_space import Plant
from gateways.delivery import snapshot
from gateways.influx.mapping import TEXT_BYTES, Mapping, cut, observation
from gateways.influx.observe import same
from gateways.influx.protocol import Lines
from gateways.influx.settings import Database
from gateways.observing import Observation
from server.quality import BAD_NO_COMMUNICATION, UNCERTAIN_LAST_USABLE
from server.store import Batch, Store
from server.store.ticks import UNIX_EPOCH_TICKS
from tests.gateways.influx.influx_rig import kinds_plant

AT = UNIX_EPOCH_TICKS + 17_672_256_001_234_567
AT_NS = 1_767_225_600_123_456_700
VALUES: dict[str, list[Any]] = {
    "Flag": [True, False],
    "Small": [0, 255],
    "Whole": [-(2**31), 2**31 - 1],
    "Long": [-(2**53), 2**53],
    "Huge": [0, 2**64 - 2048],
    "Single": [0.5, -(2.0**66)],
    "Double": [0.1, -0.0, 1e-300, 1.7976931348623157e308, 1506.9116838412958],
    "Mode": [0, 2],
    "Text": ["", "plain", 'a "b", c=d\\', "line\nline", "é漢🏭"],
    "Due": [AT, UNIX_EPOCH_TICKS],
}


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return kinds_plant(tmp_path)


def batch_of(plant: Plant, name: str, value: Any, status: int = 0, at: int = AT) -> Batch:
    """One row as the store's journal has it."""
    store = Store(plant, 64)
    cursor = store.journal.cursor("test")
    id_ = plant.variable(f"Plant.Kinds1.{name}").id
    column = np.array([value], object) if isinstance(value, str) else np.array([value])
    store.write(np.array([id_]), column, at, status)
    return cursor.read()


def lines_of(
    plant: Plant, batch: Batch, database: Database = "influxdb", at: int | None = None
) -> list[dict[str, Any]]:
    lines = Mapping(plant, database, "Site 1, west").lines(batch, None if at is None else np.full(len(batch), at))
    return [parse_line(lines.line(number).decode()) for number in range(len(lines))]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VALUES.items() for value in values])
def test_every_kind_of_value_comes_back(plant: Plant, name: str, value: Any) -> None:
    variable = plant.variable(f"Plant.Kinds1.{name}")
    (line,) = lines_of(plant, batch_of(plant, name, value))
    assert line["measurement"] == "opcua"
    assert line["tags"] == {"name": name, "node": variable.path, "site": "Site 1, west", "type": "KindsType"}
    assert line["time"] == AT_NS
    fields = line["fields"]
    assert (fields["status"], fields["good"]) == (0, 1)
    assert ("text" in fields) == (name in ("Text", "Mode"))
    assert isinstance(fields.get("value", 0.0), float)
    seen = observation(variable, fields.get("value"), fields.get("text"), 0, AT)
    assert same("influxdb", variable, Observation(variable.path, value, 0, AT), seen)
    if name not in ("Due", "Text"):
        assert seen.value == value
        assert type(seen.value) is type(value)


def test_an_enumeration_tells_its_name(plant: Plant) -> None:
    (line,) = lines_of(plant, batch_of(plant, "Mode", 2))
    assert line["fields"]["text"] == "Tripped"
    (line,) = lines_of(plant, batch_of(plant, "Mode", 7))  # a number without a name
    assert line["fields"] == {"status": 0, "good": 1, "value": 7.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["Double", "Single"])
def test_what_is_no_number_is_not_sent(plant: Plant, name: str, value: float) -> None:
    (line,) = lines_of(plant, batch_of(plant, name, value))
    assert line["fields"] == {"status": 0, "good": 1}


@pytest.mark.parametrize("name", VALUES)
def test_a_bad_sample_has_a_status_and_no_value(plant: Plant, name: str) -> None:
    for database in ("influxdb", "victoriametrics"):
        (line,) = lines_of(plant, batch_of(plant, name, VALUES[name][1], BAD_NO_COMMUNICATION), database)
        assert line["fields"] == {"status": BAD_NO_COMMUNICATION, "good": 0}


def test_an_uncertain_sample_has_its_value_and_is_not_good(plant: Plant) -> None:
    (line,) = lines_of(plant, batch_of(plant, "Double", 1.5, UNCERTAIN_LAST_USABLE))
    assert line["fields"] == {"status": UNCERTAIN_LAST_USABLE, "good": 0, "value": 1.5}


def test_a_text_is_a_label_where_only_numbers_are_kept(plant: Plant) -> None:
    sample, text = lines_of(plant, batch_of(plant, "Text", "a\nb"), "victoriametrics")
    assert sample["fields"] == {"status": 0, "good": 1}
    assert text["tags"] == {**sample["tags"], "text": "a␊b"}
    assert text["fields"] == {"text": 1.0}
    assert text["time"] == sample["time"]
    _, empty = lines_of(plant, batch_of(plant, "Text", ""), "victoriametrics")
    assert "text" not in empty["tags"]  # an empty label is none


def test_a_heartbeat_has_a_time_of_its_own_and_tells_the_age(plant: Plant) -> None:
    (line,) = lines_of(plant, batch_of(plant, "Double", 1.5), at=AT + 25_000_000)
    assert line["time"] == AT_NS + 2_500_000_000
    assert line["fields"] == {"status": 0, "good": 1, "value": 1.5, "age": 2.5}


def test_times_that_no_database_can_hold(plant: Plant) -> None:
    times = np.array([0, UNIX_EPOCH_TICKS - 1, UNIX_EPOCH_TICKS, AT, 2**63 - 1])
    assert Mapping(plant, "victoriametrics").writable(times).tolist() == [False, False, True, True, False]
    assert Mapping(plant, "influxdb").writable(times).tolist() == [False, True, True, True, False]
    (line,) = lines_of(plant, batch_of(plant, "Double", 1.5, at=UNIX_EPOCH_TICKS - 1))
    assert line["time"] == -100


@pytest.mark.parametrize("database", ["influxdb", "victoriametrics"])
def test_a_text_that_is_too_long_is_cut(plant: Plant, database: Database) -> None:
    text = "漢" * 30_000
    line = lines_of(plant, batch_of(plant, "Text", text), database)[-1]
    shown = line["fields"]["text"] if database == "influxdb" else line["tags"]["text"]
    assert len(shown.encode()) <= TEXT_BYTES[database]
    assert len(shown.encode()) > TEXT_BYTES[database] - 6
    assert shown.endswith("漢…")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(3, 40))
def test_cut_keeps_whole_characters(text: str, most: int) -> None:
    shown = cut(text, most)
    assert len(shown.encode()) <= most
    assert shown == text or (shown[-1] == "…" and text.startswith(shown[:-1]))


def test_names_are_those_of_promql(plant: Plant) -> None:
    store = Store(plant, 64)
    for database in ("influxdb", "victoriametrics"):
        lines: Lines = Mapping(plant, database).lines(snapshot(store))
        for number in range(len(lines)):
            parsed = parse_line(lines.line(number).decode())
            for name in (parsed["measurement"], *parsed["fields"], *parsed["tags"]):
                assert name.replace("_", "").isalnum()
                assert name.isascii()


def test_many_rows_are_in_order(plant: Plant) -> None:
    store = Store(plant, 1 << 12)
    cursor = store.journal.cursor("test")
    ids = np.array([plant.variable(f"Plant.Kinds{1 + row % 2}.Double").id for row in range(2000)])
    numbers = np.random.default_rng(1).normal(0, 1e6, 2000)
    store.write(ids, numbers, AT + np.arange(2000))
    parsed = lines_of(plant, cursor.read())
    assert [line["fields"]["value"] for line in parsed] == numbers.tolist()
    assert [line["time"] for line in parsed] == [AT_NS + 100 * row for row in range(2000)]
    assert [line["tags"]["node"] for line in parsed] == [plant.variables[id_].path for id_ in ids.tolist()]

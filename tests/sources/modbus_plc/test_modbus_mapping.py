"""The poll plan: few requests, exact columns, and a clear sentence for a map that cannot be."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from address_space import load_plant
from address_space.errors import PlantError
from address_space.model import Feed, Plant
from server.quality import BAD_OUT_OF_RANGE, BAD_SENSOR_FAILURE, GOOD
from sources.modbus_plc.mapping import Block, Plan, plan
from sources.modbus_plc.settings import read_settings
from tests.sources.modbus_plc.rig import make_plant, wire

FLOAT = {"type": "Double"}


def planned(plant: Plant, name: str = "plc") -> Plan:
    settings = read_settings(plant, name, plant.sources[name].options)
    return plan(settings, plant, name, tuple(m for m in plant.machines if m.source == name))


def requests(folder: Path, registers: dict[str, Any], **options: Any) -> list[tuple[float, str, int, int]]:
    variables = {name: {"type": "Boolean" if spec["type"] == "bool" else "Double"} for name, spec in registers.items()}
    result = planned(make_plant(folder, variables, {"registers": registers, **options}))
    return [
        (period, block.table.value, block.address, block.count) for period, blocks in result.rates for block in blocks
    ]


def holding(address: int, kind: str = "uint16", **more: Any) -> dict[str, Any]:
    return {"table": "holding", "address": address, "type": kind, **more}


def coil(address: int, **more: Any) -> dict[str, Any]:
    return {"table": "coil", "address": address, "type": "bool", **more}


def test_neighbours_are_one_request(tmp_path: Path) -> None:
    registers = {"B": holding(12, "float64"), "A": holding(10, "float32"), "C": holding(16)}
    assert requests(tmp_path, registers) == [(0.1, "holding", 10, 7)]


@pytest.mark.parametrize(("gap", "count"), [(4, 1), (5, 2)])
def test_blocks_are_joined_over_gaps_up_to_max_gap(tmp_path: Path, gap: int, count: int) -> None:
    registers = {"A": holding(0), "B": holding(1 + gap)}
    assert len(requests(tmp_path, registers, max_gap=4)) == count


def test_a_request_has_at_most_125_registers_and_never_splits_a_value(tmp_path: Path) -> None:
    registers = {f"V{i}": holding(2 * i, "float32") for i in range(100)}
    assert requests(tmp_path, registers) == [(0.1, "holding", 0, 124), (0.1, "holding", 124, 76)]


def test_a_request_has_at_most_2000_bits(tmp_path: Path) -> None:
    registers = {f"V{i}": coil(100 * i) for i in range(21)}
    assert requests(tmp_path, registers) == [(0.1, "coil", 0, 1901), (0.1, "coil", 2000, 1)]


def test_tables_and_rates_have_requests_of_their_own(tmp_path: Path) -> None:
    registers = {
        "A": holding(0),
        "B": {"table": "input", "address": 0, "type": "uint16"},
        "C": coil(0),
        "D": {"table": "discrete", "address": 3, "type": "bool"},
        "E": holding(1, period=5.0),
    }
    assert requests(tmp_path, registers, period=0.5) == [
        (0.5, "holding", 0, 1),
        (0.5, "input", 0, 1),
        (0.5, "coil", 0, 1),
        (0.5, "discrete", 3, 1),
        (5.0, "holding", 1, 1),
    ]


def test_the_line_plc_of_the_default_plant_needs_four_requests() -> None:
    plant = load_plant()
    result = planned(plant, "line1_plc")
    measured = {v.name for v in plant.machine("Plant.Line1").variables.values() if v.declaration.feed is Feed.SOURCE}
    assert measured <= set(result.points), "every measured variable of a line has a register"
    assert [len(blocks) for _, blocks in result.rates] == [3, 1]


def decode(block: Block, words: list[int]) -> dict[int, tuple[float, int]]:
    memory = np.array(words, dtype=">u2").view(np.uint8)
    rows: dict[int, tuple[float, int]] = {}
    for column in block.columns:
        values, statuses = column.decode(memory)
        rows |= dict(zip(column.ids.tolist(), zip(values.tolist(), statuses.tolist(), strict=True), strict=True))
    return rows


@pytest.mark.parametrize(
    ("variable", "kind", "raw", "status"),
    [
        ({"type": "Double"}, "float32", math.nan, BAD_SENSOR_FAILURE),
        ({"type": "Double"}, "float64", -math.inf, BAD_SENSOR_FAILURE),
        ({"type": "UInt16"}, "float32", math.inf, BAD_SENSOR_FAILURE),
        ({"type": "Float"}, "float64", 1e300, BAD_OUT_OF_RANGE),
        ({"type": "UInt16"}, "int16", -1, BAD_OUT_OF_RANGE),
        ({"type": "UInt16"}, "uint32", 65536, BAD_OUT_OF_RANGE),
        ({"type": "Int64"}, "uint64", 2**63, BAD_OUT_OF_RANGE),
        ({"type": "UInt64"}, "int64", -1, BAD_OUT_OF_RANGE),
        ({"type": "Int64"}, "float64", 2.0**63, BAD_OUT_OF_RANGE),
        ({"type": "Boolean"}, "uint16", 2, BAD_OUT_OF_RANGE),
        ({"enum": "LineState"}, "uint16", 3, BAD_OUT_OF_RANGE),
        ({"enum": "LineState"}, "int16", -1, BAD_OUT_OF_RANGE),
        ({"enum": "LineState"}, "uint16", 2, GOOD),
        ({"type": "UInt64"}, "uint64", 2**64 - 1, GOOD),
        ({"type": "Int64"}, "int64", -(2**63), GOOD),
        ({"type": "Double"}, "float64", 1.7e308, GOOD),
        ({"type": "Float"}, "float32", 3.4028234663852886e38, GOOD),
    ],
)
def test_values_that_the_variable_cannot_have_are_bad(
    tmp_path: Path, variable: dict[str, Any], kind: str, raw: float, status: int
) -> None:
    plant = make_plant(tmp_path, {"V": variable}, {"registers": {"V": holding(0, kind)}})
    ((_, (block,)),) = planned(plant).rates
    id_ = plant.variable("Plant.Line.V").id
    assert decode(block, wire(kind, "ABCD", 1))[id_] == (1, GOOD)
    value, got = decode(block, wire(kind, "ABCD", raw))[id_]
    assert got == status
    assert value == (raw if status == GOOD else 1), "a bad value is replaced by the last good one"


def test_a_signalling_nan_is_bad_and_warns_of_nothing(tmp_path: Path) -> None:
    plant = make_plant(tmp_path, {"V": FLOAT}, {"registers": {"V": holding(0, "float32")}})
    ((_, (block,)),) = planned(plant).rates
    words = list(struct.unpack(">2H", bytes.fromhex("7fa00001")))
    assert decode(block, words) == {plant.variable("Plant.Line.V").id: (0, BAD_SENSOR_FAILURE)}


def test_an_integer_variable_is_rounded_not_truncated(tmp_path: Path) -> None:
    plant = make_plant(tmp_path, {"V": {"type": "Int32"}}, {"registers": {"V": holding(0, "float32")}})
    ((_, (block,)),) = planned(plant).rates
    assert decode(block, wire("float32", "ABCD", 2.9999))[plant.variable("Plant.Line.V").id] == (3, GOOD)


MIXED: dict[str, Any] = {"A": FLOAT, "B": FLOAT, "T": {"type": "String"}, "S": {**FLOAT, "access": "write"}}
MIXED["C"] = {**FLOAT, "computed": "A + B"}


@pytest.mark.parametrize(
    ("registers", "where", "message"),
    [
        ({"A": holding(10, "float32"), "B": holding(11)}, "B.address", "B shares holding 11 with A"),
        ({"A": holding(7, "bool", bit=3), "B": holding(7)}, "B.address", "B shares holding 7 with A"),
        ({"A": holding(7, "bool", bit=3), "B": holding(7, "bool", bit=3)}, "B.address", "B shares holding 7 with A"),
        ({"A": coil(4), "B": coil(4)}, "B.address", "B shares coil 4 with A"),
        ({"C": holding(0)}, "C", "C is the server's own: no register feeds it"),
        ({"Speedo": holding(0)}, "Speedo", "LineType has no variable Speedo"),
        ({"A": holding(65533, "float64")}, "A.address", "float64 at 65533 ends at 65536, beyond 65535"),
        ({"A": holding(65536)}, "A.address", "input should be less than or equal to 65535 (it is 65536)"),
        ({"A": holding(0, "float16")}, "A.type", "'float64' (it is 'float16')"),
        ({"T": holding(0)}, "T.type", "T is a String, which registers cannot hold"),
        (
            {"S": {**holding(0), "table": "input"}},
            "S.table",
            "S is a set-point: it must be a coil or a holding register",
        ),
        ({"A": {**holding(0), "table": "coil"}}, "A", "holds single bits: type uint16 does not fit, use bool"),
        ({"A": holding(0, scale=0)}, "A", "scale must not be 0"),
        ({"A": holding(0, bit=3)}, "A", "'bit' is for type bool, not uint16"),
        ({"A": holding(0, sclae=2)}, "A.sclae", "is no option here"),
    ],
)
def test_a_map_that_cannot_be_names_file_line_and_register(
    tmp_path: Path, registers: dict[str, Any], where: str, message: str
) -> None:
    plant = make_plant(tmp_path, MIXED, {"registers": registers})
    with pytest.raises(PlantError) as caught:
        planned(plant)
    sentence = str(caught.value)
    lines = plant.file.read_text().splitlines()
    file, line, rest = sentence.split(":", 2)
    assert Path(file) == plant.file
    assert lines[int(line) - 1].strip().startswith(f"{where.rpartition('.')[2]}:")
    assert rest.startswith(f" sources.plc.registers.{where}: ")
    assert message in rest
    assert "\n" not in sentence


def test_two_bits_may_share_a_register(tmp_path: Path) -> None:
    registers = {"A": holding(7, "bool", bit=3), "B": holding(7, "bool", bit=4)}
    assert requests(tmp_path, registers) == [(0.1, "holding", 7, 1)]


def test_an_error_in_a_shared_map_names_its_line_there(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    text = make_plant(tmp_path, {"A": FLOAT}, {"registers": {"A": holding(0)}}).file.read_text()
    text = (
        text[: text.index("sources:")]
        + (
            "register_maps:\n  M:\n    registers:\n      A: {table: holding, address: 1, type: uint16}\n"
            "      B: {table: holding, address: 2, type: uint16}\n"
            "sources:\n  plc: {kind: modbus_plc, map: M}\n"
        )
        + text[text.index("objects:") :]
    )
    file.write_text(text)
    line = text.splitlines().index("      B: {table: holding, address: 2, type: uint16}") + 1
    with pytest.raises(
        PlantError, match=rf"plant\.yaml:{line}: register_maps\.M\.registers\.B: LineType has no variable B"
    ):
        planned(load_plant(file))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"commands": {"Strat": coil(0) | {}}}, "commands.Strat"),
        ({"commands": {"Start": {"table": "input", "address": 0}}}, "the input table cannot be written"),
        ({"commands": {"Start": {"table": "coil", "address": 0, "value": 2}}}, "a coil takes true or false"),
        ({"commands": {"Go": {"table": "coil", "address": 0}}}, "LineType has no command Go"),
        ({"emergency_stop": {"set": {"table": "coil", "address": 0}}}, "emergency_stop.reset: is missing"),
        ({"port": 0}, "port 0"),
        ({"unit_id": 256}, "unit_id: input should be less than or equal to 255"),
        ({"backoff": {"minimum": 5, "maximum": 1}}, "maximum is less than minimum"),
        ({"simulate": {"sede": 1}}, "simulate.sede: is no option"),
        ({"word_order": "ACBD"}, "word_order"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    plant = make_plant(tmp_path, {"A": FLOAT}, {"registers": {"A": holding(0)}, **options}, {"Start": {}})
    with pytest.raises(PlantError, match=message):
        planned(plant)


@pytest.mark.parametrize("count", [0, 2])
def test_a_plc_feeds_exactly_one_machine(tmp_path: Path, count: int) -> None:
    objects = {f"Line{i}": {"type": "LineType", "source": "plc"} for i in range(count)}
    objects["Other"] = {"type": "LineType"}
    plant = make_plant(tmp_path, {"A": FLOAT}, {"registers": {"A": holding(0)}}, objects=objects)
    with pytest.raises(PlantError, match=f"this one feeds {count}"):
        planned(plant)

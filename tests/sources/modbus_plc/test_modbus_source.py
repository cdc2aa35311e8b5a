"""The source against a PLC on libmodbus: reads, set-points, commands, the emergency stop, and their order."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.ports import CommandError
from server.quality import (
    BAD_CONFIGURATION_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_NOT_SUPPORTED,
    BAD_NOT_WRITABLE,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    BAD_TOO_MANY_ARGUMENTS,
    BAD_TYPE_MISMATCH,
    GOOD,
)
from server.store import now_ticks
from tests.sources.modbus_plc.rig import FORMATS, ORDERS, LibmodbusPlc, Rig, eventually, libmodbus_plc, make_plant, wire

TYPES = {
    "int16": "Int16",
    "uint16": "UInt16",
    "int32": "Int32",
    "uint32": "UInt32",
    "int64": "Int64",
    "uint64": "UInt64",
    "float32": "Float",
    "float64": "Double",
}
VALUES = {
    "int16": -12345,
    "uint16": 54321,
    "int32": -1234567890,
    "uint32": 4000000000,
    "int64": -(2**62) - 12345,
    "uint64": 2**64 - 12345,
    "float32": 1234.5678710937500,  # exact in float32
    "float64": -1234.56789012345,
}
SET = {"access": "write"}
COMMANDS = {"Start": {}, "Blink": {}, "Mode": {}, "Reboot": {}, "Lost": {}}
OPTIONS: dict[str, Any] = {
    "timeout": 0.5,
    "period": 0.02,
    "backoff": {"minimum": 0.05, "maximum": 0.2},
    "registers": {
        "Speed": {"table": "input", "address": 0, "type": "uint16", "scale": 0.1},
        "Setpoint": {"table": "holding", "address": 300, "type": "float32", "word_order": "CDAB"},
        "Count": {"table": "holding", "address": 310, "type": "uint64"},
        "Level": {"table": "holding", "address": 320, "type": "int16", "scale": 0.01, "offset": 5},
        "Lamp": {"table": "coil", "address": 40, "type": "bool"},
        "Valve": {"table": "holding", "address": 330, "type": "bool", "bit": 3},
        "Swapped": {"table": "holding", "address": 331, "type": "bool", "bit": 3, "word_order": "BADC"},
        "Beyond": {"table": "holding", "address": 5000, "type": "uint16"},
        "Door": {"table": "discrete", "address": 17, "type": "bool"},
    },
    "commands": {
        "Start": {"table": "coil", "address": 50},
        "Blink": {"table": "coil", "address": 51, "pulse": True},
        "Mode": {"table": "holding", "address": 340, "value": 7},
        "Lost": {"table": "coil", "address": 5001},
    },
    "emergency_stop": {"set": {"table": "coil", "address": 60}, "reset": {"table": "coil", "address": 61}},
}
VARIABLES: dict[str, Any] = {
    "Speed": {"type": "Double"},
    "Setpoint": {"type": "Float", **SET},
    "Count": {"type": "UInt64", **SET},
    "Level": {"type": "Double", **SET},
    "Lamp": {"type": "Boolean", **SET},
    "Valve": {"type": "Boolean", **SET},
    "Swapped": {"type": "Boolean", **SET},
    "Beyond": {"type": "UInt16", **SET},
    "Door": {"type": "Boolean"},
    "Unmapped": {"type": "Double", **SET},
}


@pytest.fixture
async def plc() -> AsyncIterator[LibmodbusPlc]:
    async with libmodbus_plc() as running:
        yield running


@pytest.fixture
async def rig(tmp_path: Path, plc: LibmodbusPlc) -> AsyncIterator[Rig]:
    rig = Rig(make_plant(tmp_path, VARIABLES, OPTIONS, COMMANDS), port=plc.port)
    async with rig.running():
        await rig.until(lambda: rig.status("Speed") == GOOD)
        yield rig


async def put(rig: Rig, name: str, value: Any) -> None:
    await rig.source.put(rig.machine.variables[name], value)


async def test_every_type_in_every_word_order(tmp_path: Path, plc: LibmodbusPlc) -> None:
    variables: dict[str, Any] = {}
    registers: dict[str, Any] = {}
    expected: dict[str, float] = {}
    address = {"holding": 1, "input": 3}
    for table in ("holding", "input"):
        for kind in FORMATS:
            for order in ORDERS:
                name = f"{table}_{kind}_{order}"
                words = wire(kind, order, VALUES[kind])
                variables[name] = {"type": TYPES[kind]}
                registers[name] = {"table": table, "address": address[table], "type": kind, "word_order": order}
                await plc.set(table, address[table], words)
                address[table] += len(words)
                expected[name] = VALUES[kind]
    rig = Rig(make_plant(tmp_path, variables, {"registers": registers}), port=plc.port)
    before = now_ticks()
    async with rig.running():
        await rig.until(lambda: all(rig.status(name) == GOOD for name in variables))
        assert {name: rig.value(name) for name in variables} == expected
        assert all(before <= rig.stamp(name) <= now_ticks() for name in variables)
    reads = {tuple(request) for request in await plc.requests()}
    assert reads == {(3, 1, 80), (4, 3, 80)}, "one request a table"


async def test_a_change_in_the_plc_arrives(rig: Rig, plc: LibmodbusPlc) -> None:
    await plc.set("input", 0, [1234])
    await plc.set("discrete", 17, [1])
    await rig.until(lambda: rig.value("Speed") == pytest.approx(123.4) and rig.value("Door") is True)
    await plc.set("discrete", 17, [0])
    await rig.until(lambda: rig.value("Door") is False)


@pytest.mark.parametrize(
    ("name", "value", "table", "address", "memory"),
    [
        ("Setpoint", 98.5, "holding", 300, wire("float32", "CDAB", 98.5)),
        ("Count", 2**63 + 5, "holding", 310, wire("uint64", "ABCD", 2**63 + 5)),
        ("Level", -12.34, "holding", 320, wire("int16", "ABCD", -1734)),
        ("Lamp", True, "coil", 40, [1]),
        ("Valve", True, "holding", 330, [0b1000]),
        ("Swapped", True, "holding", 331, [0b1000_0000_0000]),
    ],
)
async def test_a_set_point_is_in_the_plc_when_put_returns(
    rig: Rig, plc: LibmodbusPlc, name: str, value: Any, table: str, address: int, memory: list[int]
) -> None:
    await put(rig, name, value)
    assert await plc.get(table, address, len(memory)) == memory
    await rig.until(lambda: rig.value(name) == pytest.approx(value))


async def test_a_bit_set_point_leaves_the_other_bits(rig: Rig, plc: LibmodbusPlc) -> None:
    await plc.set("holding", 330, [0xA5FF])
    await put(rig, "Valve", False)
    assert await plc.get("holding", 330, 1) == [0xA5F7]


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Setpoint", 1e39, BAD_OUT_OF_RANGE),
        ("Count", -1, BAD_OUT_OF_RANGE),
        ("Count", 2**64, BAD_OUT_OF_RANGE),
        ("Level", 400.0, BAD_OUT_OF_RANGE),
        ("Level", "high", BAD_TYPE_MISMATCH),
        ("Lamp", 7, BAD_TYPE_MISMATCH),
        ("Valve", 7, BAD_TYPE_MISMATCH),
        ("Speed", 1, BAD_NOT_WRITABLE),
        ("Unmapped", 1.0, BAD_NOT_WRITABLE),
        ("Beyond", 1, BAD_CONFIGURATION_ERROR),
    ],
)
async def test_a_set_point_that_cannot_be_written(rig: Rig, name: str, value: Any, status: int) -> None:
    with pytest.raises(CommandError) as caught:
        await put(rig, name, value)
    assert caught.value.status == status
    assert f"Plant.Line.{name}" in str(caught.value)


async def test_commands_write_their_coil_or_register(rig: Rig, plc: LibmodbusPlc) -> None:
    await rig.source.execute(rig.machine, "Start", ())
    assert await plc.get("coil", 50, 1) == [1]
    await rig.source.execute(rig.machine, "Mode", ())
    assert await plc.get("holding", 340, 1) == [7]


async def test_a_pulse_is_taken_back(rig: Rig, plc: LibmodbusPlc) -> None:
    await plc.requests()
    await rig.source.execute(rig.machine, "Blink", ())
    writes = [request for request in await plc.requests() if request[0] == 5]
    assert writes == [[5, 51, 0xFF00], [5, 51, 0x0000]]
    assert await plc.get("coil", 51, 1) == [0]


@pytest.mark.parametrize(
    ("command", "arguments", "status"),
    [
        ("Reboot", (), BAD_NOT_SUPPORTED),
        ("Start", (1,), BAD_TOO_MANY_ARGUMENTS),
        ("Lost", (), BAD_CONFIGURATION_ERROR),
    ],
)
async def test_a_command_that_cannot_be_executed(
    rig: Rig, command: str, arguments: tuple[Any, ...], status: int
) -> None:
    with pytest.raises(CommandError, match=command) as caught:
        await rig.source.execute(rig.machine, command, arguments)
    assert caught.value.status == status


async def test_emergency_stop_and_release(rig: Rig, plc: LibmodbusPlc) -> None:
    for _ in range(2):  # idempotent
        await rig.source.emergency_stop(rig.machine, True)
        assert await plc.get("coil", 60, 2) == [1, 0]
    await rig.source.emergency_stop(rig.machine, False)
    assert await plc.get("coil", 60, 2) == [1, 1]


async def test_a_block_that_the_plc_does_not_have_is_a_configuration_error(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.until(lambda: rig.status("Beyond") == BAD_CONFIGURATION_ERROR)
    await rig.until(lambda: rig.status("Setpoint") == GOOD)
    assert rig.source.connected
    assert rig.source.errors > 0
    assert rig.source.last_error == "exception response 0x02 for 1 from holding 5000"
    caplog.clear()
    await rig.until_polled("Beyond")
    assert "PLC refuses a read" not in caplog.text, "said once, not at every poll"


async def test_a_sensor_that_says_nan_is_bad_until_it_recovers(rig: Rig, plc: LibmodbusPlc) -> None:
    await plc.set("holding", 300, wire("float32", "CDAB", float("nan")))
    await rig.until(lambda: rig.status("Setpoint") == BAD_SENSOR_FAILURE)
    assert rig.status("Count") == GOOD
    await plc.set("holding", 300, wire("float32", "CDAB", 3.0))
    await rig.until(lambda: rig.status("Setpoint") == GOOD)


async def test_the_emergency_stop_goes_before_everything_that_waits(rig: Rig, plc: LibmodbusPlc) -> None:
    await plc.requests()
    os.kill(plc.process.pid, signal.SIGSTOP)  # requests pile up
    try:
        puts = [asyncio.create_task(put(rig, "Count", i)) for i in range(5)]
        await asyncio.sleep(0)
        stop = asyncio.create_task(rig.source.emergency_stop(rig.machine, True))
        await asyncio.sleep(0)
    finally:
        os.kill(plc.process.pid, signal.SIGCONT)
    await asyncio.gather(stop, *puts)
    codes = [request[0] for request in await plc.requests()]
    assert codes.count(16) == 5
    assert codes.index(5) <= 1 + next(i for i, code in enumerate(codes) if code == 16), codes
    assert codes.index(5) < [i for i, code in enumerate(codes) if code == 16][1], "only what was on the wire went first"


async def test_nothing_is_accepted_without_a_connection(rig: Rig, plc: LibmodbusPlc) -> None:
    await plc.kill()
    await eventually(lambda: not rig.source.connected)
    for attempt in (
        put(rig, "Setpoint", 1.0),
        rig.source.execute(rig.machine, "Start", ()),
        rig.source.emergency_stop(rig.machine, True),
    ):
        with pytest.raises(CommandError) as caught:
            await attempt
        assert caught.value.status == BAD_NO_COMMUNICATION

"""What the tests of the Modbus source share: plants, PLCs as processes, and a source that runs."""

import asyncio
import contextlib
import json
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from address_space import load_plant
from address_space.model import Plant
from server.ports import SourceContext
from server.store import Store
from sources.modbus_plc.source import ModbusPlc

FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
LIBMODBUS_PLC = Path(__file__).with_name("libmodbus_plc.py")
ROOT = Path(__file__).parents[3]


def wire(kind: str, order: str, value: float) -> list[int]:
    """Return the registers of `value`, made with struct alone: the reference."""
    big_endian = struct.pack(f">{FORMATS[kind]}", value)
    words = [big_endian[i : i + 2] for i in range(0, len(big_endian), 2)]
    if order in {"CDAB", "DCBA"}:
        words.reverse()
    if order in {"BADC", "DCBA"}:
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


def make_plant(
    folder: Path,
    variables: dict[str, Any],
    options: dict[str, Any],
    commands: dict[str, Any] | None = None,
    objects: dict[str, Any] | None = None,
) -> Plant:
    """Return a plant of one machine, Plant.Line, fed by the source `plc`."""
    file = folder / "plant.yaml"
    data = {
        "plant": {"type": "PlantType"},
        "enumerations": {"LineState": ["Stopped", "Starting", "Running"]},
        "types": {
            "PlantType": {"description": "A plant"},
            "LineType": {
                "description": "A line",
                "variables": {name: {"description": name, **spec} for name, spec in variables.items()},
                "commands": {name: {"description": name, **spec} for name, spec in (commands or {}).items()},
            },
        },
        "sources": {"plc": {"kind": "modbus_plc", **options}},
        "objects": objects or {"Line": {"type": "LineType", "source": "plc"}},
    }
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return load_plant(file)


class Rig:
    """A source on a real store; its machine is the first one that it feeds."""

    def __init__(self, plant: Plant, name: str = "plc", **options: Any) -> None:
        self.plant = plant
        self.store = Store(plant)
        machines = tuple(machine for machine in plant.machines if machine.source == name)
        merged = {**plant.sources[name].options, **options}
        self.source = ModbusPlc(SourceContext(name, plant, machines, self.store, merged))
        self.machine = machines[0]
        self.cursor = self.store.journal.cursor("test")

    def id(self, name: str) -> int:
        return self.machine.variables[name].id

    def value(self, name: str) -> Any:
        return self.store.value(self.id(name))

    def status(self, name: str) -> int:
        return self.store.read(self.id(name))[1]

    def stamp(self, name: str) -> int:
        return self.store.read(self.id(name))[2]

    async def until(self, condition: Callable[[], bool], limit: float = 10.0) -> None:
        """Wait for `condition`, looked at after every write to the store."""
        try:
            async with asyncio.timeout(limit):
                await self.store.journal.wait(condition)
        except TimeoutError:
            pytest.fail(f"not within {limit} s; the source's last error: {self.source.last_error or 'none'}")

    async def until_polled(self, name: str) -> None:
        """Wait for two more samples of `name`: the second was asked for after this call."""
        stamps = {self.stamp(name)}

        def sampled() -> bool:
            stamps.add(self.stamp(name))
            return len(stamps) > 2

        await self.until(sampled)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Rig"]:
        """Run the source; it must end when it is cancelled and must not have failed."""
        task = asyncio.create_task(self.source.run())
        try:
            yield self
            assert not task.done(), f"the source ended: {task}"
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert not self.source.connected


async def eventually(condition: Callable[[], bool], limit: float = 10.0) -> None:
    """Wait for a condition that no journal row announces (process ends, counters)."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s"
        await asyncio.sleep(0.01)


class LibmodbusPlc:
    """The process of libmodbus_plc.py."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    @classmethod
    async def start(cls, port: int = 0) -> "LibmodbusPlc":
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(LIBMODBUS_PLC), str(port), stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert process.stdout is not None
        assert process.stderr is not None
        line = await process.stdout.readline()
        if not line:
            pytest.fail((await process.stderr.read()).decode().strip())
        return cls(process, int(line))

    async def order(self, *order: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(10):
            return json.loads(await self.process.stdout.readline())

    async def set(self, table: str, address: int, values: list[int]) -> None:
        await self.order("set", table, address, values)

    async def get(self, table: str, address: int, count: int) -> list[int]:
        return await self.order("get", table, address, count)

    async def requests(self) -> list[list[int]]:
        return await self.order("requests")

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


@contextlib.asynccontextmanager
async def libmodbus_plc(port: int = 0) -> AsyncIterator[LibmodbusPlc]:
    plc = await LibmodbusPlc.start(port)
    try:
        yield plc
    finally:
        await plc.kill()

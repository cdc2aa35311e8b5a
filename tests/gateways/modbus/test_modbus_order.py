"""What comes before what: whole cycles, requests of one master in their order, and stops before all."""

import asyncio
import struct
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from address_space.model import Role
from gateways.modbus import addresses as places
from server.computed import Computed
from server.security.principal import authenticated
from server.store import now_ticks
from tests.gateways.modbus.modbus_rig import ModbusError, Running, make_context, running
from tests.server.core_rig import Core

LOCAL = ["127.0.0.0/8"]
EGON = authenticated("egon", frozenset({Role.Engineer, Role.Operator}))
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncGenerator[tuple[Core, Running]]:
    core = Core(tmp_path)
    context = make_context(tmp_path, core.plant, core.store, core.commands, {"egon": EGON})
    async with running(context, write_from=LOCAL, user="egon") as gateway:
        yield core, gateway
    core.close()


@pytest.fixture
async def client(served: tuple[Core, Running]) -> AsyncGenerator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served[1].gateway.ports[0])
    yield reader, writer
    writer.close()
    await writer.wait_closed()


def frame(transaction: int, pdu: bytes, unit: int = 1) -> bytes:
    return struct.pack(">HHHB", transaction, 0, 1 + len(pdu), unit) + pdu


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    async with asyncio.timeout(5):
        transaction, _, length, _ = struct.unpack(">HHHB", await reader.readexactly(7))
        return transaction, await reader.readexactly(length - 1)


def place(gateway: Running, area: str, name: str) -> places.Place:
    return gateway.map.place(area, f"Plant.{name}")


async def test_computed_variables_are_of_the_cycle_of_what_they_are_computed_from(
    served: tuple[Core, Running], client: Client
) -> None:
    core, gateway = served
    reader, writer = client
    computing = asyncio.create_task(Computed(core.plant, core.store).run())
    speed, double = place(gateway, places.INPUT, "Press1.Speed"), place(gateway, places.INPUT, "Press1.Double")
    first, end = min(speed.address, double.address), max(speed.end, double.end)
    stop = asyncio.Event()

    async def change() -> None:
        cycle = 0.0
        while not stop.is_set():
            cycle += 1
            core.set("Press1.Speed", cycle % 100, stamp=now_ticks())
            await asyncio.sleep(0.001)

    changing = asyncio.create_task(change())
    seen: set[float] = set()
    try:
        async with asyncio.timeout(30):
            while len(seen) < 60:
                writer.write(frame(1, struct.pack(">BHH", 4, first, end - first)))
                _, pdu = await answer(reader)
                values = [struct.unpack_from(">d", pdu, 2 + 2 * (at.address - first))[0] for at in (speed, double)]
                if values[1] == values[1]:  # no number before the first evaluation
                    assert values[1] == 2 * values[0]
                    seen.add(values[0])
    finally:
        stop.set()
        await changing
        computing.cancel()
        await asyncio.gather(computing, return_exceptions=True)


async def test_requests_of_one_master_are_done_in_their_order(served: tuple[Core, Running], client: Client) -> None:
    core, gateway = served
    reader, writer = client
    at = place(gateway, places.HOLDING, "Press1.Target").address
    both = b"".join(
        frame(2 * turn, struct.pack(">BHHBd", 16, at, 4, 8, float(turn)))
        + frame(2 * turn + 1, struct.pack(">BHH", 3, at, 4))
        for turn in range(1, 6)
    )
    writer.write(both)
    for turn in range(1, 6):
        assert await answer(reader) == (2 * turn, struct.pack(">BHH", 16, at, 4))
        assert await answer(reader) == (2 * turn + 1, struct.pack(">BBd", 3, 8, float(turn)))
    assert core.value("Press1.Target") == 5.0


async def test_a_stop_waits_for_no_command_and_too_many_requests_are_refused(
    served: tuple[Core, Running], client: Client
) -> None:
    core, gateway = served
    reader, writer = client
    release = asyncio.Event()

    async def hold(told: tuple[Any, ...]) -> None:
        if told[0] == "execute":
            await release.wait()

    core.source.before = hold
    start = place(gateway, places.COIL, "Press1.Start").address
    stop = place(gateway, places.COIL, "Press2.EmergencyStop").address
    writer.write(frame(1, struct.pack(">BHH", 5, start, 0xFF00)))
    writer.write(b"".join(frame(number, struct.pack(">BHH", 4, 0, 1)) for number in range(2, 17)))
    writer.write(frame(17, struct.pack(">BHH", 4, 0, 1)))
    assert await answer(reader) == (17, b"\x84\x06")
    writer.write(frame(18, struct.pack(">BHH", 5, stop, 0xFF00)))
    assert await answer(reader) == (18, struct.pack(">BHH", 5, stop, 0xFF00))
    assert core.latched("Press2")
    release.set()
    assert [(await answer(reader))[0] for _ in range(16)] == list(range(1, 17))


async def test_a_request_starts_one_command_and_none_beside_a_stop(served: tuple[Core, Running]) -> None:
    core, gateway = served
    master = await gateway.master()
    coils = {name: place(gateway, places.COIL, f"Press1.{name}").address for name in ("Start", "Stop", "EmergencyStop")}
    first, last = min(coils.values()), max(coils.values())

    async def write(*names: str) -> int:
        bits = [at in {coils[name] for name in names} for at in range(first, last + 1)]
        with pytest.raises(ModbusError) as refused:
            await asyncio.to_thread(master.write_bits, first, bits)
        return refused.value.code

    assert await write("Start", "Stop") == 3
    assert core.source.told == []
    assert await write("Start", "EmergencyStop") == 3
    assert core.latched("Press1"), "a stop is done whatever is beside it"
    assert core.source.told == [("emergency_stop", "Plant.Press1", True)]


async def test_nothing_is_written_when_what_is_to_be_read_is_not_there(served: tuple[Core, Running]) -> None:
    core, gateway = served
    master = await gateway.master()
    at = place(gateway, places.HOLDING, "Press1.Target").address
    with pytest.raises(ModbusError) as refused:
        await asyncio.to_thread(master.write_read, at, struct.pack(">d", 20.0), 60_000, 1)
    assert refused.value.code == 2
    assert core.value("Press1.Target") == 10.0


@pytest.mark.parametrize("size", [1, 3, 7, 11])
async def test_requests_may_come_in_pieces(served: tuple[Core, Running], client: Client, size: int) -> None:
    reader, writer = client
    data = b"".join(frame(number, struct.pack(">BHH", 4, 0, 2)) for number in range(1, 4))
    for start in range(0, len(data), size):
        writer.write(data[start : start + size])
        await writer.drain()
        await asyncio.sleep(0)
    assert [(await answer(reader))[0] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("pdu", "expected"),
    [
        ("2b0e0100", {0, 1, 2}),
        ("2b0e0200", {0, 1, 2, 4, 5}),
        ("2b0e0205", {5}),
        ("2b0e0150", {0, 1, 2}),  # no such object: from the beginning on (6.21)
        ("2b0e0402", {2}),
    ],
)
async def test_device_identification_by_code_and_object(
    served: tuple[Core, Running], client: Client, pdu: str, expected: set[int]
) -> None:
    reader, writer = client
    writer.write(frame(1, bytes.fromhex(pdu)))
    _, body = await answer(reader)
    assert body[:3] == bytes.fromhex(pdu)[:3]
    objects, at = {}, 7
    while at < len(body):
        objects[body[at]] = body[at + 2 : at + 2 + body[at + 1]].decode()
        at += 2 + body[at + 1]
    assert objects.keys() - {6} == expected
    assert len(objects) == body[6]
    assert objects.get(0, "Plantree") == "Plantree"


@pytest.mark.parametrize(("pdu", "code"), [("2b0e0500", 3), ("2b0e0450", 2), ("2b0d00", 1), ("2b0e01", 3)])
async def test_device_identification_that_cannot_be(
    served: tuple[Core, Running], client: Client, pdu: str, code: int
) -> None:
    reader, writer = client
    writer.write(frame(1, bytes.fromhex(pdu)))
    assert await answer(reader) == (1, bytes((0xAB, code)))

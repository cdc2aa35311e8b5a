"""The Modbus gateway seen by libmodbus: every variable, writes, the stop, exceptions."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from address_space import load_plant
from gateways.modbus import addresses as places
from gateways.modbus.mapping import ORDERS, shown, unit_id
from server import quality
from server.store import Store, now_ticks
from tests.gateways.modbus.modbus_rig import (
    Master,
    ModbusError,
    Running,
    details,
    make_context,
    read_value,
    running,
)
from tests.gateways.mqtt.mqtt_rig import fill
from tests.server.core_rig import ENGINEER, OPERATOR, SUPERVISOR, Core

LOCAL = ["127.0.0.0/8"]


@pytest.fixture
def core(tmp_path: Path):
    made = Core(tmp_path)
    yield made
    made.close()


async def test_every_variable_of_the_default_plant_in_every_word_order(tmp_path: Path) -> None:
    plant = load_plant()
    store = Store(plant)
    stamp = fill(store, offset=70_000)
    async with running(make_context(tmp_path, plant, store, None)) as gateway:
        master = await gateway.master()

        def compare() -> int:
            compared = 0
            for order in ORDERS:
                for variable in plant.variables:
                    value = store.value(variable.id)
                    found = read_value(master, gateway.map, variable.path, order)
                    assert found == shown(variable.declaration.type, value), (order, variable.path)
                    assert details(master, gateway.map, variable.path, order) == (0, stamp), variable.path
                    compared += 1
            return compared

        assert await asyncio.to_thread(compare) == 4 * len(plant.variables)


async def test_values_follow_the_store_and_bad_ones_say_so(core: Core) -> None:
    context = make_context(core.folder, core.plant, core.store, core.commands)
    async with running(context) as gateway:
        master = await gateway.master()
        stamp = now_ticks()
        core.set("Press1.Speed", 12.5, stamp=stamp)
        core.set("Press1.Count", 7, stamp=stamp)
        speed = lambda: read_value(master, gateway.map, "Plant.Press1.Speed", "ABCD")  # noqa: E731
        await gateway.until(lambda: speed() == 12.5)
        assert await asyncio.to_thread(details, master, gateway.map, "Plant.Press1.Speed", "DCBA") == (0, stamp)
        core.set("Press1.Speed", 13.5, quality.BAD_NO_COMMUNICATION, stamp + 10)
        core.set("Press1.Count", 8, quality.BAD_NO_COMMUNICATION, stamp + 10)
        await gateway.until(lambda: np.isnan(speed()))
        assert await asyncio.to_thread(read_value, master, gateway.map, "Plant.Press1.Count", "ABCD") == 7
        bad = await asyncio.to_thread(details, master, gateway.map, "Plant.Press1.Count", "CDAB")
        assert bad == (quality.BAD_NO_COMMUNICATION, stamp + 10)
        header = gateway.map.place(places.INPUT, "Plant.Press1.Quality#").address
        master.unit(1)
        assert (await asyncio.to_thread(master.read, 4, header, 1))[0] == 0


async def test_quality_sequence_and_heartbeat(tmp_path: Path) -> None:
    plant = load_plant()
    store = Store(plant)
    fill(store)
    machine = plant.machine("Plant.Energy")
    async with running(make_context(tmp_path, plant, store, None)) as gateway:
        master = await gateway.master()
        block = gateway.map.place(places.INPUT, "Plant.Energy.Quality#").address
        read = lambda: master.read(4, block, 3)  # noqa: E731
        first = await asyncio.to_thread(read)
        assert first[0] == 192
        one = machine.variables["Frequency"].id
        store.write(np.array([one]), np.array([50.5]), now_ticks(), quality.UNCERTAIN_LAST_USABLE)
        await gateway.until(lambda: read()[0] == 64)
        assert (await asyncio.to_thread(read))[1] == (first[1] + 1) % 65536
        await gateway.until(lambda: read()[2] > first[2])


async def test_a_response_never_mixes_two_cycles(core: Core) -> None:
    """Speed, Double and Target of a machine are written together, all the same: no read may see two."""
    ids = np.array([core.id(f"Press1.{name}") for name in ("Speed", "Double", "Ratio")])
    core.store.write(ids, np.zeros(3), now_ticks())
    context = make_context(core.folder, core.plant, core.store, core.commands)
    async with running(context) as gateway:
        master = await gateway.master()
        at = [gateway.map.place(places.INPUT, f"Plant.Press1.{name}") for name in ("Speed", "Double", "Ratio")]
        first, count = at[0].address, at[2].end - at[0].address
        seen: set[float] = set()
        stop = False

        async def change() -> None:
            cycle = 0.0
            while not stop:
                cycle += 1
                core.store.write(ids, np.full(3, cycle), now_ticks())
                await asyncio.sleep(0)

        def poll() -> None:
            while len(seen) < 50:
                data = master.read_bytes(4, first, count)
                values = {struct.unpack_from(">d", data, 2 * (place.address - first))[0] for place in at}
                assert len(values) == 1, values
                seen.update(values)

        changing = asyncio.create_task(change())
        async with asyncio.timeout(30):
            await asyncio.to_thread(poll)
        stop = True
        await changing


@pytest.fixture
async def writable(core: Core) -> AsyncGenerator[tuple[Core, Running]]:
    users = {"olga": OPERATOR, "sara": SUPERVISOR, "egon": ENGINEER}
    context = make_context(core.folder, core.plant, core.store, core.commands, users)
    async with running(context, write_from=LOCAL, user="olga") as gateway:
        yield core, gateway


def place_of(gateway: Running, area: str, name: str) -> int:
    return gateway.map.place(area, f"Plant.{name}").address


@pytest.mark.parametrize(
    ("order", "wire"),
    [
        ("ABCD", "4042800000000000"),
        ("CDAB", "0000000080004042"),
        ("BADC", "4240008000000000"),
        ("DCBA", "0000000000804240"),
    ],
)
async def test_a_setpoint_is_written_in_every_word_order(writable: Any, order: str, wire: str) -> None:
    core, gateway = writable  # 37.0 as IEEE 754 has it
    master = await gateway.master(unit_id(order))
    at = place_of(gateway, places.HOLDING, "Press1.Target")
    await asyncio.to_thread(master.write_registers, at, bytes.fromhex(wire))
    assert core.value("Press1.Target") == 37.0
    assert core.audit()[-1][:3] == ("olga", "modbus 127.0.0.1", "Plant.Press1.Target")
    back = await asyncio.to_thread(master.read_bytes, 3, at, 4)
    assert back.hex() == wire, "who has written reads what it wrote"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (lambda m, g: m.write_registers(place_of(g, places.HOLDING, "Press1.Target"), struct.pack(">d", 101)), 3),
        (lambda m, g: m.write_registers(place_of(g, places.HOLDING, "Press1.Target"), b"\x7f\xf8" + bytes(6)), 3),
        (lambda m, g: m.write_registers(place_of(g, places.HOLDING, "Press1.Target"), bytes(4)), 2),  # half of it
        (lambda m, g: m.write_register(place_of(g, places.HOLDING, "Press1.Target"), 1), 2),
        (lambda m, g: m.write_register(place_of(g, places.HOLDING, "Press1.Batch"), 1), 1),  # needs an Engineer
        (lambda m, g: m.write_registers(60_000, bytes(2)), 2),
        (lambda m, g: m.read(4, 60_000, 1), 2),
        (lambda m, g: m.read(3, 65_535, 2), 2),
        (lambda m, g: m.read(1, 60_000, 1), 2),
        (lambda m, g: m.read(2, 60_000, 1), 2),
        (lambda m, g: m.write_bit(60_000, True), 2),
        (lambda m, g: (m.unit(200), m.read(4, 0, 1)), 11),
        (lambda m, g: (m.unit(11), m.read(3, 0, 1)), 2),
        (lambda m, g: (m.unit(11), m.write_register(0, 1)), 1),
        (lambda m, g: m.write_bit(place_of(g, places.COIL, "Press1.ResetEmergencyStop"), True), 2),  # not configured
        (lambda m, g: m.write_bit(place_of(g, places.COIL, "Press1.Test"), True), 1),  # needs an Engineer
    ],
)  # fmt: skip
async def test_what_is_wrong_gets_the_exception_of_the_specification(writable: Any, what: Any, code: int) -> None:
    core, gateway = writable
    master = await gateway.master()
    before = core.value("Press1.Target")
    with pytest.raises(ModbusError) as refused:
        await asyncio.to_thread(what, master, gateway)
    assert refused.value.code == code, str(refused.value)
    assert core.value("Press1.Target") == before
    assert core.source.told == []


async def test_several_setpoints_are_checked_before_one_is_put(writable: Any) -> None:
    core, gateway = writable
    master = await gateway.master()
    first = place_of(gateway, places.HOLDING, "Press1.Target")
    assert place_of(gateway, places.HOLDING, "Press1.Batch") == first + 4
    with pytest.raises(ModbusError) as refused:  # Target is right, Batch needs an Engineer
        await asyncio.to_thread(master.write_registers, first, struct.pack(">dh", 20.0, 5))
    assert refused.value.code == 1
    assert core.value("Press1.Target") == 10


async def test_mask_write_and_write_read(core: Core) -> None:
    context = make_context(core.folder, core.plant, core.store, core.commands, {"egon": ENGINEER})
    async with running(context, write_from=LOCAL, user="egon") as gateway:
        master = await gateway.master()
        at = place_of(gateway, places.HOLDING, "Press1.Batch")
        found = await asyncio.to_thread(master.write_read, at, struct.pack(">h", 0x12), at, 1)
        assert core.value("Press1.Batch") == 0x12
        assert found == struct.pack(">h", 0x12), "the write comes before the read"
        await asyncio.to_thread(master.mask_write, at, 0xF2, 0x25)
        assert core.value("Press1.Batch") == 0x17  # the example of the application protocol, 6.16


async def test_commands_by_coil(writable: Any) -> None:
    core, gateway = writable
    master = await gateway.master()
    await asyncio.to_thread(master.write_bit, place_of(gateway, places.COIL, "Press1.Start"), True)
    assert core.source.told == [("execute", "Plant.Press1", "Start")]
    argument = gateway.map.place(places.HOLDING, "Plant.Press1.Aim(Speed)").address
    await asyncio.to_thread(master.write_registers, argument, struct.pack(">d", 33.0))
    await asyncio.to_thread(master.write_bit, place_of(gateway, places.COIL, "Press1.Aim"), True)
    assert core.value("Press1.Target") == 33.0
    with pytest.raises(ModbusError) as refused:  # nothing feeds it
        await asyncio.to_thread(master.write_bit, place_of(gateway, places.COIL, "Lonely.Start"), True)
    assert refused.value.code == 4
    await asyncio.to_thread(master.write_bit, place_of(gateway, places.COIL, "Press1.Start"), False)
    assert len(core.source.told) == 2


async def test_a_command_that_fails_is_answered_so(writable: Any) -> None:
    core, gateway = writable
    master = await gateway.master()
    core.source.deaf = True
    core.set("Press1.State", 0)
    with pytest.raises(ModbusError) as refused:
        await asyncio.to_thread(master.write_bit, place_of(gateway, places.COIL, "Press1.Start"), True)
    assert refused.value.code == 4  # sent, but the read-back did not follow
    core.source.error = RuntimeError("broken")
    with pytest.raises(ModbusError) as refused:
        await asyncio.to_thread(master.write_bit, place_of(gateway, places.COIL, "Press1.Stop"), True)
    assert refused.value.code == 4


async def test_the_stop_coil_stops_and_shows_the_latch(core: Core) -> None:
    context = make_context(core.folder, core.plant, core.store, core.commands)
    async with running(context) as gateway:  # as it is by default: nobody may write, anybody may stop
        master = await gateway.master()
        coil = place_of(gateway, places.COIL, "Press1.EmergencyStop")
        assert await asyncio.to_thread(master.read, 1, coil, 1) == [0]
        await asyncio.to_thread(master.write_bit, coil, True)
        assert core.latched("Press1")
        assert core.value("Press1.EmergencyStopReason") == "Modbus coil"
        assert core.value("Press1.EmergencyStopOrigin") == "modbus 127.0.0.1"
        assert await asyncio.to_thread(master.read, 1, coil, 1) == [1]
        await asyncio.to_thread(master.write_bit, coil, False)
        assert core.latched("Press1"), "writing 0 does not reset"
        for name in ("Press1.Start", "Press1.ResetEmergencyStop"):
            with pytest.raises(ModbusError):
                await asyncio.to_thread(master.write_bit, place_of(gateway, places.COIL, name), True)
        at = place_of(gateway, places.HOLDING, "Press1.Target")
        with pytest.raises(ModbusError) as refused:
            await asyncio.to_thread(master.write_registers, at, struct.pack(">d", 20.0))
        assert refused.value.code == 1
        assert core.latched("Press1")


async def test_several_coils_stop_several_machines(core: Core) -> None:
    async with running(make_context(core.folder, core.plant, core.store, core.commands)) as gateway:
        master = await gateway.master()
        first = place_of(gateway, places.COIL, "Press1.EmergencyStop")
        last = place_of(gateway, places.COIL, "Press2.EmergencyStop")
        bits = [at in (first, last) for at in range(first, last + 1)]
        await asyncio.to_thread(master.write_bits, first, bits)
        assert core.latched("Press1")
        assert core.latched("Press2")


async def test_who_is_outside_of_the_allowed_networks_may_not_stop(core: Core) -> None:
    context = make_context(core.folder, core.plant, core.store, core.commands)
    async with running(context, stop_from=["10.0.0.0/8"]) as gateway:
        master = await gateway.master()
        coil = place_of(gateway, places.COIL, "Press1.EmergencyStop")
        with pytest.raises(ModbusError) as refused:
            await asyncio.to_thread(master.write_bit, coil, True)
        assert refused.value.code == 1
        assert not core.latched("Press1")


async def test_a_reset_by_coil_where_it_is_configured(core: Core) -> None:
    context = make_context(core.folder, core.plant, core.store, core.commands, {"sara": SUPERVISOR})
    async with running(context, write_from=LOCAL, user="sara", reset_by_coil=True) as gateway:
        master = await gateway.master()
        await asyncio.to_thread(master.write_bit, place_of(gateway, places.COIL, "Press1.EmergencyStop"), True)
        await asyncio.to_thread(master.write_bit, place_of(gateway, places.COIL, "Press1.ResetEmergencyStop"), True)
        assert not core.latched("Press1")


async def raw(port: int, frame: bytes) -> bytes:
    """Send bytes and return what comes until the other side closes or a whole frame is there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(frame)
        async with asyncio.timeout(5):
            head = await reader.read(6)
            return head if len(head) < 6 else head + await reader.readexactly(int.from_bytes(head[4:6], "big"))
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        ("41", "c101"),  # no such function
        ("04 0000 0000", "8403"),
        ("04 0000 007e", "8403"),
        ("01 0000 07d1", "8103"),
        ("04 0000", "8403"),
        ("05 0000 1234", "8503"),
        ("10 0000 0002 04 0000", "9003"),  # fewer bytes than it says
        ("0f 0000 0010 01 00", "8f03"),
        ("08 0000 abcd", "8801"),
    ],
)
async def test_malformed_requests_get_exceptions(writable: Any, pdu: str, answer: str) -> None:
    _, gateway = writable
    body = bytes.fromhex(pdu)
    frame = struct.pack(">HHHB", 0x1234, 0, 1 + len(body), 1) + body
    found = await raw(gateway.gateway.ports[0], frame)
    assert found == struct.pack(">HHHB", 0x1234, 0, 3, 1) + bytes.fromhex(answer)


async def test_what_is_not_modbus_is_hung_up_on(writable: Any) -> None:
    _, gateway = writable
    assert await raw(gateway.gateway.ports[0], b"GET / HTTP/1.1\r\n\r\n") == b""


async def test_device_identification(writable: Any) -> None:
    _, gateway = writable
    frame = struct.pack(">HHHB", 1, 0, 5, 1) + bytes.fromhex("2b0e0100")
    found = await raw(gateway.gateway.ports[0], frame)
    assert b"Plantree" in found
    assert found[7:10] == bytes.fromhex("2b0e01")


async def test_too_many_masters_are_refused_and_silent_readers_are_cut_off(core: Core) -> None:
    context = make_context(core.folder, core.plant, core.store, core.commands)
    async with running(context, max_connections=2) as gateway:
        port = gateway.gateway.ports[0]
        first, second = await gateway.master(), await gateway.master()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        second.close()
        gateway._masters.remove(second)
        ask = struct.pack(">HHHB", 1, 0, 6, 1) + struct.pack(">BHH", 4, 0, 100)

        def flood() -> None:
            with socket.create_connection(("127.0.0.1", port)) as flooder:
                flooder.settimeout(10)
                with pytest.raises(ConnectionError):
                    flooder.sendall(ask * 1_000_000)

        await asyncio.to_thread(flood)
        assert isinstance(first, Master)
        await asyncio.to_thread(first.read, 4, 0, 1)

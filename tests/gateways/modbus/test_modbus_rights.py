"""Who may what: networks, users, roles in certificates, and what may not be read."""

import asyncio
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from address_space import load_plant
from address_space.model import Role
from gateways.modbus import addresses as places
from gateways.modbus.rights import Rights
from gateways.modbus.settings import ModbusSettings
from server import quality
from server.security.principal import authenticated
from server.store import Store, now_ticks
from tests.gateways.modbus.modbus_rig import NoIdentities, by_hand, details, make_context, read_value, running
from tests.server.core_rig import ENGINEER, Core


@dataclass
class Somebody:
    peer: str
    certificate: bytes | None = None


@pytest.mark.parametrize(
    ("peer", "networks", "may"),
    [
        ("127.0.0.1", [], False),
        ("10.1.2.3", ["10.1.0.0/16"], True),
        ("10.2.2.3", ["10.1.0.0/16"], False),
        ("::ffff:10.1.2.3", ["10.1.0.0/16"], True),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("::1", ["0.0.0.0/0"], False),
        ("", ["0.0.0.0/0", "::/0"], False),
    ],
)
def test_who_may_write_is_a_matter_of_networks(peer: str, networks: list[str], may: bool) -> None:
    rights = Rights(NoIdentities({}), ModbusSettings(write_from=networks))
    assert rights.may_write(Somebody(peer)) is may
    assert rights.may_stop(Somebody(peer)) is (peer != ""), "by default all that have an address"


def test_a_master_without_a_user_may_only_stop() -> None:
    for settings in (ModbusSettings(), ModbusSettings(user="nobody")):
        principal = Rights(NoIdentities({}), settings).reader()
        assert principal.has(Role.AuthenticatedUser)
        assert not principal.has(Role.Observer)
    assert Rights(NoIdentities({"egon": ENGINEER}), ModbusSettings(user="egon")).reader() == ENGINEER


@pytest.mark.parametrize("user", ["", "olaf"])
async def test_what_a_role_protects_is_hidden_from_masters_without_it(tmp_path: Path, user: str) -> None:
    variables = {
        "Open": {"type": "Int32", "description": "For all"},
        "Secret": {"type": "Int32", "description": "For some", "read_role": "Observer"},
        "Recipe": {"type": "String", "description": "For some", "read_role": "Observer"},
    }
    types = {"PlantType": {"description": "p"}, "ThingType": {"description": "t", "variables": variables}}
    plant_file = {"plant": {"type": "PlantType"}, "types": types, "objects": {"Thing": {"type": "ThingType"}}}
    (tmp_path / "plant.yaml").write_text(yaml.safe_dump(plant_file, sort_keys=False))
    plant = load_plant(tmp_path / "plant.yaml")
    store = Store(plant)
    ids = {variable.name: np.array([variable.id]) for variable in plant.variables}
    for name in ("Open", "Secret"):
        store.write(ids[name], np.array([7]), now_ticks())
    store.write(ids["Recipe"], np.array(["salt"], object), now_ticks())
    context = make_context(tmp_path, plant, store, None, {"olaf": authenticated("olaf", frozenset({Role.Observer}))})
    async with running(context, user=user) as gateway:
        master = await gateway.master()

        def look() -> list[object]:
            shown = [read_value(master, gateway.map, f"Plant.Thing.{name}", "CDAB") for name in variables]
            return [*shown, details(master, gateway.map, "Plant.Thing.Secret", "ABCD")[0]]

        expected = [7, 7, "salt", 0] if user else [7, 0, "", quality.BAD_USER_ACCESS_DENIED]
        assert await asyncio.to_thread(look) == expected
        block = gateway.map.place(places.INPUT, "Plant.Thing.Quality#").address
        master.unit(1)
        assert (await asyncio.to_thread(master.read, 4, block, 1)) == [192], "the machine is well whoever looks"


async def ask(port: int, address: str, pdu: bytes) -> bytes:
    """Send a request from one of this machine's own addresses; returns the answer's PDU."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        writer.write(struct.pack(">HHHB", 1, 0, 1 + len(pdu), 255) + pdu)
        async with asyncio.timeout(5):
            head = await reader.readexactly(7)
            return await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_command_takes_only_arguments_that_its_own_master_wrote(tmp_path: Path) -> None:
    core = Core(tmp_path)
    context = make_context(tmp_path, core.plant, core.store, core.commands, {"egon": ENGINEER})
    async with running(context, write_from=["127.0.0.0/8"], user="egon") as gateway:
        port = gateway.gateway.ports[0]
        level = gateway.map.place(places.HOLDING, "Plant.Press1.Test(Level)").address
        way = gateway.map.place(places.HOLDING, "Plant.Press1.Test(Way)").address
        coil = struct.pack(">BHH", 5, gateway.map.place(places.COIL, "Plant.Press1.Test").address, 0xFF00)
        write_level = struct.pack(">BHHBd", 16, level, 4, 8, 0.5)
        write_way = struct.pack(">BHHB", 16, way, 32, 64) + b"up".ljust(64, b"\0")
        assert await ask(port, "127.0.0.1", coil) == b"\x85\x03", "nobody wrote them"
        assert await ask(port, "127.0.0.2", write_level) == write_level[:5]
        assert await ask(port, "127.0.0.1", write_way) == write_way[:5]
        assert await ask(port, "127.0.0.1", coil) == b"\x85\x03", "another wrote one of them"
        assert core.source.told == []
        assert await ask(port, "127.0.0.1", write_level) == write_level[:5]
        assert await ask(port, "127.0.0.1", coil) == coil
        assert core.source.told == [("execute", "Plant.Press1", "Test", 0.5, "up")]
        wrong = struct.pack(">BHHBd", 16, level, 4, 8, 1.5)
        assert await ask(port, "127.0.0.1", wrong) == wrong[:5], "arguments are checked when the command is"
        assert await ask(port, "127.0.0.1", coil) == b"\x85\x03"
    core.close()


def test_by_hand_is_what_the_letters_say() -> None:
    assert by_hand(b"ABCD", "DCBA") == b"DCBA"
    assert by_hand(b"AB", "BADC") == b"BA"

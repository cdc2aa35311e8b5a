"""The register map: what is in it, that it stays, and that nothing overlaps."""

import asyncio
import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from address_space import BuiltinType, load_plant
from address_space.load import DEFAULT_PLANT
from gateways.modbus import addresses as places
from gateways.modbus import lock as lock_module
from gateways.modbus.addresses import BANK, Addresses, MapError, Place
from gateways.modbus.cli import generate
from gateways.modbus.mapping import (
    ORDERS,
    RegisterMap,
    as_csv,
    as_markdown,
    from_wire,
    reorder,
    to_wire,
    unit_id,
    unit_of,
)
from gateways.modbus.settings import ModbusSettings
from server.store import Store
from sources.modbus_plc.registers import byte_order
from sources.modbus_plc.settings import WordOrder
from tests.gateways.modbus.modbus_rig import by_hand, make_context, running
from tests.gateways.mqtt.mqtt_rig import fill


def plant_of(folder: Path, variables: dict[str, Any], count: int = 3) -> Any:
    file = folder / "plant.yaml"
    types = {
        "PlantType": {"description": "p"},
        "ThingType": {"description": "t", "variables": {n: {"description": "d", **v} for n, v in variables.items()}},
    }
    plant = {"plant": {"type": "PlantType"}, "types": types, "objects": {f"Thing[1..{count}]": {"type": "ThingType"}}}
    file.write_text(yaml.safe_dump(plant, sort_keys=False), encoding="utf-8")
    return load_plant(file)


def test_every_variable_setpoint_and_command_is_in_the_map() -> None:
    plant = load_plant()
    register_map = RegisterMap(plant, Addresses())
    named = {(item.area, item.name) for item in register_map.items}
    for variable in plant.variables:
        assert (places.INPUT, variable.path) in named
        assert ((places.HOLDING, variable.path) in named) == variable.declaration.writable
        assert ((places.DISCRETE, variable.path) in named) == (variable.declaration.type is BuiltinType.Boolean)
        assert variable.path in as_markdown(register_map)
    for path in plant.commands:
        assert (places.COIL, path) in named
    lines = list(csv.DictReader(io.StringIO(as_csv(register_map))))
    assert {line["name"] for line in lines} == {item.name for item in register_map.items}


def test_the_committed_map_is_that_of_the_default_plant() -> None:
    for file, text in generate().items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name} is stale: run `make docs`"


TYPES = st.sampled_from([t.name for t in BuiltinType])
VARIABLES = st.dictionaries(st.from_regex(r"\AV[a-z]{1,6}\Z"), TYPES, min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(first=VARIABLES, second=VARIABLES, counts=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_addresses_stay_when_a_plant_grows_and_never_overlap(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, str], second: dict[str, str], counts: tuple[int, int]
) -> None:
    folder = tmp_path_factory.mktemp("map")
    before = RegisterMap(plant_of(folder, {n: {"type": t} for n, t in first.items()}, counts[0]), Addresses())
    lock = folder / "lock.json"
    lock.write_text(before.addresses.text(), encoding="utf-8")
    both = {**second, **first}
    after = RegisterMap(plant_of(folder, {n: {"type": t} for n, t in both.items()}, counts[1]), Addresses.load(lock))
    taken: dict[tuple[str, int, int], str] = {}
    for item in after.items:
        for address in range(item.place.address, item.place.end):
            assert taken.setdefault((item.area, item.place.bank, address), item.name) == item.name
    for area in (places.INPUT, places.DISCRETE, places.DETAIL):
        old, new = before.addresses.places.get(area, {}), after.addresses.places.get(area, {})
        assert {name: new[name] for name in old} == old


def test_a_second_start_gives_no_new_addresses(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, {"A": {"type": "Double"}, "B": {"type": "String"}})
    first = RegisterMap(plant, Addresses())
    lock = tmp_path / "lock.json"
    lock.write_text(first.addresses.text(), encoding="utf-8")
    second = RegisterMap(plant, Addresses.load(lock))
    assert second.addresses.given == 0
    assert second.addresses.text() == lock.read_text(encoding="utf-8")


def test_an_address_never_changes_its_meaning(tmp_path: Path) -> None:
    """What is removed keeps its place, what changes its type gets another; neither is given to something else."""
    lock = tmp_path / "lock.json"
    before = RegisterMap(plant_of(tmp_path, {"A": {"type": "Float"}, "B": {"type": "Int32"}}, 1), Addresses())
    lock.write_text(before.addresses.text(), encoding="utf-8")
    after = RegisterMap(plant_of(tmp_path, {"A": {"type": "Int32"}, "C": {"type": "Int32"}}, 1), Addresses.load(lock))
    old = {before.place(places.INPUT, f"Plant.Thing1.{name}").address for name in "AB"}
    new = {after.place(places.INPUT, f"Plant.Thing1.{name}").address for name in "AC"}
    assert old.isdisjoint(new)
    lock.write_text(after.addresses.text(), encoding="utf-8")
    third = RegisterMap(plant_of(tmp_path, {"D": {"type": "Float"}, "B": {"type": "Int32"}}, 1), Addresses.load(lock))
    assert third.place(places.INPUT, "Plant.Thing1.B") == before.place(places.INPUT, "Plant.Thing1.B")
    assert third.place(places.INPUT, "Plant.Thing1.D").address not in old | new


def test_new_addresses_are_kept_but_never_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = tmp_path / "checkout.json"
    monkeypatch.setattr(lock_module, "DEFAULT_LOCK", committed)
    default, other = load_plant(), plant_of(tmp_path, {"A": {"type": "Float"}}, 1)
    for plant in (default, other):
        lock_module.load_map(make_context(tmp_path, plant, Store(plant), None), ModbusSettings())
    assert not committed.exists()
    kept = tmp_path / "modbus" / "plant.map.lock.json"
    assert "Plant.Thing1.A" in kept.read_text(encoding="utf-8")


@given(value=st.binary(min_size=8, max_size=8), registers=st.sampled_from([1, 2, 4]))
def test_word_orders_are_those_of_the_modbus_source(value: bytes, registers: int) -> None:
    data = value[: 2 * registers]
    for order in ORDERS:
        wire = bytearray(len(data))
        for byte, at in zip(data, byte_order(WordOrder(order), registers), strict=True):
            wire[at] = byte
        assert reorder(data, order) == bytes(wire)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no lock file"),
        ('{"input": {"a": [0, 0]}}', "is no lock file"),
        ('{"input": {"a": [0, 0, 4], "b": [0, 3, 1]}}', "puts a and b (input) at the same address"),
        ('{"input": {"a": [0, 65535, 2]}}', "outside of a bank"),
        ('{"input": {"a": [12, 0, 2]}}', "outside of a bank"),
        ('{"input": {"a": ["x", 0, 2]}}', "is no lock file"),
    ],
)
def test_a_wrong_lock_file_is_told_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    lock = tmp_path / "lock.json"
    lock.write_text(text)
    with pytest.raises(MapError) as error:
        Addresses.load(lock)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_large_plant_goes_on_in_the_next_bank_and_a_huge_one_is_refused(tmp_path: Path) -> None:
    variables = {f"V{n}": {"type": "Double"} for n in range(100)}
    large = RegisterMap(plant_of(tmp_path, variables, 1000), Addresses())
    assert 1 + max(item.place.bank for item in large.items) == 8
    assert large.banks == 10  # with the details
    assert all(item.place.end <= BANK for item in large.items)
    assert unit_of(unit_id("CDAB", 7)) == ("CDAB", 7, False)
    with pytest.raises(MapError, match="more detail addresses than 12 banks hold"):
        RegisterMap(plant_of(tmp_path, variables, 2000), Addresses())


def test_unit_ids_are_all_different() -> None:
    known = {unit_id(order, bank, details=d) for order in ORDERS for bank in range(12) for d in (False, True)}
    assert len(known) == 4 * 12 * 2
    assert max(known) <= 247
    assert all(unit_of(unit) is not None for unit in known)
    assert [unit for unit in range(1, 255) if unit_of(unit) is not None] == sorted(known)
    assert unit_of(0) == unit_of(255) == ("ABCD", 0, False), "what masters use that know of no units"


@given(data=st.binary(min_size=8, max_size=8) | st.binary(min_size=4, max_size=4) | st.binary(min_size=2, max_size=2))
def test_word_orders_are_what_their_letters_say(data: bytes) -> None:
    for order in ORDERS:
        assert reorder(data, order) == by_hand(data, order)
        assert reorder(reorder(data, order), order) == data
    if len(data) == 4:
        a, b, c, d = data
        assert reorder(data, "CDAB") == bytes((c, d, a, b))
        assert reorder(data, "BADC") == bytes((b, a, d, c))
        assert reorder(data, "DCBA") == bytes((d, c, b, a))


@given(text=st.text(max_size=80))
def test_strings_are_cut_at_a_character(text: str) -> None:
    wire = to_wire(BuiltinType.String, text)
    assert len(wire) == 64
    back = from_wire(BuiltinType.String, wire)
    shown = text.partition("\0")[0]
    assert shown.startswith(back)
    assert len(shown.encode()) > 64 - 4 or back == shown


def test_place_ends_behind_its_last_address() -> None:
    assert Place(0, 10, 4).end == 14


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll is not installed")
@pytest.mark.parametrize(("order", "flags"), [("CDAB", []), ("ABCD", ["-B"])])
async def test_mbpoll_reads_a_float(tmp_path: Path, order: str, flags: list[str]) -> None:
    plant = plant_of(tmp_path, {"Level": {"type": "Float"}})
    store = Store(plant)
    fill(store)
    async with running(make_context(tmp_path, plant, store, None)) as gateway:
        variable = plant.variable("Plant.Thing2.Level")
        address = gateway.map.place(places.INPUT, variable.path).address
        where = ["-p", str(gateway.gateway.ports[0]), "-a", str(unit_id(order)), "-r", str(address)]
        command = ["mbpoll", "-m", "tcp", "-t", "3:float", *flags, "-0", *where, "-c", "1", "-1", "-q", "127.0.0.1"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=10, check=False)
        assert f"{store.value(variable.id):g}" in done.stdout, done.stdout + done.stderr


def test_the_default_plant_has_its_lock_file_beside_the_map() -> None:
    lock = DEFAULT_PLANT.parents[1] / "docs" / "modbus" / "plant.lock.json"
    assert set(json.loads(lock.read_text())) >= {places.INPUT, places.HOLDING, places.COIL, places.DETAIL}

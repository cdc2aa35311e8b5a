"""Plants that are right: the default one, and what a file's parts become."""

from pathlib import Path

import pytest
from plant_files import RIGHT, write

from address_space import BuiltinType, Feed, Plant, Role, load_plant
from address_space.diagnostics import GATEWAYS
from address_space.units import UNITS, Unit


@pytest.fixture(scope="module")
def default() -> Plant:
    return load_plant()


@pytest.fixture
def small(tmp_path: Path) -> Plant:
    return load_plant(write(tmp_path, RIGHT))


def test_default_plant_has_the_objects_that_clients_lean_on(default: Plant) -> None:
    assert default.namespace == "urn:plantree:plant"
    objects = {machine.path for machine in default.machines if default.parent(machine) is default.root}
    names = [
        "Generator1",
        "Line1",
        "Line2",
        "Line3",
        "Energy",
        "Environment",
        "Camera1",
        "Camera2",
        "ServerDiagnostics",
    ]
    assert objects == {f"Plant.{name}" for name in names}
    assert default.variable("Plant.Generator1.Speed").declaration.unit == UNITS["r/min"]
    assert {"Plant.EmergencyStop", "Plant.Generator1.EmergencyStop"} <= default.commands.keys()


def test_every_variable_is_described_and_every_analog_one_has_a_unit_and_a_range(default: Plant) -> None:
    for variable in default.variables:
        declaration = variable.declaration
        assert declaration.description, variable.path
        analog = declaration.type in (BuiltinType.Float, BuiltinType.Double)
        if analog or declaration.unit is not None:
            assert isinstance(declaration.unit, Unit), variable.path
            assert declaration.range is not None, variable.path
            assert declaration.range[0] < declaration.range[1], variable.path


def test_every_command_and_argument_is_described(default: Plant) -> None:
    for command in default.commands.values():
        assert command.declaration.description, command.path
        assert all(argument.description for argument in command.declaration.arguments), command.path


def test_a_variable_is_found_by_its_id_and_by_its_path(default: Plant) -> None:
    for number, variable in enumerate(default.variables):
        assert variable.id == number
        assert default.variable(variable.path) is variable
        assert default.owner(variable).variables[variable.name] is variable
    assert default.find("Plant.Nothing") is None
    with pytest.raises(KeyError):
        default.variable("Plant.Nothing")


def test_a_machine_s_variables_are_numbered_in_a_row_from_its_first(default: Plant) -> None:
    for machine in default.objects:
        ids = [variable.id for variable in machine.variables.values()]
        assert ids == list(range(machine.first_id, machine.first_id + len(ids)))


def test_a_range_of_objects_becomes_one_machine_a_number(small: Plant) -> None:
    names = [machine.name for machine in small.machines if machine.type.name == "PumpType"]
    assert names == ["Pump1", "Many2", "Many3", "Many4"]


def test_number_of_a_ranged_object_goes_into_its_texts(tmp_path: Path) -> None:
    text = RIGHT.replace(
        "Many[2..4]: {type: PumpType}",
        'Many[2..3]: {type: PumpType, description: Pump {n}, nameplate: {Model: "M{n}"}}',
    ).replace("description: Pump {n}", 'description: "Pump {n}"')
    plant = load_plant(write(tmp_path, text))
    assert plant.machine("Plant.Many3").description == "Pump 3"
    assert plant.machine("Plant.Many3").nameplate == {"Model": "M3"}


def test_feeds_and_roles_follow_from_what_the_file_says(small: Plant) -> None:
    variables = {variable.name: variable.declaration for variable in small.machine("Plant.Pump1").variables.values()}
    assert variables["Speed"].feed is Feed.SOURCE
    assert variables["Twice"].feed is Feed.COMPUTED
    assert variables["EmergencyStopActive"].feed is Feed.SERVER
    assert (variables["Target"].feed, variables["Target"].write_role) == (Feed.SETPOINT, Role.Operator)
    assert [name for name, declaration in variables.items() if declaration.writable] == ["Target"]


def test_emergency_stop_brings_its_variables_and_commands(small: Plant) -> None:
    pump = small.machine("Plant.Pump1")
    latch = {name for name in pump.variables if name.startswith("EmergencyStop")}
    assert latch == {f"EmergencyStop{name}" for name in ("Active", "Reason", "By", "Origin", "Time")}
    assert pump.commands["EmergencyStop"].declaration.role is Role.AuthenticatedUser
    assert pump.commands["ResetEmergencyStop"].declaration.role is Role.Supervisor
    assert not small.root.commands, "the plant's own type has no emergency stop here"


def test_every_source_has_its_diagnostics(small: Plant) -> None:
    assert list(small.machine("Plant.ServerDiagnostics.wire").variables) == ["State", "Since", "Restarts", "LastError"]
    assert small.parent(small.machine("Plant.ServerDiagnostics.wire")) is small.machine("Plant.ServerDiagnostics")


def test_a_source_s_options_are_its_own_over_those_of_its_register_map(tmp_path: Path) -> None:
    text = RIGHT.replace("Map: {registers: {}}", "Map: {a: 1, b: 2}").replace(
        "wire: {kind: physics}", "wire: {kind: x, map: Map, b: 3, stale_after: 5}"
    )
    source = load_plant(write(tmp_path, text)).sources["wire"]
    assert (source.kind, dict(source.options), source.stale_after) == ("x", {"a": 1, "b": 3}, 5)


def test_integers_may_have_the_whole_range_of_their_type(tmp_path: Path) -> None:
    text = RIGHT.replace(
        "Label: {type: String, description: A text}",
        "Label: {type: UInt64, range: [0, 18446744073709551615], description: Wide}",
    )
    assert load_plant(write(tmp_path, text)).variable("Plant.Pump1.Label").declaration.range is not None


@pytest.mark.parametrize("unit", UNITS.values(), ids=lambda unit: unit.symbol)
def test_unit_id_is_the_code_in_big_endian_ascii(unit: Unit) -> None:
    """OPC 10000-8 5.6.4.3; the id of `m` (MTR) is 5067858 in the Foundation's own table."""
    expected = -1
    if unit.code:
        expected = 0
        for character in unit.code:
            expected = expected << 8 | ord(character)
    assert unit.unit_id == expected


def test_units_of_the_foundation_s_table() -> None:
    known = {"m": 5067858, "°C": 4408652, "%": 20529, "s": 5457219, "kW": 4937556, "1": 4404786}
    assert {symbol: UNITS[symbol].unit_id for symbol in known} == known


def test_unit_codes_and_symbols_are_unique() -> None:
    codes = [unit.code for unit in UNITS.values() if unit.code]
    assert len(codes) == len(set(codes))
    assert all(symbol == unit.symbol for symbol, unit in UNITS.items())


def test_every_plant_has_the_diagnostics_of_every_gateway(tmp_path: Path) -> None:
    file = tmp_path / "bare.yaml"
    file.write_text("plant: {name: P, type: T}\ntypes:\n  T: {description: Nothing at all}\n", encoding="utf-8")
    bare = load_plant(file)
    assert [machine.path for machine in bare.machines] == [
        "P.ServerDiagnostics",
        *(f"P.ServerDiagnostics.{name}" for name in (*GATEWAYS, "Alarms")),
    ]
    delivery = ["Connected", "Lag", "QueueDepth", "Delivered", "Dropped", "Dropping"]
    expected = ["State", "Since", "Restarts", "LastError", *delivery]
    for name in GATEWAYS:
        machine = bare.machine(f"P.ServerDiagnostics.{name}")
        assert machine.type.name == "GatewayDiagnosticsType"
        assert list(machine.variables) == expected
        assert {variable.declaration.feed for variable in machine.variables.values()} == {Feed.SERVER}

"""Every node of the plant as node-opcua browses it, against what the plant file says."""

from typing import Any

import pytest

from address_space import Plant, load_plant
from tests.interop.conftest import Sessions
from tests.interop.expected import HAS_NOTIFIER, OBJECTS, ORGANIZES, SERVER, ExpectedNodes
from tests.interop.expected_conditions import VISION_BASE, VISION_TYPE
from tests.interop.node_client import Connection
from tests.process_rig import CHECKOUT

Dump = dict[str, dict[str, Any]]
ROOTS = [OBJECTS, SERVER, "ns=0;i=58", "ns=0;i=29", VISION_BASE]  # ... BaseObjectType, Enumeration


@pytest.fixture(scope="module")
def plant() -> Plant:
    return load_plant(CHECKOUT / "address_space" / "plant.yaml")


@pytest.fixture(scope="module")
def expected(plant: Plant) -> ExpectedNodes:
    return ExpectedNodes(plant, history=True)


@pytest.fixture(scope="module")
def browsed(sessions: Sessions) -> Dump:
    return sessions(None).ask("dump", roots=ROOTS)


def of_plant(dump: Dump) -> Dump:
    return {name: node for name, node in dump.items() if name.startswith("ns=2;")}


def references(node: dict[str, Any]) -> set[tuple[str, bool, str]]:
    return {(found["type"], found["forward"], found["target"]) for found in node["references"]}


def differences(found: Dump, expected: ExpectedNodes, *, leave_out: tuple[tuple[str, str], ...] = ()) -> list[str]:
    """Return what differs, one line a node and attribute; `leave_out`: (node class, attribute)."""
    lines = [f"{name} is missing" for name in expected.keys() - found.keys()]
    lines += [f"{name} is not in the plant file" for name in found.keys() - expected.keys()]
    for name, node in expected.items():
        for attribute, value in node.attributes.items():
            if name not in found or (node.attributes["NodeClass"], attribute) in leave_out:
                continue
            if found[name][attribute] != value:
                lines.append(f"{name} {attribute} is {found[name][attribute]!r}, not {value!r}")
    return lines


def reference_differences(found: Dump, expected: ExpectedNodes) -> list[str]:
    return [
        f"{name}: {sorted(references(found[name]) ^ node.references)}"
        for name, node in expected.items()
        if name in found and references(found[name]) != node.references
    ]


def test_every_node_has_the_attributes_of_the_plant_file(browsed: Dump, expected: ExpectedNodes) -> None:
    assert len(expected) > 700
    assert differences(of_plant(browsed), expected) == []


def test_every_node_has_its_references_and_no_others(browsed: Dump, expected: ExpectedNodes) -> None:
    assert reference_differences(of_plant(browsed), expected) == []


def test_no_reference_is_twice(browsed: Dump) -> None:
    twice = [name for name, node in of_plant(browsed).items() if len(references(node)) != len(node["references"])]
    assert twice == []


def test_a_reference_describes_its_target(browsed: Dump) -> None:
    wrong = [
        (name, found)
        for name, node in of_plant(browsed).items()
        for found in node["references"]
        if (target := browsed.get(found["target"])) is not None
        and (found["nodeClass"] != target["NodeClass"] or found["name"] != target["BrowseName"].split(":", 1)[1])
    ]
    assert wrong == []


def test_the_type_definition_in_a_reference_is_that_of_its_target(browsed: Dump) -> None:
    kinds = {
        name: found["target"]
        for name, node in of_plant(browsed).items()
        for found in node["references"]
        if found["type"] == "ns=0;i=40"
    }
    wrong = [
        (name, found["target"], found["typeDefinition"])
        for name, node in of_plant(browsed).items()
        for found in node["references"]
        if found["target"] in kinds and found["typeDefinition"] != kinds[found["target"]]
    ]
    assert wrong == []


def test_standard_nodes_lead_to_the_plant(browsed: Dump, plant: Plant) -> None:
    assert (ORGANIZES, True, "ns=2;s=Plant") in references(browsed[OBJECTS])
    assert (HAS_NOTIFIER, True, "ns=2;s=Plant") in references(browsed[SERVER])
    subtypes = references(browsed["ns=0;i=58"]) | references(browsed["ns=0;i=29"])
    missing = [
        name for name in (*plant.types, *plant.enumerations) if ("ns=0;i=45", True, f"ns=2;s={name}") not in subtypes
    ]
    assert missing == []
    assert ("ns=0;i=45", True, f"ns=2;s={VISION_TYPE}") in references(browsed[VISION_BASE])


def test_notifiers_form_a_tree_below_the_server(browsed: Dump, plant: Plant) -> None:
    reached, open_ends = set[str](), [SERVER]
    while open_ends:
        name = open_ends.pop()
        below = [target for kind, forward, target in references(browsed[name]) if kind == HAS_NOTIFIER and forward]
        assert not reached.intersection(below)
        reached.update(below)
        open_ends += below
    assert reached == {f"ns=2;s={machine.path}" for machine in plant.objects}


def test_enumerations_are_defined(browsed: Dump, plant: Plant) -> None:
    for enumeration in plant.enumerations.values():
        strings = browsed[f"ns=2;s={enumeration.name}.EnumStrings"]
        assert strings["Value"]["value"] == list(enumeration.values)
        assert strings["ArrayDimensions"] == [len(enumeration.values)]
        definition = browsed[f"ns=2;s={enumeration.name}"]["DataTypeDefinition"]["fields"]
        assert [field["name"] for field in definition] == list(enumeration.values)


def test_arguments_are_described(browsed: Dump, plant: Plant) -> None:
    for path, command in plant.commands.items():
        for key, declared in (("Input", command.declaration.arguments), ("Output", command.declaration.outputs)):
            node = browsed.get(f"ns=2;s={path}.{key}Arguments")
            given = [] if node is None else node["Value"]["value"]
            found = [(it["name"], it["dataType"], it["valueRank"]) for it in given]
            assert found == [(it.name, f"ns=0;i={int(it.type)}", -1) for it in declared], path


def test_units_and_ranges(browsed: Dump, plant: Plant, operator: Connection) -> None:
    units = {int(number): symbol for number, symbol in operator.ask("units").items()}
    compared = 0
    for variable in plant.variables:
        unit, limits = variable.declaration.unit, variable.declaration.range
        if unit is None or limits is None:
            continue
        given = browsed[f"ns=2;s={variable.path}.EngineeringUnits"]["Value"]["value"]
        assert given["unitId"] == unit.unit_id, variable.path
        assert given["displayName"]["text"] == unit.symbol, variable.path
        assert given["namespaceUri"] == unit.namespace, variable.path
        ends = browsed[f"ns=2;s={variable.path}.EURange"]["Value"]["value"]
        assert (ends["low"], ends["high"]) == limits, variable.path
        if given["unitId"] in units:
            compared += 1
            assert same_symbol(units[given["unitId"]], unit.symbol), variable.path
    assert compared > 20


def same_symbol(theirs: str, ours: str) -> bool:
    """Whether two spellings are one unit: node-opcua writes `mm/s`, `m/s²`, `%` or `C`."""
    return theirs == ours or {theirs, ours} in ({"rpm", "r/min"}, {"% or pct", "%"}, {"pct", "%"})


def test_every_node_below_root_can_be_browsed(operator: Connection, expected: ExpectedNodes) -> None:
    statuses = operator.ask("walk", root="ns=0;i=84")
    assert {name: status for name, status in statuses.items() if status != "Good"} == {}
    assert expected.keys() - statuses.keys() == set()


def test_a_long_answer_comes_in_parts(operator: Connection, browsed: Dump) -> None:
    found = operator.ask("browse_in_parts", node="ns=2;s=Plant.Generator1", max=10)
    whole = [it["target"] for it in browsed["ns=2;s=Plant.Generator1"]["references"] if it["forward"]]
    assert found["targets"] == whole
    assert found["sizes"] == [10] * (len(whole) // 10) + ([len(whole) % 10] if len(whole) % 10 else [])


@pytest.mark.parametrize(
    ("path", "status", "targets"),
    [
        ("/Objects/2:Plant", "Good", ["ns=2;s=Plant"]),
        pytest.param("/Objects/2:Plant/2:Line2/2:OEE", "Good", ["ns=2;s=Plant.Line2.OEE"]),
        pytest.param("/Objects/2:Plant/2:Line2/2:OEE.EURange", "Good", ["ns=2;s=Plant.Line2.OEE.EURange"]),
        ("/Objects/2:Plant/2:Generator1/2:Nothing", "BadNoMatch", []),
    ],
)
def test_browse_paths_are_translated(operator: Connection, path: str, status: str, targets: list[str]) -> None:
    found = operator.ask("translate", start="RootFolder", path=path)
    assert (found["status"], found["targets"]) == (status, targets)

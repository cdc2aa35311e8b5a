"""Every node of the default plant as a client sees it: attributes, references, types."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from asyncua import Client, ua
from opcua_rig import browse, nid, read, session, settings, small_server

from address_space.model import Feed
from server.assembly import Plantree, running
from tests.process_rig import calm_plant

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDS = ua.AttributeIds
EVERY = [attribute for attribute in IDS if attribute <= IDS.AccessLevelEx]
BASE = {IDS.NodeId, IDS.NodeClass, IDS.BrowseName, IDS.DisplayName}
MANDATORY = {
    ua.NodeClass.Object: BASE | {IDS.EventNotifier},
    ua.NodeClass.Variable: BASE
    | {IDS.Value, IDS.DataType, IDS.ValueRank, IDS.AccessLevel, IDS.UserAccessLevel, IDS.Historizing},
    ua.NodeClass.Method: BASE | {IDS.Executable, IDS.UserExecutable},
    ua.NodeClass.ObjectType: BASE | {IDS.IsAbstract},
    ua.NodeClass.DataType: BASE | {IDS.IsAbstract},
}
ONE_WAY = {ua.NodeId(ua.ObjectIds.HasTypeDefinition), ua.NodeId(ua.ObjectIds.HasModellingRule)}
Graph = dict[ua.NodeId, list[ua.ReferenceDescription]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    folder = tmp_path_factory.mktemp("walk")
    async with running(settings(folder, calm_plant(folder / "plant.yaml"))) as plantree:
        yield plantree


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(plantree: Plantree) -> AsyncIterator[Client]:
    async with session(plantree) as client:
        yield client


@pytest.fixture(scope="module")
def nodes(plantree: Plantree) -> list[ua.NodeId]:
    return [nid(identifier) for identifier in plantree.opcua.space.factory.identifiers()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def graph(client: Client, nodes: list[ua.NodeId]) -> Graph:
    return await browse(client, nodes)


def of_distinct_machines(plantree: Plantree, nodes: list[ua.NodeId]) -> list[ua.NodeId]:
    """Leave out machines of a type that another is of, whose nodes are alike."""
    first = {machine.type.name: machine.path for machine in reversed(plantree.plant.objects)}
    alike = tuple(f"{machine.path}." for machine in plantree.plant.objects if machine.path not in first.values())
    return [node for node in nodes if not f"{node.Identifier}.".startswith(alike)]


async def test_every_attribute_of_every_node_is_readable(
    plantree: Plantree, client: Client, nodes: list[ua.NodeId]
) -> None:
    assert len(nodes) == len(set(nodes))
    items = [(node, attribute) for node in of_distinct_machines(plantree, nodes) for attribute in EVERY]
    found = await read(client, items)
    by_node: dict[ua.NodeId, dict[ua.AttributeIds, ua.DataValue]] = {}
    for (node, attribute), value in zip(items, found, strict=True):
        by_node.setdefault(node, {})[attribute] = value
    absent = ua.StatusCodes.BadAttributeIdInvalid
    for node, values in by_node.items():
        assert values[IDS.NodeId].Value.Value == node
        kind = ua.NodeClass(values[IDS.NodeClass].Value.Value)
        have = {attribute for attribute, value in values.items() if value.StatusCode.value != absent}
        assert have >= MANDATORY[kind], node
        for attribute in have - {IDS.Value}:
            assert values[attribute].StatusCode.is_good(), (node, attribute)
        assert values[IDS.BrowseName].Value.Value.Name == node.Identifier.rpartition(".")[2]
        assert values[IDS.DisplayName].Value.Value.Text


async def test_every_value_has_the_type_that_its_node_says(plantree: Plantree, client: Client) -> None:
    variables = plantree.plant.variables
    pairs = [(nid(v.path), attribute) for v in variables for attribute in (IDS.Value, IDS.DataType)]
    found = await read(client, pairs)
    for variable, value, data_type in zip(variables, found[::2], found[1::2], strict=True):
        declared = data_type.Value.Value
        if variable.declaration.enumeration is None:
            assert declared == ua.NodeId(int(variable.declaration.type))
        else:
            assert declared == nid(variable.declaration.enumeration.name)
        if value.Value.Value is not None:
            assert int(value.Value.VariantType) == int(variable.declaration.type), variable.path
        if variable.declaration.feed is Feed.SETPOINT:
            assert value.StatusCode.is_good(), variable.path


async def test_analog_variables_have_range_and_unit(plantree: Plantree, client: Client) -> None:
    for variable in plantree.plant.machine("Plant.Generator1").variables.values():
        unit = variable.declaration.unit
        if unit is None:
            continue
        properties = [(nid(f"{variable.path}.{name}"), IDS.Value) for name in ("EURange", "EngineeringUnits")]
        limits, units = [found.Value.Value for found in await read(client, properties)]
        assert (limits.Low, limits.High) == variable.declaration.range
        assert (units.UnitId, units.DisplayName.Text) == (unit.unit_id, unit.symbol)


async def test_every_reference_ends_at_a_node_that_is_what_it_says(client: Client, graph: Graph) -> None:
    references = [reference for found in graph.values() for reference in found]
    attributes = (IDS.NodeClass, IDS.BrowseName, IDS.DisplayName)
    targets = list({reference.NodeId for reference in references})
    found = await read(client, [(target, attribute) for target in targets for attribute in attributes])
    known = {target: found[3 * i : 3 * i + 3] for i, target in enumerate(targets)}
    for reference in references:
        node_class, browse_name, display_name = known[reference.NodeId]
        assert node_class.StatusCode.is_good(), f"{reference.NodeId} is no node"
        assert reference.NodeClass == node_class.Value.Value, reference
        assert reference.BrowseName == browse_name.Value.Value, reference
        assert reference.DisplayName.Text == display_name.Value.Value.Text, reference


async def test_references_say_the_type_definition_of_their_target(client: Client, graph: Graph) -> None:
    typed = {ua.NodeClass.Object, ua.NodeClass.Variable}
    targets = [r.NodeId for found in graph.values() for r in found if r.NodeClass in typed]
    everything = await browse(client, list(dict.fromkeys(targets)))
    kinds = {
        node: [r.NodeId for r in found if r.ReferenceTypeId == ua.NodeId(ua.ObjectIds.HasTypeDefinition)]
        for node, found in everything.items()
    }
    for found in graph.values():
        for reference in found:
            if reference.NodeClass in typed:
                assert kinds[reference.NodeId][:1] == [reference.TypeDefinition], reference


async def test_every_reference_has_its_inverse(client: Client, graph: Graph) -> None:
    outside = {r.NodeId for found in graph.values() for r in found if r.ReferenceTypeId not in ONE_WAY} - graph.keys()
    everything = graph | await browse(client, list(outside))
    links = {
        (node, reference.ReferenceTypeId, reference.NodeId, reference.IsForward)
        for node, found in everything.items()
        for reference in found
    }
    for node in graph:
        for reference in graph[node]:
            if reference.ReferenceTypeId not in ONE_WAY:
                back = (reference.NodeId, reference.ReferenceTypeId, node, not reference.IsForward)
                assert back in links, (node, reference)
    for node in outside:
        for reference in everything[node]:
            if reference.NodeId.NamespaceIndex == 2 and reference.ReferenceTypeId not in ONE_WAY:
                back = (reference.NodeId, reference.ReferenceTypeId, node, not reference.IsForward)
                assert back in links, (node, reference)


async def test_every_node_is_reached_from_the_objects_and_types(client: Client, graph: Graph) -> None:
    seen: set[ua.NodeId] = set()
    below = [nid("Plant"), *(node for node in graph if "." not in node.Identifier)]
    while below:
        node = below.pop()
        if node not in seen:
            seen.add(node)
            below += [r.NodeId for r in graph[node] if r.IsForward and r.NodeId in graph]
    assert seen == graph.keys()
    objects = await browse(client, [ua.NodeId(ua.ObjectIds.ObjectsFolder)])
    assert nid("Plant") in {r.NodeId for found in objects.values() for r in found if r.IsForward}


async def test_an_instance_has_what_its_type_has(plantree: Plantree, graph: Graph) -> None:
    def children(node: str) -> set[tuple[str, int]]:
        kinds = {ua.NodeId(ua.ObjectIds.HasComponent), ua.NodeId(ua.ObjectIds.HasProperty)}
        return {
            (r.BrowseName.Name, r.NodeClass) for r in graph[nid(node)] if r.IsForward and r.ReferenceTypeId in kinds
        }

    for machine in plantree.plant.machines:
        assert children(machine.path) >= children(machine.type.name), machine.path


async def test_no_node_is_invented(client: Client) -> None:
    names = [
        "",
        "Plant.",
        "Plant.Generator",
        "Plant.Generator1.",
        "Plant.Generator1.Speed.",
        "plant",
        "GeneratorState.",
    ]
    names += ["GeneratorState.x", "Plant.Generator1.Speed.EURange.x", "Plant.Generator1.Start.InputArguments"]
    names += ["Plant.Generator1.Identification.AssetId", "GeneratorType.Identification.x", "Plant..Speed"]
    for value in await read(client, [(nid(name), IDS.NodeClass) for name in names]):
        assert value.StatusCode.value == ua.StatusCodes.BadNodeIdUnknown
    others = [ua.NodeId(1, 2), ua.NodeId("Plant", 1), ua.NodeId("Plant", 3), ua.NodeId(b"Plant", 2)]
    for value in await read(client, [(node, IDS.Value) for node in others]):
        assert value.StatusCode.value == ua.StatusCodes.BadNodeIdUnknown


async def test_the_server_s_own_diagnostics_appear(plantree: Plantree, client: Client) -> None:
    states = [nid(f"Plant.ServerDiagnostics.{source}.State") for source in plantree.plant.sources]
    ids = [plantree.plant.variable(node.Identifier).id for node in states]
    journal = plantree.store.journal
    await journal.wait(lambda: all(plantree.store.value(i) is not None for i in ids))
    found = await read(client, [(state, IDS.Value) for state in states])
    assert {value.Value.Value for value in found} <= {"Running", "Restarting"}
    assert len(found) == 5


async def test_a_hundred_machines_by_range(tmp_path: Path) -> None:
    async with small_server(tmp_path, "  Press[1..100]: {type: PressType}\n") as many, session(many) as client:
        graph = await browse(client, [nid("Plant")])
        component = ua.NodeId(ua.ObjectIds.HasComponent)
        names = [r.BrowseName.Name for r in graph[nid("Plant")] if r.IsForward and r.ReferenceTypeId == component]
        assert names == [*(f"Press{i}" for i in range(1, 101)), "ServerDiagnostics"]
        found = await read(client, [(nid(f"Plant.Press{i}.Target"), IDS.Value) for i in range(1, 101)])
        assert [value.Value.Value for value in found] == [10.0] * 100

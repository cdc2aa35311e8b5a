"""Nodes of a user's NodeSet beside the plant's, and which of the plant's nodes stay in memory."""

import gc
import weakref

from asyncua import ua

from server.opcua.plant_nodes import MAX_MADE
from server.opcua.space import PlantAddressSpace
from tests.server.opcua_view.view_rig import Client, description

PRESS, SPEED = ua.NodeId("Plant.Press1", 2), ua.NodeId("Plant.Press2.Speed", 2)
INVERSE = ua.BrowseDirection.Inverse


def added(presses: Client, number: int) -> ua.NodeId:
    uris = presses.space.read_attribute_value(ua.NodeId(ua.ObjectIds.Server_NamespaceArray), ua.AttributeIds.Value)
    assert uris.Value is not None
    return ua.NodeId(number, uris.Value.Value.index("urn:extra"))


def test_a_plant_node_shows_what_a_nodeset_hangs_on_it(presses: Client) -> None:
    tank, feeds = added(presses, 2), added(presses, 1)
    (down, up) = presses.browse([description(PRESS), description(SPEED, INVERSE, feeds)])
    (found,) = [found for found in down.References if found.NodeId == tank]
    assert (found.BrowseName.Name, found.IsForward, found.NodeClass) == ("Tank", True, ua.NodeClass.Object)
    assert found.TypeDefinition == ua.NodeId(ua.ObjectIds.BaseObjectType)
    assert [(found.NodeId, found.IsForward) for found in up.References] == [(tank, False)]


def test_an_added_node_shows_the_plants(presses: Client) -> None:
    (result,) = presses.browse([description(added(presses, 2))])
    targets = {found.NodeId: found for found in result.References}
    assert not targets[PRESS].IsForward
    assert targets[PRESS].TypeDefinition == ua.NodeId("PressType", 2)
    assert targets[SPEED].IsForward
    assert targets[SPEED].BrowseName == ua.QualifiedName("Speed", 2)
    assert targets[SPEED].TypeDefinition == ua.NodeId(ua.ObjectIds.AnalogUnitRangeType)


def test_an_added_reference_type_is_a_subtype(presses: Client) -> None:
    (result,) = presses.browse([description(SPEED, INVERSE, ua.NodeId(ua.ObjectIds.NonHierarchicalReferences))])
    assert [found.ReferenceTypeId for found in result.References] == [added(presses, 1)]


def test_other_nodes_of_the_type_are_as_the_model_says(presses: Client) -> None:
    first, second = presses.browse([description(PRESS), description(ua.NodeId("Plant.Press2", 2))])
    assert len(first.References) == len(second.References) + 1


def test_nodes_that_were_asked_for_go_and_those_that_differ_stay(presses: Client) -> None:
    space = presses.space
    fill(space)
    held = weakref.ref(space[ua.NodeId("Plant.Press5.Speed", 2)])
    fill(space)
    gc.collect()
    assert held() is None
    (result,) = presses.browse([description(PRESS)])
    assert added(presses, 2) in {found.NodeId for found in result.References}


def fill(space: PlantAddressSpace) -> None:
    """Ask for other nodes until those before are gone."""
    space.nodes.limit = 50
    others = [name for name in space.factory.identifiers() if not name.startswith(("Plant.Press5", "Plant.Press6"))]
    assert len(others) > 2 * space.nodes.limit
    for identifier in others:
        assert space[ua.NodeId(identifier, 2)] is not None
    assert space.nodes.made == space.nodes.limit
    space.nodes.limit = MAX_MADE


def test_a_node_with_a_callback_stays_until_it_is_removed(presses: Client) -> None:
    space = presses.space
    nodeid = ua.NodeId("Plant.Press6.Speed", 2)
    _, handle = space.add_datachange_callback(nodeid, ua.AttributeIds.Value, lambda *_: None)
    node = space[nodeid]
    fill(space)
    assert space[nodeid] is node
    space.delete_datachange_callback(handle)
    fill(space)
    assert space[nodeid] is not node


def test_browsing_keeps_no_nodes(presses: Client) -> None:
    nodes = [node for node in presses.space.keys() if node.NamespaceIndex == 2]  # noqa: SIM118  no dict
    before = presses.space.nodes.made
    presses.browse([description(node) for node in nodes if str(node.Identifier).startswith("Plant.Press7")])
    assert presses.space.nodes.made == before


def test_a_reference_added_and_removed_shows_at_once(presses: Client) -> None:
    space = presses.space
    machine = ua.NodeId("Plant.Press9", 2)
    extra = ua.ReferenceDescription(
        ua.NodeId(ua.ObjectIds.HasComponent), True, added(presses, 2), ua.QualifiedName("Tank", 3),
        ua.LocalizedText("Tank"), ua.NodeClass.Object, ua.NodeId(ua.ObjectIds.BaseObjectType),
    )  # fmt: skip

    def count() -> int:
        return len(presses.browse([description(machine)])[0].References)

    before = count()
    space[machine].references.append(extra)
    assert count() == before + 1
    space[machine].references.remove(extra)
    assert count() == before


async def test_a_new_name_shows_in_references_to_the_node(presses: Client) -> None:
    space, tank = presses.space, added(presses, 2)

    def shown() -> str:
        (result,) = presses.browse([description(PRESS)])
        return next(found.DisplayName.Text for found in result.References if found.NodeId == tank)

    assert shown() == "Tank"
    for name in ("Vessel", "Tank"):
        value = ua.DataValue(ua.Variant(ua.LocalizedText(name), ua.VariantType.LocalizedText))
        await space.write_attribute_value(tank, ua.AttributeIds.DisplayName, value)
        assert shown() == name

"""Browse and its StatusCodes (OPC 10000-4 5.9.2), continuation points (7.9) and BrowseNext (5.9.3)."""

import struct

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from server.opcua.continuation import MAX_POINTS
from server.opcua.view import MAX_OPERATIONS
from tests.server.opcua_view.view_rig import Client, browse_body, description

PLANT = ua.NodeId("Plant", 2)
GENERATOR = ua.NodeId("Plant.Generator1", 2)
CURRENT = ua.NodeId("Plant.Generator1.CurrentL1", 2)
UNKNOWN = ua.NodeId("Plant.Generator1.NoSuch", 2)
HIERARCHICAL = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
HAS_COMPONENT = ua.NodeId(ua.ObjectIds.HasComponent)
FORWARD, INVERSE = ua.BrowseDirection.Forward, ua.BrowseDirection.Inverse


def points_of(results: list[ua.BrowseResult]) -> list[bytes]:
    return [result.ContinuationPoint for result in results]


def test_a_machine_is_a_component_and_a_notifier_of_the_plant(client: Client) -> None:
    (down,) = client.browse([description(PLANT, FORWARD, HIERARCHICAL)])
    kinds = [found.ReferenceTypeId.Identifier for found in down.References if found.NodeId == GENERATOR]
    assert sorted(kinds) == [ua.ObjectIds.HasComponent, ua.ObjectIds.HasNotifier]
    (up,) = client.browse([description(GENERATOR, INVERSE)])
    kinds = [found.ReferenceTypeId.Identifier for found in up.References]
    assert sorted(kinds) == [ua.ObjectIds.HasComponent, ua.ObjectIds.HasNotifier]
    assert {found.NodeId for found in up.References} == {PLANT}


def test_the_server_notifies_of_the_plant(client: Client) -> None:
    kind = ua.NodeId(ua.ObjectIds.HasNotifier)
    (result,) = client.browse([description(ua.NodeId(ua.ObjectIds.Server), FORWARD, kind)])
    assert [found.NodeId for found in result.References] == [PLANT]


def test_subtypes_are_included_only_when_asked_for(client: Client) -> None:
    asked = [description(CURRENT, FORWARD, HIERARCHICAL, subtypes=subtypes) for subtypes in (True, False)]
    with_subtypes, without = client.browse(asked)
    assert {found.BrowseName.Name for found in with_subtypes.References} == {
        "EURange",
        "EngineeringUnits",
        "HA Configuration",
    }
    assert without.StatusCode.is_good()
    assert without.References == []


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (description(UNKNOWN), "BadNodeIdUnknown"),
        (description(ua.NodeId("Plant", 77)), "BadNodeIdUnknown"),
        (description(CURRENT, 3), "BadBrowseDirectionInvalid"),
        (description(CURRENT, kind=ua.NodeId(ua.ObjectIds.ObjectsFolder)), "BadReferenceTypeIdInvalid"),
        (description(CURRENT, kind=ua.NodeId(765_432)), "BadReferenceTypeIdInvalid"),
        (b"\x03\x02\x00\x01\x00\x00\x00\xff" + description(CURRENT)[-15:], "BadNodeIdUnknown"),  # not UTF-8
    ],
)
def test_a_bad_description_fails_alone(client: Client, wanted: bytes, status: str) -> None:
    bad, good = client.browse([wanted, description(CURRENT)])
    assert bad.StatusCode.name == status
    assert bad.References == []
    assert bad.ContinuationPoint is None
    assert good.StatusCode.is_good()
    assert len(good.References) == 5


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (browse_body([]), "BadNothingToDo"),
        (browse_body([description(CURRENT)] * (MAX_OPERATIONS + 1)), "BadTooManyOperations"),
        (browse_body([description(CURRENT)], view=ua.NodeId(ua.ObjectIds.ViewsFolder)), "BadViewIdUnknown"),
        (browse_body([description(CURRENT)])[:-1], "BadDecodingError"),
        (browse_body([description(CURRENT)]) + b"\x00", "BadDecodingError"),
        (browse_body([b"\x09" + description(CURRENT)]), "BadDecodingError"),
        (b"\x00", "BadDecodingError"),
    ],
)
def test_a_bad_request_fails_as_a_whole(client: Client, body: bytes, status: str) -> None:
    assert client.ask("Browse", body) == status


def test_as_many_operations_as_are_announced(client: Client) -> None:
    results = client.browse([description(CURRENT, mask=0)] * MAX_OPERATIONS)
    assert len(results) == MAX_OPERATIONS
    node = ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse)
    assert client.space.read_attribute_value(node, ua.AttributeIds.Value).Value.Value == MAX_OPERATIONS
    node = ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_MaxBrowseContinuationPoints)
    assert client.space.read_attribute_value(node, ua.AttributeIds.Value).Value.Value == MAX_POINTS


def test_what_was_cut_comes_with_browse_next(client: Client) -> None:
    (whole,) = client.browse([description(GENERATOR)])
    (part,) = client.browse([description(GENERATOR)], most=10)
    found = list(part.References)
    while part.ContinuationPoint:
        assert len(part.References) == 10
        used = part.ContinuationPoint
        (part,) = client.browse_next([used])
        found += part.References
        assert client.browse_next([used])[0].StatusCode.name == "BadContinuationPointInvalid"
    assert found == whole.References
    assert len(client.continuation_points) == 0


def test_as_many_references_as_asked_for_need_no_point(client: Client) -> None:
    (exact,) = client.browse([description(CURRENT)], most=5)
    assert exact.ContinuationPoint is None
    (less,) = client.browse([description(CURRENT)], most=4)
    assert (len(less.References), less.ContinuationPoint is None) == (4, False)


def test_released_points_are_gone(client: Client) -> None:
    points = points_of(client.browse([description(GENERATOR), description(PLANT)], most=1))
    assert client.browse_next(points, release=True) == []
    assert len(client.continuation_points) == 0
    assert [found.StatusCode.name for found in client.browse_next(points)] == ["BadContinuationPointInvalid"] * 2


def test_points_cannot_be_guessed_and_are_of_one_session(client: Client) -> None:
    points = points_of(client.browse([description(GENERATOR)] * 50, most=1))
    assert len(set(points)) == 50
    assert all(len(point) == 16 for point in points)
    other = Client(client.space)
    assert other.browse_next(points[:1])[0].StatusCode.name == "BadContinuationPointInvalid"


def test_points_of_earlier_requests_make_room(client: Client) -> None:
    first = points_of(client.browse([description(GENERATOR)] * MAX_POINTS, most=1))
    second = points_of(client.browse([description(PLANT)] * 2, most=1))
    assert len(client.continuation_points) == MAX_POINTS
    states = [client.browse_next([point])[0].StatusCode.is_good() for point in (*first[:3], *second)]
    assert states == [False, False, True, True, True]


def test_one_request_gets_no_more_points_than_there_are(client: Client) -> None:
    results = client.browse([description(GENERATOR)] * (MAX_POINTS + 1), most=1)
    assert [found.StatusCode.name for found in results] == ["Good"] * MAX_POINTS + ["BadNoContinuationPoints"]
    assert results[-1].References == []


def test_a_point_twice_in_a_request_is_used_up_by_the_first(client: Client) -> None:
    (point,) = points_of(client.browse([description(GENERATOR)], most=1))
    first, second = client.browse_next([point, point])
    assert (first.StatusCode.name, second.StatusCode.name) == ("Good", "BadContinuationPointInvalid")


def test_browse_next_with_nothing_to_do(client: Client) -> None:
    assert client.browse_next([]) == "BadNothingToDo"
    assert client.ask("BrowseNext", b"\x00\x05\x00\x00\x00") == "BadDecodingError"


def test_an_answer_too_large_for_the_client_is_cut(client: Client) -> None:
    (whole,) = client.browse([description(GENERATOR)])
    room = client.size
    assert not client.browse([description(GENERATOR)], room=room)[0].ContinuationPoint
    (part,) = client.browse([description(GENERATOR)], room=room - 1)
    assert client.size < room
    (rest,) = client.browse_next([part.ContinuationPoint])
    assert [*part.References, *rest.References] == whole.References


def test_an_answer_of_which_nothing_fits_is_refused(client: Client) -> None:
    asked = [description(GENERATOR)]
    assert client.browse(asked, room=100) == "BadResponseTooLarge"
    assert client.browse(asked * 100, room=2000) == "BadResponseTooLarge"
    assert len(client.continuation_points) == 0
    (point,) = points_of(client.browse(asked, most=1))
    assert client.browse_next([point], room=100) == "BadResponseTooLarge"
    assert client.browse_next([point])[0].StatusCode.is_good()


def test_registered_nodes_keep_their_ids_and_unknown_ones_are_copied(client: Client) -> None:
    nodes = [CURRENT, UNKNOWN, ua.NodeId(b"x", 3)]
    body = struct_to_binary(ua.RegisterNodesParameters(NodesToRegister=nodes))
    assert client.ask("RegisterNodes", body).Parameters.RegisteredNodeIds == nodes
    assert client.ask("UnregisterNodes", body).ResponseHeader.ServiceResult.is_good()


@pytest.mark.parametrize("service", ["RegisterNodes", "UnregisterNodes"])
def test_bad_registrations_fail_as_a_whole(client: Client, service: str) -> None:
    def of(*nodes: bytes) -> bytes:
        return struct.pack("<i", len(nodes)) + b"".join(nodes)

    assert client.ask(service, of()) == "BadNothingToDo"
    assert client.ask(service, of(*[b"\x00\x55"] * (MAX_OPERATIONS + 1))) == "BadTooManyOperations"
    bad = client.ask(service, of(b"\x00\x55", b"\x0a\x55"))  # no NodeId has this encoding
    assert bad == ("BadNodeIdInvalid" if service == "RegisterNodes" else "BadDecodingError")

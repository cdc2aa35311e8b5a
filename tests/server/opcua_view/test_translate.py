"""TranslateBrowsePathsToNodeIds (OPC 10000-4 5.9.4)."""

from collections.abc import Iterator

import pytest
from asyncua import ua

from server.opcua.view import MAX_OPERATIONS
from server.opcua.view_translate import WHOLE_PATH
from tests.server.opcua_view.view_rig import NULL, Client

ROOT = ua.NodeId(ua.ObjectIds.RootFolder)
OBJECTS = ua.NodeId(ua.ObjectIds.ObjectsFolder)
PLANT = ua.NodeId("Plant", 2)
SPEED = ua.NodeId("Plant.Generator1.Speed", 2)
HIERARCHICAL = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
HAS_COMPONENT = ua.NodeId(ua.ObjectIds.HasComponent)


def element(
    name: str | None, kind: ua.NodeId = HIERARCHICAL, *, space: int = 2, inverse: bool = False, subtypes: bool = True
) -> ua.RelativePathElement:
    return ua.RelativePathElement(kind, inverse, subtypes, ua.QualifiedName(name, space))


def path(start: ua.NodeId, *elements: ua.RelativePathElement) -> ua.BrowsePath:
    return ua.BrowsePath(start, ua.RelativePath(list(elements)))


def ids(result: ua.BrowsePathResult) -> list[ua.NodeId]:
    assert result.StatusCode.is_good()
    assert all(target.RemainingPathIndex == WHOLE_PATH for target in result.Targets)
    return [target.TargetId for target in result.Targets]


def test_from_the_root_to_a_property(client: Client) -> None:
    names = [element("Objects", space=0), element("Plant"), element("Generator1"), element("Speed")]
    (result,) = client.translate(path(ROOT, *names, element("EURange", space=0)))
    assert ids(result) == [ua.NodeId("Plant.Generator1.Speed.EURange", 2)]


def test_a_target_that_two_references_lead_to_is_answered_once(client: Client) -> None:
    (result,) = client.translate(path(PLANT, element("Generator1")))
    assert ids(result) == [ua.NodeId("Plant.Generator1", 2)]


def test_inverse_subtypes_and_any_type(client: Client) -> None:
    up = element("Generator1", HAS_COMPONENT, inverse=True)
    exact = element("Generator1", HIERARCHICAL, inverse=True, subtypes=False)
    any_type = element("Generator1", NULL, inverse=True, subtypes=False)
    down = element("Generator1", HAS_COMPONENT)
    results = client.translate(*(path(SPEED, wanted) for wanted in (up, exact, any_type, down)))
    assert ids(results[0]) == ids(results[2]) == [ua.NodeId("Plant.Generator1", 2)]
    assert [results[1].StatusCode.name, results[3].StatusCode.name] == ["BadNoMatch", "BadNoMatch"]


def test_the_namespace_of_a_name_counts(client: Client) -> None:
    (result,) = client.translate(path(OBJECTS, element("Plant", space=0)))
    assert result.StatusCode.name == "BadNoMatch"


def test_several_targets(client: Client) -> None:
    ref = ua.ReferenceDescription(
        ua.NodeId(ua.ObjectIds.Organizes), True, ua.NodeId("Plant.Line2", 2), ua.QualifiedName("Line1", 2),
        ua.LocalizedText("Line1"), ua.NodeClass.Object, ua.NodeId("ProductionLineType", 2),
    )  # fmt: skip
    references = client.space[PLANT].references
    references.append(ref)
    try:
        (result,) = client.translate(path(PLANT, element("Line1")))
        (below,) = client.translate(path(PLANT, element("Line1"), element("State")))
    finally:
        references.remove(ref)
    assert ids(result) == [ua.NodeId("Plant.Line1", 2), ua.NodeId("Plant.Line2", 2)]
    assert ids(below) == [ua.NodeId("Plant.Line1.State", 2), ua.NodeId("Plant.Line2.State", 2)]
    assert ids(client.translate(path(PLANT, element("Line1")))[0]) == [ua.NodeId("Plant.Line1", 2)]


@pytest.fixture
def elsewhere(client: Client) -> Iterator[ua.ExpandedNodeId]:
    """Add a reference from Objects to a node of another server."""
    target = ua.ExpandedNodeId(5, 1, ua.NodeIdType.Numeric, NamespaceUri="urn:far", ServerIndex=1)
    name = ua.QualifiedName("Far", 2)
    kind = ua.NodeId(ua.ObjectIds.Organizes)
    ref = ua.ReferenceDescription(kind, True, target, name, ua.LocalizedText("Far"), ua.NodeClass.Object)
    references = client.space[OBJECTS].references
    references.append(ref)
    yield target
    references.remove(ref)


def test_a_path_into_another_server_says_how_far_it_came(client: Client, elsewhere: ua.ExpandedNodeId) -> None:
    to, beyond = client.translate(
        path(OBJECTS, element("Far")), path(ROOT, element("Objects", space=0), element("Far"), element("Deep"))
    )
    for result, index in ((to, WHOLE_PATH), (beyond, 2)):
        assert result.StatusCode.name == "UncertainReferenceOutOfServer"
        assert [(found.TargetId, found.RemainingPathIndex) for found in result.Targets] == [(elsewhere, index)]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (path(PLANT), "BadNothingToDo"),
        (path(PLANT, element(None)), "BadBrowseNameInvalid"),
        (path(PLANT, element("Generator1"), element("")), "BadBrowseNameInvalid"),
        (path(PLANT, element(None), element("Speed")), "BadBrowseNameInvalid"),
        (path(ua.NodeId("Plant.NoSuch", 2), element("Speed")), "BadNodeIdUnknown"),
        (path(PLANT, element("NoSuch")), "BadNoMatch"),
        (path(PLANT, element("Generator1", ua.NodeId(85))), "BadNoMatch"),
    ],
)
def test_a_bad_path_fails_alone(client: Client, wanted: ua.BrowsePath, status: str) -> None:
    bad, good = client.translate(wanted, path(PLANT, element("Generator1"), element("Speed")))
    assert bad.StatusCode.name == status
    assert bad.Targets == []
    assert ids(good) == [SPEED]


def test_a_bad_request_fails_as_a_whole(client: Client) -> None:
    assert client.translate() == "BadNothingToDo"
    assert client.translate(*[path(PLANT)] * (MAX_OPERATIONS + 1)) == "BadTooManyOperations"
    assert client.ask("TranslateBrowsePathsToNodeIds", b"\x01\x00\x00\x00") == "BadDecodingError"
    assert client.translate(path(PLANT, element("Generator1")), room=50) == "BadResponseTooLarge"

"""Browse answers what the references of the nodes say, whatever is asked (OPC 10000-4 5.9.2)."""

from typing import Any

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st

from server.opcua.space import PlantAddressSpace
from tests.server.opcua_view.view_rig import ANY, NULL, Client, Reference, description

UNKNOWN = (
    ua.NodeId("Plant.Generator1.NoSuch", 2),
    ua.NodeId("Plant.Nowhere.Speed", 2),
    ua.NodeId("", 2),
    ua.NodeId(999_999),
    ua.NodeId(b"\x00\xff", 2),
    ua.NodeId("Plant.Press1", 1),
)
NO_KINDS = (ua.NodeId(85), ua.NodeId("Plant", 2), ua.NodeId(987_654))


class Known:
    """The nodes and reference types of a space; hypothesis prints its arguments, so this has no long form."""

    def __init__(self, space: PlantAddressSpace) -> None:
        self.space = space
        self.nodes: list[ua.NodeId] = list(space.keys())
        self.kinds = [node for node in self.nodes if node.NamespaceIndex != 2 and self._is_kind(node)]

    def _is_kind(self, node: ua.NodeId) -> bool:
        value = self.space.read_attribute_value(node, ua.AttributeIds.NodeClass).Value
        return value is not None and value.Value == ua.NodeClass.ReferenceType


@pytest.fixture(scope="module", params=("default_space", "presses_space"))
def known(request: pytest.FixtureRequest) -> Known:
    found = Known(request.getfixturevalue(request.param))
    assert len(found.nodes) > 6000
    assert len(found.kinds) > 50
    return found


def everything(client: Client, results: Any, most: int, room: int) -> list[Any]:
    """Follow all continuation points; returns StatusCode names or references."""
    found: list[Any] = []
    for result in results:
        if not result.StatusCode.is_good():
            assert not result.References
            found.append(result.StatusCode.name)
            continue
        references = list(result.References or [])
        point = result.ContinuationPoint
        while point:
            (more,) = client.browse_next([point], room=room)
            assert client.size <= room
            assert more.StatusCode.is_good()
            assert 0 < len(more.References) <= (most or len(more.References))
            references += more.References
            point = more.ContinuationPoint
        found.append(references)
    return found


def test_every_node_answers_all_its_references(known: Known) -> None:
    client, reference = Client(known.space), Reference(known.space)
    for node in known.nodes:
        (result,) = client.browse([description(node)])
        expected = reference.browse(node, 2, NULL, subtypes=True, classes=0, mask=63)
        assert result.StatusCode.is_good()
        assert list(result.References or []) == expected, node


_DIRECTIONS = st.sampled_from([0, 1, 2, 2, 3, 77])
_CLASSES = st.sampled_from([0, 0, 1, 2, 4, 8, 64, 255]) | st.integers(0, 2**32 - 1)
_MASKS = st.sampled_from([0, 63, 63, 2**32 - 1]) | st.integers(0, 63)
_PLACES = st.integers(0, 2**16)
_DESCRIPTION = st.tuples(_PLACES, _DIRECTIONS, _PLACES, st.booleans(), _CLASSES, _MASKS)


@checked(max_examples=150, deadline=None)
@given(
    drawn=st.lists(_DESCRIPTION, min_size=1, max_size=8),
    most=st.sampled_from([0, 0, 1, 2, 7, 100]),
    room=st.sampled_from([ANY, ANY, 2_000, 700]),
)
def test_any_description_is_answered_as_the_references_say(
    known: Known, drawn: list[Any], most: int, room: int
) -> None:
    plant = [node for node in known.nodes if node.NamespaceIndex > 1]
    some_nodes = [*plant, *known.nodes, *UNKNOWN * 20]
    some_kinds = [*([NULL, *(ua.NodeId(number) for number in (31, 33, 44, 46, 47))] * 20), *known.kinds, *NO_KINDS * 5]
    asked = [
        (some_nodes[node % len(some_nodes)], direction, some_kinds[kind % len(some_kinds)], *others)
        for node, direction, kind, *others in drawn
    ]
    client, reference = Client(known.space), Reference(known.space)
    descriptions = [
        description(node, direction, kind, subtypes=subtypes, classes=classes, mask=mask)
        for node, direction, kind, subtypes, classes, mask in asked
    ]
    results = client.browse(descriptions, most, room)
    assert client.size <= room
    assert len(results) == len(asked)
    if most:
        assert all(len(result.References or []) <= most for result in results)
    found = everything(client, results, most, room)
    for (node, direction, kind, subtypes, classes, mask), got in zip(asked, found, strict=True):
        assert got == reference.browse(node, direction, kind, subtypes=subtypes, classes=classes, mask=mask)
    assert len(client.continuation_points) == 0

"""Which references of a node a BrowseDescription asks for (OPC 10000-4 7.5)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary

from server.opcua.references import HAS_SUBTYPE, HAS_TYPE
from server.opcua.space import PlantAddressSpace

_DIRECTION = struct.Struct("<I")
_TAIL = struct.Struct("<?II")
_TYPED = (ua.NodeClass.Object, ua.NodeClass.Variable)
_DIRECTIONS = {
    ua.BrowseDirection.Forward: (True,),
    ua.BrowseDirection.Inverse: (False,),
    ua.BrowseDirection.Both: (True, False),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """`types` None takes all reference types, `classes` 0 all node classes; `mask` is the ResultMask."""

    directions: tuple[bool, ...]
    types: frozenset[ua.NodeId] | None
    classes: int
    mask: int

    def chosen(self, references: Iterable[ua.ReferenceDescription]) -> Iterator[ua.ReferenceDescription]:
        """Yield the references that are asked for, in their order."""
        for reference in references:
            if (
                reference.IsForward in self.directions
                and (not self.classes or self.classes & reference.NodeClass)
                and (self.types is None or reference.ReferenceTypeId in self.types)
            ):
                yield reference


class Filters:
    """Reads BrowseDescriptions; `clear` when reference types may have changed."""

    _MOST = 1024

    def __init__(self, space: PlantAddressSpace) -> None:
        self._space = space
        self._filters: dict[bytes, Filter | int] = {}
        self._subtypes: dict[ua.NodeId, frozenset[ua.NodeId]] = {}

    def clear(self) -> None:
        """Forget what was read."""
        self._filters.clear()
        self._subtypes.clear()

    def find(self, description: bytes) -> Filter | int:
        """Return the filter of a BrowseDescription without its NodeId, or the bad StatusCode that it gets."""
        found = self._filters.get(description)
        if found is None:
            if len(self._filters) >= self._MOST:
                self._filters.clear()
            found = self._filters[description] = self._read(description)
        return found

    def types(self, wanted: ua.NodeId, *, subtypes: bool) -> frozenset[ua.NodeId] | None:
        """Return a reference type with its subtypes, or alone; None for a null NodeId: all types."""
        if wanted.is_null():
            return None
        if not subtypes:
            return frozenset((wanted,))
        found = self._subtypes.get(wanted)
        if found is None:
            found = frozenset(self._with_subtypes(wanted))
            if len(self._subtypes) < self._MOST:
                self._subtypes[wanted] = found
        return found

    def is_reference_type(self, wanted: ua.NodeId) -> bool:
        """Whether a NodeId is that of a ReferenceType."""
        value = self._space.read_attribute_value(wanted, ua.AttributeIds.NodeClass).Value
        return value is not None and value.Value == ua.NodeClass.ReferenceType

    def _read(self, description: bytes) -> Filter | int:
        (direction,) = _DIRECTION.unpack_from(description)
        directions = _DIRECTIONS.get(direction)
        if directions is None:
            return ua.StatusCodes.BadBrowseDirectionInvalid
        buffer = Buffer(description, _DIRECTION.size)
        try:
            wanted = nodeid_from_binary(buffer)
        except (ua.UaError, ValueError, TypeError):  # not UTF-8, or no identifier
            return ua.StatusCodes.BadReferenceTypeIdInvalid
        subtypes, classes, mask = _TAIL.unpack(buffer.read(_TAIL.size))
        if not wanted.is_null() and not self.is_reference_type(wanted):
            return ua.StatusCodes.BadReferenceTypeIdInvalid
        return Filter(directions, self.types(wanted, subtypes=subtypes), classes, mask)

    def _with_subtypes(self, wanted: ua.NodeId) -> set[ua.NodeId]:
        found: set[ua.NodeId] = set()
        waiting = [wanted]
        while waiting:
            kind = waiting.pop()
            if kind in found:
                continue
            found.add(kind)
            node = self._space.get(kind)
            references = () if node is None else node.references
            waiting += [to.NodeId for to in references if to.IsForward and to.ReferenceTypeId == HAS_SUBTYPE]
        return found


def complete(space: PlantAddressSpace, reference: ua.ReferenceDescription) -> ua.ReferenceDescription:
    """Return a reference with what its target knows where it lacks it: a NodeSet may name targets before they are."""
    lacks_type = reference.NodeClass in _TYPED and reference.TypeDefinition.is_null()
    if reference.NodeClass and reference.BrowseName.Name and not lacks_type:
        return reference
    target = space.get(reference.NodeId)
    if target is None:
        return reference

    def attribute(number: ua.AttributeIds, given: Any) -> Any:
        value = space.read_attribute_value(reference.NodeId, number).Value
        return given if value is None or value.Value is None else value.Value

    node_class = attribute(ua.AttributeIds.NodeClass, reference.NodeClass)
    kinds = (found.NodeId for found in target.references if found.IsForward and found.ReferenceTypeId == HAS_TYPE)
    return replace(
        reference,
        NodeClass=node_class,
        BrowseName=attribute(ua.AttributeIds.BrowseName, reference.BrowseName),
        DisplayName=attribute(ua.AttributeIds.DisplayName, reference.DisplayName),
        TypeDefinition=next(kinds, ua.NodeId()) if node_class in _TYPED else ua.NodeId(),
    )

"""Event types as the address space has them: which derives from which, and what fields there are."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Iterator
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData

from server.opcua.events.ports import Event, Path
from server.opcua.references import HAS_COMPONENT, HAS_PROPERTY, HAS_SUBTYPE, HAS_TYPE

BASE_EVENT = ua.NodeId(ua.ObjectIds.BaseEventType)
_MAX_DEPTH = 50
_MOST_KEPT = 10_000
_PARTS = (HAS_COMPONENT, HAS_PROPERTY)


class EventTypes:
    """Answers questions about types and fields; types do not change while the server runs, so answers are kept."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._subtypes: dict[tuple[ua.NodeId, ua.NodeId], bool] = {}
        self._declared: dict[tuple[ua.NodeId, Path], NodeData | None] = {}
        self._known: dict[Path, bool] = {}
        self._all: list[ua.NodeId] = []

    def is_event_type(self, kind: ua.NodeId) -> bool:
        """Whether a node is an event type."""
        return self.is_subtype(kind, BASE_EVENT)

    def exists(self, kind: ua.NodeId) -> bool:
        """Whether there is such a node."""
        return self._space.get(kind) is not None

    def is_subtype(self, kind: ua.NodeId, base: ua.NodeId) -> bool:
        """Whether a type is `base` or derived from it."""
        key = (kind, base)
        found = self._subtypes.get(key)
        if found is None:
            if len(self._subtypes) >= _MOST_KEPT:
                self._subtypes.clear()
            found = self._subtypes[key] = base in {node.nodeid for node in self._chain(kind)}
        return found

    def is_field(self, path: Path) -> bool:
        """Whether any event type declares a field of this path."""
        found = self._known.get(path)
        if found is None:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._all = self._all or list(self._below(BASE_EVENT))
            found = self._known[path] = any(self.declaration(kind, path) is not None for kind in self._all)
        return found

    def declaration(self, kind: ua.NodeId, path: Path) -> NodeData | None:
        """Return the node that declares a field in an event type or in what that derives from."""
        key = (kind, path)
        if key not in self._declared:
            if len(self._declared) >= _MOST_KEPT:
                self._declared.clear()
            self._declared[key] = self._find(list(self._chain(kind)), path)
        return self._declared[key]

    def attribute(self, event: Event, path: Path, attribute: ua.AttributeIds) -> ua.Variant | None:
        """Return an attribute other than Value of a field: of the condition's own node, else of its declaration."""
        own = self._own(event.condition_id, path)
        node = own or self.declaration(event.type_id, path)
        if node is None or attribute not in node.attributes:
            return None
        if attribute is ua.AttributeIds.NodeId and own is None:
            return None  # an event that is no condition has no nodes
        found: Any = self._space.read_attribute_value(node.nodeid, attribute).Value
        return found

    def _own(self, condition: ua.NodeId | None, path: Path) -> NodeData | None:
        node = None if condition is None else self._space.get(condition)
        for name in path:
            if node is None:
                return None
            node = self._part(node, name)
        return node

    def _find(self, among: list[NodeData], path: Path) -> NodeData | None:
        for node in among:
            part = self._part(node, path[0])
            if part is None:
                continue
            if len(path) == 1:
                return part
            kind = next((it.NodeId for it in part.references if it.IsForward and it.ReferenceTypeId == HAS_TYPE), None)
            above = [] if kind is None else list(self._chain(kind))
            found = self._find([part, *above], path[1:])
            if found is not None:
                return found
        return None

    def _part(self, node: NodeData, name: str) -> NodeData | None:
        for it in node.references:
            if it.IsForward and it.BrowseName.Name == name and it.ReferenceTypeId in _PARTS:
                return self._space.get(it.NodeId)
        return None

    def _chain(self, kind: ua.NodeId) -> Iterator[NodeData]:
        """Yield a type and what it derives from."""
        node = self._space.get(kind)
        for _ in range(_MAX_DEPTH):
            if node is None:
                return
            yield node
            above = (it.NodeId for it in node.references if it.ReferenceTypeId == HAS_SUBTYPE and not it.IsForward)
            following = next(above, None)
            node = None if following is None else self._space.get(following)

    def _below(self, kind: ua.NodeId) -> Iterator[ua.NodeId]:
        waiting, seen = [kind], {kind}
        while waiting:
            one = waiting.pop()
            yield one
            node = self._space.get(one)
            for it in () if node is None else node.references:
                if it.ReferenceTypeId == HAS_SUBTYPE and it.IsForward and it.NodeId not in seen:
                    seen.add(it.NodeId)
                    waiting.append(it.NodeId)

"""The address space's nodes: those added are kept, those of the plant are made from the model when asked for.

Of the plant's nodes only the last few thousand that were asked for stay in memory, beside those that differ from what
the model says of them, or that something waits on: 100,000 variables with units are 300,000 nodes, of 7 kB each.
"""

# ruff: noqa: D102  what a list's methods do
# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, Self, SupportsIndex

from asyncua import ua
from asyncua.server.address_space import NodeData

from server.opcua.attributes import NAMESPACE, node_id
from server.opcua.nodes import NodeFactory

MAX_MADE = 4096
"""Nodes of the plant that stay in memory for the next one who asks."""


class References(list[ua.ReferenceDescription]):
    """The references of a node, which tell `changed` when one is added or goes."""

    __slots__ = ("_changed",)

    def __init__(self, references: Iterable[ua.ReferenceDescription], changed: Callable[[], None]) -> None:
        super().__init__(references)
        self._changed = changed

    def append(self, reference: ua.ReferenceDescription, /) -> None:
        super().append(reference)
        self._changed()

    def extend(self, references: Iterable[ua.ReferenceDescription], /) -> None:
        super().extend(references)
        self._changed()

    def insert(self, index: SupportsIndex, reference: ua.ReferenceDescription, /) -> None:
        super().insert(index, reference)
        self._changed()

    def remove(self, reference: ua.ReferenceDescription, /) -> None:
        super().remove(reference)
        self._changed()

    def pop(self, index: SupportsIndex = -1, /) -> ua.ReferenceDescription:
        reference = super().pop(index)
        self._changed()
        return reference

    def clear(self) -> None:
        super().clear()
        self._changed()

    def __iadd__(self, references: Iterable[ua.ReferenceDescription], /) -> Self:
        super().extend(references)
        self._changed()
        return self

    def __setitem__(self, index: Any, value: Any, /) -> None:
        super().__setitem__(index, value)
        self._changed()

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        super().__delitem__(index)
        self._changed()


class PlantNodes(MutableMapping[ua.NodeId, NodeData]):
    """What asyncua takes for its dictionary of nodes.

    `version` counts changes of what Browse answers; `changed` are the identifiers in the plant's namespace whose
    nodes were added, or are no longer as the model says; `limit` is how many of the others stay in memory.
    """

    def __init__(self, factory: NodeFactory) -> None:
        self._factory = factory
        self._others: dict[ua.NodeId, NodeData] = {}
        self._kept: dict[str, NodeData] = {}
        self._made: OrderedDict[str, NodeData] = OrderedDict()
        self.changed: set[str] = set()
        self.version = 0
        self.limit = MAX_MADE
        self.elsewhere: Callable[[ua.NodeId], NodeData | None] | None = None
        """Makes nodes that are neither the plant's nor kept, when they are asked for."""

    @property
    def made(self) -> int:
        """How many nodes of the plant are in memory although nothing needs them."""
        return len(self._made)

    def get(self, key: ua.NodeId, default: Any = None) -> Any:
        """Return a node, or `default`."""
        identifier = key.Identifier
        if key.NamespaceIndex != NAMESPACE or not isinstance(identifier, str):
            node = self._others.get(key)
            if node is None and self.elsewhere is not None:
                node = self.elsewhere(key)
            return default if node is None else node
        node = self._kept.get(identifier)
        if node is not None:
            return node
        node = self._made.get(identifier)
        if node is not None:
            self._made.move_to_end(identifier)
            return node
        return self._make(identifier) or default

    def keep(self, key: ua.NodeId) -> None:
        """Keep a node of the plant in memory: something waits on it."""
        node = self.get(key)
        if node is not None and key.NamespaceIndex == NAMESPACE and isinstance(key.Identifier, str):
            self._made.pop(key.Identifier, None)
            self._kept[key.Identifier] = node

    def forget(self, prefix: str) -> None:
        """Have the nodes whose identifiers begin so be made anew, or be no more, when they are asked for next."""
        self.version += 1
        for identifier in [it for it in self._made if it.startswith(prefix)]:
            del self._made[identifier]

    def release(self, key: ua.NodeId) -> None:
        """Let go of a node that was kept, unless it is no longer as the model says."""
        identifier = key.Identifier
        if key.NamespaceIndex == NAMESPACE and isinstance(identifier, str) and identifier not in self.changed:
            node = self._kept.pop(identifier, None)
            if node is not None:
                self._remember(identifier, node)

    def mark_changed(self, key: ua.NodeId, *, references: bool = False) -> None:
        """Note that a node is no longer as it was made; with `references`, that Browse answers it otherwise."""
        self.version += references
        if key.NamespaceIndex == NAMESPACE and isinstance(key.Identifier, str) and key in self:
            self.keep(key)
            self.changed.add(key.Identifier)

    def __getitem__(self, key: ua.NodeId) -> NodeData:
        node = self.get(key)
        if node is None:
            raise KeyError(key)
        return node

    def __contains__(self, key: object) -> bool:
        return isinstance(key, ua.NodeId) and self.get(key) is not None

    def __setitem__(self, key: ua.NodeId, value: NodeData) -> None:
        self.version += 1
        value.references = References(value.references, self._count)
        identifier = key.Identifier
        if key.NamespaceIndex != NAMESPACE or not isinstance(identifier, str):
            self._others[key] = value
            return
        self._made.pop(identifier, None)
        self._kept[identifier] = value
        self.changed.add(identifier)

    def __delitem__(self, key: ua.NodeId) -> None:
        self.version += 1
        identifier = key.Identifier
        if key.NamespaceIndex != NAMESPACE or not isinstance(identifier, str):
            del self._others[key]
            return
        if self._made.pop(identifier, None) is None:
            del self._kept[identifier]
        self.changed.discard(identifier)

    def __iter__(self) -> Iterator[ua.NodeId]:
        yield from list(self._others)
        for identifier in list(self.changed):
            if not self._factory.has(identifier):
                yield node_id(identifier)
        for identifier in self._factory.identifiers():
            yield node_id(identifier)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def others(self) -> Iterator[NodeData]:
        """Yield the nodes that are not the plant's: those of OPC UA itself, and of further NodeSets."""
        yield from list(self._others.values())

    def _count(self) -> None:
        self.version += 1

    def _make(self, identifier: str) -> NodeData | None:
        node = self._factory.build(identifier)
        if node is None:
            return None

        alive = weakref.ref(node)  # no cycle: a node that is dropped goes at once

        def differs() -> None:
            self.version += 1
            node = alive()
            if node is not None:
                self._made.pop(identifier, None)
                self._kept[identifier] = node
                self.changed.add(identifier)

        node.references = References(node.references, differs)
        self._remember(identifier, node)
        return node

    def _remember(self, identifier: str, node: NodeData) -> None:
        self._made[identifier] = node
        while len(self._made) > self.limit:
            self._made.popitem(last=False)

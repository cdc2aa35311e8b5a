"""The address space: asyncua's own nodes beside the plant's, which are made when a client first asks for them."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData

from address_space.model import Plant, Variable
from server.opcua.attributes import NAMESPACE, node_id, qualified
from server.opcua.nodes import HAS_NOTIFIER, HAS_SUBTYPE, ORGANIZES, NodeFactory, reference
from server.store import Store, from_ticks


class PlantNodes(MutableMapping[ua.NodeId, NodeData]):
    """The address space's nodes: those added are kept, those of the plant are made when first asked for."""

    def __init__(self, factory: NodeFactory) -> None:
        self._factory = factory
        self._nodes: dict[ua.NodeId, NodeData] = {}

    def get(self, key: ua.NodeId, default: Any = None) -> Any:
        """Return a node, or `default`."""
        node = self._nodes.get(key)
        if node is not None:
            return node
        if key.NamespaceIndex != NAMESPACE or not isinstance(key.Identifier, str):
            return default
        node = self._factory.build(key.Identifier)
        if node is None:
            return default
        self._nodes[node.nodeid] = node
        return node

    def __getitem__(self, key: ua.NodeId) -> NodeData:
        node = self.get(key)
        if node is None:
            raise KeyError(key)
        return node

    def __contains__(self, key: object) -> bool:
        return isinstance(key, ua.NodeId) and self.get(key) is not None

    def __setitem__(self, key: ua.NodeId, value: NodeData) -> None:
        self._nodes[key] = value

    def __delitem__(self, key: ua.NodeId) -> None:
        del self._nodes[key]

    def __iter__(self) -> Iterator[ua.NodeId]:
        yield from [key for key in self._nodes if key.NamespaceIndex != NAMESPACE]
        for identifier in self._factory.identifiers():
            yield node_id(identifier)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class PlantAddressSpace(AddressSpace):
    """asyncua's address space with the plant in it: Value attributes of its variables are the store."""

    def __init__(self, plant: Plant, store: Store) -> None:
        super().__init__()
        self.plant = plant
        self.store = store
        self.monitored = np.zeros(len(plant.variables), np.bool_)
        """Which variables have a monitored item, shape (variables,)."""
        self.factory = NodeFactory(plant, self._read_value)
        self._nodes = PlantNodes(self.factory)  # type: ignore[assignment]  # as asyncua's own shelf does

    def variable_of(self, nodeid: ua.NodeId) -> Variable | None:
        """Return the plant's variable behind a NodeId, None for any other node."""
        if nodeid.NamespaceIndex != NAMESPACE or not isinstance(nodeid.Identifier, str):
            return None
        return self.plant.find(nodeid.Identifier)

    def data_value(self, variable: Variable) -> ua.DataValue:
        """Return a variable's present DataValue."""
        value, status, source, server = self.store.read(variable.id)
        return to_data_value(variable, value, status, source, server)

    def attach(self) -> None:
        """Hang the plant below Objects, its notifiers below Server, its types below their base types."""
        plant = self.plant
        root, kind = node_id(plant.root.path), node_id(plant.root.type.name)
        name = qualified(plant.root.name)
        for parent, by in ((ua.ObjectIds.ObjectsFolder, ORGANIZES), (ua.ObjectIds.Server, HAS_NOTIFIER)):
            down = reference(by, root, ua.NodeClass.Object, name, type_definition=kind)
            self[ua.NodeId(parent)].references.append(down)
        for type_name in plant.types:
            down = reference(HAS_SUBTYPE, node_id(type_name), ua.NodeClass.ObjectType, qualified(type_name))
            self[ua.NodeId(ua.ObjectIds.BaseObjectType)].references.append(down)
        for type_name in plant.enumerations:
            down = reference(HAS_SUBTYPE, node_id(type_name), ua.NodeClass.DataType, qualified(type_name))
            self[ua.NodeId(ua.ObjectIds.Enumeration)].references.append(down)

    def add_datachange_callback(
        self, nodeid: ua.NodeId, attr: ua.AttributeIds, callback: Callable[..., Any]
    ) -> tuple[ua.StatusCode, int]:
        """Register a monitored item's callback, and note that its variable is watched."""
        status, handle = super().add_datachange_callback(nodeid, attr, callback)
        variable = self.variable_of(nodeid)
        if handle and variable is not None and attr == ua.AttributeIds.Value:
            self.monitored[variable.id] = True
        return status, handle

    def delete_datachange_callback(self, handle: int) -> None:
        """Forget a monitored item's callback."""
        nodeid, attr = self._handle_to_attribute_map.get(handle, (None, None))
        super().delete_datachange_callback(handle)
        variable = None if nodeid is None else self.variable_of(nodeid)
        if variable is not None and nodeid is not None and attr == ua.AttributeIds.Value:
            self.monitored[variable.id] = bool(self[nodeid].attributes[attr].datachange_callbacks)

    def _read_value(self, nodeid: ua.NodeId, _attr: ua.AttributeIds) -> ua.DataValue:
        return self.data_value(self.plant.variable(str(nodeid.Identifier)))


def to_data_value(variable: Variable, value: Any, status: int, source: int, server: int) -> ua.DataValue:
    """Return a DataValue; `value` as the store gives it, timestamps in ticks."""
    kind = ua.VariantType(int(variable.declaration.type))
    if kind is ua.VariantType.DateTime and value is not None:
        value = from_ticks(value)
    variant = ua.Variant(None, ua.VariantType.Null) if value is None else ua.Variant(value, kind)
    return ua.DataValue(
        Value=variant,
        StatusCode=ua.StatusCode(status),
        SourceTimestamp=from_ticks(source),
        ServerTimestamp=from_ticks(server),
    )

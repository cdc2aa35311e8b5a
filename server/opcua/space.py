"""The address space: asyncua's own nodes beside the plant's, which are made when a client asks for them."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace

from address_space.model import Plant, Variable
from server.opcua.attributes import NAMESPACE, node_id, qualified
from server.opcua.conditions import vision
from server.opcua.conditions.live import Conditions
from server.opcua.locales import Locales
from server.opcua.nodes import NodeFactory
from server.opcua.plant_nodes import PlantNodes
from server.opcua.references import HAS_NOTIFIER, HAS_SUBTYPE, ORGANIZES, reference
from server.store import Store, from_ticks

_NAMES = (ua.AttributeIds.BrowseName, ua.AttributeIds.DisplayName)


class PlantAddressSpace(AddressSpace):
    """asyncua's address space with the plant in it: Value attributes of its variables are the store."""

    def __init__(self, plant: Plant, store: Store) -> None:
        super().__init__()
        self.plant = plant
        self.store = store
        self.factory = NodeFactory(plant, self._read_value)
        self.locales = Locales(plant, self)
        self.conditions = Conditions(plant, self)
        self.factory.conditions = self.conditions.nodes
        self.nodes = PlantNodes(self.factory)
        self.conditions.pictures.changed = self.nodes.forget
        self._nodes = self.nodes  # type: ignore[assignment]  # as asyncua's own shelf does

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
        if vision.used(plant):
            down = reference(HAS_SUBTYPE, vision.TYPE_ID, ua.NodeClass.ObjectType, qualified(vision.NAME))
            self[vision.BASE_ID].references.append(down)
        for type_name in plant.enumerations:
            down = reference(HAS_SUBTYPE, node_id(type_name), ua.NodeClass.DataType, qualified(type_name))
            self[ua.NodeId(ua.ObjectIds.Enumeration)].references.append(down)

    def add_datachange_callback(
        self, nodeid: ua.NodeId, attr: ua.AttributeIds, callback: Callable[..., Any]
    ) -> tuple[ua.StatusCode, int]:
        """Register a monitored item's callback; its node is kept."""
        status, handle = super().add_datachange_callback(nodeid, attr, callback)
        if handle:
            self.nodes.keep(nodeid)
        return status, handle

    def delete_datachange_callback(self, handle: int) -> None:
        """Forget a monitored item's callback."""
        nodeid, _ = self._handle_to_attribute_map.get(handle, (None, None))
        super().delete_datachange_callback(handle)
        if nodeid is None:
            return
        node = self.nodes[nodeid]
        if not any(value.datachange_callbacks for value in node.attributes.values()):
            self.nodes.release(nodeid)

    async def write_attribute_value(
        self, nodeid: ua.NodeId, attr: ua.AttributeIds, value: ua.DataValue
    ) -> ua.StatusCode:
        """Write an attribute of a node; new names show in all references to it."""
        status = await super().write_attribute_value(nodeid, attr, value)
        renamed = attr in _NAMES
        self.nodes.mark_changed(nodeid, references=renamed)
        node = self.nodes.get(nodeid)
        if renamed and node is not None:
            for reference in node.references:
                self.nodes.mark_changed(reference.NodeId, references=True)
        return status

    def set_attribute_value_callback(
        self, nodeid: ua.NodeId, attr: ua.AttributeIds, callback: Callable[..., Any]
    ) -> ua.StatusCode:
        """Have an attribute's value come from `callback`."""
        self.nodes.mark_changed(nodeid)
        return super().set_attribute_value_callback(nodeid, attr, callback)

    def set_attribute_value_setter(
        self, nodeid: ua.NodeId, attr: ua.AttributeIds, setter: Callable[..., Any]
    ) -> ua.StatusCode:
        """Have writes of an attribute go to `setter`."""
        self.nodes.mark_changed(nodeid)
        return super().set_attribute_value_setter(nodeid, attr, setter)

    def add_method_callback(self, methodid: ua.NodeId, callback: Callable[..., Any]) -> ua.StatusCode:
        """Have calls of a method go to `callback`."""
        self.nodes.mark_changed(methodid)
        return super().add_method_callback(methodid, callback)

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

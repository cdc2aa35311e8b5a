"""Enumerations: DataTypes with EnumStrings (OPC 10000-3 5.8.3)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from asyncua import ua
from asyncua.server.address_space import NodeData

from address_space.model import Plant
from server.opcua import attributes as attrs
from server.opcua.attributes import node_id, qualified
from server.opcua.references import (
    HAS_PROPERTY,
    HAS_SUBTYPE,
    new_node,
    property_node,
    property_reference,
    reference,
    standard,
)

_IDS = ua.ObjectIds


def build(plant: Plant, identifier: str) -> NodeData | None:
    """Return an enumeration's node, or that of its EnumStrings; None for any other."""
    name, dot, key = identifier.partition(".")
    enumeration = plant.enumerations.get(name)
    if enumeration is None or (dot and key != "EnumStrings"):
        return None
    if not key:
        data = new_node(name, attrs.enumeration_attributes(enumeration))
        base = ua.QualifiedName("Enumeration", 0)
        data.references.append(
            reference(HAS_SUBTYPE, standard(_IDS.Enumeration), ua.NodeClass.DataType, base, forward=False)
        )
        data.references.append(property_reference(f"{name}.EnumStrings", ua.QualifiedName("EnumStrings", 0)))
        return data
    strings = [attrs.text(value) for value in enumeration.values]
    value = ua.Variant(strings, ua.VariantType.LocalizedText, is_array=True)
    values = attrs.property_attributes(ua.QualifiedName("EnumStrings", 0), standard(_IDS.LocalizedText), value)
    owner = reference(HAS_PROPERTY, node_id(name), ua.NodeClass.DataType, qualified(name), forward=False)
    return property_node(identifier, values, owner, rule=False)

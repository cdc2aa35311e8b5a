"""Nameplates: the object Identification below a machine, with its properties (OPC 40001-1 8.6)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Mapping
from typing import Any

from asyncua import ua
from asyncua.server.address_space import NodeData

from address_space.load import NAMEPLATE
from address_space.model import Machine
from address_space.vocabulary import TRANSLATED_NAMEPLATE
from server.opcua import attributes as attrs
from server.opcua.attributes import node_id, qualified
from server.opcua.references import (
    FOLDER_TYPE,
    HAS_PROPERTY,
    modelling_rule,
    new_node,
    property_node,
    property_reference,
    reference,
    standard,
    type_reference,
)

IDENTIFICATION = "Identification"
"""Object that carries a machine's nameplate, named as OPC 40001-1 names it."""


def build(prefix: str, machine: Machine | None, owner: ua.ReferenceDescription, rest: list[str]) -> NodeData | None:
    """Return the node at `rest` below a machine's nameplate, or that of its type; `owner` refers to machine or type."""
    identifier = f"{prefix}.{IDENTIFICATION}"
    keys: Mapping[str, Any] = dict.fromkeys(NAMEPLATE, "") if machine is None else machine.nameplate
    if not rest:
        data = new_node(identifier, attrs.folder_attributes(IDENTIFICATION, "Nameplate, after OPC 40001-1"))
        data.references.append(type_reference(FOLDER_TYPE, "FolderType", ua.NodeClass.ObjectType))
        data.references.append(owner)
        data.references += [property_reference(f"{identifier}.{key}", qualified(key)) for key in keys]
        if machine is None:
            data.references.append(modelling_rule(optional=False))
        return data
    if len(rest) != 1 or rest[0] not in keys:
        return None
    key = rest[0]
    builtin, value = _nameplate_value(key, keys[key])
    values = attrs.property_attributes(qualified(key), standard(int(builtin.value)), value)
    above = reference(
        HAS_PROPERTY, node_id(identifier), ua.NodeClass.Object, qualified(IDENTIFICATION),
        type_definition=FOLDER_TYPE, forward=False,
    )  # fmt: skip
    return property_node(f"{identifier}.{key}", values, above, rule=machine is None, optional=True)


def _nameplate_value(key: str, value: str) -> tuple[ua.VariantType, ua.Variant]:
    """Return type and value of a nameplate property as MachineIdentificationType declares it."""
    if key in TRANSLATED_NAMEPLATE:
        return ua.VariantType.LocalizedText, ua.Variant(attrs.text(value), ua.VariantType.LocalizedText)
    if key == "YearOfConstruction":
        return ua.VariantType.UInt16, ua.Variant(int(value or 0), ua.VariantType.UInt16)
    return ua.VariantType.String, ua.Variant(value, ua.VariantType.String)

"""Shared attribute sets: what all instances of one declaration have in common is built once (OPC 10000-3 5)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AttributeValue

from address_space.model import (
    Argument,
    CommandDeclaration,
    Enumeration,
    Machine,
    MachineType,
    Role,
    VariableDeclaration,
)
from address_space.translation import LANGUAGE
from address_space.units import Unit

NAMESPACE = 2
"""Index of the plant's namespace: 0 is OPC UA, 1 the server's own, nodes that a user adds come after."""

Attributes = dict[ua.AttributeIds, AttributeValue]

READ_ONLY = 0x01
"""AccessLevel: CurrentRead (OPC 10000-3 8.57)."""
READ_WRITE = 0x43
"""AccessLevel: CurrentRead, CurrentWrite, TimestampWrite."""

_READ_PERMISSIONS = ua.PermissionType.Browse | ua.PermissionType.Read
_ROLE_IDS = {role: ua.NodeId(getattr(ua.ObjectIds, f"WellKnownRole_{role.value}")) for role in Role}


def node_id(identifier: str) -> ua.NodeId:
    """Return the NodeId `ns=2;s=identifier`."""
    return ua.NodeId(identifier, NAMESPACE)


def qualified(name: str) -> ua.QualifiedName:
    """Return a browse name of the plant's namespace."""
    return ua.QualifiedName(name, NAMESPACE)


def text(words: str) -> ua.LocalizedText:
    """Return a text in the plant file's language; sessions of other languages get it in theirs (`locales`)."""
    return ua.LocalizedText(words, LANGUAGE)


def attribute(value: Any, variant: ua.VariantType, *, is_array: bool = False) -> AttributeValue:
    """Return an attribute that holds `value`."""
    return AttributeValue(ua.DataValue(ua.Variant(value, variant, is_array=is_array)))


def base(node_class: ua.NodeClass, browse_name: ua.QualifiedName, display: str, description: str) -> Attributes:
    """Return the attributes that every node has, but its NodeId (OPC 10000-3 5.2)."""
    ids = ua.AttributeIds
    return {
        ids.NodeClass: attribute(node_class, ua.VariantType.Int32),
        ids.BrowseName: attribute(browse_name, ua.VariantType.QualifiedName),
        ids.DisplayName: attribute(text(display), ua.VariantType.LocalizedText),
        ids.Description: attribute(text(description), ua.VariantType.LocalizedText),
        ids.WriteMask: attribute(0, ua.VariantType.UInt32),
        ids.UserWriteMask: attribute(0, ua.VariantType.UInt32),
    }


def object_attributes(owner: Machine) -> Attributes:
    """Return an Object's attributes; events of what is below it can be subscribed to at it."""
    result = base(ua.NodeClass.Object, qualified(owner.name), owner.name, owner.description)
    result[ua.AttributeIds.EventNotifier] = attribute(1, ua.VariantType.Byte)  # SubscribeToEvents
    return result


def folder_attributes(name: str, description: str) -> Attributes:
    """Return the attributes of an Object that only groups."""
    result = base(ua.NodeClass.Object, qualified(name), name, description)
    result[ua.AttributeIds.EventNotifier] = attribute(0, ua.VariantType.Byte)
    return result


def type_attributes(machine_type: MachineType) -> Attributes:
    """Return an ObjectType's attributes."""
    result = base(ua.NodeClass.ObjectType, qualified(machine_type.name), machine_type.name, machine_type.description)
    result[ua.AttributeIds.IsAbstract] = attribute(False, ua.VariantType.Boolean)
    return result


def enumeration_attributes(enumeration: Enumeration) -> Attributes:
    """Return an enumeration DataType's attributes, its EnumDefinition with them (OPC 10000-3 8.48)."""
    result = base(ua.NodeClass.DataType, qualified(enumeration.name), enumeration.name, enumeration_text(enumeration))
    fields = [
        ua.EnumField(Value=value, DisplayName=text(name), Name=name) for value, name in enumerate(enumeration.values)
    ]
    definition = ua.EnumDefinition(Fields=fields)
    result[ua.AttributeIds.IsAbstract] = attribute(False, ua.VariantType.Boolean)
    result[ua.AttributeIds.DataTypeDefinition] = attribute(definition, ua.VariantType.ExtensionObject)
    return result


def variable_attributes(declaration: VariableDeclaration) -> Attributes:
    """Return a Variable's attributes but NodeId and Value."""
    ids = ua.AttributeIds
    result = base(ua.NodeClass.Variable, qualified(declaration.name), declaration.name, declaration.description)
    access = READ_WRITE if declaration.writable else READ_ONLY
    data_type = ua.NodeId(int(declaration.type))
    if declaration.enumeration is not None:
        data_type = node_id(declaration.enumeration.name)
    result |= {
        ids.DataType: attribute(data_type, ua.VariantType.NodeId),
        ids.ValueRank: attribute(-1, ua.VariantType.Int32),
        ids.AccessLevel: attribute(access, ua.VariantType.Byte),
        ids.UserAccessLevel: attribute(access, ua.VariantType.Byte),
        ids.MinimumSamplingInterval: attribute(0.0, ua.VariantType.Double),
        ids.Historizing: attribute(False, ua.VariantType.Boolean),
    }
    result[ids.RolePermissions] = role_permissions(permissions_of(declaration))
    return result


def permissions_of(declaration: VariableDeclaration) -> dict[Role, ua.PermissionType]:
    """Return what each role may do with a variable (OPC 10000-3 8.55)."""
    permissions = dict.fromkeys(
        Role, _READ_PERMISSIONS if declaration.read_role is Role.Anonymous else ua.PermissionType.Browse
    )
    permissions[declaration.read_role] |= ua.PermissionType.Read
    if declaration.write_role is not None:
        permissions[declaration.write_role] |= ua.PermissionType.Write
    return permissions


def method_attributes(declaration: CommandDeclaration) -> Attributes:
    """Return a Method's attributes."""
    ids = ua.AttributeIds
    result = base(ua.NodeClass.Method, qualified(declaration.name), declaration.name, declaration.description)
    permissions = dict.fromkeys(Role, ua.PermissionType.Browse)
    permissions[declaration.role] |= ua.PermissionType.Call
    result |= {
        ids.Executable: attribute(True, ua.VariantType.Boolean),
        ids.UserExecutable: attribute(True, ua.VariantType.Boolean),
        ids.RolePermissions: role_permissions(permissions),
    }
    return result


def property_attributes(
    name: ua.QualifiedName, data_type: ua.NodeId, value: ua.Variant | None, description: str = ""
) -> Attributes:
    """Return a Property's attributes, its constant Value with them."""
    ids = ua.AttributeIds
    result = base(ua.NodeClass.Variable, name, name.Name or "", description)
    is_array = value is not None and value.is_array
    result |= {
        ids.DataType: attribute(data_type, ua.VariantType.NodeId),
        ids.ValueRank: attribute(1 if is_array else -1, ua.VariantType.Int32),
        ids.AccessLevel: attribute(READ_ONLY, ua.VariantType.Byte),
        ids.UserAccessLevel: attribute(READ_ONLY, ua.VariantType.Byte),
        ids.MinimumSamplingInterval: attribute(0.0, ua.VariantType.Double),
        ids.Historizing: attribute(False, ua.VariantType.Boolean),
        ids.Value: AttributeValue(ua.DataValue(value or ua.Variant(None))),
    }
    if is_array and value is not None:
        dimensions = [len(value.Value)]
        result[ids.ArrayDimensions] = attribute(dimensions, ua.VariantType.UInt32, is_array=True)
    return result


def range_value(limits: tuple[float, float]) -> ua.Variant:
    """Return an EURange's value (OPC 10000-8 5.6.2)."""
    return ua.Variant(ua.Range(Low=limits[0], High=limits[1]), ua.VariantType.ExtensionObject)


def unit_value(unit: Unit) -> ua.Variant:
    """Return an EngineeringUnits' value (OPC 10000-8 5.6.4)."""
    information = ua.EUInformation(
        NamespaceUri=unit.namespace,
        UnitId=unit.unit_id,
        DisplayName=text(unit.symbol),
        Description=text(unit.description),
    )
    return ua.Variant(information, ua.VariantType.ExtensionObject)


def arguments_value(arguments: Sequence[Argument]) -> ua.Variant:
    """Return InputArguments' or OutputArguments' value (OPC 10000-3 8.6)."""
    described = [
        ua.Argument(
            Name=argument.name,
            DataType=ua.NodeId(int(argument.type)),
            ValueRank=-1,
            ArrayDimensions=[],
            Description=text(argument_text(argument)),
        )
        for argument in arguments
    ]
    return ua.Variant(described, ua.VariantType.ExtensionObject, is_array=True)


def argument_text(argument: Argument, say: Callable[[str], str] = str) -> str:
    """Return an argument's description with range and choices; `say` translates what it is put together of."""
    words = say(argument.description)
    if argument.range is not None:
        unit = f" {say(argument.unit.symbol)}" if argument.unit else ""
        low, high = (f"{end:g}" for end in argument.range)
        words += f" ({say('{0} to {1}').format(low, high)}{unit})"
    if argument.choices:
        words += f" ({say('one of {0}').format(', '.join(argument.choices))})"
    return words


def enumeration_text(enumeration: Enumeration, say: Callable[[str], str] = str) -> str:
    """Return an enumeration's description; `say` translates what it is put together of."""
    if enumeration.description:
        return say(enumeration.description)
    return say("One of {0}").format(", ".join(map(say, enumeration.values)))


def role_permissions(permissions: Mapping[Role, ua.PermissionType]) -> AttributeValue:
    """Return a RolePermissions attribute."""
    rows = [ua.RolePermissionType(RoleId=_ROLE_IDS[role], Permissions=bits) for role, bits in permissions.items()]
    return attribute(rows, ua.VariantType.ExtensionObject, is_array=True)

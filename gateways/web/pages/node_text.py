"""Values and attributes of nodes as text, as OPC UA clients show them. Pure."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any

from asyncua import ua

from address_space.model import Role

_MOST_ITEMS, _MOST_BYTES = 40, 64
_FLAGS: Mapping[ua.AttributeIds, type[IntEnum]] = {
    ua.AttributeIds.AccessLevel: ua.AccessLevel,
    ua.AttributeIds.UserAccessLevel: ua.AccessLevel,
    ua.AttributeIds.EventNotifier: ua.EventNotifier,
}
_RANKS = {-3: "ScalarOrOneDimension", -2: "Any", -1: "Scalar", 0: "OneOrMoreDimensions", 1: "OneDimension"}
_ROLES = {getattr(ua.ObjectIds, f"WellKnownRole_{role.value}"): role.value for role in Role}


def attribute_text(attribute: ua.AttributeIds, value: Any) -> str:
    """Return an attribute's value in words: bits and ranks by their names (OPC 10000-3 5 and 8.57)."""
    if attribute == ua.AttributeIds.NodeClass:
        return ua.NodeClass(value).name
    if attribute == ua.AttributeIds.ValueRank:
        return f"{_RANKS.get(int(value), f'{value} dimensions')} ({value})"
    flags = _FLAGS.get(attribute)
    if flags is not None:
        return ", ".join(it.name for it in flags if int(value) >> it.value & 1) or "–"
    return value_text(value)


def value_text(value: Any) -> str:
    """Return any value as text, long ones cut."""
    match value:
        case None:
            return "–"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.10g}"
        case bytes():
            return value[:_MOST_BYTES].hex(" ") + (" …" if len(value) > _MOST_BYTES else "") or "–"
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds")
        case list() | tuple():
            shown = ", ".join(value_text(it) for it in value[:_MOST_ITEMS])
            return f"[{shown}{', …' if len(value) > _MOST_ITEMS else ''}] ({len(value)})"
        case _:
            return _structured(value)


def _structured(value: Any) -> str:
    say = _SAID.get(type(value))
    if say is not None:
        return say(value)
    if isinstance(value, ua.NodeId):
        return value.to_string()
    if isinstance(value, Enum):
        return value.name
    if dataclasses.is_dataclass(value):
        fields = ((it.name, getattr(value, it.name)) for it in dataclasses.fields(value) if it.name != "Encoding")
        return "; ".join(f"{name}: {value_text(it)}" for name, it in fields)
    return str(value) or "–"


def _permissions(value: ua.RolePermissionType) -> str:
    role = _ROLES.get(value.RoleId.Identifier, value.RoleId.to_string())
    return f"{role}: {'+'.join(it.name or '' for it in value.Permissions)}"


_SAID: Mapping[type, Callable[[Any], str]] = {
    ua.LocalizedText: lambda it: it.Text or "–",
    ua.QualifiedName: lambda it: f"{it.NamespaceIndex}:{it.Name}",
    ua.StatusCode: lambda it: it.name,
    ua.RolePermissionType: _permissions,
    ua.Range: lambda it: f"{it.Low:g} … {it.High:g}",
    ua.EUInformation: lambda it: f"{it.DisplayName.Text} ({it.Description.Text})",
    ua.Argument: lambda it: f"{it.Name} – {it.Description.Text}",
}
"""Those whose fields say less than this does."""

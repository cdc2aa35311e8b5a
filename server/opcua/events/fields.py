"""Fields of events: how a select clause or an operand finds one, and how it goes on the wire."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import functools
import struct
from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary, variant_to_binary

from server.opcua.events import ranges
from server.opcua.events.ports import Event, Path
from server.opcua.events.types import BASE_EVENT, EventTypes
from server.store import to_ticks

Getter = Callable[[Event], ua.Variant | None]

_CODES = ua.StatusCodes
_ATTRIBUTES = {int(attribute) for attribute in ua.AttributeIds}
_OBJECT_ATTRIBUTES = {*range(int(ua.AttributeIds.NodeId), int(ua.AttributeIds.UserWriteMask) + 1), 12}
"""What a node that stands for the event itself has; 12 is EventNotifier."""
NULL = b"\x00"
_T = ua.VariantType
_LENGTH = struct.Struct("<i")
_TEXT_ONLY, _TEXT_WITH_LOCALE = 0x02, 0x03


def path_of(clause: ua.SimpleAttributeOperand) -> Path:
    """Return the browse path of an operand, without namespaces."""
    return tuple(str(name.Name) for name in clause.BrowsePath)


def status_of(types: EventTypes, clause: ua.SimpleAttributeOperand) -> int:
    """Return what is wrong with an operand whatever the event (OPC 10000-4 7.22.3)."""
    path, kind, attribute = path_of(clause), clause.TypeDefinitionId, int(clause.AttributeId)
    if not kind.is_null() and not types.is_event_type(kind):
        return _CODES.BadTypeDefinitionInvalid if types.exists(kind) else _CODES.BadNodeIdUnknown
    if attribute not in _ATTRIBUTES or (not path and attribute not in _OBJECT_ATTRIBUTES):
        return _CODES.BadAttributeIdInvalid
    if path and not types.is_field(path):
        return _CODES.BadBrowseNameInvalid
    try:
        ranges.parse(clause.IndexRange)
    except ValueError:
        return _CODES.BadIndexRangeInvalid
    return _CODES.Good


def applies(types: EventTypes, clause: ua.SimpleAttributeOperand, kind: ua.NodeId) -> bool:
    """Whether an operand is for events of a type: TypeDefinitionId restricts it (OPC 10000-4 7.7.4.5)."""
    wanted = clause.TypeDefinitionId
    return wanted.is_null() or wanted == BASE_EVENT or types.is_subtype(kind, wanted)


def getter(types: EventTypes, clause: ua.SimpleAttributeOperand) -> Getter:
    """Return what gets a field out of events to which the operand applies."""
    path, attribute = path_of(clause), ua.AttributeIds(int(clause.AttributeId))
    if not path:
        return _condition_id if attribute is ua.AttributeIds.NodeId else lambda event: None
    if attribute is ua.AttributeIds.Value:
        found: Getter = lambda event: event.value(path)  # noqa: E731  a def would be no clearer
    else:
        found = functools.partial(_attribute, types, path, attribute)
    wanted = ranges.parse(clause.IndexRange)
    if wanted is None:
        return found

    def chosen(event: Event) -> ua.Variant | None:
        variant = found(event)
        return variant if variant is None or variant.Value is None else ranges.part(variant, wanted)

    return chosen


def _attribute(types: EventTypes, path: Path, attribute: ua.AttributeIds, event: Event) -> ua.Variant | None:
    return types.attribute(event, path, attribute)


def _condition_id(event: Event) -> ua.Variant | None:
    found = event.condition_id
    return None if found is None else ua.Variant(found, _T.NodeId)


def encoded(variant: ua.Variant | None) -> bytes:
    """Return a Variant as it goes on the wire (OPC 10000-6 5.2.2.16); what events are full of takes a short way."""
    if variant is None:
        return NULL
    kind: Any = variant.VariantType
    encoder = _ENCODERS.get(kind)
    if encoder is None or variant.is_array or variant.Value is None:
        return variant_to_binary(variant)
    return encoder(variant.Value)


def _bytes(prefix: bytes, data: bytes) -> bytes:
    return prefix + _LENGTH.pack(len(data)) + data


def _string(text: str) -> bytes:
    data = text.encode()
    return b"\x0c" + _LENGTH.pack(len(data)) + data


def _localized(value: ua.LocalizedText) -> bytes:
    text: Any = value.Text
    if text is None:
        return variant_to_binary(ua.Variant(value, _T.LocalizedText))
    data = str(text).encode()
    if not value.Locale:
        return b"\x15\x02" + _LENGTH.pack(len(data)) + data
    locale = str(value.Locale).encode()
    return b"".join((b"\x15\x03", _LENGTH.pack(len(locale)), locale, _LENGTH.pack(len(data)), data))


@functools.lru_cache(maxsize=16_384)
def _node_id(value: ua.NodeId) -> bytes:
    return b"\x11" + nodeid_to_binary(value)


def _packed(layout: str, number: int) -> Callable[[Any], bytes]:
    pack = struct.Struct("<B" + layout).pack
    return lambda value: pack(number, value)


_ENCODERS: dict[ua.VariantType, Callable[[Any], bytes]] = {
    _T.Boolean: lambda value: b"\x01\x01" if value else b"\x01\x00",
    _T.UInt16: _packed("H", 5),
    _T.Int32: _packed("i", 6),
    _T.UInt32: _packed("I", 7),
    _T.Double: _packed("d", 11),
    _T.String: _string,
    _T.DateTime: lambda value: _DATE_TIME.pack(13, max(0, to_ticks(value))),
    _T.ByteString: lambda value: _bytes(b"\x0f", value),
    _T.NodeId: _node_id,
    _T.StatusCode: lambda value: _STATUS.pack(19, value.value),
    _T.LocalizedText: _localized,
}
_DATE_TIME = struct.Struct("<Bq")
_STATUS = struct.Struct("<BI")

"""Values of different types brought together, as filters compare and cast them (OPC 10000-4 7.7.3, tables 125, 126)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import math
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from asyncua import ua

Typed = tuple[ua.VariantType, Any]
"""A value and its built-in type. Null is None in its place."""

_T = ua.VariantType
PRECEDENCE = {
    kind: place
    for place, kind in enumerate(
        (
            _T.Double, _T.Float, _T.Int64, _T.UInt64, _T.Int32, _T.UInt32, _T.StatusCode, _T.Int16, _T.UInt16,
            _T.SByte, _T.Byte, _T.Boolean, _T.Guid, _T.String, _T.ExpandedNodeId, _T.NodeId, _T.LocalizedText,
            _T.QualifiedName,
        )
    )
}  # fmt: skip
"""The type with the lower number is what the other is converted to."""

INTEGERS: dict[ua.VariantType, tuple[int, int]] = {
    _T.SByte: (-(2**7), 2**7 - 1),
    _T.Byte: (0, 2**8 - 1),
    _T.Int16: (-(2**15), 2**15 - 1),
    _T.UInt16: (0, 2**16 - 1),
    _T.Int32: (-(2**31), 2**31 - 1),
    _T.UInt32: (0, 2**32 - 1),
    _T.Int64: (-(2**63), 2**63 - 1),
    _T.UInt64: (0, 2**64 - 1),
}
"""Least and greatest value of the integer types."""
_FLOATS = {_T.Float, _T.Double}
_NUMBERS = {*INTEGERS, *_FLOATS}
_IMPLICIT_FROM_STRING = {_T.Boolean, _T.Guid, *_NUMBERS}
_IMPLICIT: dict[ua.VariantType, set[ua.VariantType]] = {
    _T.Boolean: _NUMBERS,
    _T.Byte: _NUMBERS - {_T.Byte},
    _T.SByte: _NUMBERS - {_T.SByte, _T.Byte},
    _T.Int16: _FLOATS | {_T.Int32, _T.Int64, _T.UInt32, _T.UInt64},
    _T.UInt16: _FLOATS | {_T.Int16, _T.Int32, _T.Int64, _T.UInt32, _T.UInt64, _T.StatusCode},
    _T.Int32: _FLOATS | {_T.Int64, _T.UInt64},
    _T.UInt32: _FLOATS | {_T.Int32, _T.Int64, _T.UInt64},
    _T.Int64: set(_FLOATS),
    _T.UInt64: _FLOATS | {_T.Int64},
    _T.Float: {_T.Double},
    _T.StatusCode: {_T.Int32, _T.UInt32, _T.Int64, _T.UInt64},
    _T.String: _IMPLICIT_FROM_STRING,
    _T.NodeId: {_T.ExpandedNodeId, _T.String},
    _T.ExpandedNodeId: {_T.String},
    _T.LocalizedText: {_T.String},
    _T.QualifiedName: {_T.String, _T.LocalizedText},
}
_EXPLICIT: dict[ua.VariantType, set[ua.VariantType]] = {
    _T.Boolean: {_T.String},
    _T.ByteString: {_T.Guid},
    _T.DateTime: {_T.String},
    _T.ExpandedNodeId: {_T.NodeId},
    _T.Guid: {_T.ByteString, _T.String},
    _T.String: {_T.DateTime, _T.ExpandedNodeId, _T.NodeId, _T.LocalizedText, _T.QualifiedName},
    _T.StatusCode: {_T.Int16, _T.UInt16},
    _T.Int32: {_T.StatusCode},
    _T.UInt32: {_T.StatusCode},
    _T.Int64: {_T.StatusCode},
    _T.UInt64: {_T.StatusCode},
}


def typed(variant: ua.Variant | None) -> Typed | None:
    """Return what filters work with: arrays keep their type, an integer enumeration is its number."""
    if variant is None or variant.Value is None:
        return None
    kind: Any = variant.VariantType
    value = variant.Value
    if kind is _T.NodeId and value.is_null():
        return None
    if kind is _T.LocalizedText and value.Text is None:
        return None
    if kind is _T.StatusCode and not isinstance(value, ua.StatusCode):
        value = ua.StatusCode(int(value))
    return kind, value


def common(first: Typed, second: Typed) -> tuple[Any, Any] | None:
    """Return two values as ones that Python compares, converted implicitly to a common type; None if they cannot be."""
    if first[0] is not second[0]:
        left, right = PRECEDENCE.get(first[0]), PRECEDENCE.get(second[0])
        if left is None or right is None or isinstance(first[1], list) or isinstance(second[1], list):
            return None
        if left < right:
            converted = implicit(second, first[0])
            if converted is None:
                return None
            second = converted
        else:
            converted = implicit(first, second[0])
            if converted is None:
                return None
            first = converted
    return comparable(first), comparable(second)


def comparable(given: Typed) -> Any:
    """Return a value as Python compares it by its meaning."""
    kind, value = given
    if kind is _T.LocalizedText:
        return value.Text
    if kind is _T.StatusCode:
        return value.value
    if kind is _T.DateTime and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def implicit(given: Typed, wanted: ua.VariantType) -> Typed | None:
    """Convert as filters do unasked; None when the types do not allow it, or the value does not."""
    if given[0] is wanted:
        return given
    return _converted(given, wanted) if wanted in _IMPLICIT.get(given[0], ()) else None


def cast(given: Typed, wanted: ua.VariantType) -> Typed | None:
    """Convert as the Cast operator does, arrays element by element; None when it cannot be."""
    kind, value = given
    if kind is wanted:
        return given
    if isinstance(value, list):
        elements = [cast((kind, it), wanted) for it in value]
        return None if None in elements else (wanted, [it[1] for it in elements if it is not None])
    both_numbers = (kind in _NUMBERS or kind is _T.Boolean) and (wanted in _NUMBERS or wanted is _T.Boolean)
    to_text = wanted is _T.String and kind in _NUMBERS
    if not both_numbers and not to_text and wanted not in _IMPLICIT.get(kind, set()) | _EXPLICIT.get(kind, set()):
        return None
    return _converted(given, wanted)


def _converted(given: Typed, wanted: ua.VariantType) -> Typed | None:
    try:
        return wanted, _MAKERS[wanted](*given)
    except (KeyError, ValueError, TypeError, OverflowError, struct.error, ua.UaError):
        return None


def _number(kind: ua.VariantType, value: Any) -> Any:
    if kind is _T.StatusCode:
        return value.value
    if kind is not _T.String:
        return value
    try:
        return int(value)
    except ValueError:
        return float(value)


def _integer(wanted: ua.VariantType) -> Callable[[ua.VariantType, Any], int]:
    least, greatest = INTEGERS[wanted]

    def make(kind: ua.VariantType, value: Any) -> int:
        if kind is _T.StatusCode and wanted in (_T.Int16, _T.UInt16):
            return value.value >> 16
        number = _number(kind, value)
        if isinstance(number, float):
            number = math.floor(number + 0.5)  # rounded, as the table asks for
        if not least <= number <= greatest:
            raise ValueError("out of range")
        return int(number)

    return make


def _float(kind: ua.VariantType, value: Any) -> float:
    return struct.unpack("<f", struct.pack("<f", float(_number(kind, value))))[0]


def _boolean(kind: ua.VariantType, value: Any) -> bool:
    if kind is not _T.String:
        return bool(value)
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise ValueError("no Boolean")
    return known[value.lower()]


def _string(kind: ua.VariantType, value: Any) -> str:
    if kind is _T.LocalizedText:
        return value.Text
    if kind is _T.QualifiedName:
        return value.Name if value.NamespaceIndex == 0 else f"{value.NamespaceIndex}:{value.Name}"
    if kind in (_T.NodeId, _T.ExpandedNodeId):
        return value.to_string()
    if kind is _T.DateTime:
        return value.isoformat() + "Z"
    return str(value).lower() if kind is _T.Boolean else str(value)


def _date_time(kind: ua.VariantType, value: Any) -> datetime:
    found = datetime.fromisoformat(value)
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def _status(kind: ua.VariantType, value: Any) -> ua.StatusCode:
    if not 0 <= value <= INTEGERS[_T.UInt32][1]:
        raise ValueError("out of range")
    return ua.StatusCode(value << 16 if kind is _T.UInt16 else value)


def _node_id(kind: ua.VariantType, value: Any) -> ua.NodeId:
    if kind is not _T.String:
        return ua.NodeId(value.Identifier, value.NamespaceIndex, value.NodeIdType)
    return ua.NodeId.from_string(value)


def _expanded(kind: ua.VariantType, value: Any) -> ua.ExpandedNodeId:
    found = _node_id(kind, value)
    return ua.ExpandedNodeId(found.Identifier, found.NamespaceIndex, found.NodeIdType)


def _guid(kind: ua.VariantType, value: Any) -> uuid.UUID:
    return uuid.UUID(bytes_le=bytes(value)) if kind is _T.ByteString else uuid.UUID(value)


_MAKERS: dict[ua.VariantType, Callable[[ua.VariantType, Any], Any]] = {
    **{kind: _integer(kind) for kind in INTEGERS},
    _T.Float: _float,
    _T.Double: lambda kind, value: float(_number(kind, value)),
    _T.Boolean: _boolean,
    _T.String: _string,
    _T.DateTime: _date_time,
    _T.StatusCode: _status,
    _T.NodeId: _node_id,
    _T.ExpandedNodeId: _expanded,
    _T.Guid: _guid,
    _T.ByteString: lambda kind, value: value.bytes_le,
    _T.LocalizedText: lambda kind, value: ua.LocalizedText(value.Name if kind is _T.QualifiedName else value),
    _T.QualifiedName: lambda kind, value: ua.QualifiedName(value),
}

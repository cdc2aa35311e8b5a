"""Sparkplug B payloads read back: commands of host applications, and what a subscriber sees."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from address_space.model import BuiltinType
from gateways.mqtt import sparkplug_wire as wire
from server.store.ticks import UNIX_EPOCH_TICKS

_LONGEST_VARINT = 10
_SIGNED: dict[int | None, int] = {1: 32, 2: 32, 3: 32, 4: 64}
"""Bits of the field that carries a datatype with a sign: Int8 to Int64 of Sparkplug."""


@dataclass(slots=True)
class Metric:
    """One metric: `value` as its field carries it, None where there is none; `properties` are plain values by key."""

    name: str | None = None
    alias: int | None = None
    timestamp: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_null: bool = False
    properties: dict[str, Any] = field(default_factory=dict[str, Any])
    value: Any = None


@dataclass(slots=True)
class Payload:
    """A payload: `timestamp` in milliseconds since 1970, `seq` None where it has none."""

    timestamp: int | None = None
    metrics: list[Metric] = field(default_factory=list[Metric])
    seq: int | None = None


def decode(data: bytes) -> Payload:
    """Return the payload; raises ValueError when it is none."""
    payload = Payload()
    for number, value in _fields(data):
        if number == wire.PAYLOAD_TIMESTAMP:
            payload.timestamp = _integer(value)
        elif number == wire.PAYLOAD_METRIC:
            payload.metrics.append(_metric(_bytes(value)))
        elif number == wire.PAYLOAD_SEQ:
            payload.seq = _integer(value)
    return payload


def stored_value(metric: Metric, builtin: BuiltinType) -> Any:
    """Return a metric's value as the store holds the type, None where it is null; raises ValueError."""
    value = metric.value
    if metric.is_null or value is None:
        return None
    if (builtin is BuiltinType.String) != isinstance(value, str):
        raise ValueError(f"{value!r} is no {builtin.name}")
    if isinstance(value, str):
        return value
    if builtin is BuiltinType.Boolean:
        if value not in (0, 1):
            raise ValueError(f"{value!r} is no Boolean")
        return bool(value)
    if builtin in (BuiltinType.Float, BuiltinType.Double):
        return float(_signed(value, _SIGNED[metric.datatype]) if metric.datatype in _SIGNED else value)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value!r} is no {builtin.name}")
    return _whole(int(value), builtin)


def _whole(value: int, builtin: BuiltinType) -> int:
    """Return an integer or a time from the bits that its field carries; raises ValueError when it does not fit."""
    if builtin is BuiltinType.DateTime:
        return _signed(value, 64) * wire.TICKS_PER_MS + UNIX_EPOCH_TICKS
    width = {"8": 8, "e": 8, "6": 16, "2": 32, "4": 64}[builtin.name[-1]]  # SByte and Byte end in e
    signed = not builtin.name.startswith(("U", "B"))
    if signed:
        value = _signed(value, 64 if width == 64 else 32)
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    if not low <= value <= high:
        raise ValueError(f"{value} is no {builtin.name}")
    return value


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) & 1 else value


def _metric(data: bytes) -> Metric:
    metric = Metric()
    for number, value in _fields(data):
        if number == wire.NAME:
            metric.name = _text(value)
        elif number == wire.ALIAS:
            metric.alias = _integer(value)
        elif number == wire.TIMESTAMP:
            metric.timestamp = _signed(_integer(value), 64)
        elif number == wire.DATATYPE:
            metric.datatype = _integer(value)
        elif number == wire.IS_HISTORICAL:
            metric.is_historical = bool(_integer(value))
        elif number == wire.IS_NULL:
            metric.is_null = bool(_integer(value))
        elif number == wire.PROPERTIES:
            metric.properties = _properties(_bytes(value))
        elif number in _VALUES:
            metric.value = _VALUES[number](value)
    return metric


def _properties(data: bytes) -> dict[str, Any]:
    keys: list[str] = []
    values: list[Any] = []
    for number, value in _fields(data):
        if number == wire.SET_KEY:
            keys.append(_text(value))
        elif number == wire.SET_VALUE:
            values.append(_property(_bytes(value)))
    if len(keys) != len(values):
        raise ValueError("a property set has not as many values as keys")
    return dict(zip(keys, values, strict=True))


def _property(data: bytes) -> Any:
    result = None
    for number, value in _fields(data):
        if number in _PROPERTY_VALUES:
            result = _PROPERTY_VALUES[number](value)
    return result


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Walk the fields of a message; 32- and 64-bit ones come as their bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == wire.VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == wire.LENGTH:
            width, at = _varint(data, at)
        else:
            width = {wire.FIXED64: 8, wire.FIXED32: 4}.get(kind, -1)
        if width < 0 or at + width > len(data):
            raise ValueError("the payload is no Sparkplug B payload")
        yield tag >> 3, data[at : at + width]
        at += width


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, octet in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (octet & 0x7F) << (7 * index)
        if octet < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + index + 1
    raise ValueError("the payload is no Sparkplug B payload")


def _integer(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("the payload has bytes where a number belongs")  # noqa: TRY004  one kind for wrong input
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("the payload has a number where a message belongs")  # noqa: TRY004
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()


def _float(value: int | bytes) -> float:
    return _unpack("<f", value)


def _double(value: int | bytes) -> float:
    return _unpack("<d", value)


def _unpack(form: str, value: int | bytes) -> float:
    data = _bytes(value)
    if len(data) != struct.calcsize(form):
        raise ValueError("the payload has a number of the wrong width")
    return struct.unpack(form, data)[0]


_VALUES = {
    wire.INT: _integer,
    wire.LONG: _integer,
    wire.FLOAT: _float,
    wire.DOUBLE: _double,
    wire.BOOLEAN: _integer,
    wire.STRING: _text,
}
_PROPERTY_VALUES = {
    wire.PROPERTY_INT: _integer,
    wire.PROPERTY_DOUBLE: _double,
    wire.PROPERTY_BOOLEAN: _integer,
    wire.PROPERTY_STRING: _text,
}

"""Sparkplug B payloads as bytes: the part of Protocol Buffers that they need, for one value and for whole columns.

Field numbers are those of the payload definition, Sparkplug 3.0 6.4.1; a metric's value is always its last field.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server.store.ticks import UNIX_EPOCH_TICKS

TICKS_PER_MS = 10_000

PAYLOAD_TIMESTAMP, PAYLOAD_METRIC, PAYLOAD_SEQ = 1, 2, 3
NAME, ALIAS, TIMESTAMP, DATATYPE, IS_HISTORICAL, IS_NULL, PROPERTIES = 1, 2, 3, 4, 5, 7, 9
INT, LONG, FLOAT, DOUBLE, BOOLEAN, STRING = 10, 11, 12, 13, 14, 15
SET_KEY, SET_VALUE = 1, 2
PROPERTY_TYPE, PROPERTY_INT, PROPERTY_DOUBLE, PROPERTY_BOOLEAN, PROPERTY_STRING = 1, 3, 6, 7, 8
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

VALUE_FIELDS: dict[BuiltinType, int] = {
    BuiltinType.Boolean: BOOLEAN,
    BuiltinType.SByte: INT,
    BuiltinType.Byte: INT,
    BuiltinType.Int16: INT,
    BuiltinType.UInt16: INT,
    BuiltinType.Int32: INT,
    BuiltinType.UInt32: INT,
    BuiltinType.Int64: LONG,
    BuiltinType.UInt64: LONG,
    BuiltinType.Float: FLOAT,
    BuiltinType.Double: DOUBLE,
    BuiltinType.String: STRING,
    BuiltinType.DateTime: LONG,
}
"""The member of a metric's `oneof value` that carries a type."""

_WIRE_TYPES = {INT: VARINT, LONG: VARINT, BOOLEAN: VARINT, FLOAT: FIXED32, DOUBLE: FIXED64, STRING: LENGTH}
_U32, _U64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def milliseconds(ticks: int) -> int:
    """Return the milliseconds since 1970 of ticks, rounded down."""
    return (ticks - UNIX_EPOCH_TICKS) // TICKS_PER_MS


def varint(value: int) -> bytes:
    """Encode an unsigned integer; a negative one as its 64-bit two's complement."""
    value &= _U64
    if value < 0x80:
        return bytes((value,))
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def field(number: int, value: int) -> bytes:
    """Encode an integer or boolean field."""
    return varint(number << 3) + varint(value)


def delimited(number: int, data: bytes) -> bytes:
    """Encode a string, bytes or message field."""
    return varint(number << 3 | LENGTH) + varint(len(data)) + data


def value_field(builtin: BuiltinType, value: float | str | bool) -> bytes:
    """Encode a metric's value; a DateTime is in ticks and goes out as milliseconds since 1970."""
    number = VALUE_FIELDS[builtin]
    if number == STRING:
        return delimited(STRING, str(value).encode())
    if number == DOUBLE:
        return b"\x69" + struct.pack("<d", value)
    if number == FLOAT:
        return b"\x65" + struct.pack("<f", value)
    whole = milliseconds(int(value)) if builtin is BuiltinType.DateTime else int(value)
    return field(number, whole & _U32 if number == INT else whole)


class Rows:
    """n records side by side, built one field at a time for all of them: no Python for each record."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._columns: list[NDArray[np.uint8]] = []
        self._used: list[NDArray[np.bool_]] = []

    def constant(self, data: bytes, where: NDArray[np.bool_] | None = None) -> None:
        """Add the same bytes to each record, or to those of `where`, shape (n,)."""
        self.fixed(np.broadcast_to(np.frombuffer(data, np.uint8), (self._count, len(data))), where)

    def fixed(self, data: NDArray[np.uint8], where: NDArray[np.bool_] | None = None) -> None:
        """Add w bytes a record, shape (n, w)."""
        used = np.ones(self._count, np.bool_) if where is None else where
        self._add(data, np.broadcast_to(used[:, None], data.shape))

    def varint(self, values: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> None:
        """Add an integer a record, shape (n,)."""
        data, lengths = _varints(values)
        used = np.arange(data.shape[1]) < lengths[:, None]
        self._add(data, used if where is None else used & where[:, None])

    def _add(self, data: NDArray[np.uint8], used: NDArray[np.bool_]) -> None:
        self._columns.append(data)
        self._used.append(used)

    def append(self, other: "Rows", where: NDArray[np.bool_]) -> None:
        """Add what `other` has to the records of `where`, shape (n,)."""
        self._columns += other._columns
        self._used += [used & where[:, None] for used in other._used]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each record so far, shape (n,)."""
        return sum((used.sum(axis=1) for used in self._used), np.zeros(self._count, np.int64))

    def joined(self) -> bytes:
        """Return all records, one after the other."""
        return np.concatenate(self._columns, axis=1)[np.concatenate(self._used, axis=1)].tobytes()

    def after(self, first: "Rows") -> "Rows":
        """Return records that begin with those of `first`."""
        both = Rows(self._count)
        both._columns, both._used = first._columns + self._columns, first._used + self._used
        return both


def _varints(values: NDArray[np.uint64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of each value, as many columns as the longest needs, and how many of them it takes."""
    width = max(1, -(-int(values.max(initial=0)).bit_length() // 7))
    shifts = np.arange(0, 7 * width, 7, dtype=np.uint64)
    groups = values[:, None] >> shifts
    lengths = np.maximum(1, (groups != 0).sum(axis=1))
    data = (groups & np.uint64(0x7F)).astype(np.uint8)
    data[np.arange(width) < (lengths - 1)[:, None]] |= 0x80
    return data, lengths


_TAGS = np.zeros(256, np.uint8)
for _builtin, _number in VALUE_FIELDS.items():
    _TAGS[_builtin] = _number << 3 | _WIRE_TYPES[_number]
_IS_VARINT = np.isin(_TAGS & 7, VARINT) & (_TAGS != 0)


def add_values(rows: Rows, types: NDArray[np.uint8], bits: NDArray[np.uint64], shown: NDArray[np.bool_]) -> list[int]:
    """Add the value field of every record that shows one, but for Strings: those rows are returned, to be added last.

    `types` are built-in types, `bits` the 8 bytes of a journal row; all of shape (n,).
    """
    numeric = shown & (types != BuiltinType.String)
    rows.fixed(_TAGS[types][:, None], numeric)
    whole = numeric & _IS_VARINT[types]
    if whole.any():
        rows.varint(np.where(whole, _whole_numbers(types, bits), np.uint64(0)), whole)
    octets = np.ascontiguousarray(bits, "<u8").view(np.uint8).reshape(-1, 8)
    for builtin, width in ((BuiltinType.Float, 4), (BuiltinType.Double, 8)):
        chosen = numeric & (types == builtin)
        if chosen.any():
            rows.fixed(octets[:, :width], chosen)
    return np.flatnonzero(shown & (types == BuiltinType.String)).tolist()


def _whole_numbers(types: NDArray[np.uint8], bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return what goes out as a varint: small negative numbers as 32 bits, times as milliseconds."""
    values = bits.copy()
    for builtin, width in ((BuiltinType.SByte, 8), (BuiltinType.Int16, 16)):
        chosen = types == builtin
        sign = np.uint64(1 << (width - 1))
        values[chosen] = ((values[chosen] ^ sign) - sign) & np.uint64(_U32)
    times = types == BuiltinType.DateTime
    values[times] = column_milliseconds(bits[times].view(np.int64))
    return values


def column_milliseconds(ticks: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return `milliseconds` of each, shape (n,), times before 1970 as their two's complement."""
    return ((ticks - UNIX_EPOCH_TICKS) // TICKS_PER_MS).view(np.uint64)

"""How values of the built-in types lie in memory: in a record, and in the journal."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType

VALUE_DTYPES: dict[BuiltinType, str] = {
    BuiltinType.Boolean: "?",
    BuiltinType.SByte: "<i1",
    BuiltinType.Byte: "<u1",
    BuiltinType.Int16: "<i2",
    BuiltinType.UInt16: "<u2",
    BuiltinType.Int32: "<i4",
    BuiltinType.UInt32: "<u4",
    BuiltinType.Int64: "<i8",
    BuiltinType.UInt64: "<u8",
    BuiltinType.Float: "<f4",
    BuiltinType.Double: "<f8",
    BuiltinType.DateTime: "<i8",
    BuiltinType.String: "O",
}
VALUE_FORMATS: dict[BuiltinType, str] = {
    BuiltinType.Boolean: "?",
    BuiltinType.SByte: "b",
    BuiltinType.Byte: "B",
    BuiltinType.Int16: "h",
    BuiltinType.UInt16: "H",
    BuiltinType.Int32: "i",
    BuiltinType.UInt32: "I",
    BuiltinType.Int64: "q",
    BuiltinType.UInt64: "Q",
    BuiltinType.Float: "f",
    BuiltinType.Double: "d",
    BuiltinType.DateTime: "q",
}
"""The same types for `struct` (little-endian), String apart."""


def record_dtype(builtin: BuiltinType) -> np.dtype[Any]:
    """Return the packed record of a type: encoding mask, Variant type, value, StatusCode, two timestamps."""
    fields = [("mask", "u1"), ("variant", "u1"), ("value", VALUE_DTYPES[builtin])]
    return np.dtype([*fields, ("status", "<u4"), ("source", "<i8"), ("server", "<i8")])


def cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return values as a column of a type: numbers for integers are rounded; shape (n,)."""
    if values.dtype == dtype:
        return values
    if dtype.kind in "iu" and values.dtype.kind == "f":
        values = np.rint(values)
    elif dtype.kind in "iu" and values.dtype == object:  # rounded as a column of floats is
        values = np.array([_rounded(value) for value in values], object)
    with np.errstate(invalid="ignore", over="ignore"):
        return values.astype(dtype)


def _rounded(value: Any) -> Any:
    if not isinstance(value, float | np.floating):
        return value
    return round(value) if math.isfinite(value) else 0


def to_bits(column: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the bytes of values as the journal keeps them; shape (n,)."""
    return np.ascontiguousarray(column).view(f"<u{column.dtype.itemsize}").astype(np.uint64)


def from_bits(bits: NDArray[np.uint64], builtin: BuiltinType) -> NDArray[Any]:
    """Return what `to_bits` was given."""
    dtype = np.dtype(VALUE_DTYPES[builtin])
    return bits.astype(f"<u{dtype.itemsize}").view(dtype)

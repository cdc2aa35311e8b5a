"""HistoryRead's answers as they go on the wire: columns of samples become DataValues at once (OPC 10000-6 5.2.2.17)."""

import struct
from typing import Any

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server.history.ports import Modified, Samples
from server.opcua.history.codes import BAD_BOUND_NOT_FOUND
from server.opcua.records import SOURCE, STATUS, VALUE, as_bytes, interleave
from server.quality import is_bad
from server.store.values import VALUE_DTYPES

_STATUS_CODE_TYPE = 19
_NULL_OBJECT = b"\x00\x00\x00"
_NO_POINT = b"\xff\xff\xff\xff"
_COUNT = struct.Struct("<i")
_HEAD = struct.Struct("<I")
BYTES_A_VALUE = 23
"""Bytes of the largest DataValue that is no String: mask, type, 8 bytes, status, source timestamp, and one to spare."""


def _object(name: str) -> bytes:
    number = getattr(ua.ObjectIds, f"{name}_Encoding_DefaultBinary")
    return b"\x01\x00" + struct.pack("<H", number) + b"\x01"


_DATA, _MODIFIED = _object("HistoryData"), _object("HistoryModifiedData")


def result(status: int, data: bytes | None = None, point: bytes | None = None) -> bytes:
    """Return a HistoryReadResult; `data` is an ExtensionObject."""
    head = _NO_POINT if point is None else _COUNT.pack(len(point)) + point
    return _HEAD.pack(status) + head + (_NULL_OBJECT if data is None else data)


def data(values: bytes, count: int) -> bytes:
    """Return HistoryData of DataValues that lie behind each other."""
    return _DATA + _COUNT.pack(4 + len(values)) + _COUNT.pack(count) + values


def modified_data(values: bytes, found: Modified) -> bytes:
    """Return HistoryModifiedData: DataValues, and who changed each, when and how."""
    infos = [
        struct.pack("<qI", time, kind) + _string(user)
        for time, kind, user in zip(found.times.tolist(), found.types.tolist(), found.users, strict=True)
    ]
    count = _COUNT.pack(len(infos))
    body = b"".join((count, values, count, *infos))
    return _MODIFIED + _COUNT.pack(len(body)) + body


def values(samples: Samples, builtin: BuiltinType) -> bytes:
    """Return samples as DataValues with source timestamps; a Bad status hides the value."""
    if samples.texts is not None:
        return b"".join(text_values(samples))
    dtype = np.dtype(VALUE_DTYPES[builtin])
    column = samples.bits.astype(f"<u{dtype.itemsize}").view(dtype)
    return columns(column, int(builtin), samples.statuses, samples.stamps)


def status_values(codes: NDArray[np.float64], statuses: NDArray[np.uint32], stamps: NDArray[np.int64]) -> bytes:
    """Return StatusCodes as values of DataValues."""
    return columns(np.nan_to_num(codes).astype("<u4"), _STATUS_CODE_TYPE, statuses, stamps)


def columns(column: NDArray[Any], builtin: int, statuses: NDArray[np.uint32], stamps: NDArray[np.int64]) -> bytes:
    """Return columns of shape (n,) as n DataValues."""
    if not statuses.any():
        return _records(column, builtin, None, stamps).tobytes()
    bad = is_bad(statuses)
    if not bad.any():
        return _records(column, builtin, statuses, stamps).tobytes()
    shown, hidden = np.flatnonzero(~bad), np.flatnonzero(bad)
    with_value = _records(column[shown], builtin, statuses[shown], stamps[shown])
    without = _records(None, 0, statuses[hidden], stamps[hidden])
    return interleave(len(statuses), [(shown, as_bytes(with_value)), (hidden, as_bytes(without))])


def text_values(samples: Samples) -> list[bytes]:
    """Return samples of a String variable as DataValues."""
    parts: list[bytes] = []
    bad = is_bad(samples.statuses)
    rows = zip(samples.texts or (), samples.statuses.tolist(), samples.stamps.tolist(), bad.tolist(), strict=True)
    for text, status, stamp, hidden in rows:
        if hidden or text is None:
            parts.append(struct.pack("<BIq", STATUS | SOURCE, status, stamp))
        else:
            words = b"\x0c" + _string(text)
            parts.append(bytes((VALUE | STATUS | SOURCE,)) + words + struct.pack("<Iq", status, stamp))
    return parts


def bound_not_found(stamp: int) -> bytes:
    """Return the DataValue that stands for a bounding value which there is not (OPC 10000-11 6.5.3.2)."""
    return struct.pack("<BIq", STATUS | SOURCE, BAD_BOUND_NOT_FOUND, stamp)


def _records(
    column: NDArray[Any] | None, builtin: int, statuses: NDArray[np.uint32] | None, stamps: NDArray[np.int64]
) -> NDArray[np.void]:
    fields: list[tuple[str, Any]] = [("mask", "u1")]
    mask = SOURCE
    if column is not None:
        fields += [("variant", "u1"), ("value", column.dtype)]
        mask |= VALUE
    if statuses is not None:
        fields.append(("status", "<u4"))
        mask |= STATUS
    fields.append(("source", "<i8"))
    records = np.empty(len(stamps), np.dtype(fields))
    records["mask"] = mask
    records["source"] = stamps
    if column is not None:
        records["variant"] = builtin
        records["value"] = column
    if statuses is not None:
        records["status"] = statuses
    return records


def _string(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return _COUNT.pack(len(encoded)) + encoded

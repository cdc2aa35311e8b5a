"""OPC UA Binary by hand (OPC 10000-6 5.2, 6.7): as much as a client needs to check answers at full speed."""

import struct
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

READ_RESPONSE, WRITE_RESPONSE, CALL_RESPONSE = 634, 676, 715
PUBLISH_RESPONSE, BROWSE_RESPONSE, SERVICE_FAULT = 829, 530, 397
_DATA_CHANGE, _STATUS_CHANGE = 811, 820

EPOCH = 116_444_736_000_000_000
"""1970-01-01 in ticks: 100 ns since 1601-01-01 (OPC 10000-6 5.2.2.5)."""

_RESPONSE_HEADER_END = 28
_VARIANT_SIZES = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 4, 11: 8, 13: 8}
_VALUE, _STATUS, _SOURCE, _SERVER, _SOURCE_PICO, _SERVER_PICO = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_FORMATS = {1: "<?", 6: "<i", 7: "<I", 8: "<q", 9: "<Q", 10: "<f", 11: "<d", 13: "<q"}


class WireError(Exception):
    """An answer is not what was asked for; the measurement it belongs to is void."""


@dataclass(frozen=True, slots=True)
class DataValues:
    """Columns of n DataValues: client handles (0 in a ReadResponse), StatusCodes, source timestamps in ticks (0: none).

    `raw` holds the 8 bytes at each value, little-endian; for types shorter than 8 bytes the high bytes are not theirs.
    """

    handles: NDArray[np.uint32]
    statuses: NDArray[np.uint32]
    sources: NDArray[np.int64]
    raw: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.statuses)


def now_ticks() -> int:
    """Return the present time in ticks."""
    return time.time_ns() // 100 + EPOCH


def check_header(body: memoryview | bytes, expected: int) -> int:
    """Return where the body behind a ResponseHeader begins; WireError unless it is the expected answer and Good."""
    kind = struct.unpack_from("<H", body, 2)[0] if body[0] == 1 else -1
    (status,) = struct.unpack_from("<I", body, 16)
    if status != 0 or kind != expected:
        raise WireError(f"expected answer {expected}, got {kind} with ServiceResult 0x{status:08X}")
    (strings,) = struct.unpack_from("<i", body, 21)
    if body[20] != 0 or strings > 0 or bytes(body[25:28]) != b"\0\0\0":
        raise WireError("the ResponseHeader has diagnostics or an additional header")
    return _RESPONSE_HEADER_END


def check_read(body: memoryview | bytes, count: int) -> None:
    """Raise WireError unless a ReadResponse has `count` values and all are Good."""
    start = check_header(body, READ_RESPONSE) + 4
    found = _count(body, start - 4, count)
    mask, variant = body[start], body[start + 1]
    stride = _size(mask, variant)
    if mask & _VALUE and mask & _STATUS and start + found * stride <= len(body):
        # The usual answer: one layout for all, looked at without taking it apart.
        rows = np.frombuffer(body, np.uint8, found * stride, start).reshape(found, stride)
        place = 2 + _VARIANT_SIZES[variant]
        same = (rows[:, :2] == rows[0, :2]).all()
        if same and not rows[:, place : place + 4].any():
            return
    statuses = data_values(body, start, found, handles=False)[0].statuses
    if statuses.any():
        bad = statuses[statuses != 0]
        raise WireError(f"{len(bad)} of {count} values are not Good, the first 0x{bad[0]:08X}")


def check_write(body: memoryview | bytes, count: int) -> None:
    """Raise WireError unless a WriteResponse has `count` results and all are Good."""
    start = check_header(body, WRITE_RESPONSE)
    results = np.frombuffer(body, "<u4", _count(body, start, count), start + 4)
    if results.any():
        bad = results[results != 0]
        raise WireError(f"{len(bad)} of {count} writes failed, the first with 0x{bad[0]:08X}")


def check_call(body: memoryview | bytes) -> None:
    """Raise WireError unless a CallResponse has one result and it is Good."""
    start = check_header(body, CALL_RESPONSE)
    _count(body, start, 1)
    (status,) = struct.unpack_from("<I", body, start + 4)
    if status:
        raise WireError(f"the call failed with 0x{status:08X}")


def publish_sequence(body: memoryview | bytes) -> tuple[int, int, int]:
    """Return SubscriptionId, SequenceNumber and number of notifications (0: keep-alive) of a PublishResponse."""
    start = check_header(body, PUBLISH_RESPONSE)
    (subscription, available) = struct.unpack_from("<Ii", body, start)
    at = start + 8 + 4 * max(available, 0) + 1
    (sequence,) = struct.unpack_from("<I", body, at)
    (notifications,) = struct.unpack_from("<i", body, at + 12)
    return subscription, sequence, max(notifications, 0)


def data_changes(body: memoryview | bytes) -> list[DataValues]:
    """Return the data changes of a PublishResponse."""
    (available,) = struct.unpack_from("<i", body, _RESPONSE_HEADER_END + 4)
    at = _RESPONSE_HEADER_END + 8 + 4 * max(available, 0) + 1 + 12
    (notifications,) = struct.unpack_from("<i", body, at)
    at += 4
    found: list[DataValues] = []
    for _ in range(max(notifications, 0)):
        (kind,) = struct.unpack_from("<H", body, at + 2)
        (length,) = struct.unpack_from("<i", body, at + 5)
        if kind == _STATUS_CHANGE:
            raise WireError("the subscription ended: StatusChangeNotification")
        if kind != _DATA_CHANGE:
            raise WireError(f"a notification of unknown type {kind}")
        (count,) = struct.unpack_from("<i", body, at + 9)
        found.append(data_values(body, at + 13, max(count, 0), handles=True)[0])
        at += 9 + length
    return found


def data_values(body: memoryview | bytes, start: int, count: int, *, handles: bool) -> tuple[DataValues, int]:
    """Read `count` DataValues (with `handles` each behind a ClientHandle) from `start`; returns them and their end."""
    prefix = 4 if handles else 0
    if count == 0:
        return _walk(body, start, 0, prefix)
    mask, variant = body[start + prefix], body[start + prefix + 1]
    stride = prefix + _size(mask, variant)
    end = start + count * stride
    if end <= len(body) and mask & _VALUE:
        rows = np.frombuffer(body, np.uint8, count * stride, start).reshape(count, stride)
        if (rows[:, prefix] == mask).all() and (rows[:, prefix + 1] == variant).all():
            return _uniform(rows, prefix, mask, variant), end
    return _walk(body, start, count, prefix)


def scalar(values: DataValues, row: int, variant: int) -> bool | int | float:
    """Return one value of a known built-in type as a Python object."""
    return struct.unpack_from(_FORMATS[variant], values.raw[row].tobytes())[0]


def _count(body: memoryview | bytes, start: int, expected: int) -> int:
    (found,) = struct.unpack_from("<i", body, start)
    if found != expected:
        raise WireError(f"{found} results where {expected} were asked for")
    return found


def _size(mask: int, variant: int) -> int:
    size = 1
    if mask & _VALUE:
        if variant not in _VARIANT_SIZES:
            raise WireError(f"a value of type {variant}, where a scalar number was expected")
        size += 1 + _VARIANT_SIZES[variant]
    size += 4 * bool(mask & _STATUS) + 8 * bool(mask & _SOURCE) + 2 * bool(mask & _SOURCE_PICO)
    return size + 8 * bool(mask & _SERVER) + 2 * bool(mask & _SERVER_PICO)


def _uniform(rows: NDArray[np.uint8], prefix: int, mask: int, variant: int) -> DataValues:
    count = len(rows)

    def column(at: int, dtype: str) -> NDArray[np.generic]:
        width = np.dtype(dtype).itemsize
        return np.ascontiguousarray(rows[:, at : at + width]).view(dtype)[:, 0]

    width = _VARIANT_SIZES[variant]
    raw = np.zeros((count, 8), np.uint8)
    raw[:, :width] = rows[:, prefix + 2 : prefix + 2 + width]
    at = prefix + 2 + width
    statuses = np.zeros(count, np.uint32)
    if mask & _STATUS:
        statuses = column(at, "<u4")
        at += 4
    sources = column(at, "<i8") if mask & _SOURCE else np.zeros(count, np.int64)
    handles = column(0, "<u4") if prefix else np.zeros(count, np.uint32)
    return DataValues(handles, statuses, sources, raw.view("<u8")[:, 0])


def _walk(body: memoryview | bytes, start: int, count: int, prefix: int) -> tuple[DataValues, int]:
    """Read DataValues of different layouts one by one."""
    values = DataValues(
        np.zeros(count, np.uint32), np.zeros(count, np.uint32), np.zeros(count, np.int64), np.zeros(count, np.uint64)
    )
    at = start
    for row in range(count):
        if prefix:
            (values.handles[row],) = struct.unpack_from("<I", body, at)
            at += 4
        mask = body[at]
        size = _size(mask, body[at + 1])
        place = at + 1
        if mask & _VALUE:
            width = _VARIANT_SIZES[body[place]]
            values.raw[row] = int.from_bytes(body[place + 1 : place + 1 + width], "little")
            place += 1 + width
        if mask & _STATUS:
            (values.statuses[row],) = struct.unpack_from("<I", body, place)
            place += 4
        if mask & _SOURCE:
            (values.sources[row],) = struct.unpack_from("<q", body, place)
        at += size
    return values, at

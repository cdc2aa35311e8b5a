"""Notification messages in wire form (OPC 10000-4 7.25, OPC 10000-6 5.2)."""

# numpy arrays are buffers, which their stubs do not say.
# pyright: reportArgumentType=false

import struct
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server.opcua.records import SERVER, SOURCE, as_bytes, interleave
from server.opcua.subscriptions.log import Samples
from server.opcua.subscriptions.table import ItemTable
from server.opcua.wire import response_header
from server.quality import is_bad
from server.store import now_ticks
from server.store.values import VALUE_DTYPES

SAMPLE_BYTES = 34
"""The most that a MonitoredItemNotification of a number takes."""
MESSAGE_BYTES = 1024
"""Room for all that stands around the notifications of a message, but acknowledgement results."""
PUBLISH_RESPONSE = b"\x01\x00\x3d\x03"
_DATA_CHANGES, _EVENTS, _STATUS_CHANGE = b"\x01\x00\x2b\x03\x01", b"\x01\x00\x94\x03\x01", b"\x01\x00\x34\x03\x01"
"""TypeIds i=811, i=916, i=820 of ExtensionObjects with a binary body."""
_NONE = b"\x00\x00\x00\x00"
_BAD = 0x100


@cache
def _record(builtin: int, mask: int) -> np.dtype[Any]:
    """Return the packed MonitoredItemNotification; `builtin` 0 is a null Variant."""
    fields: list[tuple[str, str]] = [("handle", "<u4"), ("mask", "u1"), ("variant", "u1")]
    if builtin:
        size = np.dtype(VALUE_DTYPES[BuiltinType(builtin)]).itemsize
        fields.append(("value", f"<u{size}"))
    fields.append(("status", "<u4"))
    fields += [(name, "<i8") for name, bit in (("source", SOURCE), ("server", SERVER)) if mask & bit]
    return np.dtype(fields)


def data_changes(table: ItemTable, samples: Samples, *, ordered: bool) -> list[bytes | memoryview]:
    """Return MonitoredItemNotifications of samples; unless `ordered`, those of one layout come together."""
    bad = is_bad(samples.status)
    builtin, mask = table.builtin[samples.rows], table.stamps[samples.rows]
    first = int(builtin[0]), int(mask[0])
    if not bad.any() and (builtin == first[0]).all() and (mask == first[1]).all():
        return [_bytes(_records(table, samples, *first))]
    layouts = builtin.astype(np.uint16) | (mask.astype(np.uint16) << 4)
    layouts = np.where(bad, (layouts & 0xF0) | _BAD, layouts)
    pieces: list[tuple[NDArray[np.int64], NDArray[Any]]] = []
    for layout in np.flatnonzero(np.bincount(layouts)).tolist():
        positions = np.flatnonzero(layouts == layout)
        records = _records(table, samples.take(positions), layout & 0x0F, (layout >> 4) & 0x0F)
        pieces.append((positions, records))
    if ordered:
        return [interleave(len(samples), [(positions, as_bytes(records)) for positions, records in pieces])]
    return [_bytes(records) for _, records in pieces]


def _bytes(records: NDArray[Any]) -> memoryview:
    return memoryview(records.view(np.uint8))


def _records(table: ItemTable, samples: Samples, builtin: int, mask: int) -> NDArray[Any]:
    records = np.empty(len(samples), _record(builtin, mask))
    records["handle"] = table.handle[samples.rows]
    records["mask"] = mask
    records["variant"] = builtin
    if builtin:
        records["value"] = samples.bits
    records["status"] = samples.status
    if mask & SOURCE:
        records["source"] = samples.source
    if mask & SERVER:
        records["server"] = samples.server
    return records


def notification_message(sequence: int, notifications: list[bytes]) -> bytes:
    """Return a NotificationMessage; without notifications it is a keep-alive."""
    head = struct.pack("<Iqi", sequence, now_ticks(), len(notifications))
    return b"".join((head, *notifications))


def data_change_notification(count: int, items: list[bytes | memoryview]) -> bytes:
    """Return `count` encoded MonitoredItemNotifications as one DataChangeNotification."""
    size = 8 + sum(len(item) for item in items)
    return b"".join((_DATA_CHANGES, struct.pack("<ii", size, count), *items, _NONE))


def event_notification(events: list[bytes]) -> bytes:
    """Return encoded EventFieldLists as one EventNotificationList."""
    size = 4 + sum(len(event) for event in events)
    return b"".join((_EVENTS, struct.pack("<ii", size, len(events)), *events))


def status_change_notification(status: int) -> bytes:
    """Return a StatusChangeNotification without diagnostics."""
    return _STATUS_CHANGE + struct.pack("<iIB", 5, status, 0)


def publish_response(
    handle: int, subscription: int, available: list[int], message: bytes, results: list[int], *, more: bool
) -> bytes:
    """Return a PublishResponse."""
    return b"".join(
        (
            response_header(PUBLISH_RESPONSE, handle),
            struct.pack(f"<Ii{len(available)}I?", subscription, len(available), *available, more),
            message,
            struct.pack(f"<i{len(results)}I", len(results), *results),
            _NONE,
        )
    )

"""Items whose values are fed one by one: Strings, attributes, and nodes that are not the plant's."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import math
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from server.opcua.diagnostics.counters import SubscriptionCounters
from server.opcua.records import SERVER, SOURCE
from server.opcua.subscriptions.log import OVERFLOW
from server.opcua.subscriptions.table import DISABLED, ON_STATUS, ON_TIMESTAMP, ItemTable
from server.store import Batch


class Owner(Protocol):
    """What an item tells that it has something to report, or that a sample waits."""

    table: ItemTable
    counters: SubscriptionCounters

    def has_news(self, item: "ValueItem") -> None:
        """Note that the item's queue is not empty."""
        ...

    def holds(self, item: "ValueItem") -> None:
        """Note that a sample waits for the end of the item's sampling interval."""
        ...


class ValueItem:
    """An item whose samples are DataValues; what it watches calls `changed`."""

    def __init__(
        self, row: int, owner: Owner, read: Callable[[], ua.DataValue], from_row: Callable[[Batch, int], ua.DataValue]
    ) -> None:
        self.row = row
        self.due = 0.0
        self.release: Callable[[], None] = lambda: None
        self._owner = owner
        self._table = owner.table
        self._read = read
        self._from_row = from_row
        self._last: ua.DataValue | None = None
        self._held: ua.DataValue | None = None
        self._queue: deque[ua.DataValue] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        """Queue the present value as the first sample, whatever the filter."""
        self._held = None
        self._accept(self._read())

    def changed(self, now: float) -> None:
        """Take note of a change at `now` (monotonic)."""
        self._offer(self._read(), now)

    def changed_row(self, batch: Batch, position: int, now: float) -> None:
        """Take note of a change in the journal."""
        self._offer(self._from_row(batch, position), now)

    def reread(self) -> None:
        """Take the value anew for another user, who may see another, or none."""
        if self._table.mode[self.row] == DISABLED:
            return
        value = self._read()
        self._held = None
        if value.StatusCode is not None and value.StatusCode.value == ua.StatusCodes.BadUserAccessDenied:
            self._queue.clear()
        if self._passes(value):
            self._accept(value)

    def sample(self, now: float) -> None:
        """Take the sample that waits, at the end of a sampling interval."""
        interval = float(self._table.sampling[self.row])
        if interval > 0:
            self.due = self.due + interval if self.due + interval > now else now + interval
        held, self._held = self._held, None
        if held is not None and self._passes(held):
            self._accept(held)

    def clear(self) -> None:
        """Forget queue and sample, as with MonitoringMode Disabled."""
        self._queue.clear()
        self._held = self._last = None

    def resend(self) -> None:
        """Queue the last sample again when nothing is queued."""
        if not self._queue and self._last is not None:
            self._queue.append(self._last)
            self._owner.has_news(self)

    def resize(self) -> None:
        """Cut the queue to its size."""
        while len(self._queue) > self._table.queue_size[self.row]:
            self._discard()

    def take(self, limit: int, room: int, whole: int, *, first: bool) -> tuple[list[bytes], int]:
        """Remove notifications, at most `limit` and of `room` bytes; returns them and their size.

        One that does not fit into `whole` bytes, an empty message, is never sent: its status says so in its place.
        `first` says that the message is empty so far: one is taken in any case.
        """
        found: list[bytes] = []
        size = 0
        while self._queue and len(found) < limit:
            encoded = self._encode(self._queue[0])
            if len(encoded) > whole:
                encoded = self._encode(_too_large(self._queue[0]))
            if (found or not first) and size + len(encoded) > room:
                break
            self._queue.popleft()
            found.append(encoded)
            size += len(encoded)
        return found, size

    def _offer(self, value: ua.DataValue, now: float) -> None:
        if self._table.mode[self.row] == DISABLED:
            return
        self._held = value
        if self._table.sampling[self.row] > 0:
            self._owner.holds(self)
        else:
            self.sample(now)

    def _accept(self, value: ua.DataValue) -> None:
        self._last = value
        self._queue.append(value)
        self.resize()
        self._table.fire(np.array([self.row]))
        self._owner.has_news(self)

    def _discard(self) -> None:
        """Make the queue one shorter; what is next to the loss says so (OPC 10000-4 5.12.1.5)."""
        queue, table = self._queue, self._table
        if table.discard_oldest[self.row]:
            queue.popleft()
            marked = 0
        else:
            del queue[-2]
            marked = -1
        if table.queue_size[self.row] > 1:
            self._owner.counters.overflows += 1
            status = queue[marked].StatusCode
            value = (0 if status is None else status.value) | OVERFLOW
            queue[marked] = replace(queue[marked], StatusCode=ua.StatusCode(value))

    def _passes(self, value: ua.DataValue) -> bool:
        last, table, row = self._last, self._table, self.row
        if last is None or last.StatusCode != value.StatusCode:
            return True
        trigger, deadband = table.trigger[row], float(table.deadband[row])
        if trigger == ON_STATUS:
            return False
        if trigger == ON_TIMESTAMP and last.SourceTimestamp != value.SourceTimestamp:
            return True
        if last.Value == value.Value:
            return False
        return not deadband or _exceeds(last.Value, value.Value, deadband)

    def _encode(self, value: ua.DataValue) -> bytes:
        stamps = int(self._table.stamps[self.row])
        shown = replace(
            value,
            SourceTimestamp=value.SourceTimestamp if stamps & SOURCE else None,
            ServerTimestamp=(value.ServerTimestamp or datetime.now(UTC)) if stamps & SERVER else None,
        )
        return struct.pack("<I", self._table.handle[self.row]) + struct_to_binary(shown)


def _too_large(value: ua.DataValue) -> ua.DataValue:
    """Return what is sent in place of a value that no message can hold."""
    status = ua.StatusCode(ua.StatusCodes.BadEncodingLimitsExceeded)
    return replace(value, Value=ua.Variant(None, ua.VariantType.Null), StatusCode=status)


def _exceeds(last: ua.Variant | None, value: ua.Variant | None, deadband: float) -> bool:
    """Return whether a number, or any number of an array, differs by more than the deadband."""
    old: Any = None if last is None else last.Value
    new: Any = None if value is None else value.Value
    if old is None or new is None:
        return True
    olds, news = (old, new) if isinstance(old, list) and isinstance(new, list) else ([old], [new])
    if len(olds) != len(news):
        return True
    return any(
        not abs(a - b) <= deadband and not (math.isnan(a) and math.isnan(b)) for a, b in zip(olds, news, strict=True)
    )

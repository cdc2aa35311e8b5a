"""Monitored items of events: queues of encoded fields, which all items with the same filter share."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary, variant_to_binary

from server.opcua.diagnostics.counters import SubscriptionCounters
from server.opcua.events.filters import EventFilter
from server.opcua.events.ports import PlainEvent
from server.opcua.subscriptions.table import DISABLED, ItemTable
from server.security.principal import Principal

_HANDLE = struct.Struct("<I")
_OVERFLOW = ua.NodeId(ua.ObjectIds.EventQueueOverflowEventType)
_SERVER = ua.NodeId(ua.ObjectIds.Server)


class Owner(Protocol):
    """The subscription of an item."""

    table: ItemTable
    counters: SubscriptionCounters
    principal: Principal

    def has_news(self, item: "EventItem") -> None:
        """Note that the item's queue is not empty."""
        ...


class EventItem:
    """An item whose samples are events (OPC 10000-4 7.22.3).

    Where events were lost an EventQueueOverflowEvent stands in the queue, beyond its size (5.12.1.5): before all others
    when the oldest are discarded, else behind those that were kept, and before those that come later.
    """

    def __init__(self, row: int, owner: Owner, node: ua.NodeId, filter_: EventFilter) -> None:
        self.row = row
        self.node = node
        self.filter = filter_
        self.since = 0
        self.release: Callable[[], None] = lambda: None
        self._owner = owner
        self._table = owner.table
        self._queue: deque[bytes | None] = deque()
        """Selected fields; None stands for an overflow."""
        self._overflows = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def principal(self) -> Principal:
        """Whose rights it has."""
        return self._owner.principal

    def start(self) -> None:
        """There is no first sample: events are those to come."""

    def resend(self) -> None:
        """Events are not sent again."""

    def clear(self) -> None:
        """Forget the queue."""
        self._queue.clear()
        self._overflows = 0

    def accept(self, fields: bytes) -> None:
        """Queue the selected fields of an event that passed the filter."""
        table, row, queue = self._table, self.row, self._queue
        if table.mode[row] == DISABLED:
            return
        queue.append(fields)
        if len(queue) - self._overflows > table.queue_size[row]:
            self.resize()
        if table.linked:
            table.fire(np.array([row]))
        self._owner.has_news(self)

    def resize(self) -> None:
        """Cut the queue to its size; an EventQueueOverflowEvent says where events were lost."""
        queue, size, discard_oldest = self._queue, int(self._table.queue_size[self.row]), self._discard_oldest()
        while len(queue) - self._overflows > size:
            self._owner.counters.event_overflows += 1
            if discard_oldest:
                self._lose_oldest()
            else:
                self._lose_newest()

    def _discard_oldest(self) -> bool:
        return bool(self._table.discard_oldest[self.row])

    def _lose_oldest(self) -> None:
        while self._queue.popleft() is None:
            self._overflows -= 1
        if not self._queue or self._queue[0] is not None:
            self._queue.appendleft(None)
            self._overflows += 1

    def _lose_newest(self) -> None:
        while self._queue.pop() is None:
            self._overflows -= 1
        if not self._queue or self._queue[-1] is not None:
            self._queue.append(None)
            self._overflows += 1

    def take(self, limit: int, room: int, whole: int, *, first: bool) -> tuple[list[bytes], int]:
        """Remove events as notifications of values are removed; fields that fit nowhere give way to a StatusCode."""
        handle = _HANDLE.pack(self._table.handle[self.row])
        found: list[bytes] = []
        size = 0
        while self._queue and len(found) < limit:
            fields = self._queue[0]
            if fields is None:
                fields = self.filter.encode(_overflow())
            event = handle + fields
            if len(event) > whole:
                event = _without_largest(event, whole)
            if (found or not first) and size + len(event) > room:
                break
            self._overflows -= self._queue.popleft() is None
            found.append(event)
            size += len(event)
        return found, size


def _overflow() -> PlainEvent:
    return PlainEvent(_OVERFLOW, _SERVER, "Server", "Events were lost: the queue of the monitored item was full", 500)


def _without_largest(event: bytes, whole: int) -> bytes:
    """Return an EventFieldList that fits into `whole` bytes: its largest fields are StatusCodes that say why."""
    fields: Any = struct_from_binary(ua.EventFieldList, Buffer(event))
    refusal = ua.Variant(ua.StatusCode(ua.StatusCodes.BadEncodingLimitsExceeded), ua.VariantType.StatusCode)
    sizes = [len(variant_to_binary(one)) for one in fields.EventFields]
    for place in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        fields.EventFields[place] = refusal
        event = struct_to_binary(fields)
        if len(event) <= whole:
            break
    return event

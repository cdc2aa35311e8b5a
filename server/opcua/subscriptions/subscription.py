"""One subscription: its items' queues, and the messages made of them (OPC 10000-4 5.13.1)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from asyncua import ua

from server.opcua.diagnostics.counters import SubscriptionCounters
from server.opcua.locales import Locale
from server.opcua.subscriptions import encoding
from server.opcua.subscriptions.event_items import EventItem
from server.opcua.subscriptions.limits import Limits
from server.opcua.subscriptions.log import QueueLog, Samples
from server.opcua.subscriptions.singles import ValueItem
from server.opcua.subscriptions.table import ItemTable, Rows
from server.quality import GOOD
from server.security.principal import Principal
from server.store import now_ticks

_LAST_SEQUENCE = 2**32 - 1
_UNLIMITED = 2**31 - 1


@dataclass(slots=True)
class _Room:
    """What still fits into a message, and what is in it."""

    count: int
    size: int
    whole: int
    """What fits into an empty one (bytes)."""
    values: list[bytes | memoryview] = field(default_factory=list)
    value_count: int = 0
    events: list[bytes] = field(default_factory=list)

    def took(self, count: int, size: int) -> None:
        self.count -= count
        self.size -= size

    @property
    def empty(self) -> bool:
        """Whether nothing is in it yet."""
        return not self.value_count and not self.events

    @property
    def samples(self) -> int:
        """How many numbers still fit."""
        return max(0, min(self.count, self.size // encoding.SAMPLE_BYTES))


class Subscription:
    """Items and messages; when messages are sent is the publisher's business."""

    pub_result_callback: Any = None  # asyncua sets both when a session moves to another connection
    pub_request_callback: Any = None

    def __init__(
        self, number: int, table: ItemTable, limits: Limits, session_id: ua.NodeId, owner: object,
        principal: Principal, held: dict[int, ValueItem],
    ) -> None:  # fmt: skip
        self.id = number
        self.table = table
        self.session_id = session_id
        self.owner = owner
        """Who made it: it moves to sessions of the same only."""
        self.principal = principal
        """Whose rights its items have."""
        self.locale: Locale | None = None
        """The language of its items; None: the plant file's."""
        self.counters = SubscriptionCounters()
        self.log = QueueLog(table, self.counters)
        self.items: dict[int, int] = {}
        """The table's rows by MonitoredItemId."""
        self.singles: dict[int, ValueItem | EventItem] = {}
        """Items that are fed one by one, by row."""
        self.events: dict[int, EventItem] = {}
        """Those of them that are of events."""
        self.queued_rows = 0
        """The sizes of all queues of more than one value together."""
        self.interval = self.due = 0.0
        self.keep_alive = self.lifetime = self.priority = 0
        self.enabled = True
        self.deleted = False
        self.ready = False
        """A message is due and waits for a publish request."""
        self.ready_since = 0.0
        self._limits = limits
        self.asked_notifications = 0
        self.idle_cycles = self.unheard_cycles = 0
        self._first = True
        self.next_sequence = 1
        self._retained: OrderedDict[int, bytes] = OrderedDict()
        self._retained_bytes = 0
        self._waiting: dict[int, ValueItem | EventItem] = {}
        self._held = held
        self._rows: Rows = np.zeros(0, np.int64)
        self._span: Any = slice(0, 0)
        self._stale = False
        self._turn = 0
        self._resume = 0

    def revise(self, interval_ms: float, keep_alive: int, lifetime: int, max_notifications: int, priority: int) -> None:
        """Take over what is asked for as far as limits let it be (OPC 10000-4 5.13.2)."""
        limits = self._limits
        asked = interval_ms / 1000 if math.isfinite(interval_ms) else 0.0
        self.interval = min(max(asked, limits.min_publishing), limits.max_publishing)
        most = max(1, int(limits.max_keep_alive / self.interval))
        self.keep_alive = min(keep_alive or 10, most)
        self.lifetime = max(3 * self.keep_alive, min(lifetime, max(3, int(limits.max_lifetime / self.interval))))
        self.asked_notifications = max_notifications
        self.priority = priority

    def heard(self) -> None:
        """Begin the lifetime anew: the client uses the subscription."""
        self.unheard_cycles = 0

    def has_news(self, item: ValueItem | EventItem) -> None:
        """Note that an item's queue is not empty."""
        self._waiting[item.row] = item

    def holds(self, item: ValueItem) -> None:
        """Note that an item holds a sample."""
        self._held[item.row] = item

    def rows_changed(self) -> None:
        """Say that items were added or deleted."""
        self._stale = True

    def cycle(self, ended: float, *, heard: bool) -> bool:
        """End a publishing interval at `ended` (monotonic); returns False when the lifetime has ended, too.

        `heard` says that the session has publish requests.
        """
        self.unheard_cycles = 0 if heard else self.unheard_cycles + 1
        if self.unheard_cycles >= self.lifetime:
            return False
        if self.ready:
            self.counters.late += not heard
            return True
        self.idle_cycles += 1
        if (self.enabled and self._has_notifications()) or self._first or self.idle_cycles >= self.keep_alive:
            self.ready = True
            self.ready_since = ended
            self.counters.late += not heard
        else:
            self._release_triggered()
        return True

    def next_message(self, ceiling: int) -> tuple[bytes, bool]:
        """Return the NotificationMessage to send, and whether there is more; `ceiling` limits its bytes."""
        self.idle_cycles = self.unheard_cycles = 0
        self._first = False
        self.counters.publish_requests += 1
        notifications = self._collect(ceiling) if self.enabled else []
        message = encoding.notification_message(self.next_sequence, notifications)
        more = False
        if notifications:
            self._retain(message)
            more = self._has_notifications()
        if not more:
            self._release_triggered()
            self.ready = False
        return message, more

    def status_message(self, status: int) -> bytes:
        """Return a NotificationMessage that tells the client of the subscription's end."""
        return encoding.notification_message(self.next_sequence, [encoding.status_change_notification(status)])

    @property
    def available(self) -> list[int]:
        """Sequence numbers of the messages that can be had again, oldest first."""
        return list(self._retained)

    def acknowledge(self, sequence: int) -> int:
        """Forget a message; returns the StatusCode."""
        self.heard()
        message = self._retained.pop(sequence, None)
        if message is None:
            return ua.StatusCodes.BadSequenceNumberUnknown
        self._retained_bytes -= len(message)
        return GOOD

    def republish(self, sequence: int) -> bytes | None:
        """Return a message again; None when it is not available."""
        self.heard()
        found = self._retained.get(sequence)
        self.counters.republish_requests += 1
        self.counters.republish_messages += found is not None
        return found

    def resend_values(self) -> None:
        """Queue the last value of every reporting item that has none queued (OPC 10000-4 5.13.7)."""
        rows = self.plant_rows()
        again = rows[self.table.reporting[rows] & (self.table.queued[rows] == 0)]
        single = self.table.queue_size[again] == 1
        self.table.dirty[again[single]] = True
        if not single.all():
            self.log.append(self._last_of(again[~single]))
        for row, item in self.singles.items():
            if self.table.reporting[row]:
                item.resend()

    def _last_of(self, rows: Rows) -> Samples:
        table = self.table
        server = np.full(len(rows), now_ticks(), np.int64)
        return Samples(rows, table.bits[rows], table.status[rows], table.source[rows], server)

    def move_to_log(self, rows: Rows) -> None:
        """Put what rows have to report into queues, when these become longer than 1."""
        dirty = rows[self.table.dirty[rows]]
        self.table.dirty[dirty] = False
        if len(dirty):
            self.log.append(self._last_of(dirty))

    def plant_rows(self) -> Rows:
        """Return the table rows that the journal feeds or would, ascending."""
        if self._stale:
            self._stale = False
            singles = self.singles
            rows = np.sort(np.fromiter((row for row in self.items.values() if row not in singles), np.int64))
            self._rows = rows
            whole = len(rows) and int(rows[-1] - rows[0]) == len(rows) - 1
            self._span = slice(int(rows[0]), int(rows[-1]) + 1) if whole else rows
        return self._rows

    def _chosen(self) -> Any:
        """Return which plant rows have a change to report and may, shape (plant rows,)."""
        self.plant_rows()
        table, span = self.table, self._span
        return table.dirty[span] & (table.reporting[span] | table.triggered[span])

    def _shown(self) -> Any:
        return self.table.reporting | self.table.triggered

    def _has_notifications(self) -> bool:
        if bool(self._chosen().any()) or (len(self.log) and self.log.has(self._shown())):
            return True
        table = self.table
        return any(table.reporting[row] or table.triggered[row] for row in self._waiting)

    def _release_triggered(self) -> None:
        """Forget what was triggered: it has been reported, or had nothing to report."""
        if self.table.linked:
            self.table.triggered[list(self.items.values())] = False

    def _collect(self, ceiling: int) -> list[bytes]:
        """Take notifications out of the queues; kinds of items take turns in going first, so that none starves."""
        size = min(ceiling, self._limits.message_bytes) - encoding.MESSAGE_BYTES
        room = _Room(self.asked_notifications or _UNLIMITED, size, size)
        takers = (self._take_rows, self._take_log, self._take_singles)
        for step in range(len(takers)):
            takers[(self._turn + step) % len(takers)](room)
        self._turn += 1
        self.counters.data_changes += room.value_count
        self.counters.events += len(room.events)
        notifications: list[bytes] = []
        if room.value_count:
            notifications.append(encoding.data_change_notification(room.value_count, room.values))
        if room.events:
            notifications.append(encoding.event_notification(room.events))
        return notifications

    def _take_rows(self, room: _Room) -> None:
        chosen = self._chosen()
        rows = self._rows if chosen.all() else self._rows[chosen]
        limit = room.samples
        if len(rows) > limit:  # the next message goes on where this one ends
            begin = int(np.searchsorted(rows, self._resume))
            rows = rows[(begin + np.arange(limit)) % len(rows)]
            self._resume = int(rows[-1]) + 1 if limit else self._resume
        if len(rows):
            self.table.dirty[rows] = False
            self._put(room, self._last_of(rows), ordered=False)

    def _take_log(self, room: _Room) -> None:
        if len(self.log) and room.samples:
            samples = self.log.take(self._shown(), room.samples)
            if len(samples):
                self._put(room, samples, ordered=True)

    def _put(self, room: _Room, samples: Samples, *, ordered: bool) -> None:
        parts = encoding.data_changes(self.table, samples, ordered=ordered)
        room.values += parts
        room.value_count += len(samples)
        room.took(len(samples), sum(len(part) for part in parts))

    def _take_singles(self, room: _Room) -> None:
        table = self.table
        for row, item in list(self._waiting.items()):
            if not (table.reporting[row] or table.triggered[row]):
                continue
            if room.count <= 0 or (room.size <= 0 and not room.empty):
                return
            found, size = item.take(room.count, room.size, room.whole, first=room.empty)
            room.took(len(found), size)
            if isinstance(item, EventItem):
                room.events += found
            else:
                room.values += found
                room.value_count += len(found)
            del self._waiting[row]
            if len(item):
                self._waiting[row] = item  # behind the others

    def _retain(self, message: bytes) -> None:
        limits = self._limits
        self._retained[self.next_sequence] = message
        self._retained_bytes += len(message)
        while len(self._retained) > limits.retained_messages or (
            self._retained_bytes > limits.retained_bytes and len(self._retained) > 1
        ):
            _, oldest = self._retained.popitem(last=False)
            self._retained_bytes -= len(oldest)
            self.counters.discarded_messages += 1
        self.next_sequence = 1 if self.next_sequence == _LAST_SEQUENCE else self.next_sequence + 1

    def forget_single(self, row: int) -> None:
        """Forget an item that is fed one by one."""
        item = self.singles.pop(row)
        self.events.pop(row, None)
        item.release()
        self._waiting.pop(row, None)
        self._held.pop(row, None)

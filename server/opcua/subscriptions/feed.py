"""From the journal into the queues of monitored items: matched, filtered and queued a batch at a time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server import logs
from server.opcua.subscriptions.filters import passes
from server.opcua.subscriptions.log import QueueLog, Samples
from server.opcua.subscriptions.table import ItemTable, Rows
from server.quality import BAD_USER_ACCESS_DENIED
from server.store import Batch, Cursor, Store, now_ticks

if TYPE_CHECKING:
    from server.opcua.subscriptions.singles import ValueItem

log = logs.get(__name__)

_BATCH = 1 << 18
_TOLERANCE = 0.005
"""How much before the end of its sampling interval a sample may be taken, in seconds: timers are not exact."""


class Logs(Protocol):
    """Where the queues of subscriptions are found."""

    def log_of(self, subscription: int) -> QueueLog:
        """Return the log of a subscription."""
        ...


def snapshot(store: Store, ids: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.uint32], NDArray[np.int64]]:
    """Return bits as in the journal, statuses and source timestamps of numeric variables, each of shape (n,)."""
    bits = np.zeros(len(ids), np.uint64)
    types, rows = store.types(ids), store.rows(ids)
    for builtin in np.flatnonzero(np.bincount(types)):
        positions = np.flatnonzero(types == builtin)
        column = np.ascontiguousarray(store.table(BuiltinType(int(builtin)))["value"][rows[positions]])
        bits[positions] = column.view(f"<u{column.dtype.itemsize}")
    return bits, store.statuses(ids), store.source_timestamps(ids)


class Feed:
    """One cursor on the journal for all subscriptions; it is open while there are items."""

    def __init__(self, store: Store, table: ItemTable, logs_: Logs, poll: float = 1.0) -> None:
        self._store = store
        self.table = self._table = table
        self._logs = logs_
        self._cursor: Cursor | None = None
        self._lost = 0
        self._scratch = np.zeros(0, np.int64)
        self.watchers: dict[int, dict[int, ValueItem]] = {}
        """Items of String variables: by the variable's id, then by the item's row."""
        self.sampled: dict[int, ValueItem] = {}
        """Items fed one by one that hold a sample until the end of their sampling interval, by row."""
        self.polled: dict[int, ValueItem] = {}
        """Items of values that are computed when read, by row."""
        self._poll = poll
        self._next_poll = 0.0

    def open(self) -> None:
        """Follow the journal from here on, if not yet."""
        if self._cursor is None:
            self._cursor = self._store.journal.cursor("opcua")
            self._lost = 0

    def close(self) -> None:
        """Follow the journal no more."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def drain(self, now: float) -> None:
        """Queue every change since the last call; `now` is the monotonic time."""
        cursor = self._cursor
        if cursor is None:
            return
        while len(batch := cursor.read(_BATCH)):
            self._take(batch, now)
        if cursor.lost > self._lost:
            log.warning("monitored items missed changes", rows=cursor.lost - self._lost)
            self._lost = cursor.lost
            self._catch_up(now)
        if self._table.index.sampled:
            self._sample(now)
        if self.polled and now >= self._next_poll:
            self._next_poll = now + self._poll
            for item in list(self.polled.values()):
                item.changed(now)
        for row, item in list(self.sampled.items()):
            if item.due <= now + _TOLERANCE:
                del self.sampled[row]
                item.sample(now)

    def start(self, rows: Rows) -> None:
        """Queue the present value of fed rows as their first sample, whatever their filter."""
        if not len(rows):
            return
        table = self._table
        bits, status, source = snapshot(self._store, table.variable[rows])
        self._queue(rows, bits, status, source)
        table.held[rows] = False

    def refuse(self, rows: Rows) -> None:
        """Queue, in place of a value, that the user may not read it."""
        if len(rows):
            table = self._table
            nothing, status = np.zeros(len(rows), np.uint64), np.full(len(rows), BAD_USER_ACCESS_DENIED, np.uint32)
            self._queue(rows, nothing, status, np.full(len(rows), now_ticks(), np.int64), unfed=True)
            table.held[rows] = False

    def _take(self, batch: Batch, now: float) -> None:
        table = self._table
        if self.watchers and batch.objects:
            for position in sorted(batch.objects):
                for item in list(self.watchers.get(int(batch.ids[position]), {}).values()):
                    item.changed_row(batch, position, now)
        index = table.index
        if index.empty:
            return
        positions, rows = index.match(batch.ids)
        bits, status, source = batch.bits[positions], batch.statuses[positions], batch.source_timestamps[positions]
        if index.sampled:
            slow = table.sampling[rows] > 0
            held = rows[slow]  # where a row comes twice the last assignment stays
            table.held_bits[held], table.held_status[held] = bits[slow], status[slow]
            table.held_source[held], table.held[held] = source[slow], True
            rows, bits, status, source = rows[~slow], bits[~slow], status[~slow], source[~slow]
        for part in self._rounds(rows):
            self._filter(rows[part], bits[part], status[part], source[part])

    def _rounds(self, rows: Rows) -> Iterator[NDArray[np.intp] | slice]:
        """Split so that no row comes twice in a part, and each row's samples keep their order."""
        if not len(rows):
            return
        if len(self._scratch) < self._table.capacity:
            self._scratch = np.zeros(self._table.capacity, np.int64)
        scratch, left = self._scratch, np.arange(len(rows))
        scratch[rows[::-1]] = left[::-1]  # the last assignment stays: the place of a row's first sample
        first = scratch[rows] == left
        if first.all():
            yield slice(None)
            return
        while len(left):
            yield left[first]
            left = left[~first]
            scratch[rows[left[::-1]]] = left[::-1]
            first = scratch[rows[left]] == left

    def _sample(self, now: float) -> None:
        """Take the samples whose interval has ended."""
        table = self._table
        rows = np.flatnonzero(table.held & (table.due <= now + _TOLERANCE))
        if not len(rows):
            return
        table.held[rows] = False
        due, interval = table.due[rows], table.sampling[rows]
        table.due[rows] = due + interval * (np.floor((now + _TOLERANCE - due) / interval) + 1)
        self._filter(rows, table.held_bits[rows], table.held_status[rows], table.held_source[rows])

    def _catch_up(self, now: float) -> None:
        """After a loss: the present values, so that none stays behind."""
        rows = np.flatnonzero(self._table.fed)
        self._filter(rows, *snapshot(self._store, self._table.variable[rows]))
        for watchers in list(self.watchers.values()):
            for item in list(watchers.values()):
                item.changed(now)

    def _filter(
        self, rows: Rows, bits: NDArray[np.uint64], status: NDArray[np.uint32], source: NDArray[np.int64]
    ) -> None:
        passed = passes(self._table, rows, bits, status, source, plain=not self._table.index.filtered)
        if passed.all():
            self._queue(rows, bits, status, source)
        elif passed.any():
            self._queue(rows[passed], bits[passed], status[passed], source[passed])

    def _queue(
        self, rows: Rows, bits: NDArray[np.uint64], status: NDArray[np.uint32], source: NDArray[np.int64],
        *, unfed: bool = False,
    ) -> None:  # fmt: skip
        table = self._table
        table.bits[rows], table.status[rows], table.source[rows] = bits, status, source
        table.fire(rows)
        if not (unfed or table.index.queued):
            table.dirty[rows] = True
            return
        many = np.flatnonzero(table.queue_size[rows] > 1)
        if len(many) < len(rows):
            table.dirty[rows[table.queue_size[rows] == 1]] = True
        if not len(many):
            return
        server = np.full(len(many), now_ticks(), np.int64)
        samples = Samples(rows[many], bits[many], status[many], source[many], server)
        owners = table.subscription[samples.rows]
        if (owners == owners[0]).all():
            self._logs.log_of(int(owners[0])).append(samples)
            return
        order = np.argsort(owners, kind="stable")
        starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
        for part in np.split(order, starts[1:]):
            self._logs.log_of(int(owners[part[0]])).append(samples.take(part))

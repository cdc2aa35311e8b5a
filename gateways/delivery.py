"""How changes reach a peer that must lose nothing: journal, outbox, two lanes; live ones at once, what waited after."""

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import NoReturn, Self

import numpy as np

from address_space.model import BuiltinType
from gateways.outbox import Entry, Outbox, joined
from gateways.settings import OutboxSettings
from server import logs
from server.ports import GatewayContext
from server.store import Batch, Cursor, Store, now_ticks
from server.store.ticks import TICKS_PER_SECOND

log = logs.get(__name__)

Send = Callable[[Entry], Awaitable[None]]

FILE = "outbox.sqlite"
_LINGER_S = 0.02  # rows that come this soon after the first share its entry
_LOOK_S = 0.5
_RETRY_S = 1.0
_EMPTY = Batch(np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.int64), {})


class Lanes:
    """Everything goes through the outbox: the live lane takes what comes, the backlog lane what waited before.

    One belongs to one gateway for its life: the cursor is open from the start and outlives a crash of `run`, so that
    nothing is lost between two runs. `async with` opens the outbox and starts to fill it; `deliver` empties it.
    `clock` (monotonic, s) and `sleep` are for tests.
    """

    outbox: Outbox

    def __init__(
        self,
        context: GatewayContext,
        settings: OutboxSettings,
        *,
        entry_rows: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._context = context
        self._settings = settings
        self._entry_rows = entry_rows or int(min(max(settings.backlog_rate / 10, 256), 16_384))
        self._clock = clock
        self._sleep = sleep
        self._cursor = self._open_cursor()
        self._closed = False
        self._lost = 0
        self._hand: deque[tuple[int, Batch]] = deque()
        """Read from the cursor (when, in ticks), not in the outbox yet."""
        self._hand_lock = asyncio.Lock()
        """What is in hand goes one way: into the outbox, or past a full disk to the peer."""
        self._disk_full = False
        self._passed = asyncio.Event()
        self._writing: tuple[Future[int], int] | None = None
        self._arrived = asyncio.Event()
        self._dropped_before: int | None = None
        self._rejected = 0
        self._backlog_from = 0.0

    async def __aenter__(self) -> Self:
        settings, context = self._settings, self._context
        if self._closed:
            self._cursor, self._lost, self._closed = self._open_cursor(), 0, False
        opened = partial(Outbox, max_bytes=settings.max_bytes, max_age=settings.max_age)
        self.outbox = await asyncio.to_thread(opened, context.data_dir / FILE, context.plant)
        if self._dropped_before is None:
            self._dropped_before = self.outbox.dropped
        self._read_all()  # before the snapshot: no value goes back in time
        self._put_in_hand(self.current())
        self._pump = asyncio.create_task(self._fill(), name=f"{context.name} outbox")
        self._pump.add_done_callback(self._pump_ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pump.cancel()
        await asyncio.wait([self._pump])
        self._read_all()
        try:
            await self._write_hand()
        except sqlite3.Error as failure:
            rows = self._in_hand()
            log.error("the outbox cannot be written", gateway=self._context.name, rows=rows, error=str(failure))
        self._show()
        await self.outbox.close()
        if kind is None or issubclass(kind, asyncio.CancelledError):
            self._cursor.close()
            self._closed = True

    def current(self) -> Batch:
        """Return the present values of all variables, by id."""
        return snapshot(self._context.store)

    def rejected(self, rows: int) -> None:
        """Within `send`: count rows of this entry that the peer will never take as dropped, not as delivered."""
        self._rejected += rows

    async def deliver(self, send: Send) -> NoReturn:
        """Send what waits and what comes, one entry at a time, until `send` raises; that is raised here.

        What is in the outbox at the call is backlog. Live entries go first; between them at most one of the backlog,
        oldest first, at most `backlog_rate` rows/s on average. An entry is removed once `send` has returned; the one
        that fails stays and comes again in the next call. What a full disk does not take goes from memory.
        """
        self.outbox.release()
        self.outbox.boundary = self.outbox.last_seq
        live_after, backlog_after = self.outbox.boundary, 0
        while True:
            self._check_pump()
            self._arrived.clear()
            live = await self.outbox.peek(after=live_after, max_rows=4 * self._entry_rows)
            if live and self._is_late(live[0]):
                self.outbox.boundary = live_after = self.outbox.last_seq
                self.outbox.release()
                continue
            idle = not live and not await self._send_past_the_disk(send)
            while live:
                live_after = await self._send(send, together := self._fitting(live))
                del live[: len(together)]
            pause = self._backlog_from - self._clock()
            before = self.outbox.boundary + 1
            rows = self._entry_rows
            backlog = await self.outbox.peek(after=backlog_after, before=before, max_rows=rows) if pause <= 0 else []
            if backlog:
                together = self._fitting(backlog)
                rows = sum(len(entry.batch) for entry in together)
                self._backlog_from = self._clock() + rows / self._settings.backlog_rate
                backlog_after = await self._send(send, together)
            if idle and not backlog:
                await self._pause(pause if backlog_after < self.outbox.boundary and pause > 0 else None)

    def _fitting(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the first entries, as many as are one to send: else each would take a round trip to the peer."""
        rows = np.cumsum([len(entry.batch) for entry in entries])
        return list(entries[: max(1, int(np.count_nonzero(rows <= self._entry_rows)))])

    async def _send(self, send: Send, entries: Sequence[Entry]) -> int:
        """Send entries as one and remove them; returns the seq of the last."""
        entry = joined(entries)
        self._rejected = 0
        if len(entry.batch):
            await send(entry)
        self._context.status.delivered += len(entry.batch) - self._rejected
        self.outbox.post_acknowledge([entry.seq for entry in entries], self._rejected)
        self._show()
        return entry.seq

    async def _send_past_the_disk(self, send: Send) -> bool:
        """Send what is in hand and cannot be written; returns whether there was something."""
        if not self._disk_full:
            return False
        async with self._hand_lock:
            if not self._disk_full or not self._hand:
                return False
            time, batch = self._hand[0]
            self._rejected = 0
            await send(Entry(self.outbox.last_seq, batch, historical=False, time=time))
            self._hand.popleft()
        self._context.status.delivered += len(batch) - self._rejected
        self._lost -= self._rejected  # counted as dropped with what the journal has lost
        self._passed.set()
        self._show()
        return True

    def _is_late(self, entry: Entry) -> bool:
        return now_ticks() - entry.time > self._settings.live_delay * TICKS_PER_SECOND

    async def _pause(self, seconds: float | None) -> None:
        """Wait for new rows, at most `seconds`."""
        if seconds is None:
            await self._arrived.wait()
            return
        waits = (asyncio.ensure_future(self._arrived.wait()), asyncio.ensure_future(self._sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _open_cursor(self) -> Cursor:
        return self._context.store.journal.cursor(f"{self._context.name} outbox")

    def _pump_ended(self, pump: "asyncio.Task[None]") -> None:
        if not pump.cancelled() and (error := pump.exception()) is not None:
            log.error("the outbox is not filled any more", gateway=self._context.name, exc_info=error)
        self._arrived.set()

    def _check_pump(self) -> None:
        """Raise the error of a pump that has failed: nothing would come any more."""
        if self._pump.done():
            self._pump.result()
            raise RuntimeError("the outbox is not filled any more")

    async def _fill(self) -> None:
        """Move rows from the journal to the outbox; on a full disk the journal holds them meanwhile."""
        while True:
            try:
                async with self._hand_lock:
                    await self._write_hand()
                await self._expire()
            except sqlite3.Error as error:
                self._disk_failed(error)
                await self._retry()
                continue
            self._disk_full = False
            self._show()
            try:
                async with asyncio.timeout(_LOOK_S):  # wait_for may swallow a cancellation on Python 3.11
                    await self._cursor.wait()
            except TimeoutError:
                continue
            if self._cursor.lag < self._entry_rows:
                await asyncio.sleep(_LINGER_S)
            self._put_in_hand(self._cursor.read(self._entry_rows))

    async def _write_hand(self) -> None:
        """Make what is in hand durable, in order. A write under way when this is cancelled is waited for next time."""
        while self._hand or self._cursor.lost > self._lost:
            if self._writing is None:
                batch = self._hand[0][1] if self._hand else _EMPTY
                self._writing = self.outbox.post(batch, self._cursor.lost - self._lost), self._cursor.lost
            writing, lost = self._writing
            wrapped = asyncio.wrap_future(writing)
            wrapped.add_done_callback(lambda done: done.cancelled() or done.exception())  # `writing` tells it
            await asyncio.wait([wrapped])
            self._writing = None
            writing.result()
            self._lost = lost
            if self._hand:
                self._hand.popleft()
            self._arrived.set()

    async def _retry(self) -> None:
        """Wait a while, or until a connected peer has taken what is in hand: the next rows then."""
        self._passed.clear()
        self._disk_full = True
        if not self._hand:
            self._put_in_hand(self._cursor.read(self._entry_rows))
        self._arrived.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_S):
                await self._passed.wait()

    async def _expire(self) -> None:
        oldest = self.outbox.oldest
        if oldest is not None and now_ticks() - oldest > self._settings.max_age * TICKS_PER_SECOND:
            await self.outbox.expire()

    def _read_all(self) -> None:
        while len(batch := self._cursor.read(self._entry_rows)):
            self._put_in_hand(batch)

    def _put_in_hand(self, batch: Batch) -> None:
        now, rows = now_ticks(), np.arange(len(batch))
        for start in range(0, len(batch), self._entry_rows):
            part = batch if len(batch) <= self._entry_rows else batch.take(rows[start : start + self._entry_rows])
            self._hand.append((now, part))

    def _in_hand(self) -> int:
        return sum(len(batch) for _, batch in self._hand)

    def _disk_failed(self, error: sqlite3.Error) -> None:
        sentence = f"{self.outbox.path}: the outbox cannot be written: {error}"
        if self._context.status.last_error != sentence:
            log.error("the outbox cannot be written", gateway=self._context.name, error=sentence)
        self._context.status.last_error = sentence
        self._show()

    def _show(self) -> None:
        outbox, status, journal = self.outbox, self._context.status, self._context.store.journal
        # On a full disk nobody reads: what the journal has overwritten meanwhile the cursor does not know of yet.
        overwritten = max(0, self._cursor.lag - (journal.end - journal.start))
        lost = self._cursor.lost - self._lost + overwritten
        status.dropped = outbox.dropped - (self._dropped_before or 0) + lost
        status.queue_depth = outbox.rows + self._in_hand() + self._cursor.lag - overwritten
        waiting = [moment for moment in (outbox.oldest, self._hand[0][0] if self._hand else None) if moment is not None]
        status.lag = max(0.0, (now_ticks() - min(waiting)) / TICKS_PER_SECOND) if waiting else 0.0


def snapshot(store: Store) -> Batch:
    """Return the present value of every variable as the journal would hold it, by id."""
    ids = np.arange(len(store), dtype=np.int64)
    bits = np.zeros(len(ids), np.uint64)
    objects: dict[int, object] = {}
    types = store.types(ids)
    for builtin in np.unique(types):
        positions = np.flatnonzero(types == builtin)
        column = store.table(BuiltinType(builtin))["value"][store.rows(positions)]
        if column.dtype == object:
            objects.update(zip(positions.tolist(), column.tolist(), strict=True))
        else:
            unsigned = np.dtype(f"<u{column.dtype.itemsize}")
            bits[positions] = np.ascontiguousarray(column).view(unsigned).astype(np.uint64)
    return Batch(ids, bits, store.statuses(ids), store.source_timestamps(ids), objects)

"""The journal: every change of the store in order, in bounded columns, read through cursors."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT_ROWS = 1 << 20


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of the journal, oldest first; all columns have shape (n,).

    `bits` holds each value's 8 bytes as its built-in type stores them; `objects` the values of String rows by row.
    """

    ids: NDArray[np.int64]
    bits: NDArray[np.uint64]
    statuses: NDArray[np.uint32]
    source_timestamps: NDArray[np.int64]
    objects: dict[int, Any]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.intp]) -> "Batch":
        """Return a batch of some of the rows."""
        objects = {new: self.objects[old] for new, old in enumerate(rows.tolist()) if old in self.objects}
        return Batch(self.ids[rows], self.bits[rows], self.statuses[rows], self.source_timestamps[rows], objects)

    def last(self) -> NDArray[np.int64]:
        """Return the row of each id's newest change, ordered by row: what a conflating consumer reads."""
        reverse = self.ids[::-1]
        _, first = np.unique(reverse, return_index=True)
        return np.sort(len(self.ids) - 1 - first)


class Journal:
    """A ring of the newest `rows` changes. Only the store appends; any number of cursors read."""

    def __init__(self, rows: int = DEFAULT_ROWS) -> None:
        if rows < 1:
            raise ValueError("a journal needs at least one row")
        self.rows = rows
        self.end = 0
        """Changes ever appended: the position that the next one takes."""
        self._ids = np.zeros(rows, np.int64)
        self._bits = np.zeros(rows, np.uint64)
        self._statuses = np.zeros(rows, np.uint32)
        self._timestamps = np.zeros(rows, np.int64)
        self._objects: dict[int, Any] = {}
        self._object_positions: deque[int] = deque()
        self._waiters: set[asyncio.Future[None]] = set()
        self._waiting: dict[asyncio.Future[None], Cursor] = {}
        self._cursors: list[Cursor] = []

    @property
    def start(self) -> int:
        """The position of the oldest change still held."""
        return max(0, self.end - self.rows)

    @property
    def cursors(self) -> tuple["Cursor", ...]:
        """Every open cursor."""
        return tuple(self._cursors)

    def append(
        self,
        ids: NDArray[np.int64],
        bits: NDArray[np.uint64],
        statuses: NDArray[np.uint32],
        timestamps: NDArray[np.int64],
        objects: dict[int, Any] | None = None,
    ) -> None:
        """Append rows of shape (n,); `objects` maps a row of this batch to its String value."""
        count = len(ids)
        if count == 0:
            return
        skip = max(0, count - self.rows)  # a batch larger than the ring: only its end can be kept
        first = self.end + skip
        at = first % self.rows
        head = min(count - skip, self.rows - at)
        for column, new in (
            (self._ids, ids),
            (self._bits, bits),
            (self._statuses, statuses),
            (self._timestamps, timestamps),
        ):
            column[at : at + head] = new[skip : skip + head]
            column[: count - skip - head] = new[skip + head :]
        if objects:
            for row, value in objects.items():
                self._objects[self.end + row] = value
                self._object_positions.append(self.end + row)
        self._advance(count, ids)

    def _advance(self, count: int, ids: NDArray[np.int64] | int) -> None:
        self.end += count
        while self._object_positions and self._object_positions[0] < self.start:
            del self._objects[self._object_positions.popleft()]
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        for waiter, cursor in self._waiting.items():
            if waiter.done():
                continue
            if cursor.wants(ids):
                waiter.set_result(None)
            else:
                cursor.pass_over()

    def append_one(self, id_: int, bits: int, status: int, timestamp: int) -> None:
        """Append a row without a String."""
        at = self.end % self.rows
        self._ids[at] = id_
        self._bits[at] = bits
        self._statuses[at] = status
        self._timestamps[at] = timestamp
        self._advance(1, id_)

    def read(self, start: int, count: int) -> Batch:
        """Copy `count` rows from position `start`, which must be held."""
        at = start % self.rows
        head = min(count, self.rows - at)

        def column(source: NDArray[Any]) -> NDArray[Any]:
            if head == count:
                return source[at : at + count].copy()
            return np.concatenate((source[at:], source[: count - head]))

        objects: dict[int, Any] = {}
        if self._objects:
            held, asked = self._objects, range(start, start + count)
            near = asked if count < len(held) else self._object_positions  # look through the fewer
            objects = {p - start: held[p] for p in near if p in asked and p in held}
        return Batch(column(self._ids), column(self._bits), column(self._statuses), column(self._timestamps), objects)

    def cursor(self, name: str, wanted: NDArray[np.bool_] | None = None) -> "Cursor":
        """Open a cursor at the present end; with `wanted`, bool (variables,), it may pass over changes of others."""
        cursor = Cursor(self, name, wanted)
        self._cursors.append(cursor)
        return cursor

    def close(self, cursor: "Cursor") -> None:
        """Close a cursor."""
        self._cursors.remove(cursor)

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Return once `ready()`, looked at after every append."""
        while not ready():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    async def wait_for(self, cursor: "Cursor") -> None:
        """Return after an append of something that a cursor wants."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = cursor
        try:
            await waiter
        finally:
            del self._waiting[waiter]


class Cursor:
    """A consumer's place in the journal. `lost` counts rows that were overwritten before it read them."""

    def __init__(self, journal: Journal, name: str, wanted: NDArray[np.bool_] | None = None) -> None:
        self.name = name
        self.lost = 0
        self._journal = journal
        self._position = journal.end
        self._wanted = wanted
        self._one = None if wanted is None else wanted.tobytes()  # of bytes, one is found sooner than in an array

    @property
    def position(self) -> int:
        """The position of the next row to read."""
        return self._position

    @property
    def lag(self) -> int:
        """Rows not read yet, those already lost included."""
        return self._journal.end - self._position

    def read(self, max_rows: int = 65_536) -> Batch:
        """Return the rows since the last read, oldest first, at most `max_rows`; an empty batch when there are none."""
        journal = self._journal
        if self._position < journal.start:
            self.lost += journal.start - self._position
            self._position = journal.start
        count = min(max_rows, journal.end - self._position)
        batch = journal.read(self._position, count)
        self._position += count
        return batch

    async def wait(self) -> None:
        """Return once there is something to read that is wanted; what is not is passed over."""
        lag = self.lag
        if lag and (self._position < self._journal.start or self.wants(self._journal.read(self._position, lag).ids)):
            return
        self.pass_over()
        await self._journal.wait_for(self)

    def wants(self, ids: NDArray[np.int64] | int) -> bool:
        """Return whether a variable is wanted, or one of `ids`, shape (n,)."""
        if self._wanted is None or self._one is None:
            return True
        return self._one[ids] != 0 if isinstance(ids, int) else bool(self._wanted[ids].any())

    def pass_over(self) -> None:
        """Count all there is as read."""
        self._position = self._journal.end

    def close(self) -> None:
        """Give the place up."""
        self._journal.close(self)

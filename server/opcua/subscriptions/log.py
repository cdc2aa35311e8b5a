"""Queues of more than one value: a subscription's samples in one append log, cut to the queue sizes when need be."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.opcua.diagnostics.counters import SubscriptionCounters
from server.opcua.subscriptions.table import ItemTable, Rows

OVERFLOW = 0x0480
"""InfoType DataValue with the Overflow bit (OPC 10000-4 7.39.1)."""
_LOOK = 64
"""How many samples are looked at together, at least."""
_NO_ROWS: Rows = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Samples:
    """Columns of n samples: item rows, values' bits, StatusCodes, source and server timestamps (ticks)."""

    rows: Rows
    bits: NDArray[np.uint64]
    status: NDArray[np.uint32]
    source: NDArray[np.int64]
    server: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Samples":
        """Return some of the samples."""
        return Samples(
            self.rows[chosen], self.bits[chosen], self.status[chosen], self.source[chosen], self.server[chosen]
        )

    def cut(self, begin: int, end: int | None) -> "Samples":
        """Return some in a row; nothing is copied."""
        return Samples(
            self.rows[begin:end], self.bits[begin:end], self.status[begin:end], self.source[begin:end],
            self.server[begin:end],
        )  # fmt: skip


def joined(parts: Iterable[Samples]) -> Samples:
    """Return samples one after the other."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    return Samples(
        np.concatenate([part.rows for part in parts]) if parts else np.zeros(0, np.int64),
        np.concatenate([part.bits for part in parts]) if parts else np.zeros(0, np.uint64),
        np.concatenate([part.status for part in parts]) if parts else np.zeros(0, np.uint32),
        np.concatenate([part.source for part in parts]) if parts else np.zeros(0, np.int64),
        np.concatenate([part.server for part in parts]) if parts else np.zeros(0, np.int64),
    )


class QueueLog:
    """The samples of a subscription's queues in the order of their arrival.

    `table.queued` counts an item's samples. Queues are cut only once one of them is too long and the log is read or
    has grown by half of what it held, so that an append costs the same whatever the queues are. What is taken out
    costs the same however much stays.
    """

    def __init__(self, table: ItemTable, counters: SubscriptionCounters) -> None:
        self._table = table
        self._counters = counters
        self._parts: deque[Samples] = deque()
        self._parked: list[Samples] = []
        """Samples that were passed over: their items are only sampled, until a trigger wants them."""
        self._parked_rows = _NO_ROWS
        self._count = 0
        self._cut_at = 0
        self._overflowing = False

    def __len__(self) -> int:
        return self._count

    def append(self, samples: Samples) -> None:
        """Append samples, each row at most once."""
        table = self._table
        table.queued[samples.rows] += 1
        self._parts.append(samples)
        self._count += len(samples)
        if not self._overflowing:
            self._overflowing = bool((table.queued[samples.rows] > table.queue_size[samples.rows]).any())
        if self._overflowing and self._count > self._cut_at:
            self._cut()
            self._cut_at = self._count + max(self._count // 2, 65_536)

    def has(self, chosen: NDArray[np.bool_]) -> bool:
        """Whether there are samples of the table rows that are True in `chosen`, shape (capacity,)."""
        self._unpark(chosen)
        for part in self._parts:
            begin, look = 0, _LOOK
            while begin < len(part):
                if bool(chosen[part.rows[begin : begin + look]].any()):
                    return True
                begin, look = begin + look, 2 * look
        return False

    def take(self, chosen: NDArray[np.bool_], limit: int) -> Samples:
        """Remove and return at most `limit` samples, oldest first, of the table rows that are True in `chosen`."""
        self._unpark(chosen)
        if self._overflowing:
            self._cut()
        parts, found, passed_over = self._parts, list[Samples](), list[Samples]()
        look = max(2 * limit, _LOOK)
        while parts and limit > 0:
            part = parts.popleft()
            if len(part) > look:
                parts.appendleft(part.cut(look, None))
                part = part.cut(0, look)
            wanted = chosen[part.rows]
            places = np.flatnonzero(wanted)
            if len(places) > limit:
                end = int(places[limit])
                parts.appendleft(part.cut(end, None))
                part, wanted, places = part.cut(0, end), wanted[:end], places[:limit]
            if len(places) == len(part):
                found.append(part)
            else:
                found.append(part.take(places))
                passed_over.append(part.take(~wanted))
            limit -= len(places)
        self._park(passed_over)
        taken = joined(found)
        np.subtract.at(self._table.queued, taken.rows, 1)
        self._count -= len(taken)
        return taken

    def _park(self, samples: list[Samples]) -> None:
        if samples:
            self._parked += samples
            rows = [np.unique(part.rows) for part in samples]
            self._parked_rows = np.unique(np.concatenate([self._parked_rows, *rows]))

    def _unpark(self, chosen: NDArray[np.bool_]) -> None:
        """Put what was passed over back in front once an item of it is wanted."""
        if self._parked and bool(chosen[self._parked_rows].any()):
            self._parts.appendleft(joined(self._parked))
            self._parked, self._parked_rows = [], _NO_ROWS

    def drop(self, rows: Rows) -> None:
        """Forget the samples of some rows."""
        if self._count and len(rows):
            gone = np.zeros(self._table.capacity, np.bool_)
            gone[rows] = True
            samples = self._all()
            self._hold(samples.take(~gone[samples.rows]))
        self._table.queued[rows] = 0

    def resize(self) -> None:
        """Cut queues whose size has changed."""
        self._cut()

    def _all(self) -> Samples:
        return joined([*self._parked, *self._parts])

    def _hold(self, samples: Samples) -> None:
        self._parked, self._parked_rows = [], _NO_ROWS
        self._parts = deque([samples] if len(samples) else [])
        self._count = len(samples)

    def _cut(self) -> None:
        """Apply queue sizes and discard policies (OPC 10000-4 5.12.1.5); what was kept next to a loss says so."""
        self._overflowing = False
        samples, table = self._all(), self._table
        order = np.argsort(samples.rows, kind="stable")
        rows = samples.rows[order]
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        counts = np.diff(starts, append=len(rows))
        owner = np.repeat(np.arange(len(starts)), counts)
        rank = np.arange(len(rows)) - starts[owner]
        sizes, oldest = table.queue_size[rows[starts]], table.discard_oldest[rows[starts]]
        over = counts > sizes
        if not over.any():
            return
        excess = (counts - sizes)[owner]
        last = rank == counts[owner] - 1
        keep = np.where(oldest[owner], rank >= excess, (rank < (sizes - 1)[owner]) | last) | ~over[owner]
        marked = over[owner] & np.where(oldest[owner], rank == excess, last) & (sizes[owner] > 1)
        status = samples.status.copy()
        status[order[marked]] |= np.uint32(OVERFLOW)
        kept = np.sort(order[keep])
        self._counters.overflows += len(samples) - len(kept)
        table.queued[rows[starts]] = np.minimum(counts, sizes)
        self._hold(Samples(samples.rows, samples.bits, status, samples.source, samples.server).take(kept))

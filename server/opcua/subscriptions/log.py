"""Queues of more than one value: a subscription's samples in one append log, cut to the queue sizes when need be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.opcua.subscriptions.table import ItemTable, Rows

OVERFLOW = 0x0480
"""InfoType DataValue with the Overflow bit (OPC 10000-4 7.39.1)."""


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


def joined(parts: list[Samples]) -> Samples:
    """Return samples one after the other."""
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
    has grown by half of what it held, so that an append costs the same whatever the queues are.
    """

    def __init__(self, table: ItemTable) -> None:
        self._table = table
        self._parts: list[Samples] = []
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
        return self._count > 0 and any(bool(chosen[part.rows].any()) for part in self._parts)

    def take(self, chosen: NDArray[np.bool_], limit: int) -> Samples:
        """Remove and return at most `limit` samples, oldest first, of the table rows that are True in `chosen`."""
        samples = self._settled()
        wanted = np.flatnonzero(chosen[samples.rows])[:limit]
        taken = samples.take(wanted)
        np.subtract.at(self._table.queued, taken.rows, 1)
        left = np.ones(len(samples), np.bool_)
        left[wanted] = False
        self._hold(samples.take(left))
        return taken

    def drop(self, rows: Rows) -> None:
        """Forget the samples of some rows."""
        if self._count and len(rows):
            gone = np.zeros(self._table.capacity, np.bool_)
            gone[rows] = True
            samples = joined(self._parts)
            self._hold(samples.take(~gone[samples.rows]))
        self._table.queued[rows] = 0

    def resize(self) -> None:
        """Cut queues whose size has changed."""
        self._overflowing = True
        self._settled()

    def _hold(self, samples: Samples) -> None:
        self._parts = [samples] if len(samples) else []
        self._count = len(samples)

    def _settled(self) -> Samples:
        if self._overflowing:
            self._cut()
        samples = joined(self._parts)
        self._parts = [samples] if len(samples) else []
        return samples

    def _cut(self) -> None:
        """Apply queue sizes and discard policies (OPC 10000-4 5.12.1.5); what was kept next to a loss says so."""
        self._overflowing = False
        samples, table = joined(self._parts), self._table
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
        table.queued[rows[starts]] = np.minimum(counts, sizes)
        self._hold(Samples(samples.rows, samples.bits, status, samples.source, samples.server).take(kept))

"""Every monitored item of the server as one row of columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

DISABLED, SAMPLING, REPORTING = 0, 1, 2
"""MonitoringMode (OPC 10000-4 7.23)."""
ON_STATUS, ON_VALUE, ON_TIMESTAMP = 0, 1, 2
"""DataChangeTrigger: Status, StatusValue, StatusValueTimestamp (OPC 10000-4 7.10)."""

_COLUMNS = {
    "subscription": "i4",
    "item_id": "u4",
    "handle": "u4",
    "mode": "u1",
    "reporting": "?",
    "triggered": "?",
    "fed": "?",
    "denied": "?",
    "variable": "i8",
    "builtin": "u1",
    "stamps": "u1",
    "trigger": "u1",
    "deadband": "f8",
    "queue_size": "i4",
    "discard_oldest": "?",
    "sampling": "f8",
    "bits": "u8",
    "status": "u4",
    "source": "i8",
    "dirty": "?",
    "queued": "i4",
    "due": "f8",
    "held": "?",
    "held_bits": "u8",
    "held_status": "u4",
    "held_source": "i8",
}


class ItemTable:
    """Columns of shape (capacity,), rows reused once free; an item is known by its row.

    `fed` rows are of plant variables with a numeric value whose mode is not Disabled: the journal feeds them, unless
    the session's user may no longer read them (`denied`). Their
    `bits`, `status` and `source` are the last sample that passed the filter; with a queue size of 1 that sample is
    the queue, and `dirty` says that it is to be reported. `held` is a sample that waits for the end of its sampling
    interval, `due` (monotonic seconds).
    """

    subscription: NDArray[np.int32]
    item_id: NDArray[np.uint32]
    handle: NDArray[np.uint32]
    mode: NDArray[np.uint8]
    reporting: NDArray[np.bool_]
    triggered: NDArray[np.bool_]
    fed: NDArray[np.bool_]
    denied: NDArray[np.bool_]
    variable: NDArray[np.int64]
    builtin: NDArray[np.uint8]
    stamps: NDArray[np.uint8]
    trigger: NDArray[np.uint8]
    deadband: NDArray[np.float64]
    queue_size: NDArray[np.int32]
    discard_oldest: NDArray[np.bool_]
    sampling: NDArray[np.float64]
    bits: NDArray[np.uint64]
    status: NDArray[np.uint32]
    source: NDArray[np.int64]
    dirty: NDArray[np.bool_]
    queued: NDArray[np.int32]
    due: NDArray[np.float64]
    held: NDArray[np.bool_]
    held_bits: NDArray[np.uint64]
    held_status: NDArray[np.uint32]
    held_source: NDArray[np.int64]

    def __init__(self, variables: int, capacity: int = 1024) -> None:
        self._variables = variables
        self.capacity = 0
        self.count = 0
        self._end = 0
        self._free: list[int] = []
        self._index: Index | None = None
        self._links: dict[tuple[int, int], None] = {}
        self._link_columns: tuple[Rows, Rows] | None = None
        for name, dtype in _COLUMNS.items():
            setattr(self, name, np.zeros(0, dtype))
        self._grow(capacity)

    def _grow(self, capacity: int) -> None:
        for name in _COLUMNS:
            old: NDArray[Any] = getattr(self, name)
            new = np.zeros(capacity, old.dtype)
            new[: self.capacity] = old
            setattr(self, name, new)
        self.capacity = capacity

    def new(self) -> int:
        """Return a row of zeros."""
        self.count += 1
        if self._free:
            return self._free.pop()
        if self._end == self.capacity:
            self._grow(2 * self.capacity)
        self._end += 1
        return self._end - 1

    def free(self, rows: Rows) -> None:
        """Give rows up; the links from and to them go with them."""
        for name in _COLUMNS:
            getattr(self, name)[rows] = 0
        gone = set(rows.tolist())
        if self._links and any(a in gone or b in gone for a, b in self._links):
            self._links = {link: None for link in self._links if link[0] not in gone and link[1] not in gone}
            self._link_columns = None
        self._free.extend(rows.tolist())
        self.count -= len(rows)
        self.changed()

    def changed(self) -> None:
        """Say that rows were fed or are no longer."""
        self._index = None

    @property
    def index(self) -> "Index":
        """Which rows each variable feeds."""
        if self._index is None:
            self._index = Index(self, self._variables)
        return self._index

    def link(self, triggering: int, linked: int) -> None:
        """Have one item's changes report another's (OPC 10000-4 5.12.1.6)."""
        self._links[triggering, linked] = None
        self._link_columns = None

    @property
    def linked(self) -> bool:
        """Whether there are links at all."""
        return bool(self._links)

    def unlink(self, triggering: int, linked: int) -> bool:
        """Undo a link; False when there is none."""
        if (triggering, linked) not in self._links:
            return False
        del self._links[triggering, linked]
        self._link_columns = None
        return True

    def fire(self, rows: Rows) -> None:
        """Have what is linked to rows, shape (n,), reported at the next publishing."""
        if not self._links:
            return
        if self._link_columns is None:
            pairs = np.array(list(self._links), np.int64)
            self._link_columns = pairs[:, 0].copy(), pairs[:, 1].copy()
        triggering, linked = self._link_columns
        hit = np.zeros(self.capacity, np.bool_)
        hit[rows] = True
        self.triggered[linked[hit[triggering]]] = True


class Index:
    """The rows that each variable feeds, made anew when they change."""

    def __init__(self, table: ItemTable, variables: int) -> None:
        rows = np.flatnonzero(table.fed)
        ids = table.variable[rows]
        counts = np.bincount(ids, minlength=variables)
        self.empty = not len(rows)
        self._counts = counts
        self._single = bool(len(rows)) and int(counts.max()) == 1
        special = (table.deadband[rows] > 0) | (table.trigger[rows] != ON_VALUE)
        self.filtered = bool(special.any())
        self.sampled = bool((table.sampling[rows] > 0).any())
        self.queued = bool((table.queue_size[rows] > 1).any())
        keen = rows[(table.sampling[rows] > 0) & (table.queue_size[rows] > 1)]
        self.shortest = float(table.sampling[keen].min()) if len(keen) else np.inf
        """The shortest sampling interval whose samples may not be skipped, in seconds."""
        if self._single:
            self._first = np.full(variables, -1, np.int64)
            self._first[ids] = rows
        else:
            self._rows = rows[np.argsort(ids, kind="stable")]
            self._starts = np.cumsum(counts) - counts

    def match(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.intp] | slice, Rows]:
        """Return positions in `ids` and the table rows that they feed, both of shape (matches,)."""
        if self._single:
            rows = self._first[ids]
            hit = rows >= 0
            return (slice(None), rows) if hit.all() else (np.flatnonzero(hit), rows[hit])
        counts = self._counts[ids]
        positions = np.repeat(np.arange(len(ids)), counts)
        ends = np.cumsum(counts)
        within = np.arange(len(positions)) - np.repeat(ends - counts, counts)
        return positions, self._rows[np.repeat(self._starts[ids], counts) + within]

"""The file of an outbox: batches of changes as columns in SQLite (WAL), their variables named by path.

Everything here blocks and belongs to one thread: `gateways.outbox.Outbox` is what others use.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Collection, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import Plant
from server.errors import StartError
from server.store import Batch, now_ticks
from server.store.ticks import TICKS_PER_SECOND

_SCHEMA = """
CREATE TABLE IF NOT EXISTS paths (key INTEGER PRIMARY KEY, path TEXT NOT NULL, type INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, rows INTEGER NOT NULL, size INTEGER NOT NULL,
    columns BLOB NOT NULL, objects TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO counts VALUES ('dropped', 0);
"""
_ROW_BYTES = 24  # key and status 4 each, bits and source timestamp 8 each
_PAGE = 4096
_RESERVES = (8 << 20, 2 << 20, 1 << 19)  # bytes, the largest that fits
_AT_ONCE = 64
GONE = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch that waits: its ids are of the present plant; `time` (ticks) is when it was taken in.

    `historical`: it has waited through an outage or a restart.
    """

    seq: int
    batch: Batch
    historical: bool
    time: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What waits: rows, bytes of the columns, the time (ticks) of the oldest; rows ever dropped; the last seq given."""

    rows: int = 0
    bytes: int = 0
    oldest: int | None = None
    dropped: int = 0
    last_seq: int = 0


class OutboxFile:
    """Bounded by bytes and age: the oldest entries go first, and their rows are counted in the same transaction.

    An entry that was handed out by `peek` stays until it is removed or released, so that no row is both delivered
    and counted as dropped. All but `make_room` belong inside `transaction`. Raises StartError when it cannot be opened.
    """

    def __init__(self, path: Path, plant: Plant, max_bytes: int, max_age: float) -> None:
        self._plant = plant
        self._max_bytes = max_bytes
        self._max_age = int(max_age * TICKS_PER_SECOND)
        self._held: dict[int, int] = {}
        """Handed out: seq to the rows of variables that are no more."""
        self.delivered: dict[int, int] = {}
        """Delivered, still in the file: seq to the rows that the peer rejected; each transaction removes them."""
        self._named: list[NDArray[np.int64]] = []
        # Room that only removing may use: on a full disk the delivered must still be able to go.
        self._reserve = path.with_suffix(".reserve")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            self._database.execute("PRAGMA journal_mode=WAL")
            # FULL costs 0.2 ms a commit more than NORMAL on an SSD, and keeps what is confirmed through a power cut.
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
            self.totals = self._recover()
            self._key_of, self._id_of = self._read_paths()
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"{path}: the outbox cannot be kept here: {error}") from error
        self._keep_reserve()

    def close(self) -> None:
        """Close; the log goes into the file."""
        self._database.close()

    @contextlib.contextmanager
    def transaction(self, *, writing: bool = True) -> Generator[None]:
        """Do all or nothing; raises sqlite3.Error when it is nothing. One that only reads works on a full disk, too."""
        before = self.totals
        self._named.clear()
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            if writing:
                self._remove_delivered()
                self._update_oldest()
            self._database.execute("COMMIT")
        except BaseException:
            self.totals = before
            for ids in self._named:
                self._key_of[ids] = GONE
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        if writing:
            for seq in self.delivered:
                self._held.pop(seq, None)
            self.delivered.clear()

    def append(self, batch: Batch, lost: int = 0) -> int:
        """Add a batch, count `lost` rows as dropped, keep the bounds; returns the seq (of the last one, if empty)."""
        self._count_dropped(lost)
        if len(batch):
            self._keep_reserve()
            columns, objects = self._encode(batch)
            size = len(columns) + len(objects)
            row = (now_ticks(), len(batch), size, columns, objects)
            sql = "INSERT INTO entries (time, rows, size, columns, objects) VALUES (?, ?, ?, ?, ?)"
            seq = self._database.execute(sql, row).lastrowid or 0
            totals = self.totals
            self.totals = replace(totals, rows=totals.rows + len(batch), bytes=totals.bytes + size, last_seq=seq)
        self.bound()
        return self.totals.last_seq

    def bound(self) -> None:
        """Drop the oldest entries until the rest keeps the bounds."""
        too_old = now_ticks() - self._max_age
        while self.totals.rows:
            sql = "SELECT seq, rows, size, time FROM entries ORDER BY seq LIMIT ?"
            oldest = self._database.execute(sql, (len(self._held) + _AT_ONCE,)).fetchall()
            dropped = 0
            for seq, rows, size, time in oldest:
                if self.totals.bytes <= self._max_bytes and time >= too_old:
                    return
                if seq not in self._held:
                    self._delete(seq, rows, size)
                    self._count_dropped(rows)
                    dropped += 1
            if dropped == 0:  # all of them are on their way
                return

    def peek(self, after: int, before: int, max_rows: int, boundary: int) -> list[Entry]:
        """Return entries with after < seq < before, oldest first: at least one, then as many as `max_rows` allows.

        Rows of variables that are no more are left out, and count as dropped once the entry is removed: an entry may
        be empty.
        """
        sql = "SELECT seq, time, rows, columns, objects FROM entries WHERE seq > ? AND seq < ? ORDER BY seq"
        found: list[tuple[Any, ...]] = []
        rows = 0
        with contextlib.closing(self._database.execute(sql, (after, before))) as cursor:
            while rows < max_rows and (row := cursor.fetchone()) is not None:
                if row[0] not in self.delivered:
                    found.append(row)
                    rows += row[2]
        entries: list[Entry] = []
        for seq, time, count, columns, objects in found:
            batch = self._decode(count, columns, objects)
            known = np.flatnonzero(batch.ids != GONE)
            self._held[seq] = count - len(known)
            entries.append(Entry(seq, batch if len(known) == count else batch.take(known), seq <= boundary, time))
        return entries

    def release(self) -> None:
        """Let the bounds drop again what `peek` handed out."""
        self._held = {seq: gone for seq, gone in self._held.items() if seq in self.delivered}

    def remove(self, seqs: Collection[int], rejected: int = 0) -> None:
        """Remove entries that were delivered, but for `rejected` rows of them, which count as dropped.

        What cannot be removed now, for the disk is full, is remembered: `peek` shows it no more.
        """
        self.delivered.update(dict.fromkeys(seqs, 0))
        if rejected:
            self.delivered[max(seqs)] = rejected

    def make_room(self) -> None:
        """Give the reserve up on a full disk, and bring the log into the file."""
        self._reserve.unlink(missing_ok=True)
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _keep_reserve(self) -> None:
        """Make the reserve, the largest that there is room for; without any the next append tries again."""
        if self._reserve.exists():
            return
        for size in _RESERVES:
            try:
                with self._reserve.open("wb") as file:
                    if hasattr(os, "posix_fallocate"):
                        os.posix_fallocate(file.fileno(), 0, size)
                    else:
                        file.write(bytes(size))
            except OSError:
                self._reserve.unlink(missing_ok=True)
            else:
                # The log must fit into the reserve: else a full disk could not take the log into the file.
                self._database.execute(f"PRAGMA wal_autocheckpoint={size // 4 // _PAGE}")
                return

    def _recover(self) -> Totals:
        sums = self._database.execute("SELECT coalesce(sum(rows), 0), coalesce(sum(size), 0), min(seq) FROM entries")
        rows, size, first = sums.fetchone()
        oldest = self._database.execute("SELECT time FROM entries WHERE seq = ?", (first,)).fetchone()
        (dropped,) = self._database.execute("SELECT value FROM counts WHERE name = 'dropped'").fetchone()
        last = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        return Totals(rows, size, oldest[0] if oldest else None, dropped, last[0] if last else 0)

    def _update_oldest(self) -> None:
        oldest = self._database.execute("SELECT time FROM entries ORDER BY seq LIMIT 1").fetchone()
        self.totals = replace(self.totals, oldest=oldest[0] if oldest else None)

    def _remove_delivered(self) -> None:
        for seq, rejected in self.delivered.items():
            found = self._database.execute("SELECT rows, size FROM entries WHERE seq = ?", (seq,)).fetchone()
            if found is not None:
                self._delete(seq, *found)
                self._count_dropped(rejected + self._held.get(seq, 0))

    def _delete(self, seq: int, rows: int, size: int) -> None:
        self._database.execute("DELETE FROM entries WHERE seq = ?", (seq,))
        self.totals = replace(self.totals, rows=self.totals.rows - rows, bytes=self.totals.bytes - size)

    def _count_dropped(self, rows: int) -> None:
        if rows:
            self._database.execute("UPDATE counts SET value = value + ? WHERE name = 'dropped'", (rows,))
            self.totals = replace(self.totals, dropped=self.totals.dropped + rows)

    def _read_paths(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Map ids to keys and keys to ids; a variable that is gone, or of another type now, has none."""
        named = self._database.execute("SELECT key, path, type FROM paths").fetchall()
        key_of = np.full(len(self._plant.variables), GONE, np.int64)
        id_of = np.full(max((key for key, _, _ in named), default=0) + 1, GONE, np.int64)
        for key, path, builtin in named:
            variable = self._plant.find(path)
            if variable is not None and variable.declaration.type == builtin:
                key_of[variable.id], id_of[key] = key, variable.id
        return key_of, id_of

    def _name(self, ids: NDArray[np.int64]) -> None:
        """Give variables keys."""
        (last,) = self._database.execute("SELECT coalesce(max(key), 0) FROM paths").fetchone()
        keys = np.arange(last + 1, last + 1 + len(ids))
        variables = [self._plant.variables[id_] for id_ in ids.tolist()]
        rows = [(key, v.path, int(v.declaration.type)) for key, v in zip(keys.tolist(), variables, strict=True)]
        self._database.executemany("INSERT INTO paths VALUES (?, ?, ?)", rows)
        self._named.append(ids)
        self._key_of[ids] = keys
        self._id_of = np.concatenate((self._id_of[: last + 1], ids))

    def _encode(self, batch: Batch) -> tuple[bytes, str]:
        new = batch.ids[self._key_of[batch.ids] == GONE]
        if len(new):
            self._name(np.unique(new))
        keys = self._key_of[batch.ids].astype("<u4")
        narrow, wide = (keys, batch.statuses.astype("<u4")), (batch.bits.astype("<u8"), batch.source_timestamps)
        columns = b"".join(column.tobytes() for column in (*narrow, wide[0], wide[1].astype("<i8")))
        objects = json.dumps([list(batch.objects), list(batch.objects.values())]) if batch.objects else ""
        return columns, objects

    def _decode(self, count: int, columns: bytes, objects: str) -> Batch:
        if len(columns) != count * _ROW_BYTES:
            raise sqlite3.DatabaseError(f"an entry of {count} rows has {len(columns)} bytes")
        keys, statuses = np.frombuffer(columns, "<u4", 2 * count).reshape(2, count)
        bits = np.frombuffer(columns, "<u8", count, 8 * count)
        stamps = np.frombuffer(columns, "<i8", count, 16 * count)
        values: dict[int, Any] = dict(zip(*json.loads(objects), strict=True)) if objects else {}
        return Batch(self._id_of[keys], bits, statuses, stamps, values)

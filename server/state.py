"""What must survive a restart and `kill -9`: emergency-stop latches, set-points, the audit trail, in SQLite (WAL).

Latches and whatever waits for a machine go through a thread and are on the disk (fsync) before they are answered.
Set-points that take effect at once are written by the caller's own thread, without fsync: 10 µs, and `kill -9` cannot
take them back; the thread brings them to the disk within `_FLUSH_S`: that is what a power cut may cost (docs/adr/0006).
"""

import asyncio
import contextlib
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from server.audit import AuditRecord
from server.errors import StartError
from server.puts import PutLog

_MOST_AT_ONCE = 1000
_FLUSH_S = 0.2
_SETTLE_S = 10.0
_PATIENCE_S = 0.02
"""How long a write without a wait for the disk waits for one with."""
_LONG_LOG = 4000
"""Pages of 4 kB in the write-ahead log from which a checkpoint makes writers wait, so that the log starts anew."""
_Write = tuple[str, Sequence[tuple[Any, ...]], "Future[None]"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS latches (machine TEXT PRIMARY KEY, cause TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS setpoints (
    path TEXT PRIMARY KEY, value TEXT NOT NULL, source_timestamp INTEGER NOT NULL, number INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, origin TEXT NOT NULL,
    action TEXT NOT NULL, arguments TEXT NOT NULL, status INTEGER NOT NULL, message TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT '', details TEXT NOT NULL DEFAULT '', event_id BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS audit_times ON audit (time);
"""
_PUT_AUDIT = """
    INSERT INTO audit (time, who, origin, action, arguments, status, message, kind, details, event_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PRUNE_AUDIT = """
    DELETE FROM audit WHERE id IN (
        SELECT id FROM audit WHERE time < ? OR id <= (SELECT max(id) FROM audit) - ? ORDER BY id LIMIT ?
    )
"""
_PRUNE_PUTS = """
    DELETE FROM puts WHERE id IN (
        SELECT id FROM puts WHERE id <= (SELECT put FROM puts_settled)
        AND (time < ? OR id <= (SELECT max(id) FROM puts) - ?) ORDER BY id LIMIT ?
    )
"""
_PRUNED_AT_ONCE = 5_000


class State:
    """The database. Writes that are posted return once they are on the disk; sqlite3.Error says why one is not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute("PRAGMA wal_autocheckpoint=0")
            self._database.executescript(_SCHEMA)
            _upgrade(self._database)
            self.puts = PutLog(self._database)
            self._now = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_PATIENCE_S)
            self._now.execute("PRAGMA synchronous=NORMAL")
            self._now.execute("PRAGMA wal_autocheckpoint=0")
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"{path}: the state cannot be kept here: {error}") from error
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._dirty = False
        self._flushed = self._settled = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="state", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish what is under way and close."""
        self._writes.put(None)
        self._thread.join()
        self._now.close()
        with contextlib.suppress(sqlite3.Error):  # the next start does it else
            self.puts.settle(self._database)
        self._database.close()

    def latches(self) -> dict[str, dict[str, Any]]:
        """Return the cause of every latched emergency stop by machine path; for the start only."""
        rows = self._database.execute("SELECT machine, cause FROM latches")
        return {machine: json.loads(cause) for machine, cause in rows}

    async def latch(self, machine: str, cause: Mapping[str, Any]) -> None:
        """Keep the first cause of a latch; a later one changes nothing."""
        sql = "INSERT INTO latches VALUES (?, ?) ON CONFLICT DO NOTHING"
        await self._write(sql, (machine, json.dumps(cause)))

    async def release(self, machine: str) -> None:
        """Forget a latch."""
        await self._write("DELETE FROM latches WHERE machine = ?", (machine,))

    def setpoints(self) -> dict[str, tuple[Any, int]]:
        """Return value and source timestamp (ticks) of every kept set-point by path; for the start only."""
        self.puts.settle(self._database)
        rows = self._database.execute("SELECT path, value, source_timestamp FROM setpoints")
        return {path: (json.loads(value), stamp) for path, value, stamp in rows}

    def post_setpoints(self, setpoints: Iterable[tuple[str, Any, int]]) -> "Future[None]":
        """Keep paths' newest values with their source timestamps, after all that was posted before.

        The future is done once they are on the disk; it holds sqlite3.Error when they could not be kept.
        """
        return self._post(PutLog.SETPOINT, self._setpoint_rows(setpoints))

    def post_audit(self, records: Sequence[AuditRecord]) -> "Future[None]":
        """Append records to the audit trail; as `post_setpoints`."""
        return self._post(_PUT_AUDIT, [AuditRecord(*record) for record in records])

    async def prune_audit(self, before: int, most: int) -> None:
        """Forget what the audit trail has of earlier than `before` (ticks), and all but the newest `most` rows.

        Set-points that are not settled yet stay.
        """
        for table, sql in (("audit", _PRUNE_AUDIT), ("puts", _PRUNE_PUTS)):
            while await asyncio.to_thread(self._has_older, table, before, most):
                await asyncio.wrap_future(self._post(sql, [(before, most, _PRUNED_AT_ONCE)]))

    def _has_older(self, table: str, before: int, most: int) -> bool:
        """Whether the oldest row that may go is to go."""
        settled = "WHERE id <= (SELECT put FROM puts_settled)" if table == "puts" else ""
        sql = f"SELECT time, (SELECT max(id) FROM {table}) - id FROM {table} {settled} ORDER BY id LIMIT 1"  # noqa: S608
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            oldest = database.execute(sql).fetchone()
        return oldest is not None and (oldest[0] < before or oldest[1] >= most)

    def keep_put(
        self,
        layout: int,
        who: tuple[int, str, str],
        action: str | None,
        values: bytes,
        stamps: bytes,
        olds: bytes = b"",
    ) -> bool:
        """Keep set-points as columns, which are their audit record too; False when the disk is busy: post them.

        `layout` is from `new_layout`, `who` is time (ticks), who and origin, `stamps` are one or n int64 (ticks),
        `action` is a command's path and arguments (JSON), None for a write; `olds` are the values before.
        Raises sqlite3.Error when it cannot be.
        """
        number = self.puts.next_number()
        if not self._at_once(PutLog.INSERT, (number, *who, action, layout, values, stamps, olds)):
            return False
        self.puts.newest[layout] = number
        return True

    def new_layout(self, groups: Sequence[tuple[int, Sequence[str]]]) -> int | None:
        """Return the number under which columns of these (built-in type, paths) are kept; None when not at once."""
        known = self.puts.find(groups)
        if known is not None:
            return known
        number, row = self.puts.prepare(groups)
        if not self._at_once(PutLog.INSERT_LAYOUT, row):
            return None
        self.puts.remember(groups, number)
        return number

    def _setpoint_rows(self, setpoints: Iterable[tuple[str, Any, int]]) -> list[tuple[Any, ...]]:
        number = self.puts.next_number()
        return [(path, json.dumps(value), stamp, number) for path, value, stamp in setpoints]

    def _at_once(self, sql: str, row: tuple[Any, ...]) -> bool:
        try:
            self._now.execute(sql, row)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return False
            raise
        self._dirty = True
        return True

    async def _write(self, sql: str, parameters: tuple[Any, ...]) -> None:
        await asyncio.wrap_future(self._post(sql, [parameters]))

    def _post(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> "Future[None]":
        done: Future[None] = Future()
        self._writes.put((sql, rows, done))
        return done

    def _work(self) -> None:
        """Commit what has come in since the last commit in one transaction: callers share the wait for the disk."""
        open_ = True
        while open_:
            try:
                write = self._writes.get(timeout=_FLUSH_S)
            except queue.Empty:
                self._flush()
                continue
            if time.monotonic() - self._flushed > _FLUSH_S:
                self._flush()
            batch: list[_Write] = []
            while write is not None:
                batch.append(write)
                if len(batch) == _MOST_AT_ONCE or self._writes.empty():
                    break
                write = self._writes.get()
            open_ = write is not None
            self._commit_all(batch)
        self._dirty = True
        self._flush()

    def _commit_all(self, batch: list[_Write]) -> None:
        if not batch:
            return
        try:
            self._commit(batch)
        except sqlite3.Error:
            for single in batch:  # one that cannot be kept must not take the others with it
                self._commit_alone(single)
        self._dirty = True

    def _flush(self) -> None:
        """Bring to the disk what was written without waiting for it, and start the write-ahead log anew."""
        self._flushed = time.monotonic()
        if not self._dirty:
            return
        self._dirty = False
        try:
            if self._flushed > self._settled + _SETTLE_S:
                self._settled = self._flushed
                self.puts.settle(self._database)
            _, pages, moved = self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if moved < pages > _LONG_LOG:
                self._database.execute("PRAGMA wal_checkpoint(RESTART)")
        except sqlite3.Error:
            self._dirty = True  # a full disk: said where a write fails, tried again here

    def _commit(self, batch: list[_Write]) -> None:
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for sql, rows, _ in batch:
                self._database.executemany(sql, rows)
        self._finish(batch)

    def _commit_alone(self, write: _Write) -> None:
        try:
            self._commit([write])
        except sqlite3.Error as error:
            self._finish([write], error)

    def _finish(self, batch: Sequence[_Write], error: sqlite3.Error | None = None) -> None:
        """Answer callers, but for those that have given up waiting."""
        for _, _, done in batch:
            if not done.set_running_or_notify_cancel():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)


def _upgrade(database: sqlite3.Connection) -> None:
    """Bring a database of an earlier version up to date."""
    added = {
        "setpoints": {"number": "INTEGER NOT NULL DEFAULT 0"},
        "audit": {"kind": "TEXT NOT NULL DEFAULT ''", "details": "TEXT NOT NULL DEFAULT ''", "event_id": "BLOB"},
    }
    for table, columns in added.items():
        known = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        for name, declaration in columns.items():
            if name not in known:
                database.execute(f"ALTER TABLE {table} ADD COLUMN {name} {declaration}")

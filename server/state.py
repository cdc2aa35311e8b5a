"""What must survive a restart and `kill -9`: emergency-stop latches, set-points, the audit trail, in SQLite (WAL)."""

import asyncio
import json
import queue
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from server.errors import StartError

_MOST_AT_ONCE = 1000
_Write = tuple[str, Sequence[tuple[Any, ...]], "Future[None]"]

AuditRecord = tuple[int, str, str, str, str, int, str]
"""Time (ticks), who, origin, action, arguments (JSON), StatusCode and message."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS latches (machine TEXT PRIMARY KEY, cause TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS setpoints (
    path TEXT PRIMARY KEY, value TEXT NOT NULL, source_timestamp INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, origin TEXT NOT NULL,
    action TEXT NOT NULL, arguments TEXT NOT NULL, status INTEGER NOT NULL, message TEXT NOT NULL
) STRICT;
"""


class State:
    """The database, behind one thread of its own: the event loop never waits for the disk.

    Writes return once they are on the disk (synchronous=FULL); sqlite3.Error says why one is not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"{path}: the state cannot be kept here: {error}") from error
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="state", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish what is under way and close."""
        self._writes.put(None)
        self._thread.join()
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
        rows = self._database.execute("SELECT path, value, source_timestamp FROM setpoints")
        return {path: (json.loads(value), stamp) for path, value, stamp in rows}

    def post_setpoints(self, setpoints: Iterable[tuple[str, Any, int]]) -> "Future[None]":
        """Keep paths' newest values with their source timestamps, after all that was posted before.

        The future is done once they are on the disk; it holds sqlite3.Error when they could not be kept.
        """
        sql = "INSERT OR REPLACE INTO setpoints VALUES (?, ?, ?)"
        return self._post(sql, [(path, json.dumps(value), stamp) for path, value, stamp in setpoints])

    def post_audit(self, records: Sequence[AuditRecord]) -> "Future[None]":
        """Append records to the audit trail; as `post_setpoints`."""
        sql = "INSERT INTO audit (time, who, origin, action, arguments, status, message) VALUES (?, ?, ?, ?, ?, ?, ?)"
        return self._post(sql, records)

    async def _write(self, sql: str, parameters: tuple[Any, ...]) -> None:
        await asyncio.wrap_future(self._post(sql, [parameters]))

    def _post(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> "Future[None]":
        done: Future[None] = Future()
        self._writes.put((sql, rows, done))
        return done

    def _work(self) -> None:
        """Commit what has come in since the last commit in one transaction: callers share the wait for the disk."""
        while (write := self._writes.get()) is not None:
            batch = [write]
            while len(batch) < _MOST_AT_ONCE and not self._writes.empty():
                following = self._writes.get()
                if following is None:
                    self._writes.put(None)
                    break
                batch.append(following)
            try:
                self._commit(batch)
            except sqlite3.Error:
                for single in batch:  # one that cannot be kept must not take the others with it
                    self._commit_alone(single)

    def _commit(self, batch: list[_Write]) -> None:
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for sql, rows, _ in batch:
                self._database.executemany(sql, rows)
        for _, _, done in batch:
            _finish(done, None)

    def _commit_alone(self, write: _Write) -> None:
        try:
            self._commit([write])
        except sqlite3.Error as error:
            _finish(write[2], error)


def _finish(done: "Future[None]", error: sqlite3.Error | None) -> None:
    """Answer a caller, unless it has given up waiting."""
    if not done.set_running_or_notify_cancel():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)

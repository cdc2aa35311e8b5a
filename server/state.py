"""What must survive a restart and `kill -9`: emergency-stop latches, set-points, the audit trail, in SQLite (WAL)."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from server.errors import StartError

T = TypeVar("T")

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
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")

    def close(self) -> None:
        """Finish what is under way and close."""
        self._thread.shutdown(wait=True)
        self._database.close()

    def latches(self) -> dict[str, dict[str, Any]]:
        """Return the cause of every latched emergency stop by machine path; for the start only."""
        rows = self._database.execute("SELECT machine, cause FROM latches")
        return {machine: json.loads(cause) for machine, cause in rows}

    async def latch(self, machine: str, cause: Mapping[str, Any]) -> None:
        """Keep the first cause of a latch; a later one changes nothing."""
        sql = "INSERT INTO latches VALUES (?, ?) ON CONFLICT DO NOTHING"
        await self._run(lambda: self._database.execute(sql, (machine, json.dumps(cause))))

    async def release(self, machine: str) -> None:
        """Forget a latch."""
        await self._run(lambda: self._database.execute("DELETE FROM latches WHERE machine = ?", (machine,)))

    def setpoints(self) -> dict[str, tuple[Any, int]]:
        """Return value and source timestamp (ticks) of every kept set-point by path; for the start only."""
        rows = self._database.execute("SELECT path, value, source_timestamp FROM setpoints")
        return {path: (json.loads(value), stamp) for path, value, stamp in rows}

    async def keep_setpoint(self, path: str, value: Any, source_timestamp: int) -> None:
        """Keep a set-point's newest value."""
        sql = "INSERT OR REPLACE INTO setpoints VALUES (?, ?, ?)"
        await self._run(lambda: self._database.execute(sql, (path, json.dumps(value), source_timestamp)))

    async def audit(self, record: tuple[int, str, str, str, str, int, str]) -> None:
        """Append time (ticks), who, origin, action, arguments (JSON), StatusCode and message."""
        sql = "INSERT INTO audit (time, who, origin, action, arguments, status, message) VALUES (?, ?, ?, ?, ?, ?, ?)"
        await self._run(lambda: self._database.execute(sql, record))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

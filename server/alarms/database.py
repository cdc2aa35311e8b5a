"""What must survive of conditions: states and branches, limits that were changed, and the events, in SQLite (WAL)."""

import contextlib
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

from address_space.model import Plant
from server import logs
from server.alarms.ports import Snapshot
from server.errors import StartError
from server.evidence import Evidence, parse, time_of
from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND

log = logs.get(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS states (
    path TEXT NOT NULL, branch BLOB NOT NULL, state TEXT NOT NULL, PRIMARY KEY (path, branch)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS limits (
    path TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (path, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, path TEXT NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_by_time ON events (time);
"""
_BYTES = ("branch", "event_id")
_MOST_AT_ONCE = 20_000
_LONGEST_DELAY = 86_401 * TICKS_PER_SECOND
"""After the picture, an alarm may be told with its longest delay."""
_Work = tuple[str, Sequence[Any]]


class AlarmDatabase:
    """One thread writes; callers that wait at the same time share the wait for the disk."""

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
            raise StartError(f"{path}: the state of alarms cannot be kept here: {error}") from error
        self._work: queue.SimpleQueue[tuple[str, Sequence[Any], Future[None]] | None] = queue.SimpleQueue()
        self._owed: list[Snapshot] = []
        """What the disk has refused: goes first the next time."""
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish what is under way and close."""
        self._work.put(None)
        self._thread.join()
        self._database.close()

    def states(self, plant: Plant) -> list[Snapshot]:
        """Return what was kept of the plant's conditions, branches oldest first; for the start only."""
        rows = self._database.execute("SELECT path, state FROM states").fetchall()
        found = [decode(plant, path, state) for path, state in rows]
        return sorted((it for it in found if it is not None), key=lambda it: it.active_time)

    def limits(self) -> dict[str, dict[str, float]]:
        """Return the limits that were changed, by path and name; for the start only."""
        found: dict[str, dict[str, float]] = {}
        for path, name, value in self._database.execute("SELECT path, name, value FROM limits"):
            found.setdefault(path, {})[name] = value
        return found

    def raised(self, since: int) -> list[tuple[int, str]]:
        """Return time and path of every activation since (ticks); for the start only."""
        sql = """
            SELECT time, path FROM events WHERE time >= ? AND state ->> 'kind_of_event' = 'active'
            AND NOT state ->> 'suppressed_or_shelved' ORDER BY time
        """
        return self._database.execute(sql, (since,)).fetchall()

    def post(self, snapshots: Sequence[Snapshot]) -> "Future[None]":
        """Keep new states, and the events that they are; the future is done once they are on the disk."""
        return self._post("snapshots", snapshots)

    def post_limit(self, path: str, name: str, value: float) -> "Future[None]":
        """Keep a limit."""
        return self._post("limit", (path, name, value))

    def post_prune(self, before: int) -> "Future[None]":
        """Forget events from before a time (ticks)."""
        return self._post("prune", (before,))

    def flushed(self) -> "Future[None]":
        """Return a future that is done once all that was posted is on the disk."""
        return self._post("snapshots", ())

    def events(self, plant: Plant, start: int, end: int, limit: int) -> list[Snapshot]:
        """Return events with start <= time < end, oldest first; for any thread."""
        sql = "SELECT path, state FROM events WHERE time >= ? AND time < ? ORDER BY time, id LIMIT ?"
        with contextlib.closing(sqlite3.connect(self.path)) as reader:
            rows = reader.execute(sql, (start, end, limit or -1)).fetchall()
        return [it for path, state in rows if (it := decode(plant, path, state)) is not None]

    def event(self, plant: Plant, path: str, event_id: bytes) -> Snapshot | None:
        """Return an event of a condition, None for one that is not kept (any more); for any thread."""
        sql = "SELECT state FROM events WHERE path = ? AND state ->> 'event_id' = ?"
        with contextlib.closing(sqlite3.connect(self.path)) as reader:
            row = reader.execute(sql, (path, event_id.hex())).fetchone()
        return None if row is None else decode(plant, path, row[0])

    def evidence(self, id_: str) -> Evidence | None:
        """Return evidence that an event had, which may be gone itself; for any thread."""
        row = self._with_evidence(id_)
        return None if row is None else _evidence(json.loads(row[1])["evidence"], id_)

    def event_with(self, plant: Plant, id_: str) -> Snapshot | None:
        """Return the event that an alarm was raised with, by the evidence of it; for any thread."""
        row = self._with_evidence(id_)
        return None if row is None else decode(plant, *row)

    def _with_evidence(self, id_: str) -> tuple[str, str] | None:
        """Return path and state of the first event that had this evidence."""
        start = time_of(id_)
        if start is None:
            return None
        sql = (
            "SELECT path, state FROM events WHERE time >= ? AND time < ?"
            " AND json_extract(state, '$.evidence.id') = ? ORDER BY time, id"
        )
        with contextlib.closing(sqlite3.connect(self.path)) as reader:
            row: tuple[str, str] | None = reader.execute(sql, (start, start + _LONGEST_DELAY, id_)).fetchone()
        return row

    def _post(self, kind: str, work: Sequence[Any]) -> "Future[None]":
        done: Future[None] = Future()
        self._work.put((kind, work, done))
        return done

    def _run(self) -> None:
        item = self._work.get()
        while item is not None:
            batch, rows = [item], len(item[1])
            item = self._next()
            while item is not None and rows < _MOST_AT_ONCE and item is not _NOTHING:
                batch.append(item)
                rows += len(item[1])
                item = self._next()
            self._keep(batch)
            if item is _NOTHING:
                item = self._work.get()
        if self._owed:
            self._keep(())

    def _next(self) -> Any:
        try:
            return self._work.get_nowait()
        except queue.Empty:
            return _NOTHING

    def _keep(self, batch: Sequence[tuple[str, Sequence[Any], "Future[None]"]]) -> None:
        error: BaseException | None = None
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                _write_snapshots(self._database, self._owed)
                for kind, work, _ in batch:
                    _WRITERS[kind](self._database, work)
        except sqlite3.Error as failed:
            error = failed
            log.error("the state of alarms was not kept", error=str(failed))
            self._owed += [it for kind, work, _ in batch if kind == "snapshots" for it in work]
            del self._owed[:-_MOST_AT_ONCE]
        else:
            self._owed.clear()
        for _, _, done in batch:
            if not done.set_running_or_notify_cancel():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)


_NOTHING: Any = object()


def _write_snapshots(database: sqlite3.Connection, snapshots: Sequence[Snapshot]) -> None:
    encoded = [(it.condition.path, it.branch, encode(it)) for it in snapshots]
    database.executemany("INSERT OR REPLACE INTO states VALUES (?, ?, ?)", encoded)
    ended = [(it.condition.path, it.branch) for it in snapshots if it.branch and it.acked and it.confirmed]
    database.executemany("DELETE FROM states WHERE path = ? AND branch = ?", ended)
    events = [(it.time, path, state) for it, (path, _, state) in zip(snapshots, encoded, strict=True)]
    database.executemany("INSERT INTO events (time, path, state) VALUES (?, ?, ?)", events)


def _write_limit(database: sqlite3.Connection, row: Sequence[Any]) -> None:
    database.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", row)


def _prune(database: sqlite3.Connection, row: Sequence[Any]) -> None:
    database.execute("DELETE FROM events WHERE time < ?", row)


_WRITERS = {"snapshots": _write_snapshots, "limit": _write_limit, "prune": _prune}


def encode(snapshot: Snapshot) -> str:
    """Return a Snapshot as JSON, without its condition; the end of shelving as ticks."""
    fields: dict[str, Any] = snapshot._asdict()
    del fields["condition"]
    for name in _BYTES:
        fields[name] = fields[name].hex()
    if snapshot.evidence is not None:
        fields["evidence"] = asdict(snapshot.evidence)
    if snapshot.unshelve_at:
        left = snapshot.unshelve_at - time.monotonic()
        fields["unshelve_at"] = now_ticks() + int(left * TICKS_PER_SECOND)
    return json.dumps(fields)


def decode(plant: Plant, path: str, state: str) -> Snapshot | None:
    """Return the Snapshot of a condition; None when the plant has no such condition any more."""
    condition = plant.find_condition(path)
    if condition is None:
        return None
    fields: dict[str, Any] = dict(_known(json.loads(state)))
    for name in _BYTES:
        fields[name] = bytes.fromhex(fields.get(name, ""))
    if fields.get("unshelve_at"):
        fields["unshelve_at"] = time.monotonic() + (fields["unshelve_at"] - now_ticks()) / TICKS_PER_SECOND
    found: Mapping[str, Any] | None = fields.get("evidence")
    fields["evidence"] = None if found is None else _evidence(found, path)
    return Snapshot(condition, **fields)


def _evidence(found: Mapping[str, Any], of: str) -> Evidence | None:
    try:
        return parse(found)
    except (KeyError, TypeError, ValueError) as error:
        log.warning("the evidence of an alarm cannot be read: it is left out", of=of, error=repr(error))
        return None


def _known(fields: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in fields.items() if name in Snapshot._fields and name != "condition")

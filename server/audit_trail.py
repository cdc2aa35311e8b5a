"""Reads the audit trail: records, and the set-points that were written at once, in the order of their times."""

import heapq
import json
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from server.audit import AuditEntry, AuditKind, AuditRecord, Put, entry
from server.puts import decode

_RECORDS, _PUTS = 0, 1
_ALL = (-(2**63), 2**63 - 1)
_COLUMNS = "id, time, who, origin, action, arguments, status, message, kind, details, event_id"
_PUT_COLUMNS = "puts.id, time, who, origin, action, groups, vals, stamps, ifnull(olds, x'')"

Key = tuple[int, tuple[int, int, int]]
"""Time and place of an entry: where a reader goes on."""


def key(found: AuditEntry) -> Key:
    """Return where an entry stands."""
    return found.time, found.place


class AuditTrail:
    """Reads what the state keeps; opens the database for each reading, so that any thread may read."""

    def __init__(self, database: Path) -> None:
        self._path = database

    def read(
        self, since: int = _ALL[0], until: int = _ALL[1], limit: int | None = None, *, newest_first: bool = False,
        after: Key | None = None,
    ) -> list[AuditEntry]:  # fmt: skip
        """Return entries with since <= time < until (ticks), of those that come after `after` in that order.

        Raises sqlite3.Error.
        """
        return list(islice(self.entries(since, until, newest_first=newest_first, after=after), limit))

    def entries(
        self, since: int = _ALL[0], until: int = _ALL[1], *, newest_first: bool = False, after: Key | None = None
    ) -> Iterator[AuditEntry]:
        """Yield what `read` returns."""
        if after is not None:
            since, until = (since, after[0] + 1) if newest_first else (after[0], until)
        database = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, check_same_thread=False)
        try:
            order = "DESC" if newest_first else "ASC"
            both = (_records(database, since, until, order), _puts(database, since, until, order, newest_first))
            for found in heapq.merge(*both, key=key, reverse=newest_first):
                if after is None or (key(found) < after if newest_first else key(found) > after):
                    yield found
        finally:
            database.close()


def _records(database: sqlite3.Connection, since: int, until: int, order: str) -> Iterator[AuditEntry]:
    sql = f"SELECT {_COLUMNS} FROM audit WHERE time >= ? AND time < ? ORDER BY time {order}, id {order}"  # noqa: S608
    for number, *row in database.execute(sql, (since, until)):
        yield entry(AuditRecord(*row), (_RECORDS, number, 0))


def _puts(database: sqlite3.Connection, since: int, until: int, order: str, newest_first: bool) -> Iterator[AuditEntry]:
    first, end = _first_put(database, since), _first_put(database, until)
    sql = (
        f"SELECT {_PUT_COLUMNS} FROM puts JOIN put_layouts ON put_layouts.id = layout"  # noqa: S608
        f" WHERE puts.id >= ? AND puts.id < ? ORDER BY puts.id {order}"
    )
    for number, time, who, origin, action, groups, *blobs in database.execute(sql, (first, end)):
        found = put_entries(Put(number, time, who, origin, action, json.loads(groups), *blobs))
        yield from reversed(found) if newest_first else found


def _first_put(database: sqlite3.Connection, time: int) -> int:
    """Return the lowest id whose time is not before `time`: ids and times rise together, there is no index of times."""
    low, high = database.execute("SELECT ifnull(min(id), 0), ifnull(max(id), -1) + 1 FROM puts").fetchone()
    while low < high:
        middle = (low + high) // 2
        sql = "SELECT id, time FROM puts WHERE id >= ? ORDER BY id LIMIT 1"
        number, found = database.execute(sql, (middle,)).fetchone()
        low, high = (number + 1, high) if found < time else (low, middle)
    return low


def put_entries(put: Put) -> list[AuditEntry]:
    """Return what a put is on the trail: one method call, or a write of each variable."""
    if put.action is not None:
        path, *arguments = json.loads(put.action)
        return [_put_entry(put, 0, AuditKind.METHOD, path, arguments)]
    columns, stamps = put.columns, np.frombuffer(put.stamps, np.int64)
    values = list(decode(columns, put.values, stamps))
    olds = list(decode(columns, put.olds, stamps)) if put.olds else [None] * len(values)
    return [
        _put_entry(put, place, AuditKind.WRITE, path, [value], None if old is None else old[1])
        for place, ((path, value, _), old) in enumerate(zip(values, olds, strict=True))
    ]


def _put_entry(
    put: Put, place: int, kind: AuditKind, action: str, arguments: list[object], old: object = None
) -> AuditEntry:
    event_id = b"put\x00" + put.number.to_bytes(8, "big") + place.to_bytes(4, "big")
    details = {} if old is None else {"old": old}
    at = (_PUTS, put.number, place)
    return AuditEntry(put.time, put.who, put.origin, action, arguments, 0, "", kind, event_id, details, at)

"""Set-points that took effect at once, kept as columns: one row a request, which is its audit record too.

A row names a layout (which variables, of which types) and holds their values, those before, and source timestamps as
they are in memory. `settle` brings the newest of each layout into the table of set-points, where a start finds them.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server.store.values import VALUE_DTYPES

Groups = Sequence[tuple[int, Sequence[str]]]
"""Built-in type and paths of the variables of each column, in the order of the columns."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS put_layouts (id INTEGER PRIMARY KEY, digest TEXT NOT NULL, groups TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS puts (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, origin TEXT NOT NULL,
    action TEXT, layout INTEGER NOT NULL, vals BLOB NOT NULL, stamps BLOB NOT NULL, olds BLOB
) STRICT;
CREATE TABLE IF NOT EXISTS puts_settled (id INTEGER PRIMARY KEY CHECK (id = 0), put INTEGER NOT NULL) STRICT;
INSERT INTO puts_settled VALUES (0, 0) ON CONFLICT DO NOTHING;
"""


class PutLog:
    """The tables. Every write of set-points has a number: in whatever order they are committed, the highest holds."""

    SETPOINT = """
        INSERT INTO setpoints VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE
        SET value = excluded.value, source_timestamp = excluded.source_timestamp, number = excluded.number
        WHERE excluded.number > setpoints.number
    """
    INSERT = "INSERT INTO puts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    INSERT_LAYOUT = "INSERT INTO put_layouts VALUES (?, ?, ?)"

    def __init__(self, database: sqlite3.Connection) -> None:
        database.executescript(_SCHEMA)
        if "olds" not in {row[1] for row in database.execute("PRAGMA table_info(puts)")}:
            database.execute("ALTER TABLE puts ADD COLUMN olds BLOB")
        sql = "SELECT max((SELECT ifnull(max(id), 0) FROM puts), (SELECT ifnull(max(number), 0) FROM setpoints))"
        (self._number,) = database.execute(sql).fetchone()
        rows = database.execute("SELECT digest, id FROM put_layouts")
        self._layouts: dict[str, int] = dict(rows.fetchall())
        sql = "SELECT layout, max(id) FROM puts WHERE id > (SELECT put FROM puts_settled) GROUP BY layout"
        self.newest: dict[int, int] = dict(database.execute(sql).fetchall())
        """The newest put of each layout that is not settled yet, by layout."""

    def next_number(self) -> int:
        """Return the number of the next write; for the thread that decides on writes."""
        self._number += 1
        return self._number

    def find(self, groups: Groups) -> int | None:
        """Return the number of a layout that is kept."""
        return self._layouts.get(_digest(groups))

    def prepare(self, groups: Groups) -> tuple[int, tuple[Any, ...]]:
        """Return a new layout's number and its row for INSERT_LAYOUT."""
        number = 1 + max(self._layouts.values(), default=0)
        return number, (number, _digest(groups), json.dumps(groups))

    def remember(self, groups: Groups, number: int) -> None:
        """Note that a layout is kept."""
        self._layouts[_digest(groups)] = number

    def settle(self, database: sqlite3.Connection) -> None:
        """Bring what was put since the last time into the table of set-points; of each, the newest."""
        newest = sorted(self.newest.copy().values())
        if not newest:
            return
        rows = [
            (path, json.dumps(value), stamp, number)
            for number in newest
            for path, value, stamp in self.read(database, number)
        ]
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(self.SETPOINT, rows)
            database.execute("UPDATE puts_settled SET put = ?", (newest[-1],))
        for layout, number in tuple(self.newest.items()):
            if number <= newest[-1]:
                del self.newest[layout]

    def read(self, database: sqlite3.Connection, number: int) -> Iterator[tuple[str, Any, int]]:
        """Return path, value and source timestamp (ticks) of each set-point of one put."""
        sql = "SELECT groups, vals, stamps FROM puts JOIN put_layouts ON put_layouts.id = layout WHERE puts.id = ?"
        groups, values, stamps = database.execute(sql, (number,)).fetchone()
        return decode(json.loads(groups), values, np.frombuffer(stamps, np.int64))


def decode(groups: Groups, values: bytes, stamps: NDArray[np.int64]) -> Iterator[tuple[str, Any, int]]:
    """Return path, value and source timestamp of every element of columns that lie one behind the other."""
    at, row = 0, 0
    for builtin, paths in groups:
        dtype = np.dtype(VALUE_DTYPES[BuiltinType(builtin)])
        column = np.frombuffer(values, dtype, len(paths), at)
        at += column.nbytes
        for path, value in zip(paths, column.tolist(), strict=True):
            yield path, value, int(stamps[row if len(stamps) > 1 else 0])
            row += 1


def _digest(groups: Groups) -> str:
    return hashlib.sha256(json.dumps(groups).encode()).hexdigest()

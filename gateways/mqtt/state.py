"""What a layout must remember over restarts (Sparkplug's bdSeq), in SQLite."""

import sqlite3
from pathlib import Path

from server.errors import StartError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (
    layout TEXT NOT NULL, key TEXT NOT NULL, value ANY NOT NULL, PRIMARY KEY (layout, key)
) STRICT;
"""


class StateFile:
    """The database of all layouts. Raises StartError when it cannot be opened."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"{path}: the state of the MQTT gateway cannot be kept here: {error}") from error

    def of(self, layout: str) -> "State":
        """Return the state of one layout."""
        return State(self._database, layout)

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class State:
    """The LayoutState of one layout: `set` returns once the value is on the disk; raises sqlite3.Error."""

    def __init__(self, database: sqlite3.Connection, layout: str) -> None:
        self._database = database
        self._layout = layout

    def get(self, key: str) -> int | str | None:
        """Return what was set last, None if nothing was."""
        sql = "SELECT value FROM state WHERE layout = ? AND key = ?"
        row = self._database.execute(sql, (self._layout, key)).fetchone()
        return None if row is None else row[0]

    def set(self, key: str, value: int | str) -> None:
        """Keep a value."""
        sql = "INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (layout, key) DO UPDATE SET value = excluded.value"
        self._database.execute(sql, (self._layout, key, value))

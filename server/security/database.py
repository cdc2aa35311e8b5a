"""The table of users in SQLite: rows in and out, errors as one clear sentence."""

import contextlib
import os
import sqlite3
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from server.security.files import LAX_BITS, PRIVATE, is_readable_by_others

SCHEMA_VERSION = 1
BUSY_TIMEOUT = 10.0  # seconds to wait for another process that writes

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY,
    password TEXT NOT NULL,
    roles TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) STRICT, WITHOUT ROWID;
"""


class UsersError(Exception):
    """A user, a password or the database of users cannot be used; str() is one clear sentence."""


@dataclass(frozen=True, slots=True)
class Row:
    """One user as stored: `password` is its argon2id hash, `roles` are names separated by spaces."""

    name: str
    password: str
    roles: str
    created: str


class UserDatabase:
    """Opens the file for each operation: what another process changed is seen, and threads share nothing."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with self._errors():
            self._create()

    def find(self, name: str) -> Row | None:
        """Return the user called `name`."""
        with self.connection() as connection:
            found = connection.execute(
                "SELECT name, password, roles, created FROM users WHERE name = ?", (name,)
            ).fetchone()
        return None if found is None else Row(*found)

    def all(self) -> list[Row]:
        """Every user, by name."""
        with self.connection() as connection:
            rows = connection.execute("SELECT name, password, roles, created FROM users ORDER BY name").fetchall()
        return [Row(*row) for row in rows]

    @contextlib.contextmanager
    def connection(self) -> Generator[sqlite3.Connection]:
        """One transaction, committed at the end; it takes the write lock at its first write."""
        with self._errors():
            # A file that was removed under a running server must not come back empty, without its users.
            connection = sqlite3.connect(f"{self.file.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT)
            try:
                with connection:
                    yield connection
            finally:
                connection.close()

    def _create(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives its -wal and -shm files the permission bits of the database.
        os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, PRIVATE))
        if is_readable_by_others(self.file):
            self.file.chmod(self.file.stat().st_mode & ~LAX_BITS & 0o777)
        with self.connection() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise UsersError(
                    f"{self.file} was written by a newer Plantree (version {version}, this one knows"
                    f" {SCHEMA_VERSION}): use that one, or another data directory"
                )
            if version < SCHEMA_VERSION:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextlib.contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise UsersError(
                f"the database of users {self.file} cannot be used ({error}):"
                " check that it exists, that this user may write it, and that the disk is not full"
            ) from error
        except sqlite3.DatabaseError as error:
            raise UsersError(
                f"the database of users {self.file} is damaged ({error}): restore it from a backup,"
                " or move it away and start again to get a new administrator"
            ) from error
        except OSError as error:
            raise UsersError(
                f"the database of users {self.file} cannot be opened: {error.strerror or error}"
            ) from error

"""Tokens of the REST interface: random, kept as their hash, with an end; they survive a restart."""

import asyncio
import hashlib
import secrets
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from gateways.web.logins import Logins
from gateways.web.sessions import Known, Standing
from server import logs
from server.security.database import UsersError
from server.security.principal import Principal

log = logs.get(__name__)

_PREFIX = "plantree_"
"""So that a search for leaked secrets finds one."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, name TEXT NOT NULL, note TEXT NOT NULL,
    created REAL NOT NULL, expires REAL NOT NULL, stamp TEXT NOT NULL DEFAULT ''
)
"""
_STAMP = "ALTER TABLE tokens ADD COLUMN stamp TEXT NOT NULL DEFAULT ''"
"""For a table of an earlier version, whose tokens have to be made anew."""
_COLUMNS = "id, hash, name, note, created, expires, stamp"
_LOOK_S = 1.0
"""How often tokens are looked at, whether they have ended."""
MOST_OF_ONE = 100


class TooManyTokens(Exception):  # noqa: N818 - it reads as what happened
    """A user has as many as there may be."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret; times in seconds since 1970.

    `stamp` is that of the password and roles which its user had when it was made: with others it has ended.
    """

    id: str
    hash: bytes
    name: str
    note: str
    created: float
    expires: float
    stamp: str

    @property
    def session(self) -> str:
        """The SessionId that audit events show."""
        return f"ns=1;s=token {self.id}"


class Tokens:
    """All tokens of one server: looked up in memory, kept in a database; `open` before anything else."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._by_hash: dict[bytes, Token] = {}
        self._writing = threading.Lock()

    def open(self) -> None:
        """Read what there is; raises sqlite3.Error, OSError."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._writing:
            self._file.touch(mode=0o600)
            database = self._database()
            try:
                database.execute(_SCHEMA)
                if "stamp" not in {row[1] for row in database.execute("PRAGMA table_info(tokens)")}:
                    database.execute(_STAMP)
                database.commit()
                rows = database.execute(f"SELECT {_COLUMNS} FROM tokens").fetchall()  # noqa: S608  a constant
            finally:
                database.close()
        self._by_hash = {row[1]: Token(*row) for row in rows}

    def find(self, secret: str) -> Token | None:
        """Return a token by its secret; None when there is none, or it has expired."""
        found = self._by_hash.get(_hash(secret))
        return found if found is not None and found.expires > time.time() else None

    def of(self, name: str) -> list[Token]:
        """Return a user's tokens that hold, oldest first."""
        now = time.time()
        return sorted((it for it in self._by_hash.values() if it.name == name and it.expires > now), key=_created)

    def by_id(self, id_: str) -> Token | None:
        """Return a token by its id."""
        return next((it for it in self._by_hash.values() if it.id == id_), None)

    async def add(self, holder: Standing, note: str, seconds: float) -> tuple[str, Token]:
        """Make a token; returns its secret, which nobody can see again. Raises TooManyTokens, sqlite3.Error."""
        name = holder.principal.name
        if len(self.of(name)) >= MOST_OF_ONE:
            raise TooManyTokens(name)
        secret, now = _PREFIX + secrets.token_urlsafe(32), time.time()
        token = Token(secrets.token_hex(8), _hash(secret), name, note, now, now + seconds, holder.stamp)
        row = (token.id, token.hash, token.name, token.note, token.created, token.expires, token.stamp)
        sql = f"INSERT INTO tokens ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  a constant
        await asyncio.to_thread(self._write, sql, row)
        self._by_hash[token.hash] = token
        return secret, token

    async def revoke(self, token: Token) -> None:
        """End a token, on the disk first; raises sqlite3.Error."""
        await asyncio.to_thread(self._write, "DELETE FROM tokens WHERE id = ?", (token.id,))
        self._by_hash.pop(token.hash, None)

    async def look_after(self, known: Known, logins: Logins) -> None:
        """End tokens that have expired, and those whose user has changed; until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for token in list(self._by_hash.values()):
                expired = token.expires <= time.time()
                try:
                    if not expired and known.still(token.name, token.stamp) is not None:
                        continue
                    await self.revoke(token)
                except (sqlite3.Error, UsersError) as error:
                    log.error("a token cannot be ended for good", user=token.name, error=str(error))
                    continue  # it opens nothing all the same
                who = Principal(token.name, frozenset())
                await logins.closed(who, "rest", token.session, "Timeout" if expired else "Terminated")

    def _write(self, sql: str, row: tuple[object, ...]) -> None:
        with self._writing:
            database = self._database()
            try:
                database.execute(sql, row)
                database.commit()
            finally:
                database.close()

    def _database(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._file, timeout=10)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        return database


def _created(token: Token) -> float:
    return token.created


def _hash(secret: str) -> bytes:
    """Hash a secret of 256 random bits, which needs no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()

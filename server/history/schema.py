"""The historian's database: blocks of samples, a log of what is not in blocks yet, and what was changed by hand."""

import sqlite3
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS variables (
    number INTEGER PRIMARY KEY, path TEXT NOT NULL, type INTEGER NOT NULL, logged INTEGER NOT NULL DEFAULT 0,
    UNIQUE (path, type)
) STRICT;
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, rows INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS blocks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    rows INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS blocks_by_time ON blocks (number, first, last, rows);
CREATE INDEX IF NOT EXISTS small_blocks ON blocks (number) WHERE rows < 1024;
CREATE TABLE IF NOT EXISTS modified (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL, stamp INTEGER NOT NULL, bits INTEGER NOT NULL,
    status INTEGER NOT NULL, text TEXT, type INTEGER NOT NULL, time INTEGER NOT NULL, user TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS modified_by_time ON modified (number, stamp);
CREATE TABLE IF NOT EXISTS rollups (
    number INTEGER NOT NULL, seconds INTEGER NOT NULL, start INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (number, seconds, start)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO facts VALUES ('version', 1), ('pruned', 0), ('rolled', 0) ON CONFLICT DO NOTHING;
"""
"""`variables.logged`: rows of the log up to this id are in blocks already, or were deleted."""


def connect(file: Path) -> sqlite3.Connection:
    """Open the database, made when missing. FULL: what was answered survives a loss of power, not only `kill -9`."""
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    file.chmod(0o600)
    database.execute("PRAGMA page_size = 8192")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA journal_size_limit = 67108864")
    database.execute("PRAGMA wal_autocheckpoint = 2000")
    return database

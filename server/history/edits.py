"""History changed by hand: insert, replace, update and delete, what was before kept beside (OPC 10000-11 6.9)."""

import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server.history import codec, rollups
from server.history.archive import Archive, pieces
from server.history.ports import Modified, ReadRequest, Samples, Update, join, ordered
from server.store import now_ticks

GOOD = 0
GOOD_ENTRY_INSERTED = 0x00A2_0000
GOOD_ENTRY_REPLACED = 0x00A3_0000
BAD_ENTRY_EXISTS = 0x809F_0000
BAD_NO_ENTRY_EXISTS = 0x80A0_0000
DELETED = 4
"""HistoryUpdateType of a sample that was deleted (OPC 10000-11 6.6.3)."""

_KEEP = "INSERT INTO modified (number, stamp, bits, status, text, type, time, user) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def update(archive: Archive, variable: int, samples: Samples, how: Update, user: str) -> list[int]:
    """Insert or replace samples; returns a StatusCode a sample. Of equal timestamps each is done in turn."""
    with archive.lock:
        number = int(archive.numbers[variable])
        archive.seal_one(number)
        present = _rows(archive, variable, samples.stamps)
        known = dict.fromkeys(present.stamps.tolist())
        results: list[int] = []
        take: list[int] = []
        for row, stamp in enumerate(samples.stamps.tolist()):
            there = stamp in known
            if (how is Update.INSERT and there) or (how is Update.REPLACE and not there):
                results.append(BAD_ENTRY_EXISTS if there else BAD_NO_ENTRY_EXISTS)
                continue
            known[stamp] = None
            take.append(row)
            results.append(GOOD_ENTRY_REPLACED if there else GOOD_ENTRY_INSERTED)
        if take:
            chosen = ordered(samples.take(np.array(take, np.intp)))
            with archive.transaction() as database:
                before = _rows(archive, variable, chosen.stamps)
                fresh = np.flatnonzero(~np.isin(chosen.stamps, before.stamps))
                now = now_ticks()
                _keep(database, number, before, (Update.REPLACE, now, user))
                _keep(database, number, chosen.take(fresh), (Update.INSERT, now, user))
                _rewrite(archive, number, (int(chosen.stamps[0]), int(chosen.stamps[-1]) + 1), chosen.stamps, chosen)
            rollups.redo(archive, variable, int(chosen.stamps[0]), int(chosen.stamps[-1]) + 1)
        return results


def delete(archive: Archive, variable: int, start: int, end: int, user: str) -> int:
    """Delete samples with start <= timestamp < end; returns how many there were."""
    with archive.lock:
        archive.seal_one(int(archive.numbers[variable]))
        return _delete(archive, variable, archive.read(ReadRequest(variable, start, end)), user)


def delete_at(archive: Archive, variable: int, stamps: Sequence[int], user: str) -> list[int]:
    """Delete samples at exact timestamps; returns a StatusCode a timestamp."""
    with archive.lock:
        archive.seal_one(int(archive.numbers[variable]))
        present = _rows(archive, variable, np.array(stamps, np.int64))
        there = set(present.stamps.tolist())
        _delete(archive, variable, present, user)
        return [GOOD if stamp in there else BAD_NO_ENTRY_EXISTS for stamp in stamps]


def delete_modified(archive: Archive, variable: int, start: int, end: int) -> int:
    """Forget what is kept of changed samples; returns how many there were."""
    with archive.transaction() as database:
        sql = "DELETE FROM modified WHERE number = ? AND stamp >= ? AND stamp < ?"
        return database.execute(sql, (int(archive.numbers[variable]), start, end)).rowcount


def modified(archive: Archive, request: ReadRequest) -> Modified:
    """Return samples that were changed or deleted, by timestamp and then as they were changed."""
    start, end = request.start, request.end
    order = "DESC" if request.reverse else "ASC"
    sql = f"""SELECT stamp, bits, status, text, type, time, user FROM modified
        WHERE number = ? AND stamp >= ? AND stamp < ? ORDER BY stamp {order}, id LIMIT ?"""  # noqa: S608
    number = int(archive.numbers[request.variable])
    rows = archive.reader().execute(sql, (number, start, end, request.limit or -1)).fetchall()
    stamps, bits, statuses, texts, types, times, users = zip(*rows, strict=True) if rows else ((),) * 7
    text = archive.keys[request.variable][1] is BuiltinType.String
    samples = Samples(
        np.array(stamps, np.int64),
        np.array(bits, np.int64).view(np.uint64),
        np.array(statuses, np.uint32),
        tuple(texts) if text else None,
    )
    return Modified(samples, np.array(types, np.int64), np.array(times, np.int64), tuple(users))


def _delete(archive: Archive, variable: int, samples: Samples, user: str) -> int:
    if len(samples):
        number = int(archive.numbers[variable])
        with archive.transaction() as database:
            _keep(database, number, samples, (DELETED, now_ticks(), user))
            span = int(samples.stamps[0]), int(samples.stamps[-1]) + 1
            _rewrite(archive, number, span, samples.stamps, None)
        rollups.redo(archive, variable, *span)
    return len(samples)


def _rows(archive: Archive, variable: int, stamps: NDArray[np.int64]) -> Samples:
    """Return the samples that are at any of some timestamps."""
    wanted = np.unique(stamps)
    if len(wanted) == 0:
        return archive.read(ReadRequest(variable, 0, 0))
    found = archive.read(ReadRequest(variable, int(wanted[0]), int(wanted[-1]) + 1))
    return found.take(np.flatnonzero(np.isin(found.stamps, wanted)))


def _keep(database: sqlite3.Connection, number: int, samples: Samples, how: tuple[int, int, str]) -> None:
    texts = samples.texts or (None,) * len(samples)
    columns = (samples.stamps.tolist(), samples.bits.view(np.int64).tolist(), samples.statuses.tolist(), texts)
    rows = [(number, *row, int(how[0]), *how[1:]) for row in zip(*columns, strict=True)]
    database.executemany(_KEEP, rows)


def _rewrite(
    archive: Archive, number: int, span: tuple[int, int], gone: NDArray[np.int64], new: Samples | None
) -> None:
    """Replace the blocks that overlap `span`: without the samples at `gone`, with those of `new`."""
    database = archive.database
    sql = "SELECT id, data FROM blocks WHERE number = ? AND first < ? AND last >= ? ORDER BY id"
    found = database.execute(sql, (number, span[1], span[0])).fetchall()
    parts: list[Samples] = []
    for key, data in found:
        samples = codec.decode_block(data)
        keep = np.flatnonzero(~np.isin(samples.stamps, gone))
        if len(keep) == len(samples) and new is None:
            continue
        database.execute("DELETE FROM blocks WHERE id = ?", (key,))
        if len(keep):
            parts.append(samples.take(keep))
    if new is not None:
        parts.append(new)
    if parts:
        archive.insert_blocks(pieces(number, ordered(join(parts))))

"""Minimum, maximum, mean and count by the minute and by the hour: small enough to be kept when the samples are not."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server.history.archive import Archive
from server.history.ports import ReadRequest, Rollup, Samples
from server.quality import is_good
from server.store.ticks import TICKS_PER_SECOND
from server.store.values import VALUE_DTYPES

MINUTE, HOUR = 60, 3600
_HOUR_TICKS = HOUR * TICKS_PER_SECOND
_DAY_TICKS = 24 * _HOUR_TICKS
_CHUNK_S = {MINUTE: HOUR, HOUR: 7 * 86_400}
"""How much time one row of the table holds, by the length of its intervals (s)."""
LATE_S = 600
"""How long an hour waits for samples that come late before it is rolled up."""
_ROW = np.dtype([("place", "<u2"), ("count", "<u4"), ("least", "<f8"), ("most", "<f8"), ("mean", "<f8")])
_AT_ONCE = 256

Table = NDArray[np.void]


def floats(samples: Samples, builtin: BuiltinType) -> NDArray[np.float64]:
    """Return samples' values as float64, NaN for Strings."""
    if builtin is BuiltinType.String:
        return np.full(len(samples), np.nan)
    dtype = np.dtype(VALUE_DTYPES[builtin])
    return samples.bits.astype(f"<u{dtype.itemsize}").view(dtype).astype(np.float64)


def read(archive: Archive, variable: int, start: int, end: int, seconds: int) -> Rollup:
    """Return the roll-ups that begin from `start` to before `end` (ticks); what is not kept yet is worked out."""
    width = seconds * TICKS_PER_SECOND
    kept_to = _rolled(archive)
    starts, table = _kept(archive, int(archive.numbers[variable]), start, min(end, kept_to), seconds)
    missing = max(start - start % width, kept_to)
    if missing < end:
        samples = archive.read(ReadRequest(variable, missing, end + width))
        more, rows = roll(samples, archive.keys[variable][1], width)
        chosen = (more >= start) & (more < end)
        starts, table = np.concatenate((starts, more[chosen])), np.concatenate((table, rows[chosen]))
    return Rollup(starts, table["count"].astype(np.int64), table["least"], table["most"], table["mean"])


def bring_up_to_date(archive: Archive, now: int, oldest: int) -> int:
    """Roll up the hours that are over, none before `oldest`; returns up to when all is rolled up (ticks)."""
    upto = now - LATE_S * TICKS_PER_SECOND
    upto -= upto % _HOUR_TICKS
    first = _rolled(archive)
    if first == 0:
        (begin,) = archive.reader().execute("SELECT coalesce(min(first), ?) FROM blocks", (upto,)).fetchone()
        first = max(int(begin), oldest)
        first -= first % _HOUR_TICKS
    while first < upto:
        until = min(first + _DAY_TICKS, upto)
        for at in range(0, len(archive.keys), _AT_ONCE):
            if archive.closing.is_set():
                return first
            _store(archive, [
                (int(archive.numbers[variable]), _of_variable(archive, variable, first, until))
                for variable in range(at, min(at + _AT_ONCE, len(archive.keys)))
            ])  # fmt: skip
        with archive.transaction() as database:
            database.execute("UPDATE facts SET value = ? WHERE name = 'rolled'", (until,))
        first = until
    return first


def redo(archive: Archive, variable: int, start: int, end: int) -> None:
    """Roll up anew the hours that hold some of start <= timestamp < end: samples were changed by hand."""
    first = start - start % _HOUR_TICKS
    until = min(end + -end % _HOUR_TICKS, _rolled(archive))
    number = int(archive.numbers[variable])
    for at in range(first, until, _DAY_TICKS):
        to = min(at + _DAY_TICKS, until)
        with archive.transaction() as database:
            sql = "DELETE FROM rollups WHERE number = ? AND seconds = ? AND start >= ? AND start < ?"
            database.execute(sql, (number, MINUTE, at, to))
        _store(archive, [(number, _of_variable(archive, variable, at, to))], span=(at, to))


def forget_before(archive: Archive, seconds: int, cutoff: int) -> None:
    """Remove roll-ups of before `cutoff` (ticks)."""
    with archive.transaction() as database:
        chunk = _CHUNK_S[seconds] * TICKS_PER_SECOND
        database.execute("DELETE FROM rollups WHERE seconds = ? AND start < ?", (seconds, cutoff - chunk))


_Rolled = tuple[NDArray[np.int64], Table]


def _rolled(archive: Archive) -> int:
    (value,) = archive.reader().execute("SELECT value FROM facts WHERE name = 'rolled'").fetchone()
    return int(value)


def _of_variable(archive: Archive, variable: int, first: int, until: int) -> _Rolled:
    builtin = archive.keys[variable][1]
    if builtin is BuiltinType.String:
        return np.zeros(0, np.int64), np.zeros(0, _ROW)
    return roll(archive.read(ReadRequest(variable, first, until)), builtin, MINUTE * TICKS_PER_SECOND)


def roll(samples: Samples, builtin: BuiltinType, width: int) -> _Rolled:
    """Return the start (ticks) and the figures of each interval that has Good numbers."""
    values = floats(samples, builtin)
    good = is_good(samples.statuses) & np.isfinite(values)
    stamps, values = samples.stamps[good], values[good]
    ones = np.ones(len(values), np.int64)
    return _group(stamps // width * width, ones, values, values, values)


def _group(
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    least: NDArray[np.float64],
    most: NDArray[np.float64],
    means: NDArray[np.float64],
) -> _Rolled:
    """Put rows of equal starts, which lie beside each other, together."""
    if len(starts) == 0:
        return starts, np.zeros(0, _ROW)
    edges = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    table = np.zeros(len(edges), _ROW)
    table["count"] = np.add.reduceat(counts, edges)
    table["least"] = np.minimum.reduceat(least, edges)
    table["most"] = np.maximum.reduceat(most, edges)
    table["mean"] = np.add.reduceat(means * counts, edges) / table["count"]
    return starts[edges], table


def _store(archive: Archive, rolled: list[tuple[int, _Rolled]], span: tuple[int, int] | None = None) -> None:
    """Keep roll-ups by the minute, and those by the hour that follow from them; `span` is what they stand for."""
    with archive.transaction() as database:
        sql = "INSERT OR REPLACE INTO rollups VALUES (?, ?, ?, ?)"
        for number, (starts, table) in rolled:
            hours = _group(
                starts - starts % _HOUR_TICKS, table["count"].astype(np.int64),
                table["least"], table["most"], table["mean"],
            )  # fmt: skip
            for start, data in _chunks(starts, table, MINUTE):
                database.execute(sql, (number, MINUTE, start, data))
            if len(starts) == 0 and span is None:
                continue
            first, end = span or (int(hours[0][0]), int(hours[0][-1]) + _HOUR_TICKS)
            chunk = _CHUNK_S[HOUR] * TICKS_PER_SECOND
            around = first - first % chunk, end + -end % chunk
            before = _kept(archive, number, *around, HOUR, own=True)
            stays = (before[0] < first) | (before[0] >= end)
            both = np.concatenate((before[0][stays], hours[0]))
            order = np.argsort(both)
            database.execute(
                "DELETE FROM rollups WHERE number = ? AND seconds = ? AND start >= ? AND start < ?",
                (number, HOUR, *around),
            )
            merged = np.concatenate((before[1][stays], hours[1]))[order]
            for start, data in _chunks(both[order], merged, HOUR):
                database.execute(sql, (number, HOUR, start, data))


def _chunks(starts: NDArray[np.int64], table: Table, seconds: int) -> Iterator[tuple[int, bytes]]:
    """Yield the rows of the table of roll-ups: start of the chunk, and its intervals."""
    chunk, width = _CHUNK_S[seconds] * TICKS_PER_SECOND, seconds * TICKS_PER_SECOND
    chunks = starts - starts % chunk
    for start in np.unique(chunks).tolist():
        rows = chunks == start
        part = table[rows].copy()
        part["place"] = (starts[rows] - start) // width
        yield start, part.tobytes()


def _kept(archive: Archive, number: int, start: int, end: int, seconds: int, *, own: bool = False) -> _Rolled:
    database = archive.database if own else archive.reader()  # `own`: as the open transaction sees it
    chunk, width = _CHUNK_S[seconds] * TICKS_PER_SECOND, seconds * TICKS_PER_SECOND
    sql = "SELECT start, data FROM rollups WHERE number = ? AND seconds = ? AND start > ? AND start < ? ORDER BY start"
    tables: list[Table] = [np.zeros(0, _ROW)]
    starts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for first, data in database.execute(sql, (number, seconds, start - chunk, end)).fetchall():
        table = np.frombuffer(data, _ROW)
        tables.append(table)
        starts.append(first + table["place"].astype(np.int64) * width)
    found, rows = np.concatenate(starts), np.concatenate(tables)
    chosen = (found >= start) & (found < end)
    return found[chosen], rows[chosen]

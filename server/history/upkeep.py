"""Done now and then: roll-ups brought up to date, small blocks put together, the too old and too many removed."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from functools import partial

from address_space.model import Plant
from server.history import archive as archives
from server.history import codec, rollups
from server.history.archive import Archive
from server.history.ports import Retention, join, ordered
from server.store.ticks import TICKS_PER_SECOND

MANY_SMALL = 16
_AT_ONCE = 256


def ages(plant: Plant, retention: Retention) -> list[float]:
    """Return how long the samples of each variable stay (s)."""
    by_type = retention.by_type or {}
    return [by_type.get(plant.owner(variable).type.name, retention.default) for variable in plant.variables]


def prune(archive: Archive, ages_: list[float], retention: Retention, now: int) -> int:
    """Remove what is older than `ages_` allow, what of it is needed later first rolled up; returns the rows removed."""
    longest = max([retention.default, *ages_])
    rolled = rollups.bring_up_to_date(archive, now, now - int(retention.minutes * TICKS_PER_SECOND))
    removed = 0
    by_age: defaultdict[float, list[int]] = defaultdict(list)
    for number, age in zip(archive.numbers.tolist(), ages_, strict=True):
        by_age[age].append(number)
    for age, numbers in by_age.items():
        cutoff = min(now - int(age * TICKS_PER_SECOND), rolled)
        for at in range(0, len(numbers), _AT_ONCE):
            if archive.closing.is_set():
                break
            removed += _remove_older(archive, numbers[at : at + _AT_ONCE], cutoff)
    removed += _remove_strangers(archive, now - int(longest * TICKS_PER_SECOND))
    if retention.max_bytes:
        removed += _remove_surplus(archive, retention.max_bytes)
    for seconds, age in ((rollups.MINUTE, retention.minutes), (rollups.HOUR, retention.hours)):
        rollups.forget_before(archive, seconds, now - int(age * TICKS_PER_SECOND))
    return removed


def compact(archive: Archive) -> int:
    """Put small blocks that lie beside each other together; returns how many went."""
    sql = "SELECT number FROM blocks WHERE rows < 1024 GROUP BY number HAVING count(*) >= ?"
    crowded = archive.reader().execute(sql, (MANY_SMALL,)).fetchall()
    known = (number for (number,) in crowded if archive.is_known(number))
    return sum(_compact_one(archive, number) for number in known if not archive.closing.is_set())


def size(archive: Archive) -> int:
    """Return how many bytes of the database are in use, those of roll-ups too."""
    database = archive.reader()
    pages, free, page = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in (
        "page_count", "freelist_count", "page_size"))  # fmt: skip
    return (pages - free) * page


def _compact_one(archive: Archive, number: int) -> int:
    with archive.transaction() as database:
        sql = "SELECT id, first, last, rows FROM blocks WHERE number = ? ORDER BY id DESC"
        group: list[int] = []
        rows, gone = 0, 0
        for key, _, _, count in reversed(database.execute(sql, (number,)).fetchall()):
            if count >= 1024 or rows + count > archives.MAX_BLOCK_ROWS:
                gone += _join_blocks(archive, number, group)
                group, rows = [], 0
            if count < 1024:
                group.append(key)
                rows += count
        return gone + (_join_blocks(archive, number, group) if rows >= archives.MAX_BLOCK_ROWS // 2 else 0)


def _join_blocks(archive: Archive, number: int, keys: list[int]) -> int:
    """Make one block of several that came one after the other, under the first one's id: of equals the last wins."""
    if len(keys) < 2:
        return 0
    database = archive.database
    parts = [codec.decode_block(database.execute("SELECT data FROM blocks WHERE id = ?", (key,)).fetchone()[0])
             for key in keys]  # fmt: skip
    together = ordered(join(parts))
    first, last = int(together.stamps[0]), int(together.stamps[-1])
    data = codec.encode_block(together, archive.type_of(number))
    database.executemany("DELETE FROM blocks WHERE id = ?", [(key,) for key in keys[1:]])
    sql = "UPDATE blocks SET first = ?, last = ?, rows = ?, data = ? WHERE id = ?"
    database.execute(sql, (first, last, len(together), data, keys[0]))
    archive.covered(number, last - first)
    return len(keys) - 1


def _remove_older(archive: Archive, numbers: list[int], cutoff: int) -> int:
    marks = ",".join("?" * len(numbers))
    where = f"number IN ({marks}) AND last < ? AND first < ?"
    return _remove(archive, partial(_gone, where=where, parameters=(*numbers, cutoff, cutoff)))


def _remove_strangers(archive: Archive, cutoff: int) -> int:
    """Remove old samples of variables that the plant file has no more."""
    sql = "SELECT number FROM variables"
    strangers = [number for (number,) in archive.reader().execute(sql) if not archive.is_known(number)]
    return sum(_remove_older(archive, strangers[at : at + _AT_ONCE], cutoff)
               for at in range(0, len(strangers), _AT_ONCE))  # fmt: skip


def _remove_surplus(archive: Archive, most: int) -> int:
    """Remove the blocks that were made first until the database is small enough."""
    removed = 0
    while (bytes_ := size(archive)) > most and not archive.closing.is_set():
        (blocks,) = archive.reader().execute("SELECT count(*) FROM blocks").fetchone()
        some = 1 + int(blocks * (1 - most / bytes_) / 2)  # blocks differ in size: half of what it seems, and again
        where = "id IN (SELECT id FROM blocks ORDER BY id LIMIT ?)"
        gone = _remove(archive, partial(_gone, where=where, parameters=(some,)))
        if gone == 0:
            break
        removed += gone
    return removed


def _gone(database: sqlite3.Connection, where: str, parameters: tuple[int, ...]) -> int:
    (rows,) = database.execute(f"SELECT coalesce(sum(rows), 0) FROM blocks WHERE {where}", parameters).fetchone()  # noqa: S608
    if rows:
        database.execute(f"DELETE FROM blocks WHERE {where}", parameters)  # noqa: S608
    return int(rows)


def _remove(archive: Archive, work: Callable[[sqlite3.Connection], int]) -> int:
    with archive.transaction() as database:
        rows = work(database)
        if rows:
            database.execute("UPDATE facts SET value = value + ? WHERE name = 'pruned'", (rows,))
        return rows

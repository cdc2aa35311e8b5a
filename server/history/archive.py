"""The embedded historian's storage, synchronous: one thread writes, others read with a connection of their own.

What comes in is logged, and kept in memory; when enough has come, it is sorted by variable and time into compressed
blocks, and the log begins anew in the same transaction. So a variable is read without a look at the others, however
many there are, and a process that is killed loses nothing that `append` has returned for.
"""

import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server.history import codec, schema
from server.history.head import Head, Rows, by_variable
from server.history.ports import HistoryError, ReadRequest, Samples, join, no_samples, ordered

MAX_BLOCK_ROWS = 4096
MIN_BLOCK_ROWS = 64
"""Fewer rows of a variable wait in memory for more, while they are young and few in all."""
HEAD_ROWS = 1 << 21
MAX_AGE_S = 3600.0
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


class Archive:
    """Samples of the variables of `keys` (path and type, in the order of the plant) in one database file."""

    def __init__(self, file: Path, keys: Sequence[tuple[str, BuiltinType]], head_rows: int = HEAD_ROWS) -> None:
        self.keys = tuple(keys)
        self.rows = 0
        self.lock = threading.RLock()
        """Held by whoever writes."""
        self.closing = threading.Event()
        """Set when long work is to end where it is."""
        self.head = Head()
        self._head_rows = head_rows
        self._sealed_at = time.monotonic()
        self._files = file
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._covers: dict[int, int] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        self.database = schema.connect(file)
        self.database.executescript(schema.SCHEMA)
        self.numbers = self._register()
        """The number of each variable in the database, shape (variables,)."""
        self._by_number = {number: place for place, number in enumerate(self.numbers.tolist())}
        self._recover()

    def type_of(self, number: int) -> BuiltinType:
        """Return the built-in type of a variable of the plant."""
        return self.keys[self._by_number[number]][1]

    def is_known(self, number: int) -> bool:
        """Whether a variable in the database is in the plant file still."""
        return number in self._by_number

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Write all or nothing."""
        with self.lock:
            self.database.execute("BEGIN IMMEDIATE")
            try:
                yield self.database
                self.database.execute("COMMIT")
            except BaseException:
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
                raise

    def reader(self) -> sqlite3.Connection:
        """Return this thread's own connection."""
        found: sqlite3.Connection | None = getattr(self._local, "database", None)
        if found is None:
            found = self._local.database = schema.connect(self._files)
            with self.lock:
                self._readers.append(found)
        return found

    def append(self, rows: Rows) -> None:
        """Keep rows, `numbers` being those of `self.numbers`; returns once they are on the disk."""
        if len(rows) == 0:
            return
        with self.lock:
            record = codec.encode_record(rows.numbers, rows.samples, rows.texts)
            with self.transaction() as database:
                database.execute("INSERT INTO log (rows, data) VALUES (?, ?)", (len(rows), record))
            self.head.append(rows)
            self.rows += len(rows)
            if len(self.head) >= self._head_rows or time.monotonic() - self._sealed_at > MAX_AGE_S:
                self.seal(all_=len(self.head) < self._head_rows)

    def seal(self, *, all_: bool = True) -> None:
        """Make blocks of what is in memory; without `all_` variables with few rows wait, if they are few together."""
        with self.lock:
            rows = self.head.all()
            rows = rows.take(np.lexsort((rows.samples.stamps, rows.numbers)))
            few: list[NDArray[np.intp]] = []
            blocks: list[tuple[int, Samples]] = []
            for number, first, end in by_variable(rows):
                if not all_ and end - first < MIN_BLOCK_ROWS:
                    few.append(np.arange(first, end))
                else:
                    blocks += self._split(rows, number, first, end)
            waiting = np.concatenate(few) if few else np.zeros(0, np.intp)
            if len(waiting) > self._head_rows // 4:
                self.seal(all_=True)
                return
            rest = rows.take(waiting)
            with self.transaction() as database:
                self.insert_blocks(blocks)
                database.execute("DELETE FROM log")
                if len(rest):
                    record = codec.encode_record(rest.numbers, rest.samples, rest.texts)
                    database.execute("INSERT INTO log (rows, data) VALUES (?, ?)", (len(rest), record))
            self.head.replace(rest)
            self._sealed_at = time.monotonic()

    def seal_one(self, number: int) -> None:
        """Make blocks of one variable's rows in memory: what is in the log of it counts no more."""
        text = self.type_of(number) is BuiltinType.String
        samples = ordered(self.head.find(number, text=text))
        with self.transaction() as database:
            self.insert_blocks(pieces(number, samples))
            (last,) = database.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()
            database.execute("UPDATE variables SET logged = ? WHERE number = ?", (last, number))
        self.head.remove(number)

    def insert_blocks(self, blocks: Sequence[tuple[int, Samples]]) -> None:
        """Add blocks within a transaction."""
        sql = "INSERT INTO blocks (number, first, last, rows, data) VALUES (?, ?, ?, ?, ?)"
        for number, samples in blocks:
            data = codec.encode_block(samples, self.type_of(number))
            first, last = int(samples.stamps[0]), int(samples.stamps[-1])
            self.database.execute(sql, (number, first, last, len(samples), data))
            self.covered(number, last - first)
            time.sleep(0)  # lets go of the interpreter: the event loop waits for no more than one block

    def covered(self, number: int, time_: int) -> None:
        """Note that a block of a variable covers so much time (ticks)."""
        if number in self._covers:
            self._covers[number] = max(self._covers[number], time_)

    def read(self, request: ReadRequest) -> Samples:
        """Return samples of a variable; from any thread."""
        start, end = request.start, request.end
        number = int(self.numbers[request.variable])
        text = self.keys[request.variable][1] is BuiltinType.String
        head = self.head.find(number, text=text)  # before the blocks: what is sealed meanwhile is then in both
        if request.reverse:
            found = self._before(number, head, start, end, request.limit)
        else:
            found = self._from(number, head, start, end, request.limit)
        if not request.bounds:
            return found.take(slice(None, None, -1)) if request.reverse else found
        parts = [self._before(number, head, _SMALLEST, start, 1), found, self._from(number, head, end, _LARGEST, 1)]
        cut = request.limit and len(found) >= request.limit
        if cut:  # the far bound belongs to what comes after the limit
            parts = parts[1:] if request.reverse else parts[:2]
        found = join(parts)
        return found.take(slice(None, None, -1)) if request.reverse else found

    def starts(self) -> NDArray[np.int64]:
        """Return the timestamp of each variable's oldest sample, the largest int64 where it has none."""
        found = np.full(len(self.keys), _LARGEST)
        for number, first in self.reader().execute("SELECT number, min(first) FROM blocks GROUP BY number"):
            if number in self._by_number:
                found[self._by_number[number]] = first
        rows = self.head.all()
        places = np.fromiter((self._by_number[number] for number in rows.numbers.tolist()), np.intp, len(rows))
        np.minimum.at(found, places, rows.samples.stamps)
        return found

    def close(self) -> None:
        """Let go of the file; what is not in blocks is in the log."""
        with self.lock:
            for reader in self._readers:
                reader.close()
            self._readers.clear()
            self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.database.close()

    def _from(self, number: int, head: Samples, start: int, end: int, limit: int) -> Samples:
        """Return samples with start <= stamp < end, the first `limit` of them."""
        parts: list[tuple[int, Samples]] = []
        count, upto, overlap = 0, _SMALLEST, False
        for first, last, key in self._blocks(number, start, end, "ASC"):
            if limit and count >= limit and first > upto:
                break
            samples = _between(self._block(key), start, end)
            parts.append((key, samples))
            count += len(samples)
            overlap = overlap or first <= upto
            upto = max(upto, last)
        found = _merged(parts, _between(head, start, end))
        if not limit:
            return found
        if overlap and len(found) < limit:  # the same timestamps in several blocks: that was not enough
            found = self._from(number, head, start, end, 0)
        return found.take(slice(0, limit))

    def _before(self, number: int, head: Samples, start: int, end: int, limit: int) -> Samples:
        """Return samples with start <= stamp < end, the last `limit` of them."""
        if not limit:
            return self._from(number, head, start, end, 0)
        parts: list[tuple[int, Samples]] = []
        count, down_to, overlap = 0, _LARGEST, False
        longest = self._longest(number)
        for first, last, key in self._blocks(number, start, end, "DESC"):
            if count >= limit and first + longest < down_to:
                break
            if count >= limit and last < down_to:
                continue
            samples = _between(self._block(key), start, end)
            parts.append((key, samples))
            count += len(samples)
            overlap = overlap or last >= down_to
            down_to = min(down_to, first)
        found = _merged(parts, _between(head, start, end))
        if overlap and len(found) < limit:
            found = self._from(number, head, start, end, 0)
        return found.take(slice(max(0, len(found) - limit), None))

    def _blocks(self, number: int, start: int, end: int, order: str) -> sqlite3.Cursor:
        """Return first and last timestamp and id of the blocks that may have samples with start <= stamp < end."""
        sql = f"""SELECT first, last, id FROM blocks
            WHERE number = ? AND first >= ? AND first < ? AND last >= ? ORDER BY first {order}"""  # noqa: S608
        least = max(start - self._longest(number), _SMALLEST)
        return self.reader().execute(sql, (number, least, end, start))

    def _longest(self, number: int) -> int:
        """Return the longest time that one block of a variable covers: how far back one may begin that matters."""
        longest = self._covers.get(number)
        if longest is None:
            sql = "SELECT coalesce(max(last - first), 0) FROM blocks WHERE number = ?"
            (longest,) = self.reader().execute(sql, (number,)).fetchone()
            self._covers[number] = max(longest, self._covers.get(number, 0))
        return int(longest)

    def _block(self, key: int) -> Samples:
        found = self.reader().execute("SELECT data FROM blocks WHERE id = ?", (key,)).fetchone()
        return no_samples() if found is None else codec.decode_block(found[0])

    def _register(self) -> NDArray[np.int32]:
        with self.transaction() as database:
            known = {(path, kind): number for number, path, kind in
                     database.execute("SELECT number, path, type FROM variables")}  # fmt: skip
            new = [key for key in self.keys if key not in known]
            database.executemany("INSERT INTO variables (path, type) VALUES (?, ?)", [(p, int(t)) for p, t in new])
            if new:
                rows = database.execute("SELECT number, path, type FROM variables")
                known = {(path, kind): number for number, path, kind in rows}
        return np.fromiter((known[key] for key in self.keys), np.int32, len(self.keys))

    def _recover(self) -> None:
        """Bring back to memory what is in the log: the last process may have been killed."""
        logged = dict(self.database.execute("SELECT number, logged FROM variables WHERE logged > 0").fetchall())
        for key, data in self.database.execute("SELECT id, data FROM log ORDER BY id"):
            try:
                numbers, samples, texts = codec.decode_record(data)
            except (OSError, ValueError) as error:
                raise HistoryError(f"{self._files}: the log of the history is damaged: {error}") from error
            rows = Rows(numbers, samples, texts)
            gone = [number for number, last in logged.items() if key <= last]
            if gone:
                rows = rows.take(np.flatnonzero(~np.isin(numbers, gone)))
            self.head.append(rows)
        stale = [n for n in np.unique(self.head.all().numbers).tolist() if not self.is_known(n)]
        for number in stale:  # the plant file has lost it: its blocks stay until they are too old
            self.head.remove(number)

    def _split(self, rows: Rows, number: int, first: int, end: int) -> list[tuple[int, Samples]]:
        text = self.type_of(number) is BuiltinType.String
        return pieces(number, ordered(rows.of_one(slice(first, end), text=text)))


def pieces(number: int, samples: Samples) -> list[tuple[int, Samples]]:
    """Cut samples into blocks."""
    return [(number, samples.take(slice(at, at + MAX_BLOCK_ROWS))) for at in range(0, len(samples), MAX_BLOCK_ROWS)]


def _between(samples: Samples, start: int, end: int) -> Samples:
    stamps = samples.stamps
    if len(stamps) == 0:
        return samples
    if bool((stamps[1:] >= stamps[:-1]).all()):
        first, last = np.searchsorted(stamps, [start, end]).tolist()
        return samples if first == 0 and last == len(stamps) else samples.take(slice(first, last))
    return samples.take(np.flatnonzero((stamps >= start) & (stamps < end)))


def _merged(parts: list[tuple[int, Samples]], head: Samples) -> Samples:
    """Put blocks and what is in memory together; of equal timestamps the one that came last stays."""
    pieces = [samples for _, samples in sorted(parts, key=lambda part: part[0]) if len(samples)]
    if len(head) or not pieces:
        pieces.append(head)
    return ordered(join(pieces))

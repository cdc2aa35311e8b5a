"""The durable outbox of a gateway: what the peer has not confirmed yet survives outages, restarts and `kill -9`."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from address_space.model import Plant
from gateways.outbox_file import Entry, OutboxFile
from server.store import Batch

__all__ = ["Entry", "Outbox", "joined"]

_MOST_AT_ONCE = 16  # jobs a transaction: what they write must fit into the file's reserve
_END = 1 << 62


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[], Any]
    done: "Future[Any]"
    writes: bool


class Outbox:
    """A queue of batches on the disk, behind one thread of its own: the event loop never waits for the disk.

    Bounded by `max_bytes` (of the columns) and `max_age` (s since a batch was taken in): the oldest batches are
    dropped first, and their rows counted. What was there at the opening is historical: it has outlived a restart.
    Raises StartError when the file cannot be opened; the methods raise sqlite3.Error, on a full disk above all.
    """

    def __init__(self, path: Path, plant: Plant, *, max_bytes: int, max_age: float) -> None:
        self.path = path
        self._file = OutboxFile(path, plant, max_bytes, max_age)
        self._totals = self._file.totals
        self.boundary = self._totals.last_seq
        """Entries up to this seq are historical."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"outbox {path.parent.name}", daemon=True)
        self._thread.start()

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._totals.rows

    @property
    def bytes(self) -> int:
        """Bytes of their columns."""
        return self._totals.bytes

    @property
    def dropped(self) -> int:
        """Rows ever dropped since the file was made."""
        return self._totals.dropped

    @property
    def oldest(self) -> int | None:
        """When the oldest row that waits was taken in (ticks); None when nothing waits."""
        return self._totals.oldest

    @property
    def last_seq(self) -> int:
        """The newest entry's number; numbers are never used twice."""
        return self._totals.last_seq

    async def append(self, batch: Batch, lost: int = 0) -> int:
        """Add a batch; returns its seq once it is durable. `lost` rows that never came here count as dropped."""
        return await asyncio.wrap_future(self.post(batch, lost))

    def post(self, batch: Batch, lost: int = 0) -> "Future[int]":
        """As `append`, without waiting."""
        return self._post(partial(self._file.append, batch, lost))

    async def peek(self, *, after: int = 0, before: int | None = None, max_rows: int = 65_536) -> list[Entry]:
        """Return entries with after < seq < before, oldest first, at least one, about `max_rows` rows in all.

        They stay, and the bounds spare them, until they are acknowledged or released. An entry is empty when all its
        variables are gone from the plant file.
        """
        peek = partial(self._file.peek, after, _END if before is None else before, max_rows, self.boundary)
        return await asyncio.wrap_future(self._post(peek, writes=False))

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        """Remove what was delivered."""
        await asyncio.wrap_future(self.post_acknowledge(seqs))

    def post_acknowledge(self, seqs: Sequence[int], rejected: int = 0) -> "Future[None]":
        """As `acknowledge`, without waiting; `rejected` rows of them were not taken and count as dropped."""
        return self._post(partial(self._file.remove, tuple(seqs), rejected))

    def release(self) -> None:
        """Let the bounds drop again what was peeked and not acknowledged."""
        self._post(self._file.release, writes=False)

    async def expire(self) -> None:
        """Drop what is too old; appending does so, too."""
        await asyncio.wrap_future(self._post(self._file.bound))

    async def close(self) -> None:
        """Finish what is under way and close."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _post(self, run: Callable[[], Any], *, writes: bool = True) -> "Future[Any]":
        done: Future[Any] = Future()
        self._jobs.put(_Job(run, done, writes))
        return done

    def _work(self) -> None:
        """Do what has come in since the last commit in one transaction: callers share the wait for the disk."""
        ending = False
        while not ending and (first := self._jobs.get()) is not None:
            group = [first]
            while len(group) < _MOST_AT_ONCE and not self._jobs.empty() and not ending:
                following = self._jobs.get()
                if following is None:
                    ending = True
                else:
                    group.append(following)
            if not self._attempt(group):
                for job in group:  # one that fails must not take the others with it
                    self._alone(job)
        self._file.close()

    def _attempt(self, group: Sequence[_Job]) -> bool:
        try:
            with self._file.transaction(writing=any(job.writes for job in group)):
                results = [job.run() for job in group]
        except Exception:  # noqa: BLE001  told apart, and told to its caller, when each runs alone
            return False
        self._totals = self._file.totals
        for job, result in zip(group, results, strict=True):
            _finish(job, result, None)
        return True

    def _alone(self, job: _Job) -> None:
        try:
            if job.writes and self._file.delivered:
                self._remove_delivered()
            with self._file.transaction(writing=job.writes):
                result = job.run()
        except Exception as error:  # noqa: BLE001  the caller's to handle
            _finish(job, None, error)
        else:
            self._totals = self._file.totals
            _finish(job, result, None)

    def _remove_delivered(self) -> None:
        """Make room on a full disk with what was delivered already."""
        try:
            self._file.make_room()
            with self._file.transaction():
                pass
        except (OSError, sqlite3.Error):
            return  # it stays remembered as delivered; who wants to append is told of the full disk
        self._totals = self._file.totals


def joined(entries: Sequence[Entry]) -> Entry:
    """Return entries one after another as one: the last one's seq, the first one's time."""
    if len(entries) == 1:
        return entries[0]
    batches = [entry.batch for entry in entries]
    starts = np.cumsum([0, *map(len, batches)]).tolist()
    objects = {
        start + row: value
        for start, batch in zip(starts, batches, strict=False)
        for row, value in batch.objects.items()
    }
    together = Batch(
        np.concatenate([batch.ids for batch in batches]),
        np.concatenate([batch.bits for batch in batches]),
        np.concatenate([batch.statuses for batch in batches]),
        np.concatenate([batch.source_timestamps for batch in batches]),
        objects,
    )
    return Entry(entries[-1].seq, together, entries[0].historical, entries[0].time)


def _finish(job: _Job, result: Any, error: Exception | None) -> None:
    """Answer a caller, unless it has given up waiting."""
    if not job.done.set_running_or_notify_cancel():
        return
    if error is None:
        job.done.set_result(result)
    else:
        job.done.set_exception(error)

"""The embedded historian: an archive in the data directory, behind threads: the event loop never waits for it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from address_space.model import BuiltinType, Plant
from server.history import edits, rollups, upkeep
from server.history.archive import HEAD_ROWS, Archive
from server.history.head import Rows
from server.history.ports import Modified, ReadRequest, Retention, Rollup, Samples, Stats, Update, join, ordered
from server.store import Batch

T = TypeVar("T")
_NEVER = np.int64(2**63 - 1)
_NEAR = 64
"""Samples on each side of a time that its value is said from: those next to it may be Bad."""


class EmbeddedHistorian:
    """A `Historian` in one file; `open` makes it."""

    editable = True

    def __init__(self, archive: Archive, plant: Plant, retention: Retention) -> None:
        self.archive = archive
        self._ages = upkeep.ages(plant, retention)
        self._retention = retention
        self._is_text = np.array([v.declaration.type is BuiltinType.String for v in plant.variables], np.bool_)
        self._writer = ThreadPoolExecutor(1, "history-write")
        self._readers = ThreadPoolExecutor(2, "history-read")
        self._upkeep = ThreadPoolExecutor(1, "history-upkeep")
        self._oldest = np.full(len(plant.variables), _NEVER)
        self._bytes = 0
        self._pruned = 0

    @classmethod
    async def open(
        cls, file: Path, plant: Plant, retention: Retention | None = None, head_rows: int = HEAD_ROWS
    ) -> "EmbeddedHistorian":
        """Open or make the file, and bring back what a killed process left in its log; raises HistoryError."""
        keys = [(variable.path, variable.declaration.type) for variable in plant.variables]
        archive = await asyncio.to_thread(Archive, file, keys, head_rows)
        historian = cls(archive, plant, retention or Retention())
        historian._oldest = await historian._run(historian._readers, archive.starts)
        await historian._run(historian._upkeep, historian._measure)
        return historian

    async def append(self, batch: Batch) -> None:
        """Keep rows of the journal; returns once they survive the process."""
        await self._run(self._writer, self._append, batch)

    async def read(self, request: ReadRequest) -> Samples:
        """Return samples of one variable."""
        return await self._run(self._readers, self.archive.read, request)

    async def read_many(self, requests: Sequence[ReadRequest]) -> list[Samples]:
        """Answer several reads."""
        return await self._run(self._readers, lambda: [self.archive.read(request) for request in requests])

    async def at_time(self, variable: int, stamps: Sequence[int]) -> Samples:
        """Return what is needed to say the value at each of `stamps`: samples there and on both sides."""
        return await self._run(self._readers, self._around, variable, stamps)

    async def modified(self, request: ReadRequest) -> Modified:
        """Return the samples that were changed or deleted."""
        return await self._run(self._readers, edits.modified, self.archive, request)

    async def rollup(self, variable: int, start: int, end: int, seconds: int) -> Rollup:
        """Return the roll-ups of 60 or 3600 seconds that begin from `start` to before `end` (ticks)."""
        return await self._run(self._readers, rollups.read, self.archive, variable, start, end, seconds)

    async def update(self, variable: int, samples: Samples, how: Update, user: str) -> list[int]:
        """Insert or replace samples; returns a StatusCode a sample."""
        results = await self._run(self._writer, edits.update, self.archive, variable, samples, how, user)
        if len(samples):
            self._oldest[variable] = min(self._oldest[variable], samples.stamps.min())
        return results

    async def delete(self, variable: int, start: int, end: int, user: str) -> int:
        """Delete samples with start <= timestamp < end; returns how many there were."""
        return await self._run(self._writer, edits.delete, self.archive, variable, start, end, user)

    async def delete_at(self, variable: int, stamps: Sequence[int], user: str) -> list[int]:
        """Delete samples at exact timestamps; returns a StatusCode a timestamp."""
        return await self._run(self._writer, edits.delete_at, self.archive, variable, stamps, user)

    async def delete_modified(self, variable: int, start: int, end: int) -> int:
        """Forget what is kept of changed samples."""
        return await self._run(self._writer, edits.delete_modified, self.archive, variable, start, end)

    def oldest(self, variable: int) -> int | None:
        """Return the timestamp of the oldest sample (ticks), None when there is none."""
        first = int(self._oldest[variable])
        return None if first == _NEVER else first

    def kept(self, variable: int) -> float:
        """Return how long samples of a variable stay (s)."""
        return self._ages[variable]

    async def prune(self, now: int) -> int:
        """Bring roll-ups up to date, put small blocks together, remove what is too old or too much at `now` (ticks)."""
        return await self._run(self._upkeep, self._prune, now)

    def stats(self) -> Stats:
        """Return how the historian is doing; the bytes are those of the last `prune`."""
        return Stats(self.archive.rows, self._bytes, len(self.archive.head), self._pruned)

    async def close(self) -> None:
        """Let go of the file and the threads; upkeep goes on with the next start."""
        self.archive.closing.set()
        for threads in (self._readers, self._upkeep, self._writer):
            await asyncio.to_thread(threads.shutdown, wait=True)
        await asyncio.to_thread(self.archive.close)

    def _append(self, batch: Batch) -> None:
        numbers = self.archive.numbers[batch.ids]
        texts: dict[int, str | None] = {}
        if self._is_text[batch.ids].any():
            texts = {row: batch.objects.get(row) for row in np.flatnonzero(self._is_text[batch.ids]).tolist()}
        np.minimum.at(self._oldest, batch.ids, batch.source_timestamps)
        self.archive.append(Rows(numbers, Samples(batch.source_timestamps, batch.bits, batch.statuses), texts))

    def _around(self, variable: int, stamps: Sequence[int]) -> Samples:
        parts: list[Samples] = []
        covered = -(2**63)
        for stamp in sorted(set(stamps)):
            if stamp < covered:
                continue
            before = self.archive.read(ReadRequest(variable, -(2**63), stamp, _NEAR, reverse=True))
            after = self.archive.read(ReadRequest(variable, stamp, 2**63 - 1, 2 * _NEAR))
            parts += [before, after]
            if len(after) > _NEAR:
                covered = int(after.stamps[-_NEAR])
        return ordered(join(parts)) if parts else self.archive.read(ReadRequest(variable, 0, 0))

    def _prune(self, now: int) -> int:
        removed = upkeep.prune(self.archive, self._ages, self._retention, now)
        upkeep.compact(self.archive)
        self._measure()
        if removed:
            self._oldest = self.archive.starts()
        return removed

    def _measure(self) -> None:
        self._bytes = upkeep.size(self.archive)
        sql = "SELECT value FROM facts WHERE name = 'pruned'"
        self._pruned = int(self.archive.reader().execute(sql).fetchone()[0])

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)

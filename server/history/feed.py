"""Feeds the historian from the journal: every change of every variable, in batches."""

import asyncio
from typing import Any

import numpy as np

from address_space.model import BuiltinType
from server import logs
from server.history.ports import Historian
from server.quality import is_good
from server.store import Batch, Store, now_ticks

log = logs.get(__name__)

_MOST = 65_536
UPKEEP_S = 600.0


class HistoryFeed:
    """Reads a cursor of its own; `lost` rows were overwritten in the journal before the disk had taken those before.

    A variable whose status changes while its value stays (a source that has fallen silent) is journaled with the
    timestamp of its last value. In history that value was as it was, and what came later came later: such a row gets
    the time at which it came.
    """

    def __init__(self, store: Store, historian: Historian, interval: float = 0.25) -> None:
        self._store = store
        self._historian = historian
        self._interval = interval
        self._cursor = store.journal.cursor("historian")
        self._stamps = np.full(len(store), -(2**63), np.int64)
        self._statuses = np.zeros(len(store), np.uint32)
        self._taken = self._cursor.position
        self._pending: Batch | None = self._present()

    @property
    def lost(self) -> int:
        """Rows that no one will find in history."""
        return self._cursor.lost

    @property
    def lag(self) -> int:
        """Rows that are not on the disk yet."""
        return self._cursor.lag

    @property
    def position(self) -> int:
        """The journal's position up to which rows are on the disk."""
        return self._taken

    async def run(self) -> None:
        """Feed until cancelled; what was read is kept before it ends."""
        await self._pass_on()
        while True:
            await self._cursor.wait()
            await self._pass_on()
            await asyncio.sleep(self._interval)

    async def drain(self) -> None:
        """Keep what has come in since: the server stops."""
        await self._pass_on()

    def close(self) -> None:
        """Give the cursor up."""
        self._cursor.close()

    async def look_after(self) -> None:
        """Have the historian tidy up, now and then, until cancelled."""
        while True:
            removed = await self._historian.prune(now_ticks())
            if removed:
                log.info("history pruned", rows=removed)
            await asyncio.sleep(UPKEEP_S)

    async def _pass_on(self) -> None:
        lost = self._cursor.lost
        if self._pending is not None:  # the beginning, or what the disk would not take the last time
            await self._keep(self._pending)
        while self._cursor.lag:
            batch = self._cursor.read(_MOST)
            await self._keep(self._as_of_its_time(batch))
            self._taken = self._cursor.position
        if self._cursor.lost > lost:
            log.warning("history lost changes: the disk is too slow", rows=self._cursor.lost - lost)

    async def _keep(self, batch: Batch) -> None:
        if len(batch):
            self._pending = batch
            await asyncio.shield(self._historian.append(batch))
        self._pending = None

    def _present(self) -> Batch:
        """Return what the store holds now: what was written before this cursor was opened."""
        store = self._store
        ids = np.flatnonzero(np.isfinite(store.received)).astype(np.int64)
        stamps, statuses = store.source_timestamps(ids), store.statuses(ids)
        self._stamps[ids], self._statuses[ids] = stamps, statuses
        bits, objects = np.zeros(len(ids), np.uint64), dict[int, Any]()
        types, rows = store.types(ids), store.rows(ids)
        for builtin in np.unique(types):
            places = np.flatnonzero(types == builtin)
            column = store.table(BuiltinType(builtin))["value"][rows[places]]
            if column.dtype == object:
                objects |= dict(zip(places.tolist(), column.tolist(), strict=True))
            else:
                bits[places] = np.ascontiguousarray(column).view(f"<u{column.dtype.itemsize}")
        return Batch(ids, bits, statuses, stamps, objects)

    def _as_of_its_time(self, batch: Batch) -> Batch:
        """Return rows with the time at which a status alone changed."""
        ids, stamps = batch.ids, batch.source_timestamps
        order = np.argsort(ids, kind="stable")
        sorted_ids, sorted_stamps, sorted_statuses = ids[order], stamps[order], batch.statuses[order]
        same = np.append(False, sorted_ids[1:] == sorted_ids[:-1])
        before_stamps = np.where(same, np.roll(sorted_stamps, 1), self._stamps[sorted_ids])
        before_statuses = np.where(same, np.roll(sorted_statuses, 1), self._statuses[sorted_ids])
        turned = (sorted_stamps == before_stamps) & (sorted_statuses != before_statuses) & ~is_good(sorted_statuses)
        last = np.append(sorted_ids[1:] != sorted_ids[:-1], True)
        self._stamps[sorted_ids[last]], self._statuses[sorted_ids[last]] = sorted_stamps[last], sorted_statuses[last]
        if not turned.any():
            return batch
        stamps = stamps.copy()
        stamps[order[turned]] = now_ticks()
        return Batch(ids, batch.bits, batch.statuses, stamps, batch.objects)

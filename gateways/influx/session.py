"""One connection to a database: entries of the outbox, heartbeats, and a look at what VictoriaMetrics throws away."""

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gateways.influx import victoria
from gateways.influx.dead_letter import Rejected
from gateways.influx.delivery import write
from gateways.influx.heartbeat import Heartbeats
from gateways.influx.losses import Losses
from gateways.influx.mapping import Mapping
from gateways.influx.peer import Peer, RefusedError
from gateways.influx.restating import Told
from gateways.influx.settings import InfluxSettings
from gateways.outbox import Entry
from server import logs
from server.store import Batch

log = logs.get(__name__)

_LOOK_S = 5.0


class Session:
    """Each method raises PeerError when the database is gone. `confirmed` is called after each confirmed entry.

    `lanes` is what was told already on the live lane, and on that of the backlog.
    """

    def __init__(
        self, settings: InfluxSettings, peer: Peer, mapping: Mapping, losses: Losses,
        heartbeats: Heartbeats, lanes: tuple[Told, Told], confirmed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._peer = peer
        self._mapping = mapping
        self._losses = losses
        self._heartbeats = heartbeats
        self._live, self._backlog = lanes
        self._confirmed = confirmed

    async def send(self, entry: Entry) -> None:
        """Write an entry; returns once each of its samples is confirmed or buried."""
        batch = entry.batch
        told = self._backlog if entry.historical else self._live
        dropped = await self._write(batch, told.times_for(batch, entry.time))
        told.note(batch)
        self._losses.count(dropped, len(batch) - dropped)
        if not entry.historical:
            self._heartbeats.told(batch)
        self._confirmed()

    async def beat(self) -> None:
        """Repeat from time to time what nothing was written of for a while."""
        while True:
            await asyncio.sleep(min(_LOOK_S, self._settings.heartbeat / 4))
            batch, at = self._heartbeats.due()
            await self._write(batch, np.full(len(batch), at))
            self._heartbeats.told(batch)

    def told(self) -> Told:
        """Return the newest of all samples that this session has told."""
        return self._backlog.newer(self._live)

    async def watch(self) -> None:
        """Look at VictoriaMetrics' counters from time to time."""
        while True:
            await asyncio.sleep(self._settings.watch)
            await self.look()

    async def look(self) -> bool:
        """Look at VictoriaMetrics' counters once; False when they are not shown to us."""
        try:
            text = await self._peer.get("/metrics")
        except RefusedError as error:
            log.warning("VictoriaMetrics does not show what it throws away", gateway="influx", error=str(error))
            return False
        self._losses.seen(victoria.counters(text))
        return True

    async def _write(self, batch: Batch, times: NDArray[np.int64]) -> int:
        """Write samples; returns how many were given up."""
        writable = self._mapping.writable(batch.source_timestamps)
        rejected: list[Rejected] = []
        if not writable.all():
            rejected += [self._timeless(batch, row) for row in np.flatnonzero(~writable).tolist()]
            batch, times = batch.take(np.flatnonzero(writable)), times[writable]
        dropped = len(rejected)
        if len(batch):
            lines = await asyncio.to_thread(self._mapping.lines, batch, times)
            refused, samples = await write(self._peer, lines, self._settings.batch_rows)
            rejected += refused
            dropped += len(samples)
        await self._losses.bury(rejected)
        return dropped

    def _timeless(self, batch: Batch, row: int) -> Rejected:
        path = self._mapping.plant.variables[int(batch.ids[row])].path
        ticks = int(batch.source_timestamps[row])
        return Rejected(path, f"its SourceTimestamp, {ticks} ticks since 1601, is none that the database can hold")

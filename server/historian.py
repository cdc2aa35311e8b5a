"""The historian as a part of the server: opened before the tree is made, fed from the journal, closed last."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from address_space.model import Plant
from server import logs
from server.errors import StartError
from server.history import Historian, HistoryError, Retention, Stats
from server.history.embedded import EmbeddedHistorian
from server.history.feed import HistoryFeed
from server.metrics import Metrics
from server.opcua.history import wiring
from server.opcua.history.policy import HistoryPolicy
from server.opcua.history.update import Audit
from server.opcua.server import OpcUaServer
from server.settings import HistorianSettings
from server.store import Store

log = logs.get(__name__)

FILE = "history.sqlite"
_DAY_S = 86_400.0
_DRAIN_S = 3.0
_FIRST_UPKEEP_S = 20.0
"""After the start, which has work enough."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Makes a historian; `fed` says that it gets what the journal has, and not by another way."""

    open: Callable[[], Awaitable[Historian]]
    fed: bool


def retention(plant: Plant, settings: HistorianSettings) -> Retention:
    """Return how long what stays: the types of the plant file have the say, then the settings."""
    by_type = {name: kind.retention for name, kind in plant.types.items() if kind.retention is not None}
    return Retention(
        default=settings.retention_days * _DAY_S,
        by_type=by_type,
        max_bytes=settings.max_bytes,
        minutes=settings.minute_days * _DAY_S,
        hours=settings.hour_days * _DAY_S,
    )


def embedded(plant: Plant, settings: HistorianSettings, folder: Path) -> Backend:
    """Return the backend that keeps history in a file of `folder`; opening it raises StartError."""
    file = folder / FILE

    async def open_() -> Historian:
        try:
            return await EmbeddedHistorian.open(file, plant, retention(plant, settings))
        except (HistoryError, sqlite3.Error, OSError) as error:
            raise StartError(f"{file}: history cannot be kept here: {error}") from error

    return Backend(open_, fed=True)


class HistorianPart:
    """Opens, feeds, offers and closes one historian; in this order: `open`, `serve`, `run`, `close`."""

    def __init__(self, store: Store, backend: Backend) -> None:
        self._store = store
        self._backend = backend
        self._policy = HistoryPolicy()
        self._historian: Historian | None = None
        self.feed: HistoryFeed | None = None

    @property
    def historian(self) -> Historian:
        """The backend; after `open`."""
        if self._historian is None:
            raise RuntimeError("the historian is not open")
        return self._historian

    async def open(self, opcua: OpcUaServer) -> None:
        """Open the backend, and let every variable say that it has history; before the tree is made."""
        self._historian = await self._backend.open()
        wiring.add_nodes(opcua.space, self._historian, self._policy)

    async def serve(self, opcua: OpcUaServer, audit: Audit) -> None:
        """Answer HistoryRead and HistoryUpdate, and keep all that changes from now on; after the tree is made."""
        await wiring.add_services(opcua.space, opcua.internal, self.historian, audit, self._policy)
        if self._backend.fed:
            self.feed = HistoryFeed(self._store, self.historian)

    async def run(self) -> None:
        """Keep what changes until cancelled."""
        if self.feed is None:
            await asyncio.Event().wait()
        else:
            await self.feed.run()

    async def look_after(self) -> None:
        """Roll up, put together and remove, now and then, until cancelled."""
        if self.feed is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(_FIRST_UPKEEP_S)
            await self.feed.look_after()

    async def close(self) -> None:
        """Keep what has come in since, and let go of everything; for one that was never opened, too."""
        if self.feed is not None:
            try:
                async with asyncio.timeout(_DRAIN_S):
                    await self.feed.drain()
            except (TimeoutError, HistoryError, sqlite3.Error, OSError) as error:
                log.error("the last changes are not in history", rows=self.feed.lag, error=str(error) or "too slow")
            self.feed.close()
        if self._historian is not None:
            await self._historian.close()

    def stats(self) -> Stats:
        """Return how the historian is doing, zeros before it is open."""
        return Stats(0, 0, 0, 0) if self._historian is None else self._historian.stats()

    def register_metrics(self, metrics: Metrics) -> None:
        """Offer the historian's figures to Prometheus; its cursor's lag and losses are among those of all cursors."""
        metrics.counter("plantree_history_rows_total", "Samples taken into history", lambda: self.stats().rows)
        metrics.counter("plantree_history_pruned_total", "Samples removed by retention", lambda: self.stats().pruned)
        metrics.gauge("plantree_history_bytes", "Bytes of history on the disk", lambda: self.stats().bytes)
        metrics.gauge("plantree_history_waiting", "Samples that are not in blocks yet", lambda: self.stats().waiting)

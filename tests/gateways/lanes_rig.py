"""A store, a peer that takes what it is sent, and lanes between them, with a clock of the test's own."""

import asyncio
import heapq
from collections.abc import Callable
from pathlib import Path

import numpy as np

from address_space import Plant
from gateways.delivery import Lanes
from gateways.outbox import Entry
from gateways.settings import OutboxSettings
from server.ports import GatewayContext, GatewayStatus
from server.store import Store, now_ticks
from tests.gateways.outbox_rig import plant

SPEED = "Plant.Pump1.Speed"


class GoneError(Exception):
    """The peer is gone."""


class Clock:
    """Monotonic seconds that pass only when everybody sleeps and the test lets them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, id(future), future))
        await future

    @property
    def next_wake(self) -> float | None:
        """When the first sleeper wakes."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def pass_to(self, moment: float) -> None:
        self.now = moment
        while (wake := self.next_wake) is not None and wake <= self.now:
            heapq.heappop(self._sleepers)[2].set_result(None)


class Peer:
    """Takes entries; `gone` after so many, `gate` holds each back while it is clear."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.gone_after: int | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.before: Callable[[Entry], None] | None = None
        self._arrived = asyncio.Condition()

    async def send(self, entry: Entry) -> None:
        await self.gate.wait()
        if self.before is not None:
            self.before(entry)
        if self.gone_after is not None and len(self.entries) >= self.gone_after:
            raise GoneError
        async with self._arrived:
            self.entries.append(entry)
            self._arrived.notify_all()

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(ready)

    def speeds(self, *, historical: bool | None = None) -> list[float]:
        """All values of SPEED in the order they came."""
        found: list[float] = []
        for entry in self.entries:
            if historical is None or entry.historical == historical:
                mine = entry.batch.bits[entry.batch.ids == self.id]
                found += mine.view(np.float64).tolist()
        return found

    id = 0


class Rig:
    """A plant's store and lanes on it; `again` is what a new process would make of the same folder."""

    def __init__(
        self,
        folder: Path,
        model: Plant | None = None,
        *,
        journal_rows: int = 1 << 16,
        clock: Clock | None = None,
        **settings: float,
    ) -> None:
        self.folder = folder
        self.plant = model or plant(folder)
        self.store = Store(self.plant, journal_rows)
        self.id = self.plant.variable(SPEED).id
        self.clock = clock
        self.status = GatewayStatus()
        nobody = folder / "none.pem"
        self.context = GatewayContext(
            "box", self.plant, self.store, None, None, self.status, folder / "box", nobody, nobody  # type: ignore[arg-type]
        )  # fmt: skip
        self.settings = OutboxSettings(**{"backlog_rate": 1e6, "live_delay": 60, **settings})
        self.lanes = self.new_lanes()

    def new_lanes(self, entry_rows: int = 100) -> Lanes:
        if self.clock is None:
            return Lanes(self.context, self.settings, entry_rows=entry_rows)
        return Lanes(self.context, self.settings, entry_rows=entry_rows, clock=self.clock, sleep=self.clock.sleep)

    def peer(self) -> Peer:
        peer = Peer()
        peer.id = self.id
        return peer

    def write(self, *values: float) -> None:
        """Write SPEED, one row a value."""
        for value in values:
            self.store.write(np.array([self.id]), np.array([value]), now_ticks())

    async def stored(self, rows: int) -> None:
        """Wait until so many rows are in the outbox."""
        await until(lambda: self.lanes.outbox.rows == rows)


async def until(ready: Callable[[], bool]) -> None:
    """Look again and again, for what tells nobody that it changes."""
    async with asyncio.timeout(10):
        while not ready():  # noqa: ASYNC110
            await asyncio.sleep(0.005)

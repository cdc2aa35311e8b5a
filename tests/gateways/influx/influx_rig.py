"""The gateway on a store of the test's own, no OPC UA in sight."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import numpy as np

from address_space import Plant, load_plant
from gateways.influx import create
from gateways.influx.settings import InfluxSettings
from server.alarms import Alarms
from server.ports import GatewayContext, GatewayStatus
from server.store import Store, now_ticks
from server.store.ticks import UNIX_EPOCH_TICKS

KINDS = """\
plant: {name: Plant, type: PlantType}
enumerations:
  Mode: [Stopped, Running, Tripped]
types:
  PlantType: {description: The plant}
  KindsType:
    description: One variable of each kind
    variables:
      Flag: {type: Boolean, description: A Boolean}
      Small: {type: Byte, description: A Byte}
      Whole: {type: Int32, description: An Int32}
      Long: {type: Int64, description: An Int64}
      Huge: {type: UInt64, description: A UInt64}
      Single: {type: Float, description: A Float}
      Double: {type: Double, description: A Double}
      Mode: {enum: Mode, description: An enumeration}
      Text: {type: String, description: A String}
      Due: {type: DateTime, description: A DateTime}
sources:
  fake: {kind: physics}
objects:
  Kinds1: {type: KindsType, source: fake}
  Kinds2: {type: KindsType, source: fake}
"""


def kinds_plant(folder: Path, text: str = KINDS) -> Plant:
    file = folder / "kinds.yaml"
    file.write_text(text, encoding="utf-8")
    return load_plant(file)


class Rig:
    """A plant's store and a gateway on it; `again` is what a new process would make of the same folder."""

    def __init__(
        self, folder: Path, url: str, plant: Plant | None = None, *, alarms: bool = False, **settings: Any
    ) -> None:
        self.folder = folder
        self.plant = plant or kinds_plant(folder)
        self.store = Store(self.plant, 1 << 18)
        self.status = GatewayStatus()
        self.settings = InfluxSettings(**{"url": url, **settings})
        nobody = folder / "none.pem"
        self.alarms = Alarms(self.plant, self.store, folder / "alarms.sqlite") if alarms else None
        self.context = GatewayContext(
            "influx", self.plant, self.store, None, None, self.status, folder / "influx", nobody, nobody,  # type: ignore[arg-type]
            alarms=self.alarms,
        )  # fmt: skip
        self.first = self.store.journal.end
        """Where the journal was when the gateway was made."""
        self.gateway = create(self.context, self.settings)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["Rig"]:
        """Run the gateway for the time of a `with` block; an error of its own is the block's."""
        tasks = [asyncio.create_task(self.gateway.run())]
        if self.alarms is not None:
            tasks.append(asyncio.create_task(self.alarms.run()))
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if self.alarms is not None:
                self.alarms.close()
            for task in tasks:
                if not task.cancelled():
                    task.result()

    def write(self, name: str, *values: Any, status: int = 0, at: int | None = None) -> list[int]:
        """Write values of a variable of Kinds1, one row each, times in whole ms; returns the times in ms since 1970."""
        id_ = self.plant.variable(f"Plant.Kinds1.{name}").id
        times: list[int] = []
        for number, value in enumerate(values):
            ticks = (at or now_ticks() // 10_000 * 10_000) + 10_000 * number
            self.store.write(np.array([id_]), np.array([value], object), ticks, status)
            times.append((ticks - UNIX_EPOCH_TICKS) // 10_000)
        return times

    async def delivered(self, within: float = 20.0) -> None:
        """Wait until nothing waits any more: what was written before is confirmed or given up, as is the snapshot."""

        def done() -> bool:
            written = self.store.journal.end - self.first + len(self.store)
            settled = self.status.delivered + self.status.dropped >= written
            return self.status.connected and settled and self.status.queue_depth == 0

        await until(done, lambda: f"everything is delivered: {self.status}", within)


async def until(ready: Callable[[], Any], what: Callable[[], str], within: float = 20.0) -> None:
    """Look again and again, for what tells nobody that it changes."""
    try:
        async with asyncio.timeout(within):
            while not ready():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what()}") from None

"""A small plant fed by a recording, and what tests do with it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from address_space import load_plant
from server.ports import SourceContext
from server.store import Cursor, Store
from sources.replay import create
from sources.replay.source import ReplaySource

PLANT = """
plant: {{name: Plant, type: PlantType, description: A plant}}
enumerations:
  PumpState: [Stopped, Running, Faulted]
types:
  PlantType: {{description: A plant}}
  PumpType:
    description: A pump
    variables:
      Pressure: {{type: Double, unit: bar, range: [0, 10], description: Pressure}}
      Temperature: {{type: Float, unit: °C, range: [-40, 150], description: Temperature}}
      Count: {{type: UInt16, description: Strokes}}
      Active: {{type: Boolean, description: Running}}
      State: {{enum: PumpState, description: State}}
      Batch: {{type: String, description: What is pumped}}
      Setpoint: {{type: Double, unit: bar, range: [0, 10], access: write, initial: 1, description: Set-point}}
      Double: {{type: Double, unit: bar, range: [0, 20], description: Twice, computed: Pressure * 2}}
  MeterType:
    description: A meter
    variables:
      Power: {{type: Double, unit: kW, range: [0, 100], description: Power}}
      Temperature: {{type: Double, unit: °C, range: [-40, 150], description: Temperature}}
sources:
  rec: {options}
  other: {{kind: replay}}
objects:
  Pump1: {{type: PumpType, source: rec}}
  Meter1: {{type: MeterType, source: rec}}
  Meter2: {{type: MeterType, source: other}}
"""

Options = dict[str, Any]


class Rig:
    """A plant file and a recording beside it, in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def context(self, options: Options) -> SourceContext:
        """Write the plant file with one replay source (its options from line 19 on) and load it."""
        written = "\n".join(f"    {key}: {json.dumps(value)}" for key, value in options.items())
        file = self.folder / "plant.yaml"
        file.write_text(PLANT.format(options="\n    kind: replay\n" + written), encoding="utf-8")
        plant = load_plant(file)
        machines = tuple(machine for machine in plant.machines if machine.source == "rec")
        return SourceContext("rec", plant, machines, Store(plant), plant.sources["rec"].options)

    def create(self, options: Options) -> tuple[ReplaySource, Store]:
        context = self.context(options)
        return create(context), context.store

    def write(self, name: str, text: str, encoding: str = "utf-8") -> str:
        (self.folder / name).write_bytes(text.encode(encoding))
        return name


Row = tuple[str, Any, int, int]


def read_rows(store: Store, cursor: Cursor) -> list[Row]:
    """Return what the journal has for `cursor`: variable, value, status and source timestamp of each row."""
    rows: list[Row] = []
    while len(batch := cursor.read()):
        names = [store.plant.variables[id_].name for id_ in batch.ids]
        columns = names, store.objects(batch), batch.statuses.tolist(), batch.source_timestamps.tolist()
        rows.extend(zip(*columns, strict=True))
    return rows


@asynccontextmanager
async def running(source: ReplaySource) -> AsyncGenerator[asyncio.Task[None]]:
    """Run the source until the block ends; a failure of `run` is the block's."""
    task = asyncio.create_task(source.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled() and (error := task.exception()):
        raise error


async def until(
    condition: Callable[[], bool], step: Callable[[], Awaitable[None]] | None = None, seconds: float = 10
) -> None:
    """Return once `condition()` holds, looked at in each turn of the event loop."""
    async with asyncio.timeout(seconds):
        while not condition():
            await (step() if step else asyncio.sleep(0))

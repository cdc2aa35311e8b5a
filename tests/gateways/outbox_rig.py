"""A plant of a few types, batches of its changes, and what an outbox of it holds."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from address_space import Plant, load_plant
from gateways.outbox import Entry, Outbox
from server.store import Batch

PLANT = """\
plant: {name: Plant, type: PlantType}
types:
  PlantType: {description: The plant}
  PumpType:
    description: A pump
    variables:
      Speed: {type: Double, unit: 1/min, range: [0, 100], description: Speed}
      Count: {type: UInt16, description: Pieces}
      Label: {type: String, description: A text}
objects:
  Pump[1..3]: {type: PumpType}
"""


def plant(folder: Path, text: str = PLANT) -> Plant:
    """Load a plant from a file of its own."""
    file = folder / "plant.yaml"
    file.write_text(text, encoding="utf-8")
    return load_plant(file)


def batch(plant: Plant, values: Sequence[float], path: str = "Plant.Pump1.Speed", stamp: int = 0) -> Batch:
    """Make changes of one number, a tick apart."""
    count = len(values)
    ids = np.full(count, plant.variable(path).id, np.int64)
    bits = np.array(values, np.float64).view(np.uint64)
    return Batch(ids, bits, np.arange(count, dtype=np.uint32), stamp + np.arange(count, dtype=np.int64), {})


def open_outbox(folder: Path, of: Plant, *, max_bytes: int = 1 << 24, max_age: float = 1e6) -> Outbox:
    return Outbox(folder / "box" / "outbox.sqlite", of, max_bytes=max_bytes, max_age=max_age)


def numbers(entries: Sequence[Entry]) -> list[float]:
    """All values of entries in order, as Doubles."""
    return [value for entry in entries for value in entry.batch.bits.view(np.float64).tolist()]


def on_disk(folder: Path) -> tuple[int, int]:
    """(rows, dropped) as the file has them, read by somebody else."""
    with closing(sqlite3.connect(folder / "box" / "outbox.sqlite")) as database:
        (rows,) = database.execute("SELECT coalesce(sum(rows), 0) FROM entries").fetchone()
        (dropped,) = database.execute("SELECT value FROM counts WHERE name = 'dropped'").fetchone()
    return rows, dropped

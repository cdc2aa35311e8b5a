"""The embedded historian as the server uses it: fed, read, rolled up, pruned, restarted."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from address_space import load_plant
from server.history import ReadRequest, Retention
from server.history.embedded import EmbeddedHistorian
from server.history.feed import HistoryFeed
from server.history.ports import Samples, Update
from server.store import Batch, Store
from tests.server.history.history_rig import NOON, SECOND, plain

HOUR = 3600 * SECOND
DAY = 24 * HOUR
PLANT = """\
plant: {name: Plant, type: PlantType}
types:
  PlantType: {description: The plant}
  PressType:
    description: A press
    variables:
      Speed: {type: Double, description: Speed}
      Label: {type: String, description: A text}
  OvenType:
    description: An oven
    variables:
      Heat: {type: Float, description: Heat}
objects:
  Press1: {type: PressType}
  Oven1: {type: OvenType}
"""


@pytest.fixture
def plant(tmp_path: Path) -> Any:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    return load_plant(file)


@pytest.fixture
async def historian(tmp_path: Path, plant: Any) -> AsyncGenerator[EmbeddedHistorian]:
    retention = Retention(default=2 * 86_400.0, by_type={"OvenType": 86_400.0}, minutes=10 * 86_400.0)
    opened = await EmbeddedHistorian.open(tmp_path / "h.sqlite", plant, retention)
    yield opened
    await opened.close()


def batch(variable: int, stamps: Any, values: Any, statuses: Any = 0, kind: str = "<f8") -> Batch:
    count = len(stamps)
    bits = np.asarray(values, kind).view(f"<u{np.dtype(kind).itemsize}").astype(np.uint64)
    given = np.broadcast_to(np.asarray(statuses, np.uint32), (count,)).copy()
    return Batch(np.full(count, variable, np.int64), bits, given, np.asarray(stamps, np.int64), {})


async def everything(historian: EmbeddedHistorian, variable: int) -> list[Any]:
    return plain(await historian.read(ReadRequest(variable, -(2**63), 2**63 - 1)))


async def test_retention_by_type_and_the_newest_stay(historian: EmbeddedHistorian, plant: Any) -> None:
    speed, heat = plant.variable("Plant.Press1.Speed").id, plant.variable("Plant.Oven1.Heat").id
    stamps = NOON + np.arange(0, 72) * HOUR
    for at in range(0, 72, 12):
        await historian.append(batch(speed, stamps[at : at + 12], np.arange(at, at + 12.0)))
        await historian.append(batch(heat, stamps[at : at + 12], np.arange(at, at + 12.0), kind="<f4"))
        historian.archive.seal()
    now = int(stamps[-1]) + 2 * HOUR
    removed = await historian.prune(now)
    kept, short = await everything(historian, speed), await everything(historian, heat)
    assert removed == 144 - len(kept) - len(short)
    assert now - kept[0][0] <= 2 * DAY + 12 * HOUR
    assert now - short[0][0] <= DAY + 12 * HOUR
    assert kept[-1][0] == short[-1][0] == stamps[-1]
    assert historian.oldest(speed) == kept[0][0]
    assert historian.stats().pruned == removed


async def test_rollups_are_there_when_the_samples_are_gone(historian: EmbeddedHistorian, plant: Any) -> None:
    speed = plant.variable("Plant.Press1.Speed").id
    stamps = NOON + np.arange(0, 7200) * SECOND
    values = np.arange(7200.0)
    statuses = np.where(np.arange(7200) % 60 == 59, 0x80310000, 0)
    await historian.append(batch(speed, stamps, values, statuses))
    before = await historian.rollup(speed, NOON, NOON + 2 * HOUR, 60)
    historian.archive.seal()
    await historian.prune(NOON + 5 * DAY)
    assert await everything(historian, speed) == []
    minutes = await historian.rollup(speed, NOON, NOON + 2 * HOUR, 60)
    hours = await historian.rollup(speed, NOON, NOON + 2 * HOUR, 3600)
    assert len(minutes.starts) == 120
    assert minutes.starts.tolist() == before.starts.tolist()
    assert (minutes.counts == 59).all()
    assert minutes.minima.tolist() == [60.0 * place for place in range(120)]
    assert minutes.maxima.tolist() == [60.0 * place + 58 for place in range(120)]
    assert np.allclose(minutes.means, minutes.minima + 29)
    assert hours.starts.tolist() == [NOON, NOON + HOUR]
    assert hours.counts.tolist() == [3540, 3540]
    assert np.allclose(
        hours.means, [values[:3600][statuses[:3600] == 0].mean(), values[3600:][statuses[3600:] == 0].mean()]
    )


async def test_rollups_follow_what_is_changed_by_hand(historian: EmbeddedHistorian, plant: Any) -> None:
    speed = plant.variable("Plant.Press1.Speed").id
    await historian.append(batch(speed, NOON + np.arange(0, 7200, 10) * SECOND, np.ones(720)))
    await historian.prune(NOON + 3 * HOUR)
    wrong = Samples(np.array([NOON + 30 * SECOND]), np.array([100.0]).view(np.uint64), np.zeros(1, np.uint32))
    await historian.update(speed, wrong, Update.REPLACE, "emil")
    await historian.delete(speed, NOON + 60 * SECOND, NOON + 120 * SECOND, "emil")
    minutes = await historian.rollup(speed, NOON, NOON + 180 * SECOND, 60)
    hours = await historian.rollup(speed, NOON, NOON + 2 * HOUR, 3600)
    assert list(zip(minutes.starts.tolist(), minutes.counts.tolist(), minutes.maxima.tolist(), strict=True)) == [
        (NOON, 6, 100.0), (NOON + 120 * SECOND, 6, 1.0),
    ]  # fmt: skip
    assert hours.counts.tolist() == [354, 360]
    assert hours.maxima.tolist() == [100.0, 1.0]


async def test_too_many_bytes_cost_the_oldest(tmp_path: Path, plant: Any) -> None:
    small = Retention(default=1e9, max_bytes=2_000_000)
    historian = await EmbeddedHistorian.open(tmp_path / "small.sqlite", plant, small)
    rng = np.random.default_rng(1)
    speed = plant.variable("Plant.Press1.Speed").id
    for turn in range(10):
        stamps = NOON + (turn * 40_000 + np.arange(40_000)) * SECOND
        await historian.append(batch(speed, stamps, rng.normal(size=40_000)))
        historian.archive.seal()
    await historian.prune(NOON + 400_000 * SECOND)
    kept = await everything(historian, speed)
    assert historian.stats().bytes <= 2_000_000
    assert 0 < len(kept) < 400_000
    assert kept[-1][0] == NOON + 399_999 * SECOND
    await historian.close()


async def test_the_feed_keeps_what_was_there_before_and_what_comes(tmp_path: Path, plant: Any) -> None:
    store = Store(plant)
    speed, label = plant.variable("Plant.Press1.Speed").id, plant.variable("Plant.Press1.Label").id
    store.write(np.array([speed]), np.array([1.5]), NOON)
    historian = await EmbeddedHistorian.open(tmp_path / "f.sqlite", plant)
    feed = HistoryFeed(store, historian, interval=0.001)
    running = asyncio.create_task(feed.run())
    store.write(np.array([label]), np.array(["on"], object), NOON + 5)
    store.write(np.array([speed, speed]), np.array([2.5, 3.5]), np.array([NOON + 3, NOON + 3]))
    async with asyncio.timeout(10):
        while feed.position < store.journal.end:  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    found = [row for row in await everything(historian, speed) if row[2] == 0]
    assert [np.array([row[1]], np.uint64).view("<f8")[0] for row in found] == [1.5, 3.5]  # of equal times the last
    assert [row[1] for row in await everything(historian, label) if row[2] == 0] == ["on"]
    feed.close()
    await historian.close()


async def test_rows_that_the_disk_refused_are_kept_later(tmp_path: Path, plant: Any, monkeypatch: Any) -> None:
    store = Store(plant)
    speed = plant.variable("Plant.Press1.Speed").id
    historian = await EmbeddedHistorian.open(tmp_path / "f.sqlite", plant)
    feed = HistoryFeed(store, historian, interval=0.001)
    append = historian.append

    async def full(_batch: Batch) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(historian, "append", full)
    store.write(np.array([speed]), np.array([2.5]), NOON)
    with pytest.raises(OSError, match="No space"):
        await feed.run()
    monkeypatch.setattr(historian, "append", append)
    store.write(np.array([speed]), np.array([3.5]), NOON + 1)
    await feed.drain()
    running = asyncio.create_task(feed.run())
    async with asyncio.timeout(10):
        while [row[0] for row in await everything(historian, speed) if row[2] == 0] != [NOON, NOON + 1]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    feed.close()
    await historian.close()


async def test_the_event_loop_goes_on_while_the_disk_is_written(tmp_path: Path, plant: Any) -> None:
    historian = await EmbeddedHistorian.open(tmp_path / "f.sqlite", plant, head_rows=200_000)
    speed = plant.variable("Plant.Press1.Speed").id
    rng = np.random.default_rng(2)
    looks = 0

    async def look() -> None:
        nonlocal looks
        while True:
            looks += 1
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    for turn in range(5):
        stamps = NOON + (turn * 100_000 + np.arange(100_000)) * SECOND
        await historian.append(batch(speed, stamps, rng.normal(size=100_000)))
    looking.cancel()
    assert looks > 100
    await historian.close()

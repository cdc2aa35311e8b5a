"""HistoryRead out of a real VictoriaMetrics: what the gateway wrote comes back, as Grafana would show it."""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua import Client, ua

from gateways.influx.history import DatabaseHistorian, backend
from gateways.influx.settings import InfluxSettings
from server.history import HistoryError, ReadRequest, Samples, UnreachableError, UnsupportedError
from server.history.ports import Update
from server.quality import BAD_SENSOR_FAILURE
from server.settings import HistorianSettings
from server.store import from_ticks, now_ticks, to_ticks
from server.store.ticks import UNIX_EPOCH_TICKS
from server.store.values import VALUE_DTYPES
from tests.gateways.influx.influx_rig import Rig, kinds_plant, until
from tests.gateways.influx.victoria_rig import Victoria, environment, needs_victoria
from tests.process_rig import PlantreeProcess, free_port

pytestmark = needs_victoria
MS = 10_000
FIRST, LAST = UNIX_EPOCH_TICKS, 2**62


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Victoria]:
    with Victoria(tmp_path / "victoria") as server:
        yield server


@contextlib.asynccontextmanager
async def historian(rig: Rig) -> AsyncGenerator[DatabaseHistorian]:
    opened = await backend(rig.plant, rig.settings, HistorianSettings()).open()
    assert isinstance(opened, DatabaseHistorian)
    try:
        yield opened
    finally:
        await opened.close()


def rows(samples: Samples, rig: Rig, name: str) -> list[tuple[int, Any, int]]:
    """Return (ms since 1970, value, status)."""
    values: Any = samples.texts
    if values is None:
        dtype = np.dtype(VALUE_DTYPES[rig.plant.variable(f"Plant.Kinds1.{name}").declaration.type])
        values = samples.bits.astype(f"<u{dtype.itemsize}").view(dtype).tolist()
    times = ((samples.stamps - UNIX_EPOCH_TICKS) // MS).tolist()
    return list(zip(times, values, samples.statuses.tolist(), strict=True))


def request(rig: Rig, name: str, start: int = FIRST, end: int = LAST, **options: Any) -> ReadRequest:
    return ReadRequest(rig.plant.variable(f"Plant.Kinds1.{name}").id, start, end, **options)


VALUES: list[tuple[str, list[Any]]] = [
    ("Flag", [True, False]), ("Small", [1, 255]), ("Whole", [-7, 2**31 - 1]), ("Long", [-(2**40), 5]),
    ("Huge", [2**52, 6]), ("Single", [0.5, -1.25]), ("Double", [0.1, -2500.25]), ("Mode", [2, 0]),
    ("Text", ["a, =é", ""]), ("Due", [UNIX_EPOCH_TICKS + 10_000_000, UNIX_EPOCH_TICKS + 20_000_000]),
]  # fmt: skip


async def test_every_kind_of_value_comes_back(victoria: Victoria, tmp_path: Path) -> None:
    rig = Rig(tmp_path, victoria.url)
    async with rig.running(), historian(rig) as history:
        written = {name: list(zip(rig.write(name, *values), values, strict=True)) for name, values in VALUES}
        await rig.delivered()
        victoria.get("/internal/force_flush")
        for name, expected in written.items():
            found = rows(await history.read(request(rig, name)), rig, name)
            assert found[-2:] == [(at, value, 0) for at, value in expected], name


async def test_limits_directions_and_bounds(victoria: Victoria, tmp_path: Path) -> None:
    rig = Rig(tmp_path, victoria.url)
    async with rig.running(), historian(rig) as history:
        at = (now_ticks() - 3600 * 10_000_000) // MS * MS
        rig.write("Double", *(float(number) for number in range(10)), at=at)
        rig.write("Double", 99.0, at=at + 600_000 * MS)
        rig.write("Double", math.nan, status=BAD_SENSOR_FAILURE)
        await rig.delivered()
        victoria.get("/internal/force_flush")

        async def values(start: int, end: int, **options: Any) -> list[float]:
            found = await history.read(request(rig, "Double", at + start * MS, at + end * MS, **options))
            return [row[1] for row in rows(found, rig, "Double")]

        assert await values(2, 5) == [2, 3, 4]
        assert await values(2, 5, reverse=True) == [4, 3, 2]
        assert await values(0, 10**9, limit=3) == [0, 1, 2]
        assert await values(-(10**9), 8, limit=2, reverse=True) == [7, 6]
        assert await values(2, 5, bounds=True) == [1, 2, 3, 4, 5]
        assert await values(9, 20_000, limit=5, bounds=True) == [8, 9, 99]
        last = await history.read(request(rig, "Double", limit=1, reverse=True))
        assert last.statuses.tolist() == [BAD_SENSOR_FAILURE]
        around = await history.at_time(rig.plant.variable("Plant.Kinds1.Double").id, [at + 3 * MS + 5])
        assert [row[1] for row in rows(around, rig, "Double")][:5] == [0, 1, 2, 3, 4]
        minute = await history.rollup(
            rig.plant.variable("Plant.Kinds1.Double").id, at - 60 * 10**7, at + 60 * 10**7, 60
        )
        assert (minute.counts.sum(), minute.minima.min(), minute.maxima.max()) == (10, 0, 9)


async def test_it_cannot_be_changed_and_says_when_the_database_is_gone(victoria: Victoria, tmp_path: Path) -> None:
    rig = Rig(tmp_path, victoria.url)
    async with historian(rig) as history:
        nothing = await history.read(request(rig, "Double"))
        assert len(nothing) == 0
        with pytest.raises(UnsupportedError):
            await history.update(0, nothing, Update.INSERT, "emil")
        victoria.stop()
        with pytest.raises(UnreachableError, match="cannot be asked"):
            await history.read(request(rig, "Double"))


async def test_a_database_that_is_not_there_yet_does_not_keep_the_historian_from_opening(tmp_path: Path) -> None:
    settings = InfluxSettings(url=f"http://127.0.0.1:{free_port()}")
    opened = await backend(kinds_plant(tmp_path), settings, HistorianSettings()).open()
    with pytest.raises(HistoryError):
        await opened.read(ReadRequest(0, FIRST, LAST))
    await opened.close()


async def test_a_whole_server_answers_history_read_from_the_database(
    victoria: Victoria, plantree_process: Callable[..., PlantreeProcess]
) -> None:
    env = {
        **environment(victoria, enabled="true"), "PLANTREE_HISTORIAN__BACKEND": "influx",
        "PLANTREE_OPCUA__ALLOW_NONE": "true",
    }  # fmt: skip
    server = await asyncio.to_thread(plantree_process, env, users={"olga": "Observer"})
    client = Client(server.endpoint, timeout=10)
    client.set_user("olga")
    client.set_password("correct horse olga")
    async with client:
        speed = client.get_node(ua.NodeId("Plant.Generator1.Speed", 2))
        assert await speed.get_access_level() >= {ua.AccessLevel.HistoryRead}
        assert ua.AccessLevel.HistoryWrite not in await speed.get_access_level()
        node = '{__name__="opcua_value",node="Plant.Generator1.Speed"}'
        await until(lambda: len((victoria.export(node) or [(0, [])])[0][1]) >= 5, lambda: "five samples of the speed")
        ((_, kept),) = victoria.export(node)
        assert await _raw(speed, kept) == kept
    assert not (server.data / "history.sqlite").exists()


async def _raw(node: Any, kept: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return (ms since 1970, value) of what HistoryRead says of the time of `kept`."""
    start, end = (from_ticks(UNIX_EPOCH_TICKS + at * MS) for at in (kept[0][0], kept[-1][0] + 1))
    found = await node.read_raw_history(start, end, return_bounds=False)
    return [((to_ticks(value.SourceTimestamp) - UNIX_EPOCH_TICKS) // MS, value.Value.Value) for value in found]

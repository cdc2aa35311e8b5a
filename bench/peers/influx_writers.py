"""Writers to a time-series database to measure: Plantree's gateway behind its store, influxdb-client with Points."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import uvloop
from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS

from address_space import load_plant
from address_space.model import Plant
from gateways.influx import create
from gateways.influx.settings import InfluxSettings
from server.ports import GatewayContext, GatewayStatus
from server.store import Store, now_ticks
from server.store.ticks import UNIX_EPOCH_TICKS

_AHEAD = 200_000  # values written and not confirmed yet
_BATCH = 5000  # the gateway's own default, for both
_MS = 10_000  # ticks
_VALUES = 50  # sets of random values, made before the clock starts


async def main() -> None:
    """Write for a while; the one line out says how many values were confirmed, and how long that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("plantree", "points"))
    parser.add_argument("--plant", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--url")
    parser.add_argument("--seconds", type=float)
    args = parser.parse_args()
    args.data.mkdir(parents=True)
    plant = load_plant(args.plant)
    changing = [variable for variable in plant.variables if variable.name.startswith("Value")]
    values = np.random.default_rng(1).normal(1000.0, 100.0, (_VALUES, len(changing)))
    if args.kind == "plantree":
        ids = np.array([variable.id for variable in changing])
        written, elapsed, cpu = await _plantree(plant, ids, values, args.data, args.url, args.seconds)
    else:
        tags = [(variable.name, variable.path, plant.owner(variable).type.name) for variable in changing]
        written, elapsed, cpu = _points(tags, plant.name, values, args.url, args.seconds)
    sys.stdout.write(json.dumps({"written": written, "elapsed": elapsed, "cpu": cpu}) + "\n")


async def _plantree(
    plant: Plant, ids: np.ndarray, values: np.ndarray, data: Path, url: str, seconds: float
) -> tuple[int, float, float]:
    """Change the variables again and again; from the first change until the database has confirmed the last."""
    store, status = Store(plant), GatewayStatus()
    context = GatewayContext("influx", plant, store, None, None, status, data, data, data)  # type: ignore[arg-type]
    gateway = create(context, InfluxSettings(url=url, batch_rows=_BATCH, heartbeat=0))
    running = asyncio.create_task(gateway.run())
    try:
        present = len(plant.variables)  # which it tells first
        await _until(running, lambda: status.delivered >= present and status.queue_depth == 0)
        first, at = status.delivered, now_ticks() // _MS * _MS
        begin, cpu = time.perf_counter(), time.process_time()
        turn = written = 0
        while time.perf_counter() - begin < seconds:
            await _until(running, lambda written=written: first + written - status.delivered <= _AHEAD)
            at = max(at + _MS, now_ticks() // _MS * _MS)  # a database holds one value a series and millisecond
            store.write(ids, values[turn % _VALUES], at)
            turn, written = turn + 1, written + len(ids)
        await _until(running, lambda: status.delivered + status.dropped - first >= written)
        elapsed, cpu = time.perf_counter() - begin, time.process_time() - cpu
    finally:
        running.cancel()
        await asyncio.wait([running])
    return status.delivered - first, elapsed, cpu


async def _until(running: "asyncio.Task[None]", ready: Callable[[], bool]) -> None:
    while not ready():
        if running.done():
            running.result()
        await asyncio.sleep(0.001)


def _points(
    tags: Sequence[tuple[str, str, str]], site: str, values: np.ndarray, url: str, seconds: float
) -> tuple[int, float, float]:
    """Write what the gateway writes, as the client's documentation shows it; tags are name, node and type."""
    written, at = 0, 0
    with InfluxDBClient(url, token="", org="") as client, client.write_api(write_options=SYNCHRONOUS) as api:
        begin, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - begin < seconds:
            at = max(at + _MS, now_ticks() // _MS * _MS)
            row = values[written // len(tags) % _VALUES]
            for start in range(0, len(tags), _BATCH):
                points = [
                    Point("opcua")
                    .tag("name", name)
                    .tag("node", node)
                    .tag("site", site)
                    .tag("type", kind)
                    .field("value", float(value))
                    .field("status", 0)
                    .field("good", 1)
                    .time((at - UNIX_EPOCH_TICKS) * 100, WritePrecision.NS)
                    for (name, node, kind), value in zip(
                        tags[start : start + _BATCH], row[start : start + _BATCH], strict=True
                    )
                ]
                api.write("plantree", record=points)
                written += len(points)
        return written, time.perf_counter() - begin, time.process_time() - cpu


if __name__ == "__main__":
    uvloop.run(main())

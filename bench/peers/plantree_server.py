"""Plantree on a given plant file, with a driver in its process that makes variables change."""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

import numpy as np
import uvloop

from address_space.model import Feed
from bench.peers.steering import Steering
from server import logs
from server.assembly import Plantree
from server.settings import HistorianSettings, HttpSettings, LogSettings, OpcUaSettings, Settings
from server.store import now_ticks


async def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plant", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder for data and certificates")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    logs.configure("error", "console")
    settings = Settings(
        plant=args.plant,
        data_dir=args.data / "data",
        certs_dir=args.data / "certs",
        opcua=OpcUaSettings(host="127.0.0.1", port=args.port, allow_none=True),
        http=HttpSettings(port=0),
        log=LogSettings(level="error"),
        historian=HistorianSettings(enabled=False),  # no peer keeps history; what that costs is in bench.history
    )
    plantree = Plantree(settings)
    steering = Steering()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, steering.ended.set)
    try:
        await plantree.start()
        driver = asyncio.create_task(_drive(plantree, steering))
        await steering.run()
        driver.cancel()
    finally:
        await plantree.stop()


async def _drive(plantree: Plantree, steering: Steering) -> None:
    """Write as many of the measured variables as asked for, at the asked rate, each time with new values."""
    plant, store = plantree.plant, plantree.store
    free = [v.id for machine in plant.objects if machine.source is None for v in machine.variables.values()
            if v.declaration.feed is Feed.SOURCE]  # fmt: skip
    every = np.array(free, np.int64)
    store.write(every, np.zeros(len(every)), now_ticks())
    generator = np.random.default_rng(1)
    due = time.monotonic()
    while True:
        ids = every[: steering.changing]
        if len(ids):
            store.write(ids, generator.random(len(ids)), now_ticks())
            steering.written += len(ids)
        due = max(due + 1 / steering.rate, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))

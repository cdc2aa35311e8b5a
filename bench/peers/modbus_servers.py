"""Modbus TCP servers to measure: Plantree's gateway over a store that changes, and pymodbus's own with static data."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import uvloop

from address_space import load_plant
from bench.peers.steering import Steering
from bench.processes import free_port
from gateways.modbus import create
from gateways.modbus.settings import ModbusSettings
from server.ports import GatewayContext, GatewayStatus
from server.store import Store, now_ticks

REGISTERS = 10_000
_PERIOD_S = 0.1


async def main() -> None:
    """Serve on a free port, which is the first line out, until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("plantree", "pymodbus"))
    parser.add_argument("--plant", type=Path)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    port = free_port()
    serving = asyncio.create_task(_plantree(args, port) if args.kind == "plantree" else _pymodbus(port))
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
    steering = Steering()
    await asyncio.wait((serving, asyncio.create_task(steering.run())), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def _plantree(args: argparse.Namespace, port: int) -> None:
    plant = load_plant(args.plant)
    store = Store(plant)
    context = GatewayContext(
        "modbus", plant, store, None, None, GatewayStatus(), args.data, args.data, args.data  # type: ignore[arg-type]
    )  # fmt: skip
    args.data.mkdir(parents=True, exist_ok=True)
    gateway = create(context, ModbusSettings(port=port))
    ids = np.arange(len(plant.variables))
    generator = np.random.default_rng(1)
    running = asyncio.create_task(gateway.run())
    try:
        while not running.done():
            store.write(ids, generator.random(len(ids)), now_ticks())
            await asyncio.sleep(_PERIOD_S)
        running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _pymodbus(port: int) -> None:
    from pymodbus.server import StartAsyncTcpServer  # noqa: PLC0415
    from pymodbus.simulator import DataType, SimData, SimDevice  # noqa: PLC0415

    block = SimData(0, values=list(range(REGISTERS)), datatype=DataType.REGISTERS)
    await StartAsyncTcpServer(SimDevice(1, [block]), address=("127.0.0.1", port))


if __name__ == "__main__":
    uvloop.run(main())

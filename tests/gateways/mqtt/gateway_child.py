"""A gateway in a process of its own, to be killed: `python -m tests.gateways.mqtt.gateway_child FOLDER SETTINGS`.

Each line of standard input is a number that is written to Plant.Energy.PowerConsumption, and answered once it is on
the disk of the one layout's outbox, in an outage of the broker; the end of the input ends the process.
"""

import asyncio
import sys
from pathlib import Path

import numpy as np

from gateways.mqtt import MqttSettings, create
from server.store import now_ticks
from tests.gateways.mqtt.mqtt_rig import default_context, eventually


async def main(folder: Path, settings: MqttSettings) -> None:
    with default_context(folder) as context:
        gateway = create(context, settings)
        lanes = next(iter(gateway._lanes.values()))
        running = asyncio.create_task(gateway.run())
        power = np.array([context.plant.variable("Plant.Energy.PowerConsumption").id])
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await eventually(lambda: hasattr(lanes, "outbox") and lanes.outbox.rows >= len(context.store), "the snapshot")
        while line := await reader.readline():
            before = lanes.outbox.rows
            context.store.write(power, np.array([float(line)]), now_ticks())
            await eventually(lambda before=before: lanes.outbox.rows > before, "the row is on the disk")
            sys.stdout.write(f"taken {line.decode()}")
            sys.stdout.flush()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), MqttSettings.model_validate_json(sys.argv[2])))

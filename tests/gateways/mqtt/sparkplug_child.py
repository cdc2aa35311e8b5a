"""The gateway with the layout sparkplug in a process of its own: `python -m ….sparkplug_child FOLDER SETTINGS`.

It runs until standard input ends; a test that wants the Will kills it instead.
"""

import asyncio
import sys
from pathlib import Path

from gateways.mqtt import MqttSettings
from tests.gateways.mqtt.mqtt_rig import default_context, running


async def main(folder: Path, settings: MqttSettings) -> None:
    with default_context(folder) as context:
        async with running(context, settings):
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), MqttSettings.model_validate_json(sys.argv[2])))

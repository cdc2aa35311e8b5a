"""A process with an alarm engine, to be killed: raises a vision alarm with evidence, and prints it once it is kept."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from alarms_rig import running
from vision_alarms_rig import Camera, camera_plant


async def raise_one(folder: Path) -> None:
    """Raise it twice, so that the first is a branch with evidence of its own, then wait to be killed."""
    camera = Camera(folder)
    async with running(folder, camera_plant(folder), evidence=camera.register) as rig:
        first = await camera.sees(rig)
        await camera.loses_sight(rig)
        second = await camera.sees(rig)
        await rig.alarms.history(0, 1)  # what was told is on the disk by then
        sys.stdout.write(json.dumps([asdict(first), asdict(second)]) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(raise_one(Path(sys.argv[1])))

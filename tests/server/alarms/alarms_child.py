"""A process with an alarm engine, to be killed: acknowledges for ever, and prints each path once that was answered."""

import asyncio
import sys
from pathlib import Path

from alarms_rig import ENGINEER, OPERATOR, ORIGIN, plant_of, running

COUNT = 300


async def acknowledge_all(folder: Path) -> None:
    """Raise every condition twice, so that each has a branch, and acknowledge the branches one by one."""
    async with running(folder, plant_of(folder, count=COUNT)) as rig:
        conditions = [it for it in rig.plant.conditions if it.name == "High"]
        await rig.alarms.set_limit(conditions[0], "high", 60.0, ENGINEER, ORIGIN)
        for value in (99.0, 1.0, 98.0):
            rig.put_all(conditions, value)
            await rig.seen()
        for condition in conditions:
            (branch,) = rig.alarms.branches(condition)
            await rig.alarms.acknowledge(condition, branch.event_id, "seen", OPERATOR, ORIGIN)
            sys.stdout.write(f"{condition.path}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(acknowledge_all(Path(sys.argv[1])))

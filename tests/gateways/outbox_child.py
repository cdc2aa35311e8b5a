"""A process that fills an outbox: to be killed, or to run out of disk. Prints each number once it is durable."""

import asyncio
import resource
import sqlite3
import sys
from pathlib import Path

from tests.gateways.outbox_rig import batch, numbers, open_outbox, plant

BATCH = 50


async def fill(folder: Path) -> None:
    """Append for ever, some at a time: every number that is printed is on the disk."""
    model = plant(folder)
    outbox = open_outbox(folder, model)

    async def one(number: int) -> None:
        await outbox.append(batch(model, [number] * BATCH))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()

    first = 0
    while True:
        await asyncio.gather(*(one(number) for number in range(first, first + 5)))
        first += 5


async def fill_the_disk(folder: Path, *, limited: bool) -> None:
    """Append until nothing fits any more, deliver all, append again; a limit on file sizes is lifted in between."""
    model = plant(folder)
    outbox = open_outbox(folder, model, max_bytes=1 << 30)
    if limited:
        size = (folder / "box" / "outbox.sqlite").stat().st_size + (6 << 20)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    appended = 0
    try:
        while True:
            await outbox.append(batch(model, range(appended * 1000, appended * 1000 + 1000)))
            appended += 1
    except sqlite3.Error as error:
        sys.stdout.write(f"full after {appended}: {error}\n")
    kept = numbers(await outbox.peek(max_rows=1 << 40))
    assert kept == [float(number) for number in range(appended * 1000)]
    assert outbox.rows == len(kept)
    assert outbox.dropped == 0
    while entries := await outbox.peek(max_rows=5000):
        for entry in entries:
            outbox.post_acknowledge([entry.seq])
    assert await outbox.peek() == []
    if limited:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await outbox.append(batch(model, range(1000)))
    assert (outbox.rows, outbox.dropped) == (1000, 0)
    await outbox.close()
    outbox = open_outbox(folder, model)
    assert numbers(await outbox.peek()) == [float(number) for number in range(1000)]
    await outbox.close()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        asyncio.run(fill(Path(sys.argv[2])))
    else:
        asyncio.run(fill_the_disk(Path(sys.argv[2]), limited=sys.argv[1] == "limited"))

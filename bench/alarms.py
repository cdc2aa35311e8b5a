"""Alarms: 10,000 conditions evaluated, and a burst of 5,000 told and kept on the disk."""

import asyncio
import contextlib
import gc
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np

from address_space import load_plant
from bench import plants, processes, report
from bench.errors import BenchError
from bench.processes import Process
from bench.report import Samples, Section, Table, progress
from server.alarms import Alarms, Snapshot
from server.store import Store, now_ticks

_CONDITIONS, _BURST = 10_000, 5_000
_NORMAL, _HIGH = 10.0, 99.0
_TEXT = f"""\
A plant of {_CONDITIONS:,} machines, each with one condition on one Double, and the alarm engine over the store: no
client is connected. Evaluation: all {_CONDITIONS:,} values are written again and again, and none exceeds its limit. The
burst: {_BURST:,} of them exceed it in one write; told is when a listener has had the last event, kept is when all are
on the disk. Held is the longest time that another task of the event loop had to wait meanwhile. The engine has a core
of its own.
"""
_MEASURES = {
    "evaluated": ("Evaluated, nothing changes", "conditions/s"),
    "told": (f"Burst of {_BURST:,}, told after", "ms"),
    "kept": (f"Burst of {_BURST:,}, on the disk after", "ms"),
    "held": ("Event loop held during the burst", "ms"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["--serve"]:
        asyncio.run(_serve(Path(given[1]), float(given[2])))
        return 0
    return report.run("alarms", measure, __doc__, arguments)


def measure(rounds: int, quick: bool) -> Section:
    """Measure in a process of its own, each round with fresh files."""
    processes.pin_client()
    found = {key: Samples() for key in _MEASURES}
    with progress() as bar:
        task = bar.add_task("", total=rounds)
        for turn in range(rounds):
            bar.update(task, advance=1, description=f"round {turn + 1}")
            for key, value in _round(1.0 if quick else 5.0).items():
                found[key].values.append(value)
    lines = [[title, unit, str(found[key])] for key, (title, unit) in _MEASURES.items()]
    rows = {key: title for key, (title, _) in _MEASURES.items()}
    return Section("Alarms", [_TEXT, Table(["", "unit", "Plantree"], lines)], rows=rows)


def _round(seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "bench.alarms", "--serve", str(folder), str(seconds)]
        process = Process(command, folder / "alarms.log")
        try:
            return process.steer()
        except BenchError as error:
            raise BenchError(f"{error}: {process.log.read_text(encoding='utf-8').strip()[-300:]}") from error
        finally:
            process.end()


def _plant() -> dict[str, object]:
    value = {"type": "Double", "unit": "bar", "range": [0, 100], "description": "Measured"}
    alarm = {"input": "Value", "high": 50, "severity": 500, "message": "Too high"}
    machine = {"description": "A machine", "variables": {"Value": value}, "alarms": {"High": alarm}}
    return {
        "plant": {"name": "Plant", "type": "PlantType"},
        "types": {"PlantType": {"description": "A plant"}, "MachineType": machine},
        "objects": {f"Machine[1..{_CONDITIONS}]": {"type": "MachineType"}},
    }


async def _serve(folder: Path, seconds: float) -> None:
    """Measure, and print the figures as one line; the main function of the process."""
    plant = load_plant(plants.write(_plant(), folder / "plant.yaml"))
    store = Store(plant)
    alarms = Alarms(plant, store, folder / "alarms.sqlite")
    ids = np.array([it.inputs[0].id for it in plant.conditions if it.inputs])
    told: list[Snapshot] = []
    alarms.listeners.append(told.extend)
    task = asyncio.create_task(alarms.run())
    try:
        figures = {"evaluated": await _evaluate(store, ids, seconds)} | await _burst(alarms, store, ids, told)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        alarms.close()
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


async def _evaluate(store: Store, ids: np.ndarray, seconds: float) -> float:
    """Return how many conditions a second are evaluated, the writing of their values counted in."""
    values, writes = np.full(len(ids), _NORMAL), 0
    await asyncio.sleep(0)  # so that the engine has started
    (cursor,) = store.journal.cursors
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        store.write(ids, values, now_ticks())
        writes += 1
        while cursor.lag:  # noqa: ASYNC110  until the engine has read it all: to be woken would be measured too
            await asyncio.sleep(0)
    return writes * len(ids) / (time.perf_counter() - start)


async def _burst(alarms: Alarms, store: Store, ids: np.ndarray, told: list[Snapshot]) -> dict[str, float]:
    told.clear()
    gc.collect()
    gc.freeze()  # as the server does at its start
    async with _beating() as gaps:
        start = time.perf_counter()
        store.write(ids[:_BURST], np.full(_BURST, _HIGH), now_ticks())
        while len(told) < _BURST:
            if time.perf_counter() - start > 60:
                raise BenchError(f"{len(told):,} of {_BURST:,} events were told")
            await asyncio.sleep(0)
        after = time.perf_counter()
        await alarms.history(0, 1)  # answered once all before is on the disk
        kept = time.perf_counter()
    return {"told": (after - start) * 1e3, "kept": (kept - start) * 1e3, "held": max(gaps) * 1e3}


@contextlib.asynccontextmanager
async def _beating() -> AsyncIterator[list[float]]:
    """Have a task note how long each of its turns had to wait (s)."""
    gaps: list[float] = []

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    task = asyncio.create_task(beat())
    try:
        yield gaps
    finally:
        task.cancel()


if __name__ == "__main__":
    sys.exit(main())

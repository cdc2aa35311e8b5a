"""Where the start of the server goes: the slowest imports, and the functions by their own time."""

import os
import pstats
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from bench import plants, processes, report
from bench.plants import Layout

_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")
_READY = "ready"


def show(layout: Layout) -> int:
    """Print both tables for a plant of that layout; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name:
        folder = Path(name)
        processes.prepare(folder)
        file = plants.write(plants.machines_plant(layout, units=True), folder / "plant.yaml")
        report.table("Imports of python -m server", ["package", "ms, with what it imports", "ms, itself"], _imports())
        heads = ["function", "calls", "s, itself", "s, with what it calls"]
        report.table(f"Start of {layout.variables:,} variables under cProfile", heads, _functions(folder, file))
    return 0


def _imports() -> list[list[str]]:
    command = [sys.executable, "-X", "importtime", "-c", "import server.__main__, sources.physics, sources.modbus_plc"]
    answer = subprocess.run(command, cwd=processes.ROOT, capture_output=True, text=True, check=True)
    own: dict[str, int] = {}
    whole: dict[str, int] = {}
    for line in answer.stderr.splitlines():
        found = _IMPORT.match(line)
        if found is None:
            continue
        itself, total, _, module = found.groups()
        package = module.partition(".")[0]
        own[package] = own.get(package, 0) + int(itself)
        whole[package] = max(whole.get(package, 0), int(total))
    first = sorted(own, key=lambda package: own[package], reverse=True)[:20]
    rows = [[package, f"{whole[package] / 1000:.0f}", f"{own[package] / 1000:.0f}"] for package in first]
    return [*rows, ["all", "", f"{sum(own.values()) / 1000:.0f}"]]


def _functions(folder: Path, file: Path) -> list[list[str]]:
    profile = folder / "start.profile"
    environment = processes.environment(folder) | {
        "PLANTREE_OPCUA__HOST": "127.0.0.1",
        "PLANTREE_OPCUA__PORT": "0",
        "PLANTREE_HTTP__PORT": "0",
        "PLANTREE_PLANT": str(file),
        "PLANTREE_LOG__FORMAT": "json",
    }
    command = [sys.executable, "-m", "cProfile", "-o", str(profile), "-m", "server"]
    process = subprocess.Popen(
        command, cwd=processes.ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    )
    guard = threading.Timer(120, process.kill)
    guard.start()
    try:
        if process.stderr is not None:
            for line in process.stderr:
                if f'"{_READY}"' in line:
                    process.send_signal(signal.SIGINT)
    finally:
        process.wait()
        guard.cancel()
    stats = pstats.Stats(str(profile)).get_stats_profile().func_profiles
    first = sorted(stats.items(), key=lambda item: item[1].tottime, reverse=True)[:30]
    return [
        [f"{Path(found.file_name).name}:{found.line_number} {name}", found.ncalls, f"{found.tottime:.2f}",
         f"{found.cumtime:.2f}"]
        for name, found in first
    ]  # fmt: skip

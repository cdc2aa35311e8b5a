"""100,000 variables with units and ranges: how soon the server is up and browsed, and how much memory it takes."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from bench import plants, processes, report, wire
from bench.plants import Layout
from bench.processes import USER, BenchError, Process
from bench.raw_client import NAMESPACE, RawClient
from bench.report import Samples, console, progress

EPILOG = """\
The server is `python -m server` on a generated plant file: 1,000 machines of 100 Doubles, each with a unit and a range
(so 300,000 nodes in all). Up: /healthz answers 200. Browsed: a client has asked for the children of the plant and of
each machine, and has the references to all variables; they are decoded and counted after the clock has stopped.
Memory is the resident set of the one process.

examples:
  python -m bench.scale                   three rounds, 2 minutes; rewrites bench/RESULTS.md
  python -m bench.scale --quick           one round with 10,000 variables; writes nothing
  python -m bench.scale --profile         where the start goes: imports and functions, by time
"""

_BROWSE_AT_ONCE = 50
_READ_AT_ONCE = 1000
_START_S = 120.0
_ROWS = (
    ("up", "s", "from the start of the process to /healthz 200", 5.0),
    ("browsed", "s", "from the start of the process to all variables browsed", 5.0),
    ("browse", "s", "the browse alone", None),
    ("read", "s", "every value read once, 1,000 a request, the first time", None),
    ("reread", "s", "every value read once more", None),
    ("memory_up", "MB", "resident when up", 600.0),
    ("memory_browsed", "MB", "resident after the browse", 600.0),
    ("memory_read", "MB", "resident after the reads", 600.0),
    ("memory_nodes", "MB", "resident after the type definition of every variable was asked for", 600.0),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one round with 10,000 variables, nothing written")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--machines", type=int, default=1000, help="machines of 100 variables (default 1,000)")
    parser.add_argument("--profile", action="store_true", help="show where the start goes, and nothing else")
    args = parser.parse_args(arguments)
    if args.quick:
        args.rounds, args.machines = 1, 100
    layout = Layout(args.machines, 90, 10)
    if args.profile:
        from bench.start_profile import show  # noqa: PLC0415  # only here

        return show(layout)
    try:
        found = measure(layout, args.rounds)
    except (BenchError, wire.WireError, OSError) as error:
        console.print(f"[red]{error}")
        return 1
    heads = [f"{layout.variables:,} variables", "unit", "median (lowest..highest)", "target"]
    rows = [[what, unit, str(found[key]), _verdict(found[key], limit)] for key, unit, what, limit in _ROWS]
    report.table("Scale", heads, rows)
    if not args.quick:
        lines = ["## Scale", "", report.conditions(), f"- {args.rounds} rounds, server on a core of its own", ""]
        text = "`python -m server` on 1,000 machines of 100 Doubles, each variable with a unit and a range."
        report.write_section("scale", "\n".join([*lines, text, "", report.markdown(heads, rows)]))
    return 0


def measure(layout: Layout, rounds: int) -> dict[str, Samples]:
    """Start, browse and read, each round with a fresh process."""
    processes.pin_client()
    found = {key: Samples() for key, *_ in _ROWS}
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
        folder = Path(name)
        processes.prepare(folder)
        file = plants.write(plants.machines_plant(layout, units=True), folder / "plant.yaml")
        task = bar.add_task("", total=rounds * 5)
        for turn in range(rounds):

            def step(what: str, turn: int = turn) -> None:
                bar.update(task, advance=1, description=f"round {turn + 1}: {what}")

            for key, value in _round(layout, file, folder, step).items():
                found[key].values.append(value)
    return found


def _round(layout: Layout, file: Path, folder: Path, step: Callable[[str], None]) -> dict[str, float]:
    port, http_port = processes.free_port(), processes.free_port()
    environment = processes.environment(folder) | {
        "PLANTREE_OPCUA__HOST": "127.0.0.1",
        "PLANTREE_OPCUA__PORT": str(port),
        "PLANTREE_OPCUA__ALLOW_NONE": "true",
        "PLANTREE_HTTP__PORT": str(http_port),
    }
    command = [sys.executable, "-m", "server", "--plant", str(file)]
    step("start")
    process = Process(command, folder / "scale.log", environment)
    found: dict[str, float] = {}
    try:
        process.wait(lambda: processes.fetch(f"http://127.0.0.1:{http_port}/healthz"), _START_S, 0.005)
        found["up"] = time.perf_counter() - process.started
        found["memory_up"] = process.resident()
        with RawClient(port, "/plantree", USER) as client:
            step("browse")
            start = time.perf_counter()
            answers = _browse_all(client)
            end = time.perf_counter()
            found["browsed"], found["browse"] = end - process.started, end - start
            found["memory_browsed"] = process.resident()
            _check(answers, layout)
            for key in ("read", "reread"):
                step(key)
                found[key] = _read_all(client, layout)
            found["memory_read"] = process.resident()
            step("nodes")
            _touch_all(client, layout)
            found["memory_nodes"] = process.resident()
    finally:
        process.end()
    return found


def _browse(identifiers: Sequence[str]) -> ua.BrowseRequest:
    request = ua.BrowseRequest()
    request.Parameters.View.Timestamp = ua.get_win_epoch()
    request.Parameters.RequestedMaxReferencesPerNode = 0
    for identifier in identifiers:
        description = ua.BrowseDescription(NodeId=ua.NodeId(identifier, NAMESPACE))
        description.BrowseDirection = ua.BrowseDirection.Forward
        description.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
        description.IncludeSubtypes = True
        description.NodeClassMask = 0
        description.ResultMask = ua.BrowseResultMask.All
        request.Parameters.NodesToBrowse.append(description)
    return request


def _browse_all(client: RawClient) -> list[bytes]:
    """Browse the plant, then what it holds; returns the undecoded answers of the second level."""
    root = client.ask(client.prepare(_browse(["Plant"])))
    machines = dict.fromkeys(
        str(found.NodeId.Identifier)
        for result in _decode(root)
        for found in result.References
        if found.NodeClass == ua.NodeClass.Object
    )
    names = list(machines)
    parts = [names[at : at + _BROWSE_AT_ONCE] for at in range(0, len(names), _BROWSE_AT_ONCE)]
    return [client.ask(client.prepare(_browse(part))) for part in parts]


def _check(answers: Sequence[bytes], layout: Layout) -> None:
    """Raise BenchError unless the answers hold every variable of the layout."""
    seen = {
        str(found.NodeId.Identifier)
        for body in answers
        for result in _decode(body)
        for found in result.References
        if found.NodeClass == ua.NodeClass.Variable
    }
    missing = len({*layout.value_paths(), *layout.setpoint_paths()} - seen)
    if missing:
        raise BenchError(f"{missing} of {layout.variables} variables were not browsed")


def _decode(body: bytes) -> list[Any]:
    wire.check_header(body, wire.BROWSE_RESPONSE)
    results: list[Any] = struct_from_binary(ua.BrowseResponse, Buffer(body)).Results
    for result in results:
        if not result.StatusCode.is_good() or result.ContinuationPoint:
            raise BenchError(f"a browse ended with {result.StatusCode.name}, or goes on")
    return results


def _read_all(client: RawClient, layout: Layout) -> float:
    """Read every variable; nothing feeds the machines, so that a value may be BadNotConnected; returns the seconds."""
    paths = [*layout.value_paths(), *layout.setpoint_paths()]
    requests = [client.read_request(paths[at : at + _READ_AT_ONCE]) for at in range(0, len(paths), _READ_AT_ONCE)]
    start = time.perf_counter()
    for request in requests:
        wire.check_header(client.ask(request), wire.READ_RESPONSE)
    return time.perf_counter() - start


def _touch_all(client: RawClient, layout: Layout) -> None:
    """Browse every variable, as a client does that shows units and ranges."""
    paths = [*layout.value_paths(), *layout.setpoint_paths()]
    for at in range(0, len(paths), 500):
        wire.check_header(client.ask(client.prepare(_browse(paths[at : at + 500]))), wire.BROWSE_RESPONSE)


def _verdict(samples: Samples, limit: float | None) -> str:
    if limit is None:
        return ""
    return f"< {limit:g}: {'met' if samples.median < limit else 'missed'}"


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "140")
    sys.exit(main())

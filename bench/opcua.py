"""Plantree beside stock asyncua, node-opcua and open62541: the same variables, the same client, one run."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import processes
from bench.awake import awake
from bench.opcua_report import print_results, save_plot, write_results
from bench.opcua_round import STEPS, Round
from bench.opcua_rows import MEASURES, Results
from bench.processes import ALL, NAMES, BenchError
from bench.report import console, progress

EPILOG = """\
Every server runs in a process of its own on one core, the client on another; the rounds go through the servers in
turn, each time with a fresh process, so that a disturbance of the machine hits all of them. A figure is the median
over the rounds with the lowest and highest. `client` and `server` are the shares of a core that each side took: a
client near 100 % would be the bottleneck, and the figure then too low.

open62541 is measured through the package o6, which the first run installs into .venv-peers
(bench/peers/environment.py).

examples:
  python -m bench.opcua                          all of it, about 8 minutes; rewrites bench/RESULTS.md
  python -m bench.opcua --quick                  one short round in two minutes; writes nothing
  python -m bench.opcua --servers plantree,node  leave some out
  python -m bench.opcua --rounds 9               on a machine that others use too
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    args = _parser().parse_args(arguments)
    if args.quick:
        args.rounds, args.seconds, args.start_limit = 1, 0.4, 60.0
    kinds = tuple(args.servers.split(","))
    unknown = [kind for kind in kinds if kind not in NAMES]
    if unknown or kinds[0] != "plantree":
        console.print(f"[red]--servers takes {', '.join(NAMES)}, plantree first, not {args.servers}")
        return 2
    try:
        results = measure(kinds, args)
    except BenchError as error:
        console.print(f"[red]{error}")
        return 1
    print_results(MEASURES, results)
    if not args.quick:
        if len(kinds) > 1:
            save_plot(MEASURES, results)
        write_results(MEASURES, results, args)
    return 0


def measure(kinds: tuple[str, ...], args: argparse.Namespace) -> Results:
    """Go through the rounds, the servers in another order each time."""
    processes.check_installed(kinds)
    processes.pin_client()
    results = Results(kinds)
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar, awake():
        folder = Path(name)
        processes.prepare(folder)
        task = bar.add_task("", total=args.rounds * len(kinds) * STEPS)
        for turn in range(args.rounds):
            shift = turn % len(kinds)
            for kind in kinds[shift:] + kinds[:shift]:

                def step(what: str, turn: int = turn, kind: str = kind) -> None:
                    bar.update(task, advance=1, description=f"round {turn + 1}, {NAMES[kind]}: {what}")

                Round(kind, results, args, step).run(folder)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.opcua",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--rounds", type=int, default=3, help="rounds through all servers (default 3)")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds a measurement lasts (default 1)")
    parser.add_argument("--interval", type=float, default=100.0, help="publishing interval in ms (default 100)")
    parser.add_argument("--servers", default=ALL, help=f"which servers, plantree first (default {ALL})")
    parser.add_argument(
        "--start-limit", type=float, default=180.0, help="seconds after which a start counts as failed (default 180)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

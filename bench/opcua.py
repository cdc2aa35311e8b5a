"""Plantree beside stock asyncua and node-opcua: the same variables, the same client, one run."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from asyncua import ua

from bench import processes, wire
from bench.opcua_report import print_results, save_plot, write_results
from bench.plants import Layout
from bench.processes import NAMES, BenchError, Server, serving
from bench.raw_client import RawClient
from bench.report import Samples, console, percentile, progress
from bench.subscription import Subscription
from bench.wire import WireError

EPILOG = """\
Every server runs in a process of its own on one core, the client on another; the rounds go through the servers in
turn, each time with a fresh process, so that a disturbance of the machine hits all of them. A figure is the median
over the rounds with the lowest and highest. `client` and `server` are the shares of a core that each side took: a
client near 100 % would be the bottleneck, and the figure then too low.

examples:
  python -m bench.opcua                          all of it, about 20 minutes; rewrites bench/RESULTS.md
  python -m bench.opcua --quick                  one short round in two minutes; writes nothing
  python -m bench.opcua --servers plantree,node  leave one out
  python -m bench.opcua --rounds 9               on a machine that others use too
"""

MAIN = Layout(machines=100, values=100, setpoints=10)
STARTS = {"start_5k": Layout(50, 90, 10), "start_100k": Layout(1000, 90, 10)}

_SEVERITY = 0xC000_0000
"""Bits of a StatusCode that are 0 when it is Good; the others may say that the item's queue overflowed."""


@dataclass(frozen=True)
class Measure:
    """One row of the results."""

    key: str
    title: str
    unit: str
    more_is_better: bool


MEASURES = (
    Measure("read_1000", "Reads, 1,000 values a request", "values/s", True),
    Measure("read_1000_8", "Reads, 1,000 values a request, 8 under way", "values/s", True),
    Measure("read_1", "Reads, 1 value a request", "requests/s", True),
    Measure("read_1_8", "Reads, 1 value a request, 8 under way", "requests/s", True),
    Measure("write_1000", "Writes, 1,000 set-points a request", "values/s", True),
    Measure("write_1", "Writes, 1 set-point a request", "requests/s", True),
    Measure("call", "Method calls that set a set-point", "calls/s", True),
    Measure("notify_1k", "Notifications, 1,000 items at 10 Hz (10,000/s)", "notifications/s", True),
    Measure("lag_1k_p50", "Lag of 1,000 items at 10 Hz, p50", "ms", False),
    Measure("lag_1k_p99", "Lag of 1,000 items at 10 Hz, p99", "ms", False),
    Measure("notify_10k", "Notifications, 10,000 items at 10 Hz (100,000/s)", "notifications/s", True),
    Measure("lag_10k_p50", "Lag of 10,000 items at 10 Hz, p50", "ms", False),
    Measure("lag_10k_p99", "Lag of 10,000 items at 10 Hz, p99", "ms", False),
    Measure("start_5k", "Start-up, 5,000 variables", "s", False),
    Measure("start_100k", "Start-up, 100,000 variables", "s", False),
    Measure("memory", f"Resident memory, {MAIN.variables:,} variables, when up", "MB", False),
    Measure("memory_read", "Resident memory, all of them read, 10,000 monitored", "MB", False),
    Measure("memory_100k", "Resident memory, 100,000 variables, when up", "MB", False),
)


@dataclass
class Results:
    """Figures and processor shares by measure and server."""

    kinds: tuple[str, ...]
    figures: dict[tuple[str, str], Samples] = field(default_factory=dict)
    client: dict[tuple[str, str], Samples] = field(default_factory=dict)
    server: dict[tuple[str, str], Samples] = field(default_factory=dict)
    written: dict[tuple[str, str], Samples] = field(default_factory=dict)

    def add(self, key: str, kind: str, value: float) -> None:
        """Add a round's figure."""
        self.figures.setdefault((key, kind), Samples()).values.append(value)

    def fail(self, key: str, kind: str, note: str) -> None:
        """Note why there is no figure."""
        self.figures.setdefault((key, kind), Samples()).note = note

    def failed(self, key: str, kind: str) -> bool:
        """Whether a measurement has failed before."""
        return bool(self.figures.get((key, kind), Samples()).note)


class Round:
    """All measurements of one server in one round."""

    def __init__(self, kind: str, results: Results, args: argparse.Namespace, step: Callable[[str], None]) -> None:
        self.kind, self.results, self.args, self.step = kind, results, args, step

    def run(self, folder: Path) -> None:
        """Measure."""
        for key, layout in STARTS.items():
            self._start(key, layout, folder)
        with serving(self.kind, MAIN, folder) as server:
            server.wait_ready(self.args.start_limit)
            self.results.add("memory", self.kind, server.process.resident())
            with server.connect() as client:
                self._requests(server, client)
            self._notifications(server, "1k", 1_000)
            self._notifications(server, "10k", 10_000)
            self.results.add("memory_read", self.kind, server.process.resident())

    def _start(self, key: str, layout: Layout, folder: Path) -> None:
        self.step(f"start of {layout.variables:,} variables")
        if self.results.failed(key, self.kind):
            return
        with serving(self.kind, layout, folder) as server:
            try:
                self.results.add(key, self.kind, server.wait_ready(self.args.start_limit))
            except TimeoutError:
                self.results.fail(key, self.kind, f"> {self.args.start_limit:g} s")
                self.results.fail("memory_100k", self.kind, "not up")
                return
            if key == "start_100k":
                self.results.add("memory_100k", self.kind, server.process.resident())

    def _requests(self, server: Server, client: RawClient) -> None:
        values, setpoints = MAIN.value_paths(), MAIN.setpoint_paths()[:1000]
        for start in range(0, len(values), 1000):  # every value once: Good, and nothing is first when it is timed
            client.pump(client.read_request(values[start : start + 1000]), lambda b: wire.check_read(b, 1000), 0, 1)
        many, one = client.read_request(values[:1000]), client.read_request(values[:1])
        for suffix, outstanding in (("", 1), ("_8", 8)):
            with self._timed(f"read_1000{suffix}", server) as add:
                add(1000 * client.pump(many, lambda b: wire.check_read(b, 1000), self.args.seconds, outstanding))
            with self._timed(f"read_1{suffix}", server) as add:
                add(client.pump(one, lambda b: wire.check_read(b, 1), self.args.seconds, outstanding))
        many, one = client.write_request(setpoints, 2.5), client.write_request(setpoints[:1], 3.5)
        with self._timed("write_1000", server) as add:
            add(1000 * client.pump(many, lambda b: wire.check_write(b, 1000), self.args.seconds, 1))
        with self._timed("write_1", server) as add:
            add(client.pump(one, lambda b: wire.check_write(b, 1), self.args.seconds, 1))
        call = client.call_request("Plant.Machine1", "Set", ua.Variant(4.5, ua.VariantType.Double))
        with self._timed("call", server) as add:
            add(client.pump(call, wire.check_call, self.args.seconds, 1))

    def _notifications(self, server: Server, size: str, items: int) -> None:
        key = f"notify_{size}"
        self.step(f"{items:,} monitored items")
        try:
            with server.connect() as client:
                subscription = Subscription(client, self.args.interval)
                subscription.monitor(MAIN.value_paths()[:items], queue=10)
                self._deliver(server, subscription, size, items)
        except (WireError, OSError) as error:
            for name in (key, f"lag_{size}_p50", f"lag_{size}_p99"):
                self.results.fail(name, self.kind, "failed")
            console.print(f"[red]{NAMES[self.kind]}, {key}: {error}")
        finally:
            server.process.steer(changing=0)

    def _deliver(self, server: Server, subscription: Subscription, size: str, items: int) -> None:
        key, window = f"notify_{size}", 2 * self.args.seconds
        server.process.steer(changing=items)
        warm = time.monotonic() + max(1.0, self.args.seconds)
        for _ in subscription.answers(lambda: time.monotonic() > warm):
            pass  # the initial values
        before = server.process.steer()["written"]
        answers: list[tuple[int, bytes]] = []
        end = time.monotonic() + window
        with self._timed(key, server) as add:
            answers.extend(subscription.answers(lambda: time.monotonic() > end, poll=0.05))
            add(0)  # counted below, when the clock has stopped
        elapsed = self.elapsed
        written = (server.process.steer()["written"] - before) / elapsed
        changes = [(arrival, values) for arrival, body in answers for values in wire.data_changes(body)]
        if any((values.statuses & _SEVERITY).any() for _, values in changes):
            raise WireError("a notification is not Good")
        lags = [(arrival - values.sources) / 1e4 for arrival, values in changes]
        lag = np.concatenate(lags) if lags else np.empty(0)
        self.results.figures[key, self.kind].values[-1] = len(lag) / elapsed
        self.results.written.setdefault((key, self.kind), Samples()).values.append(written)
        if not len(lag):
            raise WireError(f"no notification came in {window:g} s")
        self.results.add(f"lag_{size}_p50", self.kind, percentile(lag.tolist(), 0.5))
        self.results.add(f"lag_{size}_p99", self.kind, percentile(lag.tolist(), 0.99))

    @contextmanager
    def _timed(self, key: str, server: Server) -> Iterator[Callable[[float], None]]:
        """Time a block; what it adds becomes a rate, with the processor shares of both sides."""
        if not key.startswith("notify"):
            self.step(key)
        client, other = time.process_time(), server.process.cpu_seconds()
        start = time.perf_counter()
        counts: list[float] = []
        yield counts.append
        self.elapsed = time.perf_counter() - start
        self.results.add(key, self.kind, sum(counts) / self.elapsed)
        shares = (time.process_time() - client, server.process.cpu_seconds() - other)
        for target, used in zip((self.results.client, self.results.server), shares, strict=True):
            target.setdefault((key, self.kind), Samples()).values.append(100 * used / self.elapsed)


STEPS = len(STARTS) + 7 + 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    args = _parser().parse_args(arguments)
    if args.quick:
        args.rounds, args.seconds, args.start_limit = 1, 0.5, 30.0
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
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
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
    parser.add_argument("--rounds", type=int, default=5, help="rounds through all servers (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds a measurement lasts (default 2)")
    parser.add_argument("--interval", type=float, default=50.0, help="publishing interval in ms (default 50)")
    parser.add_argument("--servers", default="plantree,asyncua,node", help="which servers, plantree first")
    parser.add_argument(
        "--start-limit", type=float, default=180.0, help="seconds after which a start counts as failed (default 180)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Many clients at once: whether each gets its share, and whether one that misbehaves is noticed by the others."""

import json
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import processes, report, wire
from bench.plants import Layout
from bench.processes import ROOT, BenchError, Server, serving
from bench.raw_client import Prepared, RawClient
from bench.report import Samples, Section, Table, number, percentile, progress
from bench.subscription import Subscription
from bench.wire import WireError

LAYOUT = Layout(machines=110, values=100, setpoints=1)
_INTERVAL, _RATE = 100.0, 10.0
"""Publishing interval (ms), and how often a second every item changes."""
_QUEUE = 10
"""Values that an item holds: the driver and the publishing intervals are not in step."""
_VICTIM_READS = 10
_NUISANCES = {
    "flood": "one that reads 1 value a request, 2,000 requests ahead",
    "bulk": "one that reads 1,000 values a request, 4 MB of requests ahead",
    "slow": "one that reads 10 display names a request, 200 requests ahead",
    "deaf": "one that reads 1,000 values a request and takes no answer",
}
_SLICE, _SETTLE = 0.25, 0.15
"""Seconds that the nuisance is let go and held in turn, and how long after a change nothing is measured."""
_SEVERITY = 0xC000_0000
"""Bits of a StatusCode that are 0 when it is Good."""
_PATHS = {"flood": 1, "bulk": 1000, "slow": 10, "deaf": 1000}
_MOST = 3.0
_MEMORY = 20.0
"""MB that a client which takes no answers may cost."""

_NOTES = f"""\
Sessions of one client process, each with a subscription of its own; each item changes {_RATE:g} times a second and is
published every {_INTERVAL:g} ms. Notifications are counted by session, so that the slowest shows.

The other table is of one client that reads {_VICTIM_READS} values at a time, one request under way, while another
process, which is let go and held every {_SLICE:g} s in turn, misbehaves on a connection of its own; both share the
clients' core, the nuisance only while it is idle. The target is a p99 below {_MOST:g} times that with the nuisance
held, and less than {_MEMORY:g} MB of memory for the client that takes no answers."""


@dataclass
class _Latency:
    """`figures`: p50 alone and beside the nuisance, p99 alone and beside it (µs); MB grown; answers to the nuisance."""

    figures: tuple[Samples, ...] = field(default_factory=lambda: tuple(Samples() for _ in range(4)))
    grown: Samples = field(default_factory=Samples)
    answered: Samples = field(default_factory=Samples)


@dataclass
class _Results:
    lowest: Samples = field(default_factory=Samples)
    middle: Samples = field(default_factory=Samples)
    highest: Samples = field(default_factory=Samples)
    client: Samples = field(default_factory=Samples)
    server: Samples = field(default_factory=Samples)
    latency: dict[str, _Latency] = field(default_factory=lambda: {kind: _Latency() for kind in _NUISANCES})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return report.run("fairness", measure, __doc__, arguments, rounds=3)


def measure(rounds: int, quick: bool) -> Section:
    """Measure both, each round with a fresh process."""
    processes.pin_client()
    sessions, items, seconds = (20, 200, 2.0) if quick else (100, 1000, 5.0)
    found = _Results()
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
        folder = Path(name)
        processes.prepare(folder)
        task = bar.add_task("", total=rounds * (1 + len(_NUISANCES)))
        for turn in range(rounds):

            def step(what: str, turn: int = turn) -> None:
                bar.update(task, advance=1, description=f"round {turn + 1}: {what}")

            with serving("plantree", LAYOUT, folder) as server:
                server.wait_ready(60)
                step(f"{sessions} sessions")
                _share(server, sessions, items, seconds, found)
            with serving("plantree", LAYOUT, folder) as server:
                server.wait_ready(60)
                for kind, samples in found.latency.items():
                    step(_NUISANCES[kind])
                    _suffer(server, kind, seconds, samples)
    return _section(found, sessions, items)


def _share(server: Server, sessions: int, items: int, seconds: float, found: _Results) -> None:
    """Count notifications by session, while all items change."""
    paths = LAYOUT.value_paths()
    with ExitStack() as stack:
        subscribed: list[tuple[RawClient, Subscription]] = []
        for session in range(sessions):
            client = stack.enter_context(server.connect(user=False))
            subscription = Subscription(client, _INTERVAL)
            first = session * items // 10 % (len(paths) - items)
            subscription.monitor(paths[first : first + items], queue=_QUEUE)
            subscribed.append((client, subscription))
        listening = _Listening(subscribed)
        server.process.steer(changing=len(paths), rate=_RATE)
        listening.take(time.monotonic() + max(2.0, seconds / 2))
        listening.begin()
        spent, other, began = time.process_time(), server.process.cpu_seconds(), time.perf_counter()
        listening.take(time.monotonic() + seconds)
        elapsed = time.perf_counter() - began
        found.client.values.append(100 * (time.process_time() - spent) / elapsed)
        found.server.values.append(100 * (server.process.cpu_seconds() - other) / elapsed)
        server.process.steer(changing=0)
    rates = sorted(count / elapsed for count in listening.counts)
    if rates[0] == 0:
        raise BenchError("a session got no notification at all")
    found.lowest.values.append(rates[0])
    found.middle.values.append(rates[len(rates) // 2])
    found.highest.values.append(rates[-1])


class _Listening:
    """Takes what comes on many sessions, publish requests always under way; answers are checked and counted."""

    def __init__(self, subscribed: Sequence[tuple[RawClient, Subscription]]) -> None:
        self.counts = [0] * len(subscribed)
        self._subscribed = subscribed
        self._poll = select.epoll()
        self._places: dict[int, int] = {}
        for place, (client, _) in enumerate(subscribed):
            descriptor = client._socket.fileno()  # pyright: ignore[reportPrivateUsage]
            self._places[descriptor] = place
            self._poll.register(descriptor, select.EPOLLIN)

    def begin(self) -> None:
        """Count from here on."""
        self.counts = [0] * len(self.counts)

    def take(self, until: float) -> None:
        """Take what comes up to a time (monotonic)."""
        for _, subscription in self._subscribed:
            next(subscription.answers(lambda: True), None)  # has publish requests under way
        while (left := until - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left):
                place = self._places[descriptor]
                self.counts[place] += _count(*self._subscribed[place])


def _count(client: RawClient, subscription: Subscription) -> int:
    """Take what is there; returns how many notifications. WireError when a value is not Good."""
    asked = False

    def empty() -> bool:
        nonlocal asked
        before, asked = asked, True
        return before and client._start == client._end  # pyright: ignore[reportPrivateUsage]

    found = 0
    for _, body in subscription.answers(empty, poll=0.05):
        for values in wire.data_changes(body):
            if (values.statuses & _SEVERITY).any():
                raise WireError("a value is not Good")
            found += len(values)
    return found


def _suffer(server: Server, kind: str, seconds: float, samples: _Latency) -> None:
    """Measure one client's reads alone and beside a nuisance, in turn, and the server's memory."""
    paths = LAYOUT.value_paths()
    with server.connect(user=False) as victim:
        request = victim.read_request(paths[:_VICTIM_READS])
        _latencies(victim, request, _SLICE)
        before = server.process.resident()
        alone: list[float] = []
        beside: list[float] = []
        with _nuisance(server, "flood" if kind == "bulk" else kind, paths[: _PATHS[kind]]) as nuisance:
            for _ in range(max(1, round(seconds / _SLICE))):
                for go in (True, False):
                    nuisance.let(go=go)
                    _latencies(victim, request, _SETTLE)
                    (beside if go else alone).extend(_latencies(victim, request, _SLICE))
            grown = server.process.resident() - before
            nuisance.let(go=True)
            told = nuisance.end()
    for place, share in ((0, 0.5), (2, 0.99)):
        samples.figures[place].values.append(percentile(alone, share) * 1e6)
        samples.figures[place + 1].values.append(percentile(beside, share) * 1e6)
    samples.grown.values.append(max(0.0, grown))
    samples.answered.values.append(float(told["answered"]))


def _latencies(client: RawClient, request: Prepared, seconds: float) -> list[float]:
    found: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        body = client.ask(request)
        found.append(time.perf_counter() - began)
        wire.check_read(body, _VICTIM_READS)
    return found


class _Nuisance:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def let(self, *, go: bool) -> None:
        """Let it go on, or hold it."""
        self._process.send_signal(signal.SIGCONT if go else signal.SIGSTOP)

    def end(self) -> dict[str, Any]:
        """Stop it; returns what it says."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        return self.line()

    def line(self) -> dict[str, Any]:
        """Return what it says next; BenchError when it says nothing."""
        line = "" if self._process.stdout is None else self._process.stdout.readline()
        if not line:
            raise BenchError("the other client ended")
        return json.loads(line)


@contextmanager
def _nuisance(server: Server, kind: str, paths: Sequence[str]) -> Iterator[_Nuisance]:
    """Run `bench.nuisance` for the time of a `with` block."""
    command = [sys.executable, "-m", "bench.nuisance", str(server.port), kind, *paths]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        nuisance = _Nuisance(process)
        nuisance.line()
        yield nuisance
    finally:
        process.kill()
        process.wait()


def _section(found: _Results, sessions: int, items: int) -> Section:
    expected = _RATE * items
    share = [
        [f"the {which} of {sessions} sessions", str(samples), f"{100 * samples.median / expected:.0f} %"]
        for which, samples in (("slowest", found.lowest), ("middle", found.middle), ("fastest", found.highest))
    ]
    shares = f"client {number(found.client.median)} %, server {number(found.server.median)} % of a core"
    first = Table(
        ("notifications/s", "median (lowest..highest)", f"of {number(expected)}"), share,
        f"{sessions} sessions, {number(items)} items each ({shares})",
    )  # fmt: skip
    rows: list[list[str]] = []
    for kind, latency in found.latency.items():
        ratio = latency.figures[3].over(latency.figures[2])
        verdict = f"{ratio}: {'met' if ratio.median < _MOST else 'missed'}"
        memory = f"{latency.grown}: {'met' if latency.grown.median < _MEMORY else 'missed'}"
        rows.append([_NUISANCES[kind], *map(str, latency.figures), verdict, memory, str(latency.answered)])
    heads = (
        "beside", "p50 alone, µs", "beside it", "p99 alone, µs", "beside it", f"ratio of p99, < {_MOST:g}",
        f"MB grown, < {_MEMORY:g}", "its answers",
    )  # fmt: skip
    return Section("Fairness", [_NOTES, first, Table(heads, rows, "Reads of one client beside another")])


if __name__ == "__main__":
    sys.exit(main())

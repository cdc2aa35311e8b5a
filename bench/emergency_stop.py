"""How long an emergency stop takes: to its effect in the store, to the answer, to a subscriber; idle and under load."""

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from asyncua import ua

from bench import plants, processes, report, wire
from bench.plants import Layout
from bench.processes import BenchError, Server, serving
from bench.raw_client import RawClient
from bench.report import console, percentile, progress
from bench.subscription import Subscription

EPILOG = """\
Each stop is of a running generator, called by one client and watched by another; then it is reset with the two calls
that a Supervisor makes, and started again. The effect is the source timestamp of State = EmergencyStopped, which the
physics source writes when it has stopped the generator; server and client share one clock. The simulation runs faster
than real time so that the generator stands still soon enough to be reset.

loads:
  idle         nothing else happens
  changing     10,000 variables change at 10 Hz
  subscribed   ... and a third client, in its own process, monitors all of them

examples:
  python -m bench.emergency_stop                 200 stops a load, about 5 minutes; rewrites bench/RESULTS.md
  python -m bench.emergency_stop --quick         20 stops a load; writes nothing
"""

LAYOUT = Layout(machines=100, values=100, setpoints=1)
TARGET_MS = 100.0
MACHINE = "Plant.Generator1"
INTERVAL_MS = 10.0
_STOPPED = 5
_CHANGING = 10_000
_TIME_SCALE = 20.0
_LOADS = {"idle": "Idle", "changing": "10,000 variables at 10 Hz", "subscribed": "10,000 at 10 Hz, all monitored"}
_SPANS = {
    "effect": "State in the store",
    "answer": "answer to the call",
    "state": "State at the subscriber",
    "active": "EmergencyStopActive at the subscriber",
}


class Watcher:
    """A second session that sees State and EmergencyStopActive change, on a thread of its own."""

    def __init__(self, server: Server) -> None:
        self._client = server.connect()
        self._subscription = Subscription(self._client, INTERVAL_MS)
        self._subscription.monitor([f"{MACHINE}.State", f"{MACHINE}.EmergencyStopActive"], queue=100)
        self.interval_ms = self._subscription.interval_ms
        self._condition = threading.Condition()
        self._seen: list[tuple[int, int, int, int]] = []
        self._ended = False
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def wait(self, handle: int, value: int, after: int, limit: float = 20.0) -> tuple[int, int]:
        """Return arrival and source timestamp (ticks) of the first notification of that value since `after`."""
        deadline = time.monotonic() + limit
        with self._condition:
            while True:
                for arrival, *rest in self._seen:
                    if arrival >= after and rest[:2] == [handle, value]:
                        return arrival, rest[2]
                if self.failure is not None:
                    raise BenchError(f"the subscriber failed: {self.failure}")
                if time.monotonic() > deadline:
                    raise BenchError(f"the subscriber did not see item {handle} turn {value} within {limit:g} s")
                self._condition.wait(0.5)

    def forget(self) -> None:
        """Drop what was seen."""
        with self._condition:
            self._seen.clear()

    def close(self) -> None:
        """End the thread and the session."""
        self._ended = True
        self._thread.join()
        self._client.close()

    def _watch(self) -> None:
        try:
            for arrival, body in self._subscription.answers(lambda: self._ended, poll=0.2):
                for values in wire.data_changes(body):
                    rows = [
                        (arrival, int(values.handles[row]), int(values.raw[row]) & 0xFF, int(values.sources[row]))
                        for row in range(len(values))
                    ]
                    with self._condition:
                        self._seen += rows
                        self._condition.notify_all()
        except (OSError, wire.WireError) as error:
            self.failure = error
            with self._condition:
                self._condition.notify_all()


@dataclass
class Spans:
    """Milliseconds from the call, one entry a stop."""

    effect: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)
    state: list[float] = field(default_factory=list)
    active: list[float] = field(default_factory=list)
    interval_ms: float = INTERVAL_MS
    late_starts: int = 0
    failures: list[str] = field(default_factory=list)


def stop_once(client: RawClient, watcher: Watcher, spans: Spans) -> None:
    """Start, stop, measure, reset."""
    result = client.call(MACHINE, "Start")
    if result.StatusCode.value == ua.StatusCodes.BadTimeout:
        spans.late_starts += 1  # the generator starts all the same: the read-back came too late
    elif not result.StatusCode.is_good():
        raise BenchError(f"Start was answered with {result.StatusCode.name}")
    watcher.forget()
    request = client.call_request(MACHINE, "EmergencyStop", ua.Variant("bench", ua.VariantType.String))
    called = wire.now_ticks()
    body = client.ask(request)
    answered = wire.now_ticks()
    wire.check_call(body)
    state_seen, effect = watcher.wait(0, _STOPPED, called)
    active_seen, _ = watcher.wait(1, 1, called)
    for name, ticks in (("effect", effect), ("answer", answered), ("state", state_seen), ("active", active_seen)):
        getattr(spans, name).append((ticks - called) / 1e4)
    _reset(client)


def _reset(client: RawClient, limit: float = 60.0) -> None:
    """Ask for a reset until the generator stands still, then confirm it."""
    deadline = time.monotonic() + limit
    while True:
        asked = client.call(MACHINE, "ResetEmergencyStop", ua.Variant("", ua.VariantType.String))
        if asked.StatusCode.is_good():
            break
        if time.monotonic() > deadline:
            raise BenchError(f"no reset within {limit:g} s: {asked.StatusCode.name}")
        time.sleep(0.05)
    code = str(asked.OutputArguments[0].Value)
    confirmed = client.call(MACHINE, "ResetEmergencyStop", ua.Variant(code, ua.VariantType.String))
    if not confirmed.StatusCode.is_good():
        raise BenchError(f"the reset was not confirmed: {confirmed.StatusCode.name}")


def measure(args: argparse.Namespace) -> dict[str, Spans]:
    """Go through the loads in turn, each a part of its stops a round; returns the spans by load."""
    processes.pin_client()
    found: dict[str, Spans] = {load: Spans() for load in _LOADS}
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
        folder = Path(name)
        processes.prepare(folder)
        plant = plants.write(plants.stop_plant(LAYOUT, generators=1, time_scale=_TIME_SCALE), folder / "plant.yaml")
        task = bar.add_task("", total=args.rounds * len(_LOADS) * args.stops)
        for turn in range(args.rounds):
            for load, title in _LOADS.items():

                def step(turn: int = turn, title: str = title) -> None:
                    bar.update(task, advance=1, description=f"round {turn + 1}, {title.lower()}")

                with serving("plantree", LAYOUT, folder, plant) as server:
                    _measure(server, load, found[load], args, step)
    return found


def _measure(server: Server, load: str, spans: Spans, args: argparse.Namespace, step: Callable[[], None]) -> None:
    server.wait_ready(60)
    with _loaded(server, load), server.connect() as client:
        watcher = Watcher(server)
        try:
            spans.interval_ms = watcher.interval_ms
            for _ in range(2):
                stop_once(client, watcher, Spans())
            deadline = time.monotonic() + args.limit
            for _ in range(args.stops):
                step()
                if time.monotonic() < deadline:
                    stop_once(client, watcher, spans)
        except (BenchError, wire.WireError, TimeoutError) as error:
            if load == "idle":
                raise
            spans.failures.append(str(error))  # the load may be more than the server bears: that is a result
        finally:
            watcher.close()


@contextmanager
def _loaded(server: Server, load: str) -> Iterator[None]:
    if load == "idle":
        yield
        return
    other = None
    if load == "subscribed":
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        other = context.Process(target=_drain, args=(server.port, server.path, server.user, ready), daemon=True)
        other.start()
        if not ready.wait(60):
            raise BenchError("the third client did not get its monitored items")
    server.process.steer(changing=_CHANGING)
    try:
        yield
    finally:
        if other is not None:
            other.terminate()
            other.join()
        server.process.steer(changing=0)


def _drain(port: int, path: str, user: tuple[str, str], ready: "threading.Event") -> None:
    """Monitor every changing variable and throw away what comes; a process's main function."""
    processes.pin_client()
    subscription = Subscription(RawClient(port, path, user), 100.0)
    subscription.monitor(LAYOUT.value_paths()[:_CHANGING], queue=1)
    ready.set()
    parent = multiprocessing.parent_process()
    for _ in subscription.answers(lambda: parent is None or not parent.is_alive()):
        pass


def _rows(found: dict[str, Spans]) -> list[list[str]]:
    rows: list[list[str]] = []
    for load, title in _LOADS.items():
        for name, what in _SPANS.items():
            values = getattr(found[load], name)
            if not values:
                rows.append([title, what, "0", "-", "-", "-", "failed" if name == "effect" else ""])
                continue
            shown = [report.number(percentile(values, share)) for share in (0.5, 0.99, 1.0)]
            verdict = ""
            if name == "effect":
                verdict = "met" if percentile(values, 0.99) < TARGET_MS else "missed"
            rows.append([title, what, str(len(values)), *shown, verdict])
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.emergency_stop",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="20 stops a load, nothing written")
    parser.add_argument("--rounds", type=int, default=4, help="rounds through the loads (default 4)")
    parser.add_argument("--stops", type=int, default=50, help="stops of each load in a round (default 50)")
    parser.add_argument(
        "--limit",
        type=float,
        default=90.0,
        help="seconds a round spends on a load: a server that it slows down gets fewer stops (default 90)",
    )
    args = parser.parse_args(arguments)
    if args.quick:
        args.rounds, args.stops, args.limit = 1, 20, 20.0
    try:
        found = measure(args)
    except (BenchError, wire.WireError, TimeoutError) as error:
        console.print(f"[red]{error}")
        return 1
    heads = ["load", "from the call to", "stops", "p50 ms", "p99 ms", "max ms", "p99 < 100 ms"]
    rows = _rows(found)
    late = ", ".join(f"{_LOADS[load].lower()}: {spans.late_starts}" for load, spans in found.items())
    failures = "".join(f" {_LOADS[load]}: {text}." for load, spans in found.items() for text in spans.failures)
    late = (
        f"Starts before a stop that were answered BadTimeout because their read-back came too late: {late}.{failures}"
    )
    report.table(f"Emergency stop over OPC UA, publishing interval {found['idle'].interval_ms:g} ms", heads, rows)
    console.print(late)
    if not args.quick:
        text = f"""\
## Emergency stop

{report.conditions()}
- {args.rounds} rounds of {args.stops} stops through the loads in turn, each with a fresh server on a core of its own

From the moment the client sends the OPC UA call; target: p99 < {TARGET_MS:g} ms to the effect. The effect is the source
timestamp of State = EmergencyStopped in the store. The answer comes after the latch and the audit record are on the
disk. The subscriber is a second client with a publishing interval of {found["idle"].interval_ms:g} ms, as revised.
"Monitored": a third client monitors all 10,000 changing variables.

{report.markdown(heads, rows)}

{late}"""
        report.write_section("emergency_stop", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The same on an encrypted channel: Basic256Sha256, SignAndEncrypt, beside SecurityPolicy None of the same servers."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asyncua import ua

from bench import processes, report, wire
from bench.awake import awake
from bench.deliveries import deliver
from bench.opcua_report import shares, table_of
from bench.opcua_rows import REQUESTS, Measure, Results
from bench.plants import Layout
from bench.processes import NAMES, Server, serving
from bench.raw_client import Prepared, RawClient
from bench.report import Samples, Section, Table, console, progress
from bench.wire import WireError

LAYOUT = Layout(machines=100, values=100, setpoints=10)
ITEMS, INTERVAL, QUEUE = 10_000, 100.0, 10
RATIO_TARGET = 0.5
_BURST = 0.08
"""Seconds that a burst lasts, about."""
_MOST = 512
"""Requests of a burst, at most: sealed beforehand, they are held in memory."""

_KEYS = ("read_1000", "read_1000_8", "read_1", "write_1000", "write_1", "call")
_DELIVERY = (
    Measure("notify_10k", "Notifications, 10,000 items at 10 Hz (100,000/s)", "notifications/s", True),
    Measure("lag_10k_p50", "Lag of 10,000 items at 10 Hz, p50", "ms", False),
    Measure("lag_10k_p99", "Lag of 10,000 items at 10 Hz, p99", "ms", False),
)
MEASURES = (*(Measure(m.key, m.title, m.unit, True) for m in REQUESTS if m.key in _KEYS), *_DELIVERY)

_NOTES = f"""\
Servers, variables and client are those of the section OPC UA; every server offers both policies, and
each figure is taken on both in turn, on the same process. **Client crypto is not in the figures**: requests go in
bursts that are sealed (signed and encrypted) before the clock starts, and answers are verified, decrypted and checked
when it has stopped. What is left to the client while the clock runs is to send and to receive; the table below says
what sealing and opening would have cost it. The plain figures are taken in the same way, so that a ratio compares the
servers alone; they are therefore higher than those of the section OPC UA, whose client checks while the clock runs. A
figure of a round is that of the median burst, so that a pause of a server (a full garbage collection of asyncua takes
half a second) does not make one of the two look slow. Subscriptions are opened as they come (their sequence numbers
are acknowledged), 1 ms at most of each 100 ms.

The target is a ratio of at least {RATIO_TARGET} for reads of 1,000 values. Server µs is the processor time that a
request takes of the server, user and system together: it tells what encryption costs even where something else is the
limit."""


@dataclass(frozen=True)
class _Request:
    """What is sent in bursts."""

    key: str
    prepared: Prepared
    check: Callable[[bytes], object]
    size: int
    outstanding: int = 1


class _Round:
    def __init__(self, kind: str, plain: Results, sealed: Results, seconds: float, step: Callable[[str], None]) -> None:
        self.kind, self.plain, self.sealed, self.seconds, self.step = kind, plain, sealed, seconds, step
        self.costs: dict[str, tuple[float, float]] = {}

    def run(self, folder: Path) -> None:
        """Measure one server."""
        with serving(self.kind, LAYOUT, folder, secure=True) as server:
            server.wait_ready(120)
            with server.connect() as plain, server.connect(secure=True) as sealed:
                asked = [_requests(plain), _requests(sealed)]
                for requests in zip(*asked, strict=True):
                    self.step(requests[0].key)
                    self._burst(server, (plain, sealed), requests)
            for secure, results in ((False, self.plain), (True, self.sealed)):
                self.step(f"{ITEMS:,} monitored items")
                self._deliver(server, results, secure=secure)

    def _burst(self, server: Server, clients: Sequence[RawClient], requests: Sequence[_Request]) -> None:
        """Send bursts on both channels in turn; the rate is that of the median burst."""
        rates: tuple[list[float], list[float]] = ([], [])
        spent, counts = [0.0, 0.0], [0, 0]
        sizes = [_count(client, request) for client, request in zip(clients, requests, strict=True)]
        end = time.monotonic() + 2 * self.seconds
        while time.monotonic() < end:
            for channel, (client, request) in enumerate(zip(clients, requests, strict=True)):
                before = server.process.cpu_seconds()
                took = client.burst(request.prepared, request.check, sizes[channel], request.outstanding)
                spent[channel] += server.process.cpu_seconds() - before
                counts[channel] += sizes[channel]
                rates[channel].append(request.size * sizes[channel] / took)
                self.costs[request.key] = 1e6 * client.sealing, 1e6 * client.opening  # last: encrypted
        for channel, results in enumerate((self.plain, self.sealed)):
            key = requests[channel].key
            results.add(key, self.kind, statistics.median(rates[channel]))
            results.add(f"cost_{key}", self.kind, 1e6 * spent[channel] / counts[channel])

    def _deliver(self, server: Server, results: Results, *, secure: bool) -> None:
        try:
            with server.connect(secure=secure) as client:
                paths = LAYOUT.value_paths()[:ITEMS]
                found = deliver(server, client, paths, INTERVAL, QUEUE, 2 * self.seconds)
        except (WireError, OSError) as error:
            for measure in _DELIVERY:
                results.fail(measure.key, self.kind, "unable")
            console.print(f"[red]{NAMES[self.kind]}, {ITEMS:,} items: {error}")
            return
        results.add("notify_10k", self.kind, found.delivered)
        results.add("lag_10k_p50", self.kind, found.lag_p50)
        results.add("lag_10k_p99", self.kind, found.lag_p99)
        results.shares("notify_10k", self.kind, found.client, found.server)
        results.notes["notify_10k", self.kind] = f"{found.written:,.0f} changes/s" + (found.note and f"; {found.note}")


def _count(client: RawClient, request: _Request) -> int:
    """Return how many requests make a burst; those that it takes to find out are the warm-up."""
    first = client.burst(request.prepared, request.check, 8, min(request.outstanding, 8))
    return max(request.outstanding, min(_MOST, int(8 * _BURST / first)))


def _requests(client: RawClient) -> list[_Request]:
    values, setpoints = LAYOUT.value_paths(), LAYOUT.setpoint_paths()[:1000]
    for start in range(0, len(values), 1000):  # every value once: nothing is first when it is timed
        client.pump(client.read_request(values[start : start + 1000]), lambda b: wire.check_read(b, 1000), 0, 1)
    many, one = client.read_request(values[:1000]), client.read_request(values[:1])
    call = client.call_request("Plant.Machine1", "Set", ua.Variant(4.5, ua.VariantType.Double))
    return [
        _Request("read_1000", many, lambda b: wire.check_read(b, 1000), 1000),
        _Request("read_1000_8", many, lambda b: wire.check_read(b, 1000), 1000, 8),
        _Request("read_1", one, lambda b: wire.check_read(b, 1), 1),
        _Request("write_1000", client.write_request(setpoints, 2.5), lambda b: wire.check_write(b, 1000), 1000),
        _Request("write_1", client.write_request(setpoints[:1], 3.5), lambda b: wire.check_write(b, 1), 1),
        _Request("call", call, wire.check_call, 1),
    ]


def measure(rounds: int, quick: bool) -> Section:
    """Measure every server, each with a fresh process a round."""
    kinds = tuple(NAMES)
    processes.check_installed(kinds)
    processes.pin_client()
    plain, sealed = Results(kinds), Results(kinds)
    costs: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar, awake():
        folder = Path(name)
        processes.prepare(folder)
        task = bar.add_task("", total=rounds * len(kinds) * (len(_KEYS) + 2))
        for turn in range(rounds):
            shift = turn % len(kinds)
            for kind in kinds[shift:] + kinds[:shift]:

                def step(what: str, turn: int = turn, kind: str = kind) -> None:
                    bar.update(task, advance=1, description=f"round {turn + 1}, {NAMES[kind]}: {what}")

                one = _Round(kind, plain, sealed, 0.2 if quick else 0.6, step)
                one.run(folder)
                if kind == "plantree":
                    costs = one.costs
    return _section(plain, sealed, costs)


def _section(plain: Results, sealed: Results, costs: dict[str, tuple[float, float]]) -> Section:
    kinds = sealed.kinds
    heads = ["", *(NAMES[kind] for kind in kinds), "target"]
    ratios = [
        [m.title, *(str(_ratio(plain, sealed, m, kind)) for kind in kinds), _verdict(plain, sealed, m)]
        for m in MEASURES
    ]
    spent = [
        [
            m.title,
            *(f"{sealed.of(f'cost_{m.key}', kind)} / {plain.of(f'cost_{m.key}', kind)}" for kind in kinds),
        ]
        for m in MEASURES
        if m.key in _KEYS
    ]
    titles = {m.key: m.title for m in MEASURES}
    client = [[titles[key], f"{seal:.3g}", f"{opened:.3g}"] for key, (seal, opened) in costs.items()]
    table_heads, rows = table_of(MEASURES, sealed)
    return Section(
        title="OPC UA, encrypted",
        parts=[
            _NOTES,
            Table(table_heads[:-1], [row[:-1] for row in rows], "Basic256Sha256, SignAndEncrypt"),
            Table(heads, ratios, "Encrypted over plain, the same server (1: encryption costs nothing)"),
            Table(heads[:-1], spent, "Server µs a request: encrypted / plain"),
            Table(
                ["", "seal, µs", "open and check, µs"], client, "What the client's crypto costs a request (not timed)"
            ),
            Table(*shares(sealed), title="Shares of a core, encrypted: server / client, %"),
        ],
        rows=titles,
        peers=True,
    )


def _ratio(plain: Results, sealed: Results, measure_: Measure, kind: str) -> Samples:
    ours, theirs = sealed.of(measure_.key, kind), plain.of(measure_.key, kind)
    return ours.over(theirs) if measure_.more_is_better else theirs.over(ours)


def _verdict(plain: Results, sealed: Results, measure_: Measure) -> str:
    if not measure_.key.startswith("read_1000"):
        return ""
    found = _ratio(plain, sealed, measure_, "plantree").median
    return f"≥ {RATIO_TARGET}: {'met' if found >= RATIO_TARGET else 'missed'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return report.run("opcua_secure", measure, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())

"""All that bench.opcua measures of one server in one round."""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncua import ua

from bench import wire
from bench.deliveries import Delivery, deliver
from bench.opcua_rows import ITEMS, LARGE, MAIN, STARTS, Results
from bench.plants import Layout
from bench.processes import NAMES, Server, serving
from bench.raw_client import RawClient
from bench.report import console
from bench.wire import WireError

_SLOW_START = 10.0
"""A start that took longer (s) is measured in one round only."""
QUEUE = 10
_LONG = 10.0
"""For how long (s) the largest notifications are taken: it takes 50 ms to send one, so ends of bursts are blurred."""


class Round:
    """All measurements of one server in one round."""

    def __init__(self, kind: str, results: Results, args: argparse.Namespace, step: Callable[[str], None]) -> None:
        self.kind, self.results, self.args, self.step = kind, results, args, step

    def run(self, folder: Path) -> None:
        """Measure."""
        self._starts(folder)
        with serving(self.kind, MAIN, folder) as server:
            server.wait_ready(self.args.start_limit)
            self.results.add("memory", self.kind, server.process.resident())
            with server.connect() as client:
                self._requests(server, client)
            for size in ("10k", "20k"):
                self._notifications(server, size, MAIN)
            self.results.add("memory_read", self.kind, server.process.resident())
        self._large(folder)

    def _starts(self, folder: Path) -> None:
        empty = 0.0
        for key, layout in STARTS.items():
            self.step(f"start of {layout.variables:,} variables")
            before = self.results.of(key, self.kind)
            if before.note or (before.values and before.median > _SLOW_START):
                continue
            if self.args.quick and key == "start_100k" and self.kind != "plantree":
                continue  # half a minute each
            with serving(self.kind, layout, folder) as server:
                try:
                    took = server.wait_ready(self.args.start_limit)
                except TimeoutError:
                    self.results.fail(key, self.kind, f"> {self.args.start_limit:g} s")
                    if key == "start_100k":
                        self.results.fail("memory_100k", self.kind, "not up")
                    continue
                if key == "start_100k":
                    self.results.add("memory_100k", self.kind, server.process.resident())
            empty = took if key == "start_empty" else empty
            self.results.add(key, self.kind, took - empty if key == "start_5k" else took)

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
        call = client.call_request("Plant.Machine1", "Set", ua.Variant(4.5, ua.VariantType.Double))
        for suffix, outstanding in (("", 1), ("_8", 8)):
            with self._timed(f"write_1{suffix}", server) as add:
                add(client.pump(one, lambda b: wire.check_write(b, 1), self.args.seconds, outstanding))
            with self._timed(f"call{suffix}", server) as add:
                add(client.pump(call, wire.check_call, self.args.seconds, outstanding))

    def _notifications(self, server: Server, size: str, layout: Layout) -> None:
        self.step(f"{ITEMS[size]:,} monitored items")
        paths = layout.value_paths()[: ITEMS[size]]
        try:
            with server.connect() as client:
                seconds = max(2 * self.args.seconds, _LONG if size == "200k" else 0.0)
                found = deliver(server, client, paths, self.args.interval, QUEUE, seconds)
        except (WireError, OSError) as error:  # TimeoutError is one
            for name in (f"notify_{size}", f"lag_{size}_p50", f"lag_{size}_p99"):
                self.results.fail(name, self.kind, "unable")
            self.results.notes[f"notify_{size}", self.kind] = f"{type(error).__name__}: {error}"
            console.print(f"[red]{NAMES[self.kind]}, notify_{size}: {error}")
            return
        self._note(size, found)

    def _note(self, size: str, found: Delivery) -> None:
        key = f"notify_{size}"
        self.results.add(key, self.kind, found.delivered)
        self.results.add(f"lag_{size}_p50", self.kind, found.lag_p50)
        self.results.add(f"lag_{size}_p99", self.kind, found.lag_p99)
        self.results.shares(key, self.kind, found.client, found.server)
        said = f"{found.written:,.0f} changes/s"
        self.results.notes[key, self.kind] = f"{said}; {found.note}" if found.note else said

    def _large(self, folder: Path) -> None:
        """200,000 items: ours alone, the peers are at their end with a tenth of it."""
        if self.kind != "plantree":
            for name in ("notify_200k", "lag_200k_p50", "lag_200k_p99"):
                self.results.fail(name, self.kind, "not tried")
            return
        if self.args.quick:
            return
        with serving(self.kind, LARGE, folder) as server:
            server.wait_ready(self.args.start_limit)
            self._notifications(server, "200k", LARGE)

    @contextmanager
    def _timed(self, key: str, server: Server) -> Iterator[Callable[[float], None]]:
        """Time a block; what it adds becomes a rate, with the processor shares of both sides."""
        self.step(key)
        client, other = time.process_time(), server.process.cpu_seconds()
        start = time.perf_counter()
        counts: list[float] = []
        yield counts.append
        elapsed = time.perf_counter() - start
        self.results.add(key, self.kind, sum(counts) / elapsed)
        spent = time.process_time() - client, server.process.cpu_seconds() - other
        self.results.shares(key, self.kind, spent[0] / elapsed, spent[1] / elapsed)


STEPS = len(STARTS) + 9 + 3

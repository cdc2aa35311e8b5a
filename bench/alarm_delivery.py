"""Alarms delivered: how many of the transitions of conditions reach ten subscribers, and how late."""

import re
import shutil
import sqlite3
import struct
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import plants, processes, report
from bench.plants import Layout
from bench.processes import serving
from bench.raw_client import RawClient
from bench.report import Samples, Section, Table, progress
from bench.subscription import Subscription

_CONDITIONS, _CHANGING, _RATE = 10_000, 200, 10
_SUBSCRIBERS, _INTERVAL_MS = 10, 100.0
_FIELDS = ("EventId", "EventType", "SourceNode", "SourceName", "Time", "ReceiveTime", "Message", "Severity")
_LIST = re.compile(re.escape(b"\x01\x00\x94\x03\x01") + b".{4}(.{4})", re.DOTALL)
"""An EventNotificationList (i=916) in a NotificationMessage: its length, and how many events it has."""
_DRAIN_S = 10.0
_TEXT = f"""\
{_CONDITIONS:,} conditions with a limit in the middle of what their variable takes; {_CHANGING} variables get a random
value {_RATE} times a second, so that about half of their conditions turn each time. {_SUBSCRIBERS} sessions subscribe
to all events of the Server with {len(_FIELDS)} fields, published every {_INTERVAL_MS:g} ms. Then the driver stops, and
what has arrived is compared with what the engine has kept on the disk.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return report.run("alarm_delivery", measure, __doc__, arguments, rounds=3)


def measure(rounds: int, quick: bool) -> Section:
    """Measure, each round with a fresh process."""
    processes.pin_client()
    told, lost, shares = Samples(), Samples(), Samples()
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
        folder = Path(name)
        processes.prepare(folder)
        task = bar.add_task("", total=rounds)
        for turn in range(rounds):
            bar.update(task, advance=1, description=f"round {turn + 1}")
            rate, missing, share = _round(folder, turn, 3.0 if quick else 10.0)
            told.values.append(rate)
            lost.values.append(missing)
            shares.values.append(share)
    rows = [
        ["Events a second, to each of ten subscribers", "events/s", str(told)],
        ["Events that a subscriber did not get", "events", str(lost)],
        ["Server", "% of a core", str(shares)],
    ]
    return Section("Alarms delivered", [_TEXT, Table(["", "unit", "Plantree"], rows)])


def _round(folder: Path, turn: int, seconds: float) -> tuple[float, float, float]:
    own = folder / f"round{turn}"
    own.mkdir()
    for part in ("certs", "identity"):
        (own / part).symlink_to(folder / part)
    shutil.copytree(folder / "data", own / "data")  # its own: what a round before left active ends at the start
    plant = plants.write(_plant(), own / "plant.yaml")
    with serving("plantree", Layout(_CONDITIONS, 1, 1), own, plant) as server, ExitStack() as stack:
        server.wait_ready(60)
        before = _kept(own)
        taking = [_Taking(stack.enter_context(server.connect())) for _ in range(_SUBSCRIBERS)]
        spent, began = server.process.cpu_seconds(), time.perf_counter()
        server.process.steer(changing=_CHANGING, rate=_RATE)
        _take(taking, began + seconds)
        elapsed, used = time.perf_counter() - began, server.process.cpu_seconds() - spent
        server.process.steer(changing=0)
        end = time.perf_counter() + _DRAIN_S
        while time.perf_counter() < end and len({one.events for one in taking} | {_kept(own) - before}) > 1:
            _take(taking, time.perf_counter() + 0.3)
        kept = _kept(own) - before
    return kept / elapsed, float(max(kept - one.events for one in taking)), 100 * used / elapsed


def _kept(folder: Path) -> int:
    """Return how many events the engine has kept; its tables are written after the events are told."""
    with sqlite3.connect(folder / "data" / "alarms.sqlite") as database:
        return int(database.execute("SELECT count(*) FROM events").fetchone()[0])


class _Taking:
    """One subscriber."""

    def __init__(self, client: RawClient) -> None:
        self.events = 0
        self._subscription = Subscription(client, _INTERVAL_MS)
        self._subscription.monitor_events(_FIELDS, 10_000)

    def take(self, until: float) -> None:
        """Count what comes up to a time."""
        for _, body in self._subscription.answers(lambda: time.perf_counter() >= until, poll=0.01):
            self.events += sum(struct.unpack("<i", found)[0] for found in _LIST.findall(body))


def _take(taking: Sequence[_Taking], until: float) -> None:
    while time.perf_counter() < until:
        for one in taking:
            one.take(time.perf_counter() + 0.01)


def _plant() -> dict[str, object]:
    variables = {
        "Value1": {"type": "Double", "unit": "bar", "range": [0, 1], "description": "Measured"},
        "Setpoint1": {
            "type": "Double", "access": "write", "role": "Operator", "initial": 0.0, "description": "Set-point",
        },
    }  # fmt: skip
    alarm = {"input": "Value1", "high": 0.5, "severity": 500, "message": "Too high"}
    return {
        "plant": {"name": "Plant", "type": "PlantType"},
        "types": {
            "PlantType": {"description": "A plant"},
            "MachineType": {"description": "A machine", "variables": variables, "alarms": {"High": alarm}},
        },
        "objects": {f"Machine[1..{_CONDITIONS}]": {"type": "MachineType"}},
    }


if __name__ == "__main__":
    raise SystemExit(main())

"""What Grafana would ask: the queries of dashboards with their variables filled in as Grafana fills them in."""

import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from address_space import Plant
from gateways.delivery import snapshot
from gateways.influx.alarms import Transition, alarm_lines
from gateways.influx.mapping import Mapping
from gateways.influx.settings import Database
from server.store import Store, now_ticks
from server.store.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS

ROOT = Path(__file__).resolve().parent.parent.parent
RANGE_S = 300
SITE = "Works"
"""Where the conditions of condition_lines are."""
NODE = shutil.which("node")
_TYPE = re.compile(r'"?type"? ?==?~? ?["\']([A-Za-z]+)["\']')
_NAMES = re.compile(r'"?name"? ?=~ ?["/][\^(]*([^"/)]+)')
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed (Debian package nodejs)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel."""

    dashboard: str
    panel: str
    text: str
    instant: bool


def asked(dashboards: dict[str, str]) -> Iterator[Asked]:
    """Walk every query of every panel."""
    for uid, text in dashboards.items():
        for panel in json.loads(text)["panels"]:
            for target in panel.get("targets", ()):
                query = target.get("expr", target.get("query"))
                yield Asked(uid, panel["title"], query, target.get("instant", False))


def about(text: str) -> tuple[str, set[str]] | None:
    """Return the type and the names of the variables that a query is about; None of any other query."""
    type_, names = _TYPE.search(text), _NAMES.search(text)
    return (type_[1], set(names[1].rstrip("$)").split("|"))) if type_ and names else None


def answerable(queries: list[Asked], told: set[tuple[str, str]]) -> list[Asked]:
    """Return the queries that must return rows: of variables that have a value, `told` being (type, name) of those.

    What nobody has written yet is Bad, and a dashboard shows nothing of it; only the server's own may be so.
    """
    silent = [q for q in queries if (found := about(q.text)) and not any((found[0], name) in told for name in found[1])]
    assert {q.dashboard for q in silent} <= {"plantree-server", "plantree-alarms"}, silent
    return [q for q in queries if q not in silent]


def chosen(values: Sequence[str], shape: str) -> str:
    """Write the choice of a variable of several values: `prometheus`, or the format `:regex`; none is All."""
    if not values:
        return ".+"
    slashes = r"\\\\" if shape == "prometheus" else r"\\"
    escaped = [re.sub(r"([\\^$*+?.()|\[\]{}/])", slashes + r"\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def filled_in(query: str, end: float, *, site: Sequence[str] = (), machine: Sequence[str] = ()) -> str:
    """Fill in variables and macros as Grafana does, for a range of RANGE_S that ends at `end` (s since 1970)."""
    start_ms, end_ms = round((end - RANGE_S) * 1000), round(end * 1000)
    for name, values in (("site", site), ("machine", machine)):
        query = query.replace(f"${{{name}:regex}}", chosen(values, "regex"))
        query = query.replace(f"${name}", chosen(values, "prometheus"))
    query = query.replace("$timeFilter", f"time >= {start_ms}ms and time <= {end_ms}ms")
    query = query.replace("${__from}", str(start_ms)).replace("${__to}", str(end_ms))
    return query.replace("$__range", f"{RANGE_S}s").replace("$__interval", "10s")


def camera_lines(plant: Plant, database: Database) -> bytes:
    """Write what cameras would show: no camera is needed for a test of panels."""
    store = Store(plant, 1 << 12)
    values = {"Online": True, "FrameRate": 25.0, "InferenceLatency": 31.0, "LastDetectionClass": "person"}
    values |= {"LastDetectionConfidence": 0.9, "DetectionCount": 3, "LastDetectionTime": now_ticks()}
    values |= {"Dropped": 1, "ObjectCount": 2, "Blind": False, "BlindReason": "dark", "EvidenceKept": True}
    values |= {"LastError": "late", "Fire": True, "Smoke": False, "NoHelmet": False, "ForbiddenZone": False}
    lines = []
    for ago in (1, 0):
        ticks = now_ticks() - ago * TICKS_PER_SECOND
        ids = [v.id for v in plant.variables if plant.owner(v).type.name == "CameraType" and v.name in values]
        shown = np.array([values[plant.variables[id_].name] for id_ in ids], object)
        store.write(np.array(ids), shown, ticks, 0)
        batch = snapshot(store).take(np.array(ids))
        values["DetectionCount"] += 2
        values["Dropped"] += 1
        lines.append(Mapping(plant, database).lines(batch).body)
    return b"\n".join(lines)


def transitions(now: float) -> list[Transition]:
    """Make a condition that stands, one that is acknowledged, one that returned unacknowledged, one that is shelved."""

    def one(
        name: str, ago: float, severity: int, *, active: bool, acked: bool, event: str = "active", hidden: bool = False
    ) -> Transition:
        ticks = UNIX_EPOCH_TICKS + round((now - ago) * 1000) * 10_000
        source = "Plant.Generator1"
        return Transition(
            ticks, f"{source}.{name}", source, severity, active, acked, True, f"{name} it is", b"\1" * 16,
            hidden=hidden, event=event,
        )  # fmt: skip

    return [
        one("Hot", 4000, 800, active=False, acked=True, event="inactive"),
        one("Hot", 60, 800, active=True, acked=False),
        one("Hot", 55, 800, active=True, acked=False, event="comment"),
        one("Leak", 3600 * 30, 500, active=True, acked=False),
        one("Leak", 50, 500, active=True, acked=True, event="acknowledged"),
        one("Slow", 90, 300, active=True, acked=False),
        one("Slow", 40, 300, active=False, acked=False, event="inactive"),
        one("Noisy", 3600 * 31, 900, active=True, acked=True),
        one("Noisy", 45, 900, active=True, acked=True, event="shelved", hidden=True),
    ]


def condition_lines(database: Database, now: float | None = None) -> bytes:
    """Write those transitions, and those of a condition with pictures: the last was acknowledged.

    They have a site of their own: on a busy machine a plant that starts has conditions, too.
    """
    now = time.time() if now is None else now
    camera = "Plant.Camera1"

    def seen(ago: float, number: int, *, acked: bool = False) -> Transition:
        ticks = UNIX_EPOCH_TICKS + round((now - ago) * 1000) * 10_000
        return Transition(
            ticks, f"{camera}.FireAlarm", camera, 700, True, acked, True, "Fire is seen", b"\2" * 16,
            event="acknowledged" if acked else "active",
            snapshot="" if acked else picture(number), snapshot_sha256="" if acked else f"a{number}" * 32,
        )  # fmt: skip

    ended = replace(seen(2000, 1, acked=True), active=False, event="inactive")
    told = [*transitions(now), seen(3000, 1), seen(2990, 1, acked=True), ended, seen(30, 2), seen(29, 2, acked=True)]
    return alarm_lines(told, SITE, database)


def picture(number: int) -> str:
    """Return where a picture of FireAlarm is."""
    return f"https://plant/snapshots/{number}.jpg"

"""Transitions of conditions as line protocol: the measurement `alarm`, one line a transition; pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gateways.influx.mapping import TEXT_BYTES, cut
from gateways.influx.protocol import Lines, quoted, tag
from gateways.influx.settings import Database
from server.alarms.ports import Snapshot
from server.store.ticks import UNIX_EPOCH_TICKS

MEASUREMENT = "alarm"
OF_BRANCHES = "alarm_branch"
"""An earlier activation that still waits for somebody: apart, so that it does not stand for the condition's state."""
_MS = 10_000  # ticks: VictoriaMetrics keeps whole milliseconds


@dataclass(frozen=True, slots=True)
class Transition:
    """A condition as an event tells it (OPC 10000-9): `time` in ticks, `severity` 1 to 1000, paths as in NodeIds."""

    time: int
    condition: str
    source: str
    severity: int
    active: bool
    acked: bool
    confirmed: bool
    message: str
    event_id: bytes
    hidden: bool = False
    """Shelved, suppressed or out of service."""
    event: str = ""
    """What has changed: active, inactive, acknowledged, ..."""
    comment: str = ""
    user: str = ""
    branch: bytes = b""
    snapshot: str = ""
    """Where the picture of what a camera saw is, of an activation alone: so that each picture is told once."""
    snapshot_sha256: str = ""


class Order:
    """Gives each line of a condition a time after the one before: a database sorts by time, and holds one line a time.

    An acknowledgement has the time at which it was made, a change of state that of the measurement, which may be older.
    """

    def __init__(self, snapshot_uri: Callable[[Snapshot], str] = lambda _: "") -> None:
        self._uri = snapshot_uri
        self._last: dict[tuple[str, bool], int] = {}

    def transitions(self, snapshots: Sequence[Snapshot]) -> list[Transition]:
        """Return lines-to-be in the order of the snapshots; the same again until `confirmed`."""
        last, found = dict[tuple[str, bool], int](), list[Transition]()
        for it in snapshots:
            key = it.condition.path, bool(it.branch)
            before = last.get(key, self._last.get(key))
            last[key] = it.time if before is None else max(it.time, before // _MS * _MS + _MS)
            found.append(_transition(it, last[key], self._uri(it)))
        return found

    def confirmed(self, transitions: Iterable[Transition]) -> None:
        """Note that lines are in the database."""
        for it in transitions:
            self._last[it.condition, bool(it.branch)] = it.time


def lines(transitions: Sequence[Transition], site: str, database: Database) -> Lines:
    """Return the lines of transitions, one each."""
    found: Any = pa.array([b"\n" + _line(transition, site, database) for transition in transitions], pa.binary())
    return Lines.of([found], [np.arange(len(transitions))])


def alarm_lines(transitions: Iterable[Transition], site: str, database: Database = "influxdb") -> bytes:
    """Return one line a transition, joined by newlines; written twice they are the same points.

    VictoriaMetrics keeps no texts: there they are left out, but a picture is a line of its own, with labels.
    """
    return b"\n".join(_line(transition, site, database) for transition in transitions)


def _transition(it: Snapshot, time: int, uri: str) -> Transition:
    pictured = it.evidence if it.kind_of_event == "active" else None
    return Transition(
        time=time,
        condition=it.condition.path,
        source=it.condition.machine.path,
        severity=it.severity,
        active=it.active,
        acked=it.acked,
        confirmed=it.confirmed,
        message=it.message,
        event_id=it.event_id,
        hidden=it.suppressed_or_shelved,
        event=it.kind_of_event,
        comment=it.comment,
        user=it.client_user,
        branch=it.branch,
        snapshot="" if pictured is None else uri,
        snapshot_sha256="" if pictured is None else pictured.snapshot_sha256,
    )


def _line(transition: Transition, site: str, database: Database) -> bytes:
    tags = {"condition": transition.condition, "site": site, "source": transition.source}
    measurement = OF_BRANCHES if transition.branch else MEASUREMENT
    series = measurement.encode() + b"".join(b",%s=%s" % (key.encode(), tag(text)) for key, text in tags.items())
    states = (transition.severity, transition.active, transition.acked, transition.confirmed, transition.hidden)
    fields = b"severity=%di,active=%di,acked=%di,confirmed=%di,hidden=%di" % states
    if database == "influxdb":
        texts = {"message": transition.message, "event_id": transition.event_id.hex(), "event": transition.event}
        texts |= {"comment": transition.comment, "user": transition.user, "branch": transition.branch.hex()}
        texts |= {"snapshot": transition.snapshot, "snapshot_sha256": transition.snapshot_sha256}
        given = {name: text for name, text in texts.items() if text or name in ("message", "event_id")}
        fields += b"".join(
            b",%s=%s" % (name.encode(), quoted(cut(text, TEXT_BYTES[database]))) for name, text in given.items()
        )
    time = (transition.time - UNIX_EPOCH_TICKS) * 100
    line = b"%s %s %d" % (series, fields, time)
    if database == "influxdb" or not transition.snapshot:
        return line
    labels = b",sha256=%s,uri=%s" % (tag(transition.snapshot_sha256), tag(transition.snapshot))
    return line + b"\n%s%s snapshot=1i %d" % (series, labels, time)

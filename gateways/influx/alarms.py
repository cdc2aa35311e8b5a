"""Transitions of conditions as line protocol: the measurement `alarm`, one line a transition; pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateways.influx.mapping import TEXT_BYTES, cut
from gateways.influx.protocol import quoted, tag
from gateways.influx.settings import Database
from server.store.ticks import UNIX_EPOCH_TICKS

MEASUREMENT = "alarm"


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


def alarm_lines(transitions: Iterable[Transition], site: str, database: Database = "influxdb") -> bytes:
    """Return one line a transition, joined by newlines; written twice they are the same points.

    VictoriaMetrics keeps no texts: there `message` and `event_id` are left out.
    """
    return b"\n".join(_line(transition, site, database) for transition in transitions)


def _line(transition: Transition, site: str, database: Database) -> bytes:
    tags = {"condition": transition.condition, "site": site, "source": transition.source}
    series = MEASUREMENT.encode() + b"".join(b",%s=%s" % (key.encode(), tag(text)) for key, text in tags.items())
    states = (transition.severity, transition.active, transition.acked, transition.confirmed)
    fields = b"severity=%di,active=%di,acked=%di,confirmed=%di" % states
    if database == "influxdb":
        fields += b",message=" + quoted(cut(transition.message, TEXT_BYTES[database]))
        fields += b",event_id=" + quoted(transition.event_id.hex())
    return b"%s %s %d" % (series, fields, (transition.time - UNIX_EPOCH_TICKS) * 100)

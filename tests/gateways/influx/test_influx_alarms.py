"""Transitions of conditions as lines."""

from line_protocol_parser import parse_line

from gateways.influx.alarms import Transition, alarm_lines
from server.store.ticks import UNIX_EPOCH_TICKS

HOT = Transition(
    time=UNIX_EPOCH_TICKS + 17_672_256_001_234_567,
    condition="Plant.Generator1.Overheat",
    source="Plant.Generator1",
    severity=800,
    active=True,
    acked=False,
    confirmed=True,
    message='Hot, "very" hot\n105 °C = too much',
    event_id=bytes(range(16)),
)


def test_a_transition_is_a_line() -> None:
    parsed = parse_line(alarm_lines([HOT], "Site 1").decode())
    assert parsed == {
        "measurement": "alarm",
        "tags": {"condition": HOT.condition, "site": "Site 1", "source": HOT.source},
        "fields": {
            "severity": 800, "active": 1, "acked": 0, "confirmed": 1,
            "message": HOT.message, "event_id": "000102030405060708090a0b0c0d0e0f",
        },
        "time": 1_767_225_600_123_456_700,
    }  # fmt: skip


def test_victoriametrics_gets_the_numbers() -> None:
    two = alarm_lines([HOT, HOT], "Plant", "victoriametrics").decode().splitlines()
    assert len(two) == 2
    assert parse_line(two[0])["fields"] == {"severity": 800, "active": 1, "acked": 0, "confirmed": 1}
    assert alarm_lines([], "Plant") == b""

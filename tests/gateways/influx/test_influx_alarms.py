"""Transitions of conditions as lines, and in real databases."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from line_protocol_parser import parse_line

from address_space.model import Role
from gateways.influx.alarms import Order, Transition, alarm_lines
from server.alarms import Snapshot
from server.evidence import Detection, Evidence
from server.security.principal import Principal
from server.store import now_ticks
from server.store.ticks import UNIX_EPOCH_TICKS
from tests.gateways.influx.influx_rig import Rig, kinds_plant, until
from tests.gateways.influx.influxd_rig import Influxd, influxd, needs_influxd, v2_front
from tests.gateways.influx.victoria_rig import Victoria, needs_victoria

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
            "severity": 800, "active": 1, "acked": 0, "confirmed": 1, "hidden": 0,
            "message": HOT.message, "event_id": "000102030405060708090a0b0c0d0e0f",
        },
        "time": 1_767_225_600_123_456_700,
    }  # fmt: skip


def test_victoriametrics_gets_the_numbers() -> None:
    two = alarm_lines([HOT, HOT], "Plant", "victoriametrics").decode().splitlines()
    assert len(two) == 2
    assert parse_line(two[0])["fields"] == {
        "severity": 800, "active": 1, "acked": 0, "confirmed": 1, "hidden": 0,
    }  # fmt: skip
    assert alarm_lines([], "Plant") == b""


def test_a_picture_is_told_in_the_words_of_each_database() -> None:
    uri = "https://plant.example/snapshots/20260101T000000000Z-Plant.Camera1.Fire.jpg"
    seen = replace(HOT, event="active", snapshot=uri, snapshot_sha256="ab" * 32)
    fields = parse_line(alarm_lines([seen], "Plant").decode())["fields"]
    assert (fields["snapshot"], fields["snapshot_sha256"]) == (uri, "ab" * 32)
    state, picture = map(parse_line, alarm_lines([seen], "Plant", "victoriametrics").decode().splitlines())
    assert state == parse_line(alarm_lines([HOT], "Plant", "victoriametrics").decode())
    assert picture["fields"] == {"snapshot": 1}
    assert picture["tags"] == {**state["tags"], "uri": uri, "sha256": "ab" * 32}
    assert picture["time"] == state["time"]


def test_only_an_activation_is_told_with_its_picture(tmp_path: Path) -> None:
    plant = kinds_plant(tmp_path, ALARMS)
    hot = next(it for it in plant.conditions if it.path == PATH)
    saw = Detection("fire", 0.9, (0.0, 0.0, 1.0, 1.0))
    evidence = Evidence("x", "Plant.Press1", "Fire", saw, 1, "fire v1", "ab" * 32, 41.5, "a", "cd" * 32, "b", "ef" * 32)
    told = [
        Snapshot(hot, time=now_ticks(), kind_of_event=kind, evidence=found)
        for kind, found in (("active", evidence), ("acknowledged", evidence), ("active", None))
    ]
    found = Order(lambda it: f"http://here/{it.evidence.id}" if it.evidence else "").transitions(told)
    assert [(it.snapshot, it.snapshot_sha256) for it in found] == [("http://here/x", "cd" * 32), ("", ""), ("", "")]


def test_what_somebody_said_is_there_for_a_branch_apart() -> None:
    said = replace(HOT, event="acknowledged", comment="seen", user="anna", branch=b"\x01" * 16, hidden=True)
    parsed = parse_line(alarm_lines([said], "Plant").decode())
    assert parsed["measurement"] == "alarm_branch"
    assert parsed["tags"] == {"condition": HOT.condition, "site": "Plant", "source": HOT.source}
    texts = {name: parsed["fields"][name] for name in ("event", "comment", "user", "branch", "hidden")}
    assert texts == {"event": "acknowledged", "comment": "seen", "user": "anna", "branch": "01" * 16, "hidden": 1}


ALARMS = """\
plant: {name: Plant, type: PlantType}
types:
  PlantType: {description: The plant}
  PressType:
    description: A press
    variables:
      Temperature: {type: Double, unit: °C, range: [0, 200], description: Temperature}
    alarms:
      Hot: {input: Temperature, high: 80, severity: 600, message: The press is hot}
sources:
  fake: {kind: physics}
objects:
  Press1: {type: PressType, source: fake}
"""
PATH = "Plant.Press1.Hot"
OPERATOR = Principal("anna", frozenset({Role.Operator}))
MS = 10_000


class Press:
    """A gateway, an alarm engine, and a temperature; `again` is a new process on the same folder."""

    def __init__(self, folder: Path, url: str, **settings: Any) -> None:
        self.rig = Rig(folder, url, kinds_plant(folder, ALARMS), alarms=True, **settings)
        self.told: list[Snapshot] = []
        assert self.rig.alarms is not None
        self.alarms = self.rig.alarms
        self.alarms.listeners.append(self.told.extend)
        self.hot = next(it for it in self.rig.plant.conditions if it.path == PATH)

    async def heat(self, *values: float, at: int | None = None) -> None:
        """Write temperatures, each once the one before is evaluated; the transitions are told by then."""
        id_ = self.rig.plant.variable("Plant.Press1.Temperature").id
        for value in values:
            ticks = now_ticks() if at is None else at
            wanted = value > 80
            self.rig.store.write([id_], [value], ticks)  # type: ignore[arg-type]
            await until(lambda wanted=wanted: self.alarms.state(self.hot).active is wanted, lambda: "it is evaluated")

    @property
    def mine(self) -> list[Snapshot]:
        return [it for it in self.told if it.condition is self.hot]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with influxd(tmp_path_factory.mktemp("influxd")) as server:
        yield server


def rows(server: Influxd, bucket: str, measurement: str = "alarm") -> list[dict[str, Any]]:
    return server.rows(f"SELECT * FROM {measurement} WHERE condition = '{PATH}'", bucket)  # noqa: S608


@needs_influxd
async def test_every_transition_is_in_the_database(shared: Influxd, tmp_path: Path) -> None:
    shared.ask("CREATE DATABASE transitions")
    async with v2_front(shared) as url:
        press = Press(tmp_path, url, bucket="transitions", database="influxdb")
        async with press.rig.running():
            await press.heat(20, 90, 20, 95)  # the second time the first is a branch
            trunk = press.alarms.state(press.hot)
            await press.alarms.acknowledge(press.hot, trunk.event_id, "seen", OPERATOR, "test")
            await until(lambda: len(rows(shared, "transitions")) == 4, lambda: str(press.mine))
            await until(lambda: len(rows(shared, "transitions", "alarm_branch")) == 1, lambda: str(press.mine))
    assert [row["event"] for row in rows(shared, "transitions")] == ["active", "inactive", "active", "acknowledged"]
    found = [(row["active"], row["acked"], row["event_id"]) for row in rows(shared, "transitions")]
    assert found == [(it.active, it.acked, it.event_id.hex()) for it in press.mine if not it.branch]
    last = rows(shared, "transitions")[-1]
    assert (last["comment"], last["user"], last["source"], last["severity"]) == ("seen", "anna", "Plant.Press1", 600)


@needs_influxd
async def test_none_is_lost_by_an_outage_and_a_restart(shared: Influxd, tmp_path: Path) -> None:
    shared.ask("CREATE DATABASE outage")
    gone = Press(tmp_path, "http://127.0.0.1:1", bucket="outage", database="influxdb")
    async with gone.rig.running():
        await gone.heat(20, 90, 20, 90, 20, at=now_ticks() - 60 * 10_000_000)  # a source whose clock is late
        await until(lambda: gone.rig.status.last_error, lambda: "the outage is noticed")
    async with v2_front(shared) as url:
        back = Press(tmp_path, url, bucket="outage", database="influxdb")
        async with back.rig.running():
            await back.heat(20, 90)
            told = [it for it in gone.mine + back.mine if not it.branch]
            await until(lambda: len(rows(shared, "outage")) == len(told), lambda: f"{len(told)} transitions")
        third = Press(tmp_path, url, bucket="outage", database="influxdb")
        async with third.rig.running():
            await third.heat(20)
            told += [it for it in third.mine if not it.branch]
            await until(lambda: len(rows(shared, "outage")) == len(told), lambda: f"{len(told)} transitions")
    assert [row["event_id"] for row in rows(shared, "outage")] == [it.event_id.hex() for it in told]


@needs_victoria
async def test_the_last_state_is_the_last_in_victoriametrics(tmp_path: Path) -> None:
    with Victoria(tmp_path / "victoria") as server:
        press = Press(tmp_path, server.url, site="here")
        async with press.rig.running():
            at = now_ticks()
            await press.heat(20, 90, 20, 90, 20, at=at)  # all in one millisecond
            await until(lambda: len(press.mine) >= 4, lambda: str(press.mine))
            trunks = [it for it in press.mine if not it.branch]
            select = f'{{__name__="alarm_active",condition="{PATH}",site="here"}}'

            def found() -> list[float]:
                return [value for _, samples in server.export(select) for _, value in samples]

            await until(lambda: len(found()) == len(trunks), lambda: f"{found()} {trunks}")
            assert found() == [float(it.active) for it in trunks]


def test_lines_of_a_condition_never_go_back_in_time(tmp_path: Path) -> None:
    plant = kinds_plant(tmp_path, ALARMS)
    hot = next(it for it in plant.conditions if it.path == PATH)
    time = now_ticks() // MS * MS
    snapshots = [Snapshot(hot, time=time + after) for after in (5, 0, 3 * MS, -MS)]
    order = Order()
    wanted = [time + 5, time + MS, time + 3 * MS, time + 4 * MS]
    assert [it.time for it in order.transitions(snapshots)] == wanted
    again = order.transitions(snapshots)
    assert [it.time for it in again] == wanted  # nothing was confirmed
    order.confirmed(again)
    assert [it.time for it in order.transitions(snapshots[:1])] == [time + 5 * MS]

"""Conditions that no variable tells: communication with sources and gateways, the server's certificate."""

from pathlib import Path

import numpy as np
import pytest
from alarms_rig import BAD, ENGINEER, OPERATOR, ORIGIN, Rig, plant_of, running, seconds

from address_space import Plant
from server.alarms.watched import EXPIRES_WITHIN_S, Watched
from server.store import Store, now_ticks

SOURCE, GATEWAY, CERTIFICATE = (
    f"ServerDiagnostics.{path}" for path in ("wire.CommunicationLost", "mqtt.CommunicationLost", "CertificateExpiry")
)
DAY = seconds(86_400)


class Looked:
    """What Watched says, without the engine's delays."""

    def __init__(self, plant: Plant, expires: int | None = None) -> None:
        self.plant = plant
        self.store = Store(plant, 1024)
        self.watched = Watched(plant, self.store, expires)

    def show(self, path: str, value: object, status: int = 0) -> None:
        ids = np.array([self.plant.variable(f"Plant.{path}").id])
        self.store.write(ids, np.array([value], object), now_ticks(), status)

    def active(self, path: str, now: int = 0) -> bool:
        condition = self.plant.find_condition(f"Plant.{path}")
        assert condition is not None
        return bool(self.watched.masks(now)[self.watched.rows.tolist().index(condition.id)])


@pytest.fixture
def looked(tmp_path: Path) -> Looked:
    return Looked(plant_of(tmp_path, count=2))


@pytest.mark.parametrize(
    ("state", "active"),
    [("Running", False), ("Failed", True), ("Restarting", True), ("Stopped", False)],
)
def test_a_source_that_does_not_run(looked: Looked, state: str, active: bool) -> None:
    assert not looked.active(SOURCE), "nothing is known yet"
    looked.show("M1.X", 1.0)
    looked.show("ServerDiagnostics.wire.State", state)
    assert looked.active(SOURCE) is active


def test_a_source_that_runs_and_measures_nothing(looked: Looked) -> None:
    looked.show("ServerDiagnostics.wire.State", "Running")
    assert looked.active(SOURCE), "all wait for their first value"
    looked.show("M2.Z", 1.0)
    assert not looked.active(SOURCE), "one is enough"
    looked.show("M2.Z", 1.0, BAD)
    assert looked.active(SOURCE)
    looked.show("ZMark.A", 1.0)
    assert looked.active(SOURCE), "that of a machine without this source does not count"


@pytest.mark.parametrize(
    ("state", "connected", "active"),
    [
        ("Running", True, False), ("Running", False, True), ("Failed", False, True),
        ("Disabled", False, False), ("Stopped", False, False),
    ],
)  # fmt: skip
def test_a_gateway_without_its_peer(looked: Looked, state: str, connected: bool, active: bool) -> None:
    assert not looked.active(GATEWAY)
    looked.show("ServerDiagnostics.mqtt.State", state)
    looked.show("ServerDiagnostics.mqtt.Connected", connected)
    assert looked.active(GATEWAY) is active


def test_a_certificate_that_expires(tmp_path: Path) -> None:
    expires = now_ticks() + 100 * DAY
    looked = Looked(plant_of(tmp_path), expires)
    limit = expires - seconds(EXPIRES_WITHIN_S)
    assert not looked.active(CERTIFICATE, limit)
    assert looked.active(CERTIFICATE, limit + 1)
    assert looked.active(CERTIFICATE, expires + DAY)
    assert not Looked(plant_of(tmp_path)).active(CERTIFICATE, expires), "there is none"


async def test_the_engine_raises_them(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path), expires=now_ticks() + DAY) as rig:
        await rig.until(lambda: rig.state(CERTIFICATE).active)
        state = rig.state(CERTIFICATE)
        assert (state.severity, state.limits, state.acked) == (600, 0, False)
        await rig.alarms.acknowledge(rig.condition(CERTIFICATE), state.event_id, None, OPERATOR, ORIGIN)
        assert rig.state(CERTIFICATE).acked
        with pytest.raises(TimeoutError):
            await rig.until(lambda: rig.kinds(CERTIFICATE).count("active") > 1, within=0.7)
    async with running(tmp_path, plant_of(tmp_path), expires=now_ticks() + 100 * DAY) as rig:
        await rig.until(lambda: not rig.state(CERTIFICATE).active)


async def test_communication_has_to_be_lost_for_some_time(tmp_path: Path) -> None:
    """Raised after its on-delay of five seconds: a gateway that connects anew is no alarm."""
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        _show(rig, "State", "Running")
        _show(rig, "Connected", False)
        began = now_ticks()
        await rig.until(lambda: rig.state(GATEWAY).active)
        assert now_ticks() - began >= seconds(4.9)


async def test_one_that_is_disabled_is_not_raised_until_it_is_enabled(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plant_of(tmp_path), expires=now_ticks() + DAY)
    await rig.alarms.disable(rig.condition(CERTIFICATE), ENGINEER, ORIGIN)
    task = rig.spawn(rig.alarms.run())
    await rig.seen()
    assert not rig.state(CERTIFICATE).active
    await rig.alarms.enable(rig.condition(CERTIFICATE), ENGINEER, ORIGIN)
    await rig.until(lambda: rig.state(CERTIFICATE).active)
    task.cancel()
    rig.alarms.close()


def _show(rig: Rig, name: str, value: object) -> None:
    ids = np.array([rig.plant.variable(f"Plant.ServerDiagnostics.mqtt.{name}").id])
    rig.store.write(ids, np.array([value], object), now_ticks())

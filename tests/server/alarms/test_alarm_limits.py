"""Limits that somebody changes: checked, kept, in force at once, and only when they are on the disk."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from alarms_rig import ALARMS, ENGINEER, OPERATOR, ORIGIN, plant_of, refused, running
from asyncua.ua.status_codes import StatusCodes

from server.ports import CommandError

LEVEL = {"high_high": 20.0, "high": 10.0, "low": -10.0, "low_low": -20.0}


async def test_a_limit_is_in_force_at_once_and_after_a_restart(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, ALARMS, count=2)
    async with running(tmp_path, plant) as rig:
        level = rig.condition("M1.Level")
        assert rig.alarms.limits(level) == LEVEL
        await rig.set(11.0)
        assert rig.state("M1.Level").active
        await rig.alarms.set_limit(level, "high", 15.0, ENGINEER, ORIGIN)
        assert rig.alarms.limits(level) == {**LEVEL, "high": 15.0}
        assert rig.kinds("M1.Level") == ["active", "inactive"]
        await rig.alarms.set_limit(level, "high", 5.0, ENGINEER, ORIGIN)
        assert rig.kinds("M1.Level")[2:] == ["branch", "active"]
        assert rig.alarms.limits(rig.condition("M2.Level")) == LEVEL
        assert rig.alarms.limits(rig.condition("M1.Free")) == LEVEL
    async with running(tmp_path, plant) as rig:
        assert rig.alarms.limits(rig.condition("M1.Level")) == {**LEVEL, "high": 5.0}
        await rig.set(6.0, "M2.X")
        assert not rig.state("M2.Level").active
        await rig.set(6.0)
        assert rig.state("M1.Level").active


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("high", 20.0),
        ("high", -10.0),
        ("high_high", 10.0),
        ("low_low", -9.0),
        ("high", float("nan")),
        ("high_high", float("inf")),
    ],
)
async def test_an_order_that_is_wrong(tmp_path: Path, name: str, value: float) -> None:
    async with running(tmp_path, plant_of(tmp_path, ALARMS)) as rig, refused(rig, StatusCodes.BadOutOfRange):
        await rig.alarms.set_limit(rig.condition("M1.Level"), name, value, ENGINEER, ORIGIN)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("M1.Level", "higher"),
        ("M1.Deviation", "low_low"),
        ("M1.Rule", "high"),
        ("ServerDiagnostics.CertificateExpiry", "high"),
    ],
)
async def test_a_limit_that_the_condition_does_not_have(tmp_path: Path, path: str, name: str) -> None:
    async with running(tmp_path, plant_of(tmp_path, ALARMS)) as rig, refused(rig, StatusCodes.BadNotFound):
        await rig.alarms.set_limit(rig.condition(path), name, 1.0, ENGINEER, ORIGIN)


async def test_two_limits_that_change_at_once_are_checked_against_each_other(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, ALARMS)) as rig:
        level = rig.condition("M1.Level")
        results = await asyncio.gather(
            rig.alarms.set_limit(level, "high", 18.0, ENGINEER, ORIGIN),
            rig.alarms.set_limit(level, "high_high", 15.0, ENGINEER, ORIGIN),
            return_exceptions=True,
        )
        assert [isinstance(it, CommandError) for it in results] == [False, True]
        assert rig.alarms.limits(level) == {**LEVEL, "high": 18.0}


@contextlib.contextmanager
def _refusing(file: Path, table: str) -> object:
    """Have the database refuse rows of a table."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute(f"CREATE TRIGGER refuse BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        yield
        database.execute("DROP TRIGGER refuse")


async def test_a_limit_that_the_disk_refuses_is_not_in_force(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, ALARMS)
    async with running(tmp_path, plant) as rig:
        level = rig.condition("M1.Level")
        await rig.set(9.0)
        with _refusing(rig.file, "limits"):
            async with refused(rig, StatusCodes.BadResourceUnavailable):
                await rig.alarms.set_limit(level, "high", 5.0, ENGINEER, ORIGIN)
        assert not rig.state("M1.Level").active
        await rig.alarms.set_limit(level, "high", 5.0, ENGINEER, ORIGIN)
        assert rig.state("M1.Level").active


async def test_a_state_that_the_disk_refuses_is_said_so_and_kept_later(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    async with running(tmp_path, plant) as rig:
        await rig.set(51.0)
        with _refusing(rig.file, "states"):
            with pytest.raises(CommandError, match="in force but not kept") as caught:
                await rig.alarms.acknowledge(rig.condition(), rig.state().event_id, "c", OPERATOR, ORIGIN)
            assert caught.value.status == StatusCodes.BadResourceUnavailable
            assert rig.audited[-1][-1] == StatusCodes.BadResourceUnavailable
            assert rig.state().acked
        await rig.seen()
    async with running(tmp_path, plant) as rig:
        assert rig.state().acked
        events = [it for it in await rig.alarms.history(0, 1 << 62) if it.condition is rig.condition()]
        assert [it.kind_of_event for it in events][:2] == ["active", "acknowledged"]

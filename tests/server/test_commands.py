"""The table of commands: roles, arguments, locks, read-back, audit, and set-points that outlive a restart."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core_rig import ENGINEER, OPERATOR, ORIGIN, PLANT, SUPERVISOR, USER, Core

from address_space import BuiltinType
from server import quality
from server.checks import fits_type
from server.ports import CommandError
from server.security.principal import ANONYMOUS, Principal
from server.store.values import VALUE_DTYPES


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    core = Core(tmp_path)
    yield core
    core.close()


async def test_a_command_is_carried_out_by_the_source_and_seen_in_the_read_back(core: Core) -> None:
    assert await core.do("Press1.Start", by=OPERATOR) == ()
    assert core.source.told == [("execute", "Plant.Press1", "Start")]
    assert core.value("Press1.State") == 1


async def test_arguments_reach_the_source(core: Core) -> None:
    await core.do("Press1.Test", 0.5, "up", by=ENGINEER)
    assert core.source.told == [("execute", "Plant.Press1", "Test", 0.5, "up")]


@pytest.mark.parametrize(
    ("path", "who", "allowed"),
    [
        ("Press1.Start", ANONYMOUS, False),
        ("Press1.Start", USER, False),
        ("Press1.Start", ENGINEER, False),
        ("Press1.Start", OPERATOR, True),
        ("Press1.Start", SUPERVISOR, True),
        ("Press1.Test", SUPERVISOR, False),
        ("Press1.EmergencyStop", ANONYMOUS, False),
        ("Press1.EmergencyStop", USER, True),
        ("EmergencyStop", USER, True),
        ("Press1.ResetEmergencyStop", OPERATOR, False),
    ],
)
async def test_roles(core: Core, path: str, who: Principal, allowed: bool) -> None:
    arguments = ("why",) if path.endswith("EmergencyStop") else (0.5, "up") if path.endswith("Test") else ()
    if allowed:
        await core.do(path, *arguments, by=who)
    else:
        assert await core.refused(path, *arguments, by=who) == quality.BAD_USER_ACCESS_DENIED
        assert core.source.told == []


@pytest.mark.parametrize(
    ("arguments", "status", "statuses"),
    [
        ((), quality.BAD_ARGUMENTS_MISSING, ()),
        ((0.5,), quality.BAD_ARGUMENTS_MISSING, ()),
        ((0.5, "up", 1), quality.BAD_TOO_MANY_ARGUMENTS, ()),
        (("x", "up"), quality.BAD_INVALID_ARGUMENT, (quality.BAD_TYPE_MISMATCH, 0)),
        ((True, "up"), quality.BAD_INVALID_ARGUMENT, (quality.BAD_TYPE_MISMATCH, 0)),
        ((math.nan, "up"), quality.BAD_INVALID_ARGUMENT, (quality.BAD_OUT_OF_RANGE, 0)),
        ((1.1, "up"), quality.BAD_INVALID_ARGUMENT, (quality.BAD_OUT_OF_RANGE, 0)),
        ((0.5, "left"), quality.BAD_INVALID_ARGUMENT, (0, quality.BAD_OUT_OF_RANGE)),
        ((-1, None), quality.BAD_INVALID_ARGUMENT, (quality.BAD_OUT_OF_RANGE, quality.BAD_TYPE_MISMATCH)),
    ],
)
async def test_wrong_arguments(core: Core, arguments: tuple[Any, ...], status: int, statuses: tuple[int, ...]) -> None:
    with pytest.raises(CommandError) as caught:
        await core.do("Press1.Test", *arguments, by=ENGINEER)
    assert (caught.value.status, caught.value.argument_statuses) == (status, statuses)
    assert core.source.told == []


async def test_unknown_command(core: Core) -> None:
    assert await core.refused("Press1.Explode") == quality.BAD_METHOD_INVALID


async def test_what_nothing_feeds_cannot_be_commanded(core: Core) -> None:
    assert await core.refused("Lonely.Start") == quality.BAD_NOT_CONNECTED


async def test_without_read_back_a_command_times_out(core: Core) -> None:
    core.source.deaf = True
    assert await core.refused("Press1.Start") == quality.BAD_TIMEOUT
    assert core.source.told == [("execute", "Plant.Press1", "Start")]


async def test_a_read_back_of_bad_quality_confirms_nothing(core: Core) -> None:
    core.source.deaf = True
    core.set("Press1.State", 1, quality.BAD_SENSOR_FAILURE)
    assert await core.refused("Press1.Start") == quality.BAD_TIMEOUT


async def test_a_source_s_refusal_is_the_answer(core: Core) -> None:
    core.source.error = CommandError(quality.BAD_INVALID_STATE, "not now")
    assert await core.refused("Press1.Start") == quality.BAD_INVALID_STATE
    assert core.audit()[-1][4] == quality.BAD_INVALID_STATE


async def test_a_source_that_breaks_is_an_answer_too(core: Core) -> None:
    core.source.error = RuntimeError("a bug")
    assert await core.refused("Press1.Start") == quality.BAD_UNEXPECTED_ERROR
    assert await core.put_refused("Press1.Target", 5.0) == quality.BAD_UNEXPECTED_ERROR
    assert [row[4] for row in core.audit()] == [quality.BAD_UNEXPECTED_ERROR] * 2


async def test_commands_of_one_machine_follow_each_other_and_those_of_two_do_not_wait(core: Core) -> None:
    under_way: list[str] = []
    together: list[tuple[str, ...]] = []
    both = asyncio.Event()

    async def watch(told: tuple[Any, ...]) -> None:
        under_way.append(told[1])
        together.append(tuple(sorted(under_way)))
        if len(set(under_way)) == 2:
            both.set()
        await both.wait()
        under_way.remove(told[1])

    core.source.before = watch
    await asyncio.gather(core.do("Press1.Start"), core.do("Press1.Start"), core.do("Press2.Start"))
    assert ("Plant.Press1", "Plant.Press2") in together
    assert all(machines.count("Plant.Press1") <= 1 for machines in together)
    assert core.source.told.count(("execute", "Plant.Press1", "Start")) == 2


async def test_a_command_goes_on_when_its_client_has_gone(core: Core) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_told: tuple[Any, ...]) -> None:
        reached.set()
        await go_on.wait()

    core.source.before = hold
    task = asyncio.create_task(core.do("Press1.Start"))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await core.commands.settle(1)
    assert core.source.told == [("execute", "Plant.Press1", "Start")]
    assert [row[2:] for row in core.audit()] == [("Plant.Press1.Start", "[]", 0)]


async def test_audit_tells_good_and_bad(core: Core) -> None:
    await core.do("Press1.Start", by=OPERATOR)
    await core.refused("Press1.Test", 0.5, "up", by=OPERATOR)
    await core.put("Press1.Target", 12.5, OPERATOR)
    await core.put_refused("Press1.Speed", 1.0, OPERATOR)
    assert core.audit() == [
        ("olga", ORIGIN, "Plant.Press1.Start", "[]", 0),
        ("olga", ORIGIN, "Plant.Press1.Test", '[0.5, "up"]', quality.BAD_USER_ACCESS_DENIED),
        ("olga", ORIGIN, "Plant.Press1.Target", "[12.5]", 0),
        ("olga", ORIGIN, "Plant.Press1.Speed", "[1.0]", quality.BAD_NOT_WRITABLE),
    ]


async def test_a_setpoint_is_actuated_then_shown(core: Core) -> None:
    await core.put("Press1.Target", 20.0, OPERATOR)
    assert core.source.told == [("put", "Plant.Press1.Target", 20.0)]
    assert (core.value("Press1.Target"), core.status("Press1.Target")) == (20.0, 0)
    await core.do("Press1.Aim", 30.0, by=OPERATOR)
    assert core.source.told[-1] == ("put", "Plant.Press1.Target", 30.0)
    assert core.value("Press1.Target") == 30.0


async def test_a_setpoint_that_was_refused_changes_nothing(core: Core) -> None:
    core.source.error = CommandError(quality.BAD_NO_COMMUNICATION, "no answer")
    assert await core.put_refused("Press1.Target", 20.0) == quality.BAD_NO_COMMUNICATION
    assert core.value("Press1.Target") == 10.0
    assert core.rows("SELECT * FROM setpoints") == []


@pytest.mark.parametrize(
    ("path", "value", "status"),
    [
        ("Press1.Target", 100.5, quality.BAD_OUT_OF_RANGE),
        ("Press1.Target", math.inf, quality.BAD_OUT_OF_RANGE),
        ("Press1.Target", "fast", quality.BAD_TYPE_MISMATCH),
        ("Press1.Target", None, quality.BAD_TYPE_MISMATCH),
        ("Press1.Batch", 2**15, quality.BAD_TYPE_MISMATCH),
        ("Press1.Batch", 1.0, quality.BAD_TYPE_MISMATCH),
        ("Press1.Mode", 3, quality.BAD_OUT_OF_RANGE),
        ("Press1.Mode", -1, quality.BAD_OUT_OF_RANGE),
        ("Press1.Note", 7, quality.BAD_TYPE_MISMATCH),
        ("Press1.Speed", 1.0, quality.BAD_NOT_WRITABLE),
        ("Press1.Double", 1.0, quality.BAD_NOT_WRITABLE),
        ("Press1.EmergencyStopActive", False, quality.BAD_NOT_WRITABLE),
    ],
)
async def test_wrong_values(core: Core, path: str, value: Any, status: int) -> None:
    everyone = Principal("all", OPERATOR.roles | ENGINEER.roles)
    assert await core.put_refused(path, value, everyone) == status
    assert core.source.told == []


async def test_writing_needs_the_setpoint_s_role(core: Core) -> None:
    assert await core.put_refused("Press1.Target", 1.0, USER) == quality.BAD_USER_ACCESS_DENIED
    assert await core.put_refused("Press1.Batch", 1, OPERATOR) == quality.BAD_USER_ACCESS_DENIED
    await core.put("Press1.Batch", 1, ENGINEER)


async def test_setpoints_are_there_again_after_a_restart(core: Core) -> None:
    written = {"Target": 20.5, "Note": "Grüße", "Mode": 2, "Due": 125_911_584_000_000_000}
    for name, value in written.items():
        await core.put(f"Press1.{name}", value)
    await core.put("Lonely.Target", 7.0)
    stamp = core.store.read(core.id("Press1.Target"))[2]
    again = await core.restarted()
    assert {name: again.value(f"Press1.{name}") for name in written} == written
    assert again.store.read(again.id("Press1.Target"))[2] == stamp
    assert again.value("Lonely.Target") == 7.0
    assert again.value("Press2.Target") == 10.0
    again.close()


async def test_setpoints_that_no_longer_fit_are_left_out(core: Core) -> None:
    await core.put("Press1.Target", 90.0)
    await core.put("Press1.Note", "x")
    await core.put("Press2.Target", 40.0)
    target = "Target: {type: Double, unit: 1/min, range: [0, %d]"
    changed = PLANT.replace(target % 100, target % 50)
    changed = changed.replace("Note: {type: String, access: write", "Note: {type: String")
    (core.folder / "plant.yaml").write_text(changed, encoding="utf-8")
    again = await core.restarted()
    assert again.value("Press1.Target") == 10.0
    assert again.value("Press1.Note") is None
    assert again.value("Press2.Target") == 40.0
    again.close()


async def test_disk_failing_a_setpoint_is_in_force_and_the_log_says_so(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    core.break_disk()
    await core.put("Press1.Target", 20.0)
    assert core.source.told == [("put", "Plant.Press1.Target", 20.0)]
    assert core.value("Press1.Target") == 20.0
    assert "in force but not kept" in caplog.text
    assert "audit record was not kept" in caplog.text


@pytest.mark.parametrize("builtin", [b for b in BuiltinType if b not in (BuiltinType.String, BuiltinType.Boolean)])
def test_fits_type_is_what_the_type_can_hold(builtin: BuiltinType) -> None:
    dtype = np.dtype(VALUE_DTYPES[builtin])
    assert not fits_type(builtin, True)
    assert not fits_type(builtin, "1")
    if dtype.kind == "f":
        assert fits_type(builtin, 1)
        assert not fits_type(builtin, math.inf)
        assert fits_type(builtin, float(np.finfo(dtype).max))
        assert not fits_type(BuiltinType.Float, 1e300)
        return
    limits = np.iinfo(dtype)
    assert fits_type(builtin, int(limits.min))
    assert fits_type(builtin, int(limits.max))
    assert not fits_type(builtin, int(limits.min) - 1)
    assert not fits_type(builtin, int(limits.max) + 1)
    assert not fits_type(builtin, 1.0)

"""The emergency stop: latched, remembered, reset in two calls by the right person, and never lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from core_rig import ENGINEER, OPERATOR, SUPERVISOR, USER, Core

from address_space import Role
from server import emergency_stop, quality
from server.ports import CommandError
from server.security.principal import authenticated

OTHER = authenticated("otto", frozenset({Role.Supervisor}))
INVALID = quality.BAD_INVALID_STATE


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    core = Core(tmp_path)
    core.stops.restore()
    yield core
    core.close()


async def reset(core: Core, name: str = "Press1.") -> None:
    (code,) = await core.do(f"{name}ResetEmergencyStop", "")
    assert await core.do(f"{name}ResetEmergencyStop", code) == ("",)


async def test_nothing_is_latched_at_first(core: Core) -> None:
    for name in ("", "Press1.", "Lonely."):
        assert core.value(f"{name}EmergencyStopActive") is False
        assert core.value(f"{name}EmergencyStopReason") == ""


async def test_a_stop_stops_latches_and_tells_its_cause(core: Core) -> None:
    await core.do("Press1.Start")
    await core.do("Press1.EmergencyStop", "smoke", by=USER)
    assert core.source.told[-1] == ("emergency_stop", "Plant.Press1", True)
    assert core.value("Press1.State") == 2
    shown = [core.value(f"Press1.EmergencyStop{name}") for name in ("Active", "Reason", "By", "Origin")]
    assert shown == [True, "smoke", "ulf", "test 127.0.0.1"]
    assert core.value("Press1.EmergencyStopTime") > 0
    assert not core.latched("Press2")
    assert not core.latched("")


async def test_the_first_cause_is_kept_and_a_second_stop_acts_again(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "first", by=USER)
    since = core.value("Press1.EmergencyStopTime")
    await core.do("Press1.EmergencyStop", "second", by=OPERATOR)
    assert core.value("Press1.EmergencyStopReason") == "first"
    assert core.value("Press1.EmergencyStopBy") == "ulf"
    assert core.value("Press1.EmergencyStopTime") == since
    assert core.source.told == [("emergency_stop", "Plant.Press1", True)] * 2


async def test_the_plant_s_stop_stops_every_machine(core: Core) -> None:
    await core.do("EmergencyStop", "fire", by=USER)
    assert core.source.stopped | core.other.stopped == {f"Plant.Press{i}" for i in (1, 2, 3)}
    assert core.latched("")
    assert not core.latched("Press1"), "a machine's own latch is its own"
    assert await core.refused("Press1.Start") == INVALID
    assert await core.refused("Press1.ResetEmergencyStop", "") == INVALID, "it is the plant's to reset"


async def test_resetting_the_plant_leaves_a_machine_s_own_latch(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    await core.do("EmergencyStop", "fire")
    await reset(core, "")
    assert not core.latched("")
    assert core.source.stopped == {"Plant.Press1"}
    assert core.other.stopped == set()
    await reset(core)
    assert core.source.stopped == set()


async def test_a_reset_takes_two_calls_and_releases_without_starting(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    assert core.latched("Press1"), "asking is not confirming"
    await core.do("Press1.ResetEmergencyStop", code.lower())
    assert not core.latched("Press1")
    assert core.value("Press1.State") == 0
    assert core.value("Press1.EmergencyStopReason") == ""
    assert core.source.told[-1] == ("emergency_stop", "Plant.Press1", False)
    await core.do("Press1.Start")


async def test_a_reset_needs_a_latch(core: Core) -> None:
    assert await core.refused("Press1.ResetEmergencyStop", "") == INVALID


async def test_a_start_is_refused_while_latched(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    assert await core.refused("Press1.Start") == INVALID
    assert ("execute", "Plant.Press1", "Start") not in core.source.told
    await core.do("Press2.Start")
    await core.do("Press1.Stop")


async def test_a_start_that_waits_its_turn_is_refused_when_a_stop_comes_first(core: Core) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(told: tuple[Any, ...]) -> None:
        if told[0] == "put":
            reached.set()
            await go_on.wait()

    core.source.before = hold
    writing = asyncio.create_task(core.put("Press1.Target", 5.0))
    await reached.wait()
    starting = asyncio.create_task(core.refused("Press1.Start"))
    await asyncio.sleep(0)
    await core.do("Press1.EmergencyStop", "smoke")
    go_on.set()
    assert await starting == INVALID
    await writing
    assert ("execute", "Plant.Press1", "Start") not in core.source.told


async def test_no_reset_while_it_moves(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    core.set("Press1.Speed", 1.5)
    assert await core.refused("Press1.ResetEmergencyStop", "") == INVALID
    core.set("Press1.Speed", 0.5)
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    core.set("Press1.Speed", 2.0)
    assert await core.refused("Press1.ResetEmergencyStop", code) == INVALID
    assert core.latched("Press1")


@pytest.mark.parametrize("path", ["Press1.Speed", "Press1.Button"])
async def test_no_reset_while_it_is_not_known(core: Core, path: str) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    core.set(path, 0, quality.BAD_NO_COMMUNICATION)
    assert await core.refused("Press1.ResetEmergencyStop", "") == INVALID


async def test_no_reset_while_the_button_is_pressed(core: Core) -> None:
    await core.do("EmergencyStop", "smoke")
    core.set("Press3.Button", True)
    assert await core.refused("ResetEmergencyStop", "") == INVALID
    core.set("Press3.Button", False)
    await reset(core, "")


async def test_a_wrong_code_uses_the_question_up(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    assert await core.refused("Press1.ResetEmergencyStop", "000000!") == quality.BAD_INVALID_ARGUMENT
    assert await core.refused("Press1.ResetEmergencyStop", code) == INVALID
    assert core.latched("Press1")


async def test_a_code_that_is_no_ascii_is_wrong_as_any_other(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    await core.do("Press1.ResetEmergencyStop", "")
    assert await core.refused("Press1.ResetEmergencyStop", "Ä☢") == quality.BAD_INVALID_ARGUMENT


async def test_a_code_is_for_the_person_it_was_given_to(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    assert await core.refused("Press1.ResetEmergencyStop", code, by=OTHER) == quality.BAD_INVALID_ARGUMENT
    assert core.latched("Press1")


async def test_a_code_is_for_the_machine_it_was_given_for(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    await core.do("Press2.EmergencyStop", "smoke")
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    assert await core.refused("Press2.ResetEmergencyStop", code) == INVALID


async def test_a_code_expires(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(emergency_stop.time, "monotonic", lambda: now[0])
    await core.do("Press1.EmergencyStop", "smoke")
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    now[0] += emergency_stop.CODE_LIFETIME_S + 0.1
    assert await core.refused("Press1.ResetEmergencyStop", code) == INVALID
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    now[0] += emergency_stop.CODE_LIFETIME_S - 0.1
    await core.do("Press1.ResetEmergencyStop", code)
    assert not core.latched("Press1")


async def test_a_stop_makes_a_code_worthless(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    await core.do("Press1.EmergencyStop", "again")
    assert await core.refused("Press1.ResetEmergencyStop", code) == INVALID


async def test_a_stop_during_the_release_wins(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    releasing = asyncio.create_task(core.refused("Press1.ResetEmergencyStop", code))
    while core.stops._resets:  # noqa: ASYNC110  # until the confirmation is taken: the release is being written
        await asyncio.sleep(0)
    await core.do("Press1.EmergencyStop", "again", by=USER)
    assert await releasing == INVALID
    assert core.latched("Press1")
    assert core.source.stopped == {"Plant.Press1"}
    again = await core.restarted()
    assert again.latched("Press1")
    again.close()


async def test_a_stop_of_one_machine_while_the_plant_is_released_wins(core: Core) -> None:
    await core.do("EmergencyStop", "fire")
    (code,) = await core.do("ResetEmergencyStop", "")

    async def stop_press2(told: tuple[Any, ...]) -> None:
        if told == ("emergency_stop", "Plant.Press1", False):
            core.source.before = None
            await core.do("Press2.EmergencyStop", "hand", by=USER)

    core.source.before = stop_press2
    await core.do("ResetEmergencyStop", code)
    assert core.latched("Press2")
    assert core.source.stopped == {"Plant.Press2"}


async def test_a_release_that_fails_latches_again(core: Core) -> None:
    await core.do("EmergencyStop", "fire", by=USER)
    (code,) = await core.do("ResetEmergencyStop", "")
    core.other.error = CommandError(quality.BAD_NO_COMMUNICATION, "no answer")
    assert await core.refused("ResetEmergencyStop", code) == quality.BAD_NO_COMMUNICATION
    assert core.latched("")
    assert core.value("EmergencyStopReason") == "fire"
    assert core.source.stopped == {"Plant.Press1", "Plant.Press2"}
    again = await core.restarted()
    assert again.value("EmergencyStopBy") == "ulf"
    again.close()


async def test_a_restart_keeps_latch_and_cause(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke", by=USER)
    await core.do("EmergencyStop", "fire", by=ENGINEER)
    shown = ("Active", "Reason", "By", "Origin", "Time")
    before = [core.value(f"{at}EmergencyStop{name}") for at in ("", "Press1.") for name in shown]
    again = await core.restarted()
    assert [again.value(f"{at}EmergencyStop{name}") for at in ("", "Press1.") for name in shown] == before
    assert await again.refused("Press2.Start") == INVALID
    await again.stops.assert_latches("fake")
    assert again.source.stopped == {"Plant.Press1", "Plant.Press2"}
    await reset(again, "")
    await reset(again)
    third = await again.restarted()
    assert not third.latched("")
    assert not third.latched("Press1")
    third.close()


async def test_a_code_does_not_outlive_the_server(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    again = await core.restarted()
    assert await again.refused("Press1.ResetEmergencyStop", code) == INVALID
    again.close()


async def test_a_source_that_does_not_answer_is_stopped_when_it_does(core: Core) -> None:
    core.source.error = CommandError(quality.BAD_NO_COMMUNICATION, "no answer")
    assert await core.refused("EmergencyStop", "fire") == quality.BAD_NO_COMMUNICATION
    assert core.latched("")
    assert core.other.stopped == {"Plant.Press3"}, "the others are stopped all the same"
    again = await core.restarted()
    assert again.latched("")
    again.close()
    core.source.error = None
    await core.stops.assert_latches("fake")
    assert core.source.stopped == {"Plant.Press1", "Plant.Press2"}
    assert core.other.told.count(("emergency_stop", "Plant.Press3", True)) == 1, "only its own source is told"


async def test_one_machine_that_fails_keeps_no_other_from_being_told(core: Core) -> None:
    await core.do("EmergencyStop", "fire")
    core.source.stopped.clear()

    async def fail_first(told: tuple[Any, ...]) -> None:
        if told[1] == "Plant.Press1":
            raise CommandError(quality.BAD_NO_COMMUNICATION, "no answer")

    core.source.before = fail_first
    with pytest.raises(CommandError, match="no answer"):
        await core.stops.assert_latches("fake")
    assert core.source.stopped == {"Plant.Press2"}


async def test_a_source_that_breaks_still_leaves_the_latch(core: Core) -> None:
    core.source.error = RuntimeError("a bug")
    assert await core.refused("Press1.EmergencyStop", "smoke") == quality.BAD_NO_COMMUNICATION
    assert core.latched("Press1")


async def test_a_disk_that_fails_does_not_keep_a_machine_from_stopping(core: Core) -> None:
    await core.do("Press1.Start")
    core.break_disk()
    assert await core.refused("Press1.EmergencyStop", "smoke") == quality.BAD_RESOURCE_UNAVAILABLE
    assert core.source.stopped == {"Plant.Press1"}
    assert core.latched("Press1")
    assert core.value("Press1.State") == 2
    assert await core.refused("Press1.EmergencyStop", "once more") == quality.BAD_RESOURCE_UNAVAILABLE
    core.break_disk(False)
    await core.do("Press1.EmergencyStop", "now it is kept")
    again = await core.restarted()
    assert again.value("Press1.EmergencyStopReason") == "smoke"
    again.close()


async def test_a_release_that_cannot_be_kept_is_refused(core: Core) -> None:
    await core.do("Press1.EmergencyStop", "smoke")
    (code,) = await core.do("Press1.ResetEmergencyStop", "")
    core.break_disk()
    assert await core.refused("Press1.ResetEmergencyStop", code) == quality.BAD_RESOURCE_UNAVAILABLE
    assert core.latched("Press1")
    assert core.source.stopped == {"Plant.Press1"}


async def test_a_client_that_goes_away_does_not_take_its_stop_with_it(core: Core) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_told: tuple[Any, ...]) -> None:
        reached.set()
        await go_on.wait()

    core.source.before = hold
    stopping = asyncio.create_task(core.do("Press1.EmergencyStop", "smoke"))
    await reached.wait()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    go_on.set()
    await core.commands.settle(1)
    assert core.source.stopped == {"Plant.Press1"}
    again = await core.restarted()
    assert again.latched("Press1")
    again.close()


async def test_a_latch_of_a_machine_that_is_no_more_is_told(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    await core.do("Press2.EmergencyStop", "smoke", by=SUPERVISOR)
    file = core.folder / "plant.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("  Press2: {type: PressType, source: fake}\n", ""))
    again = await core.restarted()
    assert "names a machine that the plant file no longer has" in caplog.text
    assert not again.latched("Press1")
    again.close()

"""What operators may do, what is refused with which StatusCode of OPC 10000-9, and what is audited."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from alarms_rig import ENGINEER, OPERATOR, ORIGIN, USER, Rig, plant_of, refused, running
from asyncua.ua.status_codes import StatusCodes

from address_space import Role
from server.alarms.ports import MAX_TIME_SHELVED_MS, ONE_SHOT_SHELVED, TIMED_SHELVED, UNSHELVED
from server.security.principal import Principal, authenticated

CONFIRM = "\n      High: {input: X, high: 50, severity: 500, confirm: true, message: Too high}\n"
SUPERVISED = "\n      High: {input: X, high: 50, severity: 500, acknowledge_role: Supervisor, message: Too high}\n"
OTHER = authenticated("otto", frozenset({Role.Operator}))
Act = Callable[[Rig, Principal], Awaitable[None]]
ACTS: dict[str, Act] = {
    "Acknowledge": lambda rig, who: rig.alarms.acknowledge(rig.condition(), rig.state().event_id, "c", who, ORIGIN),
    "Confirm": lambda rig, who: rig.alarms.confirm(rig.condition(), rig.state().event_id, "c", who, ORIGIN),
    "AddComment": lambda rig, who: rig.alarms.add_comment(rig.condition(), rig.state().event_id, "c", who, ORIGIN),
    "TimedShelve": lambda rig, who: rig.alarms.timed_shelve(rig.condition(), 60_000, who, ORIGIN, "c"),
    "OneShotShelve": lambda rig, who: rig.alarms.one_shot_shelve(rig.condition(), who, ORIGIN, "c"),
    "Unshelve": lambda rig, who: rig.alarms.unshelve(rig.condition(), who, ORIGIN, "c"),
    "Suppress": lambda rig, who: rig.alarms.suppress(rig.condition(), who, ORIGIN, "c"),
    "Unsuppress": lambda rig, who: rig.alarms.unsuppress(rig.condition(), who, ORIGIN, "c"),
    "RemoveFromService": lambda rig, who: rig.alarms.remove_from_service(rig.condition(), who, ORIGIN, "c"),
    "PlaceInService": lambda rig, who: rig.alarms.place_in_service(rig.condition(), who, ORIGIN, "c"),
    "Silence": lambda rig, who: rig.alarms.silence(rig.condition(), who, ORIGIN, "c"),
}
ENGINEERS: dict[str, Act] = {
    "Enable": lambda rig, who: rig.alarms.enable(rig.condition(), who, ORIGIN),
    "Disable": lambda rig, who: rig.alarms.disable(rig.condition(), who, ORIGIN),
    "SetLimit high": lambda rig, who: rig.alarms.set_limit(rig.condition(), "high", 60.0, who, ORIGIN),
}


@pytest.mark.parametrize("act", ACTS)
async def test_every_act_takes_the_role_of_the_condition(tmp_path: Path, act: str) -> None:
    async with running(tmp_path, plant_of(tmp_path, SUPERVISED)) as rig:
        await rig.set(51.0)
        for who in (USER, OPERATOR):
            async with refused(rig, StatusCodes.BadUserAccessDenied):
                await ACTS[act](rig, who)
            assert rig.audited[-1][:3] == (who.name, ORIGIN, f"Plant.M1.High.{act}")


@pytest.mark.parametrize("act", ENGINEERS)
async def test_settings_take_an_engineer(tmp_path: Path, act: str) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig, refused(rig, StatusCodes.BadUserAccessDenied):
        await ENGINEERS[act](rig, OPERATOR)


@pytest.mark.parametrize("act", ACTS)
async def test_nothing_can_be_done_with_a_disabled_condition(tmp_path: Path, act: str) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(51.0)
        await rig.alarms.disable(rig.condition(), ENGINEER, ORIGIN)
        async with refused(rig, StatusCodes.BadConditionDisabled):
            await ACTS[act](rig, OPERATOR)


async def test_enable_and_disable_twice(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        async with refused(rig, StatusCodes.BadConditionAlreadyEnabled):
            await rig.alarms.enable(rig.condition(), ENGINEER, ORIGIN)
        await rig.alarms.disable(rig.condition(), ENGINEER, ORIGIN)
        async with refused(rig, StatusCodes.BadConditionAlreadyDisabled):
            await rig.alarms.disable(rig.condition(), ENGINEER, ORIGIN)


@pytest.mark.parametrize("event_id", [b"", b"x" * 16, b"\0" * 1000])
@pytest.mark.parametrize("act", ["acknowledge", "confirm", "add_comment"])
async def test_an_unknown_event(tmp_path: Path, act: str, event_id: bytes) -> None:
    async with running(tmp_path, plant_of(tmp_path, count=2)) as rig:
        await rig.set(51.0)
        await rig.set(51.0, "M2.X")
        async with refused(rig, StatusCodes.BadEventIdUnknown):
            await getattr(rig.alarms, act)(rig.condition(), event_id, None, OPERATOR, ORIGIN)
        async with refused(rig, StatusCodes.BadEventIdUnknown):  # another condition's
            other = rig.state("M2.High").event_id
            await getattr(rig.alarms, act)(rig.condition(), other, None, OPERATOR, ORIGIN)


async def test_acknowledged_and_confirmed_already(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, CONFIRM)) as rig:
        await rig.set(51.0)
        active = rig.state().event_id
        async with refused(rig, StatusCodes.BadConditionBranchAlreadyConfirmed):
            await rig.alarms.confirm(rig.condition(), active, None, OPERATOR, ORIGIN)
        await rig.alarms.acknowledge(rig.condition(), active, None, OPERATOR, ORIGIN)
        async with refused(rig, StatusCodes.BadConditionBranchAlreadyAcked):
            await rig.alarms.acknowledge(rig.condition(), rig.state().event_id, None, OPERATOR, ORIGIN)
        await rig.alarms.confirm(rig.condition(), rig.state().event_id, None, OPERATOR, ORIGIN)
        async with refused(rig, StatusCodes.BadConditionBranchAlreadyConfirmed):
            await rig.alarms.confirm(rig.condition(), active, None, OPERATOR, ORIGIN)


async def test_a_branch_that_has_ended(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, CONFIRM)) as rig:
        for value in (51.0, 1.0, 52.0):
            await rig.set(value)
        (branch,) = rig.alarms.branches(rig.condition())
        await rig.alarms.acknowledge(rig.condition(), branch.event_id, None, OPERATOR, ORIGIN)
        async with refused(rig, StatusCodes.BadConditionBranchAlreadyAcked):
            await rig.alarms.acknowledge(rig.condition(), branch.event_id, None, OPERATOR, ORIGIN)
        await rig.alarms.confirm(rig.condition(), branch.event_id, None, OPERATOR, ORIGIN)
        async with refused(rig, StatusCodes.BadConditionBranchAlreadyAcked):
            await rig.alarms.acknowledge(rig.condition(), branch.event_id, None, OPERATOR, ORIGIN)
        async with refused(rig, StatusCodes.BadConditionBranchAlreadyConfirmed):
            await rig.alarms.confirm(rig.condition(), branch.event_id, None, OPERATOR, ORIGIN)
        async with refused(rig, StatusCodes.BadEventIdUnknown):
            await rig.alarms.add_comment(rig.condition(), branch.event_id, "late", OPERATOR, ORIGIN)
        assert not rig.state().acked


async def test_comments(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(51.0)
        first = rig.state().event_id
        for comment, shown in (("a", "a"), (None, "a"), ("", ""), ("b", "b")):
            await rig.alarms.add_comment(rig.condition(), first, comment, OPERATOR, ORIGIN)
            assert rig.state().comment == shown
        commented = rig.state().comment_time
        await rig.alarms.acknowledge(rig.condition(), first, None, OTHER, ORIGIN)
        state = rig.state()
        assert (state.comment, state.comment_time, state.client_user) == ("b", commented, "otto")
        assert not rig.events[-2].acked


async def test_timed_shelving_ends_by_itself(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(51.0)
        began = time.monotonic()
        await rig.alarms.timed_shelve(rig.condition(), 300.0, OPERATOR, ORIGIN, "later")
        state = rig.state()
        assert (state.shelving, state.suppressed_or_shelved, state.comment) == (TIMED_SHELVED, True, "later")
        assert 0 < state.unshelve_at - time.monotonic() <= 0.3
        async with refused(rig, StatusCodes.BadConditionAlreadyShelved):
            await rig.alarms.timed_shelve(rig.condition(), 60_000.0, OPERATOR, ORIGIN)
        await rig.until(lambda: rig.state().shelving == UNSHELVED)
        assert time.monotonic() - began >= 0.29
        assert not rig.state().suppressed_or_shelved
        assert rig.state().unshelve_at == 0
        assert rig.kinds() == ["active", "shelved", "unshelved"]


async def test_one_shot_shelving_ends_when_the_condition_is_normal(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(51.0)
        await rig.alarms.one_shot_shelve(rig.condition(), OPERATOR, ORIGIN)
        assert rig.state().shelving == ONE_SHOT_SHELVED
        async with refused(rig, StatusCodes.BadConditionAlreadyShelved):
            await rig.alarms.one_shot_shelve(rig.condition(), OPERATOR, ORIGIN)
        await rig.set(1.0)
        assert (rig.state().shelving, rig.state().unshelve_at) == (UNSHELVED, 0.0)
        assert rig.kinds() == ["active", "shelved", "inactive", "unshelved"]


async def test_unshelve(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        async with refused(rig, StatusCodes.BadConditionNotShelved):
            await rig.alarms.unshelve(rig.condition(), OPERATOR, ORIGIN)
        await rig.alarms.one_shot_shelve(rig.condition(), OPERATOR, ORIGIN)
        await rig.alarms.timed_shelve(rig.condition(), MAX_TIME_SHELVED_MS, OPERATOR, ORIGIN)
        assert rig.state().shelving == TIMED_SHELVED
        await rig.alarms.unshelve(rig.condition(), OPERATOR, ORIGIN)
        assert (rig.state().shelving, rig.state().unshelve_at) == (UNSHELVED, 0.0)


@pytest.mark.parametrize("milliseconds", [0.0, -1.0, MAX_TIME_SHELVED_MS + 1, float("inf"), float("nan")])
async def test_a_shelving_time_out_of_range(tmp_path: Path, milliseconds: float) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig, refused(rig, StatusCodes.BadShelvingTimeOutOfRange):
        await rig.alarms.timed_shelve(rig.condition(), milliseconds, OPERATOR, ORIGIN)


@pytest.mark.parametrize(
    ("on", "off", "field", "kinds"),
    [
        ("suppress", "unsuppress", "suppressed", ["suppressed", "unsuppressed"]),
        ("remove_from_service", "place_in_service", "out_of_service", ["out_of_service", "in_service"]),
    ],
)
async def test_suppression_and_service(tmp_path: Path, on: str, off: str, field: str, kinds: list[str]) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        for act, wanted in ((on, True), (on, True), (off, False), (off, False)):
            await getattr(rig.alarms, act)(rig.condition(), OPERATOR, ORIGIN)
            assert getattr(rig.state(), field) is wanted
            assert rig.state().suppressed_or_shelved is wanted
        assert rig.kinds() == kinds, "again changes nothing"
        assert len(rig.audited) == 4
        await getattr(rig.alarms, on)(rig.condition(), OPERATOR, ORIGIN)
        await rig.set(51.0)
        assert rig.state().active, "it is evaluated all the same"
        assert rig.state().suppressed_or_shelved


async def test_the_next_activation_sounds_again(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(51.0)
        await rig.alarms.silence(rig.condition(), OPERATOR, ORIGIN)
        assert rig.state().silenced
        await rig.alarms.acknowledge(rig.condition(), rig.state().event_id, None, OPERATOR, ORIGIN)
        await rig.set(1.0)
        assert rig.state().silenced
        await rig.set(51.0)
        assert not rig.state().silenced


async def test_all_that_is_done_is_audited(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(51.0)
        event_id = rig.state().event_id
        done: list[tuple[str, list[Any]]] = [
            ("Acknowledge", [event_id.hex(), "c"]), ("AddComment", [rig.state().event_id.hex(), "c"]),
            ("TimedShelve", [60_000, "c"]), ("OneShotShelve", ["c"]), ("Unshelve", ["c"]), ("Suppress", ["c"]),
            ("Unsuppress", ["c"]), ("RemoveFromService", ["c"]), ("PlaceInService", ["c"]), ("Silence", ["c"]),
        ]  # fmt: skip
        for act, _ in done:
            await ACTS[act](rig, OPERATOR)
        done[1][1][0] = rig.audited[1][3][0]  # the event that was commented was that of the acknowledgement
        await ENGINEERS["SetLimit high"](rig, ENGINEER)
        await ENGINEERS["Disable"](rig, ENGINEER)
        await ENGINEERS["Enable"](rig, ENGINEER)
        expected = [("olga", ORIGIN, f"Plant.M1.High.{act}", arguments, 0) for act, arguments in done]
        expected += [
            ("egon", ORIGIN, f"Plant.M1.High.{act}", arguments, 0)
            for act, arguments in (("SetLimit high", [60.0]), ("Disable", []), ("Enable", []))
        ]
        assert rig.audited == expected

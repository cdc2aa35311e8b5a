"""What becomes of one condition: active, acknowledged, branches, delays, quality (OPC 10000-9 5.5 to 5.8)."""

import time
from pathlib import Path

from alarms_rig import ALARMS, BAD, ENGINEER, OPERATOR, ORIGIN, plant_of, running, seconds

from server.alarms import Snapshot
from server.alarms.ports import HIGH, HIGH_HIGH, LOW, LOW_LOW
from server.alarms.states import MOST_BRANCHES
from server.store import now_ticks

CONFIRM = "\n      High: {input: X, high: 50, severity: 500, confirm: true, message: Too high}\n"
DELAYED = "\n      High: {{input: X, high: 50, severity: 500, on_delay: {on}, off_delay: {off}, message: Too high}}\n"


async def test_active_acknowledged_inactive(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        measured = now_ticks() - seconds(60)
        assert not rig.state().retain
        rig.put(51.0, at=measured)
        await rig.until(lambda: rig.state().active)
        state = rig.state()
        assert state.retain
        assert not state.acked
        assert (state.severity, state.message, state.limits) == (500, "Too high", HIGH)
        assert (state.time, state.active_time) == (measured, measured), "when it was measured"
        assert state.receive_time > measured
        await rig.alarms.acknowledge(rig.condition(), state.event_id, "seen", OPERATOR, ORIGIN)
        state = rig.state()
        assert state.acked
        assert state.confirmed
        assert state.retain, "it is active"
        assert (state.comment, state.client_user) == ("seen", "olga")
        await rig.set(49.0)
        state = rig.state()
        assert not state.active
        assert not state.retain
        assert state.limits == 0
        assert rig.kinds() == ["active", "acknowledged", "inactive"]
        assert len({event.event_id for event in rig.events}) == len(rig.events)


async def test_the_limit_itself_is_not_exceeded_and_the_deadband_holds(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, ALARMS)) as rig:
        for value in (10.0, 10.5, 8.5, 8.0, 9.5):
            await rig.set(value)
        assert rig.kinds("M1.Level") == ["active", "inactive"]


async def test_a_deadband_wider_than_what_lies_between_two_limits(tmp_path: Path) -> None:
    wide = "\n      Wide: {input: X, high: 1, low: 0, deadband: 5, severity: 500, message: Wide}\n"
    async with running(tmp_path, plant_of(tmp_path, wide)) as rig:
        found: list[int] = []
        for value in (2.0, -1.0, 0.5, 2.0, 0.5, -5.0, 6.0):
            await rig.set(value)
            found.append(rig.state("M1.Wide").limits)
        assert found == [HIGH, LOW, LOW, HIGH, HIGH, LOW, HIGH], "an exclusive condition exceeds one limit"


async def test_retain_stays_until_it_was_acknowledged(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(51.0)
        await rig.set(1.0)
        assert rig.state().retain
        assert rig.state() in rig.alarms.retained()
        await rig.alarms.acknowledge(rig.condition(), rig.state().event_id, None, OPERATOR, ORIGIN)
        assert not rig.state().retain
        assert rig.condition() not in [it.condition for it in rig.alarms.retained()]


async def test_an_acknowledgement_may_have_to_be_confirmed(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, CONFIRM)) as rig:
        await rig.set(51.0)
        await rig.alarms.acknowledge(rig.condition(), rig.state().event_id, None, OPERATOR, ORIGIN)
        assert not rig.state().confirmed
        await rig.set(1.0)
        assert rig.state().retain
        await rig.alarms.confirm(rig.condition(), rig.state().event_id, "done", OPERATOR, ORIGIN)
        assert rig.state().confirmed
        assert not rig.state().retain
        assert rig.kinds() == ["active", "acknowledged", "inactive", "confirmed"]


async def test_an_activation_that_nobody_acknowledged_becomes_a_branch(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(51.0)
        first = rig.state()
        await rig.set(1.0)
        await rig.set(52.0)
        assert rig.kinds() == ["active", "inactive", "branch", "active"]
        (branch,) = rig.alarms.branches(rig.condition())
        assert len(branch.branch) == 16
        assert branch.retain
        assert not branch.active
        assert branch.active_time != rig.state().active_time
        assert branch in rig.alarms.retained()
        # the first activation's event is of the branch now, the last one's of the trunk
        await rig.alarms.acknowledge(rig.condition(), first.event_id, "old", OPERATOR, ORIGIN)
        assert rig.alarms.branches(rig.condition()) == ()
        assert (rig.events[-1].branch, rig.events[-1].retain) == (branch.branch, False)
        assert not rig.state().acked
        await rig.alarms.acknowledge(rig.condition(), rig.state().event_id, "new", OPERATOR, ORIGIN)
        assert rig.state().acked
        assert rig.state().branch == b""


async def test_a_branch_is_confirmed_by_itself(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, CONFIRM)) as rig:
        for value in (51.0, 1.0, 52.0, 1.0, 53.0):
            await rig.set(value)
        first, second = rig.alarms.branches(rig.condition())
        assert first.active_time < second.active_time
        await rig.alarms.acknowledge(rig.condition(), second.event_id, None, OPERATOR, ORIGIN)
        assert [it.acked for it in rig.alarms.branches(rig.condition())] == [False, True]
        await rig.alarms.confirm(rig.condition(), rig.events[-1].event_id, None, OPERATOR, ORIGIN)
        assert [it.branch for it in rig.alarms.branches(rig.condition())] == [first.branch]
        assert not rig.state().acked


async def test_the_oldest_of_too_many_branches_ends_with_an_event_and_is_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        for _ in range(MOST_BRANCHES + 2):
            rig.put(51.0)
            rig.put(1.0)
        await rig.seen()
        branches = rig.alarms.branches(rig.condition())
        assert len(branches) == MOST_BRANCHES
        ended = [it for it in rig.events if it.kind_of_event == "acknowledged"]
        assert len(ended) == 1
        assert ended[0].branch == next(it.branch for it in rig.events if it.kind_of_event == "branch")
        assert not ended[0].retain
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        assert {it.branch for it in rig.alarms.branches(rig.condition())} == {it.branch for it in branches}


async def test_severities_and_the_last_severity_follow_the_limits(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, ALARMS)) as rig:
        found: list[tuple[int, int, int]] = []
        for value in (15.0, 25.0, 15.0, -15.0):
            await rig.set(value)
            state = rig.state("M1.Level")
            found.append((state.limits, state.severity, state.last_severity))
        assert found == [(HIGH, 500, 0), (HIGH_HIGH, 800, 500), (HIGH, 500, 800), (LOW, 300, 500)]
        assert rig.kinds("M1.Level") == ["active", "limit", "limit", "limit"]
        assert rig.state("M1.Level").severity_time == rig.state("M1.Level").time
        await rig.set(25.0)
        assert rig.state("M1.Free").limits == HIGH | HIGH_HIGH
        await rig.set(-25.0)
        assert rig.state("M1.Free").limits == LOW | LOW_LOW
        assert rig.state("M1.Level").limits == LOW_LOW


async def test_a_bad_value_changes_the_quality_and_not_the_state(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(1.0)
        await rig.set(0.0, status=BAD)
        assert rig.kinds() == [], "nobody has to know of a condition that is normal"
        await rig.set(51.0)
        await rig.set(0.0, status=BAD)
        state = rig.state()
        assert (state.kind_of_event, state.quality, state.active) == ("quality", BAD, True)
        assert state.quality_time > state.active_time
        await rig.set(52.0, status=0x40900000)
        await rig.set(53.0)
        assert rig.kinds() == ["active", "quality", "quality", "quality"]
        assert rig.state().quality == 0


async def test_a_bad_value_is_not_what_a_rate_starts_from(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, ALARMS)) as rig:
        now = now_ticks()
        rig.put(100.0, at=now - seconds(3))
        rig.put(0.0, at=now - seconds(2), status=BAD)
        rig.put(101.0, at=now - seconds(1))
        await rig.seen()
        assert rig.kinds("M1.Rate") == []


async def test_an_on_delay_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, DELAYED.format(on=0.3, off=0))) as rig:
        await rig.set(51.0)
        assert not rig.state().active
        await rig.set(1.0)  # too short
        began = time.monotonic()
        await rig.set(51.0)
        await rig.until(lambda: rig.state().active)
        assert time.monotonic() - began >= 0.29
        assert rig.kinds() == ["active"]
        await rig.set(1.0)
        assert not rig.state().active


async def test_an_off_delay_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, DELAYED.format(on=0, off=0.3))) as rig:
        await rig.set(51.0)
        await rig.set(1.0)
        assert rig.state().active
        await rig.set(51.0)  # too short
        began = time.monotonic()
        await rig.set(1.0)
        await rig.until(lambda: not rig.state().active)
        assert time.monotonic() - began >= 0.29
        assert rig.kinds() == ["active", "inactive"]


async def test_a_condition_that_is_enabled_again_waits_for_its_on_delay(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, DELAYED.format(on=0.3, off=0))) as rig:
        await rig.alarms.disable(rig.condition(), ENGINEER, ORIGIN)
        await rig.set(51.0)
        began = time.monotonic()
        await rig.alarms.enable(rig.condition(), ENGINEER, ORIGIN)
        assert not rig.state().active
        await rig.until(lambda: rig.state().active)
        assert time.monotonic() - began >= 0.29


async def test_a_disabled_condition_raises_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.set(51.0)
        await rig.alarms.disable(rig.condition(), ENGINEER, ORIGIN)
        assert not rig.state().enabled
        assert not rig.state().retain
        assert rig.condition() not in [it.condition for it in rig.alarms.retained()]
        await rig.set(1.0)
        await rig.set(52.0, status=BAD)
        await rig.set(1.0)
        assert rig.kinds() == ["active", "disabled"]
        await rig.alarms.enable(rig.condition(), ENGINEER, ORIGIN)
        assert rig.kinds() == ["active", "disabled", "enabled", "inactive"]
        assert rig.state().retain, "it was not acknowledged"


async def test_branches_of_a_disabled_condition_are_not_retained(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        for value in (51.0, 1.0, 52.0):
            await rig.set(value)
        await rig.alarms.disable(rig.condition(), ENGINEER, ORIGIN)
        assert rig.condition() not in [it.condition for it in rig.alarms.retained()]
        await rig.alarms.enable(rig.condition(), ENGINEER, ORIGIN)
        assert [it.branch != b"" for it in rig.alarms.retained() if it.condition is rig.condition()] == [False, True]


async def test_a_condition_disabled_during_a_burst_is_not_activated(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, count=1000)) as rig:
        conditions = [it for it in rig.plant.conditions if it.name == "High"]
        last, tasks = conditions[-1], list[object]()

        async def disable() -> None:
            await rig.alarms.disable(last, ENGINEER, ORIGIN)

        def listen(snapshots: object) -> None:
            if not tasks:
                tasks.append(rig.spawn(disable()))

        rig.alarms.listeners.append(listen)
        rig.put_all(conditions, 99.0)
        await rig.seen()
        path = last.path.removeprefix("Plant.")
        assert rig.kinds(path) == ["disabled"]
        assert sum(it.kind_of_event == "active" for it in rig.events) == 999


async def test_of_one_listener_s_trouble_the_others_hear_nothing(tmp_path: Path) -> None:
    def broken(_snapshots: object) -> None:
        raise ValueError("broken")

    async with running(tmp_path, plant_of(tmp_path)) as rig:
        rig.alarms.listeners.insert(0, broken)
        await rig.set(51.0)
        assert rig.kinds() == ["active"]


async def test_history_has_every_event_as_it_was(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        start = now_ticks()
        for value in (51.0, 1.0, 52.0):
            await rig.set(value)
        await rig.alarms.acknowledge(rig.condition(), rig.state().event_id, "now", OPERATOR, ORIGIN)
        end = now_ticks() + 1

        def own(events: list[Snapshot]) -> list[Snapshot]:
            return [it for it in events if it.condition is rig.condition()]

        told = sorted(own(rig.events), key=lambda it: it.time)
        assert own(await rig.alarms.history(start, end)) == told
        assert len(await rig.alarms.history(start, end, 2)) == 2
        assert own(await rig.alarms.history(start, told[1].time)) == told[:1]
        assert await rig.alarms.history(end, end + seconds(10)) == []

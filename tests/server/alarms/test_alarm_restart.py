"""Nothing of a condition is lost by a restart, nor by kill -9; and what has changed meanwhile is told."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alarms_child import COUNT
from alarms_rig import ENGINEER, ONE, OPERATOR, ORIGIN, Rig, plant_of, running

from server.alarms.ports import HIGH, TIMED_SHELVED, UNSHELVED, Snapshot
from server.errors import StartError

CONFIRM = "\n      High: {input: X, high: 50, severity: 500, confirm: true, message: Too high}\n"


def comparable(snapshot: Snapshot) -> Snapshot:
    """Without what a restart may change: the condition is another object, and values are not there yet."""
    return snapshot._replace(condition=snapshot.condition.path, quality=0, quality_time=0, unshelve_at=0.0)  # type: ignore[arg-type]


async def test_a_restart_keeps_states_branches_and_what_waits_to_be_acknowledged(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, CONFIRM, count=4)) as rig:
        for value in (51.0, 1.0, 52.0, 1.0, 53.0):
            await rig.set(value)
        first, second = rig.alarms.branches(rig.condition())
        await rig.alarms.acknowledge(rig.condition(), first.event_id, "half", OPERATOR, ORIGIN)
        await rig.alarms.suppress(rig.condition("M2.High"), OPERATOR, ORIGIN)
        await rig.alarms.disable(rig.condition("M3.High"), ENGINEER, ORIGIN)
        await rig.alarms.timed_shelve(rig.condition("M4.High"), 60_000, OPERATOR, ORIGIN)
        states = [comparable(rig.state(f"M{number}.High")) for number in (1, 2, 3, 4)]
        branches = [comparable(it) for it in rig.alarms.branches(rig.condition())]
        ends = rig.state("M4.High").unshelve_at
    rig = Rig(tmp_path, plant_of(tmp_path, CONFIRM, count=4))
    try:
        assert [comparable(rig.state(f"M{number}.High")) for number in (1, 2, 3, 4)] == states
        assert [comparable(it) for it in rig.alarms.branches(rig.condition())] == branches
        assert rig.state("M4.High").unshelve_at == pytest.approx(ends, abs=0.1)
    finally:
        rig.alarms.close()
    async with running(tmp_path, plant_of(tmp_path, CONFIRM, count=4)) as rig:
        await rig.set(54.0)
        await rig.alarms.confirm(rig.condition(), branches[0].event_id, None, OPERATOR, ORIGIN)
        await rig.alarms.acknowledge(rig.condition(), second.event_id, None, OPERATOR, ORIGIN)
        await rig.alarms.acknowledge(rig.condition(), states[0].event_id, None, OPERATOR, ORIGIN)
        assert [it.branch for it in rig.alarms.branches(rig.condition())] == [second.branch]
        assert rig.state().acked
        await rig.set(99.0, "M3.X")
        assert not rig.state("M3.High").active, "it is disabled"
        await rig.alarms.unshelve(rig.condition("M4.High"), OPERATOR, ORIGIN)


async def test_shelving_that_has_ended_meanwhile_ends_at_the_start(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.alarms.timed_shelve(rig.condition(), 100.0, OPERATOR, ORIGIN)
        assert rig.state().shelving == TIMED_SHELVED
        ends = rig.state().unshelve_at
    await asyncio.sleep(ends - time.monotonic())  # time itself is what is waited for
    rig = Rig(tmp_path, plant_of(tmp_path))
    try:
        assert rig.state().shelving == TIMED_SHELVED
    finally:
        rig.alarms.close()
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        await rig.until(lambda: rig.state().shelving == UNSHELVED)


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [(51.0, 51.0, []), (51.0, 1.0, ["inactive"]), (1.0, 51.0, ["active"]), (1.0, 1.0, [])],
)
async def test_what_has_changed_is_told_at_the_start(
    tmp_path: Path, before: float, after: float, kinds: list[str]
) -> None:
    plant = plant_of(tmp_path)
    async with running(tmp_path, plant) as rig:
        await rig.set(before)
    rig = Rig(tmp_path, plant)
    rig.put(after)
    task = rig.spawn(rig.alarms.run())
    await rig.seen()
    assert rig.kinds() == kinds
    assert rig.state().active is (after > 50)
    task.cancel()
    rig.alarms.close()


async def test_a_value_that_is_not_there_yet_leaves_the_state(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    async with running(tmp_path, plant) as rig:
        await rig.set(51.0)
    rig = Rig(tmp_path, plant)
    task = rig.spawn(rig.alarms.run())
    await rig.seen()
    assert rig.state().active
    assert rig.kinds() == ["quality"], "its value is Bad: BadWaitingForInitialData"
    task.cancel()
    rig.alarms.close()


@pytest.mark.parametrize(
    ("then", "value", "active", "limits"),
    [
        ("input: X, high: 50", 1.0, False, 0),
        ("input: X, high: 50", 51.0, True, HIGH),
        ("when: X > 50", 1.0, False, 0),
        ("when: X > 50", 51.0, True, 0),
    ],
)
@pytest.mark.parametrize("first", ["input: X, high: 50", "when: X > 50"])
async def test_a_condition_that_was_edited_while_active(
    tmp_path: Path, first: str, then: str, value: float, active: bool, limits: int
) -> None:
    alarm = "\n      High: {{{}, severity: 500, message: Too high}}\n"
    async with running(tmp_path, plant_of(tmp_path, alarm.format(first))) as rig:
        await rig.set(51.0)
        assert rig.state().active
    async with running(tmp_path, plant_of(tmp_path, alarm.format(then))) as rig:
        await rig.set(value)
        assert (rig.state().active, rig.state().limits) == (active, limits)


async def test_what_the_plant_no_longer_has_is_left_out(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, count=3)) as rig:
        await rig.set(51.0, "M3.X")
        await rig.alarms.set_limit(rig.condition("M3.High"), "high", 60.0, ENGINEER, ORIGIN)
    async with running(tmp_path, plant_of(tmp_path, count=1)) as rig:
        events = await rig.alarms.history(0, 1 << 62)
        assert {it.condition.path for it in events} == {"Plant.ZMark.Mark"}


async def test_two_engines_numbers_may_differ(tmp_path: Path) -> None:
    """A condition is known by its path, not by its number."""
    more = "\n      Another: {input: X, low: -100, severity: 1, message: Low}" + ONE
    async with running(tmp_path, plant_of(tmp_path, more)) as rig:
        await rig.set(51.0)
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        assert rig.state().active


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "alarms.sqlite").mkdir()
    with pytest.raises(StartError, match="the state of alarms cannot be kept here"):
        Rig(tmp_path, plant_of(tmp_path))


@pytest.mark.parametrize("kill_after", [1, 40])
def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path, kill_after: int) -> None:
    command = [sys.executable, str(Path(__file__).with_name("alarms_child.py")), str(tmp_path)]
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        command, cwd=root, env={"PYTHONPATH": str(root)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    answered: list[str] = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            answered.append(line.strip())
            assert line.startswith("Plant."), line
            if len(answered) == kill_after:
                process.kill()
    assert kill_after <= len(answered) < COUNT
    rig = Rig(tmp_path, plant_of(tmp_path, count=COUNT))
    try:
        for number in range(1, COUNT + 1):
            condition = rig.condition(f"M{number}.High")
            state, branches = rig.alarms.state(condition), rig.alarms.branches(condition)
            assert state.active
            assert not state.acked
            assert len(branches) <= (condition.path not in answered)
        left = sum(len(rig.alarms.branches(it)) for it in rig.plant.conditions if it.name == "High")
        assert COUNT - len(answered) - 1 <= left <= COUNT - len(answered), "one may be kept and not answered yet"
        assert rig.alarms.limits(rig.condition()) == {"high": 60.0}
    finally:
        rig.alarms.close()

"""Many conditions at once: everything is told once, in order and kept, and others have their turn meanwhile."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from alarms_rig import BAD, ENGINEER, OPERATOR, ORIGIN, Rig, most_between_turns, plant_of, running, seconds

from address_space.model import Condition, Plant
from server.store import now_ticks

COUNT, BURST, ROWS = 10_000, 5_000, 5_000
AT_ONCE = 500
"""Events that may be told before others have their turn: far below the burst, some times what it is."""
DELAYED = "\n      High: {input: X, high: 50, severity: 500, on_delay: 0.2, message: Too high}\n"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return plant_of(tmp_path_factory.mktemp("many"), count=COUNT)


def high(rig: Rig, count: int = BURST) -> list[Condition]:
    return [it for it in rig.plant.conditions if it.name == "High"][:count]


async def test_a_burst_is_told_once_in_order_and_kept(tmp_path: Path, many: Plant) -> None:
    async with running(tmp_path, many) as rig:
        chosen, start = high(rig), now_ticks()
        # the order in which they are written: another than that of the conditions
        rng = np.random.default_rng(1)
        ids = np.array([it.inputs[0].id for it in chosen])
        stamps = start + rng.permutation(BURST)
        burst = rig.spawn(rig.seen_after(lambda: rig.store.write(ids, np.full(BURST, 99.0), stamps)))
        at_once = await most_between_turns(rig, burst)
        told = [it for it in rig.events if it.kind_of_event == "active" and it.condition.name == "High"]
        assert Counter(it.condition.id for it in told) == Counter(it.id for it in chosen)
        assert len({it.event_id for it in told}) == BURST
        assert [it.time for it in told] == sorted(stamps.tolist())
        assert all(it.time == stamps[it.condition.inputs[0].id == ids][0] for it in told[::100])
        assert at_once <= AT_ONCE
        rig.put_all(chosen, 1.0)
        await rig.seen()
        per_condition = [it.kind_of_event for it in rig.events if it.condition is chosen[-1]]
        assert per_condition == ["active", "inactive"]
        kept = [it for it in await rig.alarms.history(start, now_ticks() + 1) if it.condition.name == "High"]
        assert len(kept) == 2 * BURST
        assert kept == sorted((it for it in rig.events if it.condition.name == "High"), key=lambda it: it.time)


async def test_transitions_of_one_variable_are_told_in_order(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path)) as rig:
        start, variable = now_ticks(), rig.plant.variable("Plant.M1.X").id
        values = np.tile([99.0, 1.0], 500)
        rig.store.write(np.full(1000, variable), values, start + np.arange(1000))
        await rig.seen()
        own = [it for it in rig.events if not it.branch and it.condition is rig.condition()]
        assert [it.kind_of_event for it in own] == ["active", "inactive"] * 500
        assert [it.time - start for it in own] == list(range(1000))


async def test_many_rows_of_one_variable_do_not_hold_the_event_loop(tmp_path: Path, many: Plant) -> None:
    async with running(tmp_path, many) as rig:
        variable = rig.plant.variable("Plant.M1.X").id
        stamps, values = now_ticks() + np.arange(ROWS), np.tile([99.0, 1.0], ROWS // 2)
        rows = rig.spawn(rig.seen_after(lambda: rig.store.write(np.full(ROWS, variable), values, stamps)))
        assert await most_between_turns(rig, rows) <= AT_ONCE
        assert sum(it.kind_of_event == "active" for it in rig.events) >= ROWS // 2


async def test_many_inputs_that_turn_bad_do_not_hold_the_event_loop(tmp_path: Path, many: Plant) -> None:
    async with running(tmp_path, many) as rig:
        rig.put_all(high(rig), 99.0)
        await rig.seen()
        turned = rig.spawn(rig.seen_after(lambda: rig.put_all(high(rig), 0.0, BAD)))
        assert await most_between_turns(rig, turned) <= AT_ONCE
        assert sum(it.kind_of_event == "quality" for it in rig.events) == BURST


async def test_many_delays_that_end_together_do_not_hold_the_event_loop(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, DELAYED, count=BURST)) as rig:
        rig.put_all(high(rig), 99.0)
        ended = rig.spawn(rig.until(lambda: sum(it.kind_of_event == "active" for it in rig.events) >= BURST))
        assert await most_between_turns(rig, ended) <= AT_ONCE
        assert Counter(it.condition.id for it in rig.events if it.condition.name == "High").most_common(1)[0][1] == 1


async def test_operators_have_their_turn_during_a_burst(tmp_path: Path, many: Plant) -> None:
    async with running(tmp_path, many) as rig:
        chosen = high(rig)
        rig.put_all(chosen[:1], 99.0)
        await rig.seen()
        rig.put_all(chosen[1:], 99.0)
        await rig.alarms.acknowledge(chosen[0], rig.alarms.state(chosen[0]).event_id, None, OPERATOR, ORIGIN)
        await rig.alarms.set_limit(chosen[-1], "high", 100.0, ENGINEER, ORIGIN)
        await rig.seen()
        assert rig.alarms.state(chosen[0]).acked
        assert not rig.alarms.state(chosen[-1]).active
        assert all(rig.alarms.state(it).active for it in chosen[:-1])


async def test_what_was_lost_of_the_journal_is_made_up_for(tmp_path: Path) -> None:
    async with running(tmp_path, plant_of(tmp_path, count=10), journal=256) as rig:
        rig.put(51.0)
        rig.put(52.0, "M10.X")
        for _ in range(4):
            rig.store.write(np.full(200, rig.plant.variable("Plant.M2.X").id), np.full(200, 1.0), now_ticks())
        await rig.until(lambda: rig.state().active and rig.state("M10.High").active)
        assert rig.state().active_time <= now_ticks() + seconds(1)

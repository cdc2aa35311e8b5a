"""Computed variables: value, status and time follow from their inputs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from core_rig import Core

from server import quality
from server.computed import Computed
from server.quality import UNCERTAIN_LAST_USABLE


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    core = Core(tmp_path)
    yield core
    core.close()


def follow(core: Core, *paths: str) -> None:
    Computed(core.plant, core.store).follow(np.array([core.id(path) for path in paths]))


def test_value_status_and_time_are_those_of_the_inputs(core: Core) -> None:
    core.set("Press1.Speed", 21.0, 0, 1000)
    core.set("Press1.Target", 42.0, UNCERTAIN_LAST_USABLE, 2000)
    follow(core, "Press1.Speed", "Press1.Target")
    assert core.store.read(core.id("Press1.Double"))[:3] == (42.0, 0, 1000)
    assert core.store.read(core.id("Press1.Ratio"))[:3] == (0.5, UNCERTAIN_LAST_USABLE, 2000), "worst and newest"


def test_a_bad_input_makes_it_bad_with_the_same_status(core: Core) -> None:
    core.set("Press1.Speed", 21.0, quality.BAD_SENSOR_FAILURE)
    core.set("Press1.Target", 42.0, UNCERTAIN_LAST_USABLE)
    follow(core, "Press1.Speed", "Press1.Target")
    assert core.status("Press1.Ratio") == quality.BAD_SENSOR_FAILURE
    assert core.value("Press1.Ratio") is None


@pytest.mark.parametrize(("speed", "target"), [(1.0, 0.0), (0.0, 0.0)])
def test_what_has_no_value_is_out_of_range(core: Core, speed: float, target: float) -> None:
    core.set("Press1.Speed", speed)
    core.set("Press1.Target", target)
    follow(core, "Press1.Speed")
    assert core.status("Press1.Ratio") == quality.BAD_OUT_OF_RANGE


@pytest.mark.parametrize(("speed", "value"), [(25.5, 255), (25.6, None), (-0.1, None), (0.04, 0)])
def test_what_does_not_fit_its_type_is_out_of_range(core: Core, speed: float, value: int | None) -> None:
    """`Small` is a Byte of ten times the speed."""
    core.set("Press1.Speed", speed)
    follow(core, "Press1.Speed")
    assert core.value("Press1.Small") == value
    assert core.status("Press1.Small") == (quality.BAD_OUT_OF_RANGE if value is None else 0)


def test_only_what_depends_on_the_changed_is_computed(core: Core) -> None:
    cursor = core.store.journal.cursor("test")
    core.set("Press1.Speed", 3.0)
    core.set("Press2.Speed", 3.0)
    cursor.read()
    follow(core, "Press1.Speed")
    changed = {core.plant.variables[i].path for i in cursor.read().ids.tolist()}
    assert changed == {f"Plant.Press1.{name}" for name in ("Double", "Small", "Ratio")}
    follow(core, "Press1.Batch")
    assert len(cursor.read()) == 0


@pytest.fixture
async def running(core: Core) -> AsyncIterator[Core]:
    task = asyncio.create_task(Computed(core.plant, core.store).run())
    await asyncio.sleep(0)
    yield core
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert core.store.journal.cursors == ()


async def until(core: Core, path: str, value: float) -> None:
    await asyncio.wait_for(core.store.journal.wait(lambda: core.value(path) == value), 2)


async def test_it_computes_at_the_start_and_follows(running: Core) -> None:
    await until(running, "Press1.Double", 0.0)
    running.set("Press1.Speed", 4.0)
    await until(running, "Press1.Double", 8.0)
    running.store.set_status(np.array([running.id("Press1.Speed")]), UNCERTAIN_LAST_USABLE)
    journal = running.store.journal
    await asyncio.wait_for(journal.wait(lambda: running.status("Press1.Double") == UNCERTAIN_LAST_USABLE), 2)


async def test_it_catches_up_when_the_journal_has_overrun_it(running: Core) -> None:
    await until(running, "Press1.Double", 0.0)
    running.set("Press1.Speed", 5.0)
    count = running.store.journal.rows + 10
    running.store.write(np.full(count, running.id("Press3.Count")), np.arange(count), 0)
    await until(running, "Press1.Double", 10.0)

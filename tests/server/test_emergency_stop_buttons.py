"""The physical buttons: a pressed one latches its machine by itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from core_rig import SUPERVISOR, Core

from server import quality


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    core = Core(tmp_path)
    core.stops.restore()
    yield core
    core.close()


async def until_latched(core: Core, name: str) -> None:
    cause = core.store.journal
    await asyncio.wait_for(cause.wait(lambda: core.latched(name) and f"Plant.{name}" in core.source.stopped), 2)


@pytest.fixture
async def watched(core: Core) -> AsyncIterator[Core]:
    task = asyncio.create_task(core.stops.run())
    await asyncio.sleep(0)
    yield core
    assert not task.done(), "the watch on the buttons must not end"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_pressed_button_latches_its_machine(watched: Core) -> None:
    watched.set("Press1.Button", True)
    await until_latched(watched, "Press1")
    assert watched.value("Press1.EmergencyStopBy") == "button"
    assert watched.source.told == [("emergency_stop", "Plant.Press1", True)]
    assert await watched.refused("Press1.ResetEmergencyStop", "") == quality.BAD_INVALID_STATE
    watched.set("Press1.Button", False)
    (code,) = await watched.do("Press1.ResetEmergencyStop", "")
    await watched.do("Press1.ResetEmergencyStop", code, by=SUPERVISOR)
    assert not watched.latched("Press1")


async def test_a_button_pressed_for_a_moment_latches_too(watched: Core) -> None:
    watched.set("Press1.Button", True)
    watched.set("Press1.Button", False)
    await until_latched(watched, "Press1")


async def test_a_button_of_bad_quality_is_not_pressed(watched: Core) -> None:
    watched.set("Press1.Button", True, quality.BAD_NO_COMMUNICATION)
    watched.set("Press2.Button", True)
    await until_latched(watched, "Press2")
    assert not watched.latched("Press1")


async def test_the_watch_goes_on_when_a_stop_is_not_complete(watched: Core) -> None:
    watched.break_disk()
    watched.set("Press1.Button", True)
    await until_latched(watched, "Press1")
    watched.set("Press2.Button", True)
    await until_latched(watched, "Press2")


async def test_a_button_that_is_pressed_at_the_start(core: Core) -> None:
    core.set("Press1.Button", True)
    task = asyncio.create_task(core.stops.run())
    await until_latched(core, "Press1")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

"""Silence becomes quality: Uncertain, then Bad, and Good again with the next value."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from core_rig import PLANT, Core

from server.freshness import Freshness
from server.quality import (
    BAD_NO_COMMUNICATION,
    BAD_NOT_CONNECTED,
    BAD_NOT_SUPPORTED,
    BAD_SENSOR_FAILURE,
    BAD_WAITING_FOR_INITIAL_DATA,
    UNCERTAIN_LAST_USABLE,
)

Make = Callable[..., tuple[Core, Freshness, float]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    cores: list[Core] = []

    def build(fake: str = "fake: {kind: physics}") -> tuple[Core, Freshness, float]:
        text = PLANT.replace("fake: {kind: physics}", fake)
        (tmp_path / "plant.yaml").write_text(text, encoding="utf-8")
        cores.append(Core(tmp_path))
        began = time.monotonic()
        return cores[-1], Freshness(cores[-1].plant, cores[-1].store, stale_after=2, bad_after=10), began

    yield build
    for core in cores:
        core.close()


def test_ages(make: Make) -> None:
    core, freshness, began = make()
    core.set("Press1.Speed", 7.0, stamp=1000)
    expected = [(1.9, 0, 7.0), (2.2, UNCERTAIN_LAST_USABLE, 7.0), (9.9, UNCERTAIN_LAST_USABLE, 7.0)]
    for age, status, value in [*expected, (10.2, BAD_NO_COMMUNICATION, None), (99.0, BAD_NO_COMMUNICATION, None)]:
        freshness.check(began + age)
        assert (core.status("Press1.Speed"), core.value("Press1.Speed")) == (status, value)
    assert core.store.read(core.id("Press1.Speed"))[2] == 1000, "the source timestamp stays"
    core.set("Press1.Speed", 8.0)
    freshness.check(time.monotonic() + 1)
    assert (core.status("Press1.Speed"), core.value("Press1.Speed")) == (0, 8.0)


def test_silence_is_journaled_once(make: Make) -> None:
    core, freshness, began = make()
    cursor = core.store.journal.cursor("test")
    freshness.check(began + 3)
    first = len(cursor.read())
    freshness.check(began + 4)
    assert first > 0
    assert len(cursor.read()) == 0


def test_a_variable_that_never_came_turns_bad(make: Make) -> None:
    core, freshness, began = make()
    freshness.check(began + 3)
    assert core.status("Press1.Count") == BAD_WAITING_FOR_INITIAL_DATA
    freshness.check(began + 11)
    assert core.status("Press1.Count") == BAD_NO_COMMUNICATION


def test_what_a_source_says_is_bad_stays_so_until_it_is_silent_for_long(make: Make) -> None:
    core, freshness, began = make()
    core.set("Press1.Speed", 0.0, BAD_SENSOR_FAILURE)
    freshness.check(began + 5)
    assert core.status("Press1.Speed") == BAD_SENSOR_FAILURE
    freshness.check(began + 11)
    assert core.status("Press1.Speed") == BAD_NO_COMMUNICATION


def test_what_a_source_does_not_have_cannot_fall_silent(make: Make) -> None:
    core, freshness, began = make()
    core.set("Press1.Speed", 0.0, BAD_NOT_SUPPORTED)
    freshness.check(began + 1000)
    assert core.status("Press1.Speed") == BAD_NOT_SUPPORTED


def test_only_what_a_source_owns_is_watched(make: Make) -> None:
    core, freshness, began = make()
    core.stops.restore()
    core.set("Press1.Double", 1.0)
    freshness.check(began + 1000)
    for path in ("Press1.Target", "Press1.EmergencyStopActive", "Press1.Double"):
        assert core.status(path) == 0, path
    assert core.status("Lonely.Speed") == BAD_NOT_CONNECTED


def test_a_source_may_have_limits_of_its_own(make: Make) -> None:
    core, freshness, began = make("fake: {kind: physics, stale_after: 20, bad_after: 30}")
    freshness.check(began + 12)
    assert core.status("Press1.Speed") == 0
    assert core.status("Press3.Speed") == BAD_NO_COMMUNICATION
    freshness.check(began + 21)
    assert core.status("Press1.Speed") == UNCERTAIN_LAST_USABLE
    freshness.check(began + 31)
    assert core.status("Press1.Speed") == BAD_NO_COMMUNICATION


def test_a_slow_source_is_not_bad_before_it_is_stale(make: Make) -> None:
    core, freshness, began = make("fake: {kind: physics, stale_after: 20}")
    freshness.check(began + 19)
    assert core.status("Press1.Speed") == 0


def test_silence_counts_from_the_start_on(tmp_path: Path, make: Make) -> None:
    """A variable with an initial value that was written long before the watch began is not stale at once."""
    core, _, _ = make()
    core.store.received[:] = -1e9
    freshness = Freshness(core.plant, core.store, 2, 10)
    freshness.check(time.monotonic() + 1)
    assert core.status("Press1.Speed") == 0

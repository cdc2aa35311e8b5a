"""The comparison behind `python -m server verify`."""

import pytest

from address_space import DEFAULT_PLANT, load_plant
from address_space.model import Variable
from gateways.agreement import Truth, agree
from gateways.observing import Observation, Plane

SPEED, POWER = "Plant.Generator1.Speed", "Plant.Generator1.ActivePower"
T = 133_000_000_000_000_000
MS = 10_000


def exactly(_: Variable, truth: Observation, seen: Observation) -> bool:
    return truth == seen


def to_the_ms(_: Variable, truth: Observation, seen: Observation) -> bool:
    times = truth.source_timestamp, seen.source_timestamp
    near = None in times or abs(times[0] - times[1]) < MS  # type: ignore[operator]
    return truth.value == seen.value and truth.status == seen.status and near


def plane(*observations: Observation, same: object = exactly) -> Plane:
    return Plane("made up", "exact", observations, same)  # type: ignore[arg-type]


TRUTH = Truth([Observation(path, float(n), 0, T + n * 10 * MS) for n in range(10) for path in (SPEED, POWER)])


@pytest.fixture(scope="module")
def plant():
    return load_plant(DEFAULT_PLANT)


def test_samples_that_are_shown_by_both_agree(plant) -> None:
    result = agree(
        plant, TRUTH, plane(Observation(SPEED, 3.0, 0, T + 30 * MS), Observation(POWER, 4.0, 0, T + 40 * MS))
    )
    assert result.holds
    assert (result.variables, result.samples) == (2, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        Observation(SPEED, 3.5, 0, T + 30 * MS),
        Observation(SPEED, 3.0, 0x80310000, T + 30 * MS),
        Observation(SPEED, 3.0, 0, T + 31 * MS),
        Observation(SPEED, 4.0, 0, T + 30 * MS),
        Observation(SPEED, 3.0, 0, T + 10**12),
        Observation("Plant.Nobody.Speed", 3.0, 0, T),
    ],
)
def test_any_difference_is_told(plant, wrong: Observation) -> None:
    result = agree(plant, TRUTH, plane(Observation(SPEED, 3.0, 0, T + 30 * MS), wrong))
    assert not result.holds
    assert len(result.different) == 1
    assert wrong.path in result.different[0]


def test_a_variable_that_a_plane_does_not_show_is_told(plant) -> None:
    result = agree(plant, TRUTH, plane(Observation(SPEED, 3.0, 0, T + 30 * MS)))
    assert not result.holds
    assert result.missing == [POWER]


def test_what_is_older_than_the_comparison_proves_nothing(plant) -> None:
    result = agree(plant, TRUTH, plane(Observation(SPEED, 9.0, 0, T - MS), Observation(POWER, 1.0, 0, T + 10 * MS)))
    assert (result.older, result.samples) == (1, 1)
    assert result.missing == [SPEED]


def test_a_plane_without_times_agrees_with_any_sample(plant) -> None:
    seen = (Observation(SPEED, 9.0, 0, None), Observation(POWER, 0.0, 0, None))
    assert agree(plant, TRUTH, plane(*seen, same=to_the_ms)).holds
    assert not agree(plant, TRUTH, plane(*seen, Observation(POWER, 0.5, 0, None), same=to_the_ms)).holds


def test_an_empty_plane_does_not_hold(plant) -> None:
    assert not agree(plant, Truth([]), plane()).holds

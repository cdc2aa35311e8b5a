"""When rows are due."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.timeline import Timeline

SECOND = 10_000_000


def timeline(*seconds: float) -> Timeline:
    return Timeline(np.array([round(second * SECOND) for second in seconds], np.int64) + 12345)


@pytest.mark.parametrize(("elapsed", "rows"), [(-1, 0), (0, 1), (1, 1), (1.5, 3), (2, 4), (1e30, 4)])
def test_rows_due(elapsed: float, rows: int) -> None:
    assert timeline(0, 1.5, 1.5, 2).count(int(elapsed * SECOND), loop=False) == rows


def test_rows_after_a_step_back_are_due_at_once() -> None:
    line = timeline(0, 10, 4, 10, 11)
    assert [line.due(row) // SECOND for row in range(5)] == [0, 10, 10, 10, 11]
    assert line.count(10 * SECOND, loop=False) == 4


def test_the_next_pass_is_one_usual_interval_later() -> None:
    line = timeline(0, 1, 2, 3, 60)
    assert line.period == 61 * SECOND
    assert line.count(61 * SECOND, loop=True) == 6
    assert line.due(5) == 61 * SECOND
    assert timeline(0).period == timeline(0, 0).period == SECOND


@given(st.lists(st.integers(0, 10**12), min_size=1), st.integers(0, 50), st.booleans())
def test_a_row_is_due_exactly_from_its_time_on(stamps: list[int], row: int, loop: bool) -> None:
    line = Timeline(np.array(stamps, np.int64))
    row = row if loop else row % line.rows
    assert line.count(line.due(row), loop=loop) > row
    assert line.count(line.due(row) - 1, loop=loop) <= row


@pytest.mark.parametrize("turn", [0, 3])
def test_stamps(turn: int) -> None:
    line = timeline(0, 10, 4, 20)
    first = 4 * turn + 1
    past = turn * line.period
    original = line.stamps(first, first + 3, "original", 7, 2.0)
    assert original.tolist() == [12345 + second * SECOND for second in (10, 4, 20)]
    shifted = line.stamps(first, first + 3, "shifted", 7, 2.0)
    assert shifted.tolist() == [7 + past + second * SECOND for second in (10, 4, 20)]
    played = line.stamps(first, first + 3, "played", 7, 2.0)
    assert played.tolist() == [7 + (past + second * SECOND) // 2 for second in (10, 10, 20)]

"""Samples whose time is taken already get one of their own."""

from typing import Any

import numpy as np

from gateways.influx.restating import Told
from server.quality import BAD_NO_COMMUNICATION, UNCERTAIN_LAST_USABLE
from server.store import Batch

T = 134_116_992_000_000_000
TAKEN = T + 100_000_000
MS = 10_000


def batch(*rows: tuple[int, int, int]) -> Batch:
    """Rows of (id, time, status)."""
    columns: Any = np.array(rows, np.int64).reshape(-1, 3)
    ids, times, statuses = columns[:, 0], columns[:, 1], columns[:, 2].astype(np.uint32)
    return Batch(ids, np.zeros(len(ids), np.uint64), statuses, times, {})


def test_samples_keep_their_time() -> None:
    told = Told.nothing(3)
    rows = batch((0, T, 0), (1, T, 0), (0, T + 1, 0), (0, T + 1, 0), (2, T, BAD_NO_COMMUNICATION))
    assert told.times_for(rows, TAKEN).tolist() == rows.source_timestamps.tolist()


def test_a_status_that_changes_alone_has_the_time_at_which_it_was_taken() -> None:
    told = Told.nothing(3)
    rows = batch((1, T, 0), (0, T, 0), (0, T, UNCERTAIN_LAST_USABLE), (1, T + 5, 0), (0, T, BAD_NO_COMMUNICATION))
    assert told.times_for(rows, TAKEN + 7).tolist() == [T, T, TAKEN + MS, T + 5, TAKEN + 2 * MS]
    again = batch((1, T + 5, UNCERTAIN_LAST_USABLE), (0, T, 0), (0, T, UNCERTAIN_LAST_USABLE))
    told.note(rows)
    assert told.times_for(again, TAKEN).tolist() == [TAKEN + MS, TAKEN + MS, TAKEN + 2 * MS]
    assert told.times_for(again, TAKEN).tolist() == [TAKEN + MS, TAKEN + MS, TAKEN + 2 * MS]  # as when sent once more


def test_a_time_in_the_future_is_not_gone_behind() -> None:
    told = Told.nothing(1)
    rows = batch((0, TAKEN + 50, 0), (0, TAKEN + 50, UNCERTAIN_LAST_USABLE))
    assert told.times_for(rows, TAKEN)[1] > TAKEN + 50


def test_the_newest_is_remembered() -> None:
    told = Told.nothing(2)
    told.note(batch((0, T, 0), (0, T - 5, BAD_NO_COMMUNICATION), (1, T, 0)))
    told.note(batch((0, T - 9, UNCERTAIN_LAST_USABLE)))
    other = Told.nothing(2)
    other.note(batch((1, T + 1, UNCERTAIN_LAST_USABLE)))
    both = told.newer(other)
    assert both.times.tolist() == [T - 5, T + 1]
    assert both.statuses.tolist() == [BAD_NO_COMMUNICATION, UNCERTAIN_LAST_USABLE]
    assert told.times_for(batch(), TAKEN).tolist() == []

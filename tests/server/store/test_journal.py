"""The journal: a ring with cursors, against a plain list."""

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.store import Batch, Cursor, Journal

Row = tuple[int, int, int, int, Any]


def append(journal: Journal, rows: list[Row]) -> None:
    columns = [np.array([row[i] for row in rows], d) for i, d in enumerate((np.int64, np.uint64, np.uint32, np.int64))]
    objects = {i: row[4] for i, row in enumerate(rows) if row[4] is not None}
    journal.append(*columns, objects)


def numbered(count: int, first: int = 0) -> list[Row]:
    """Rows that tell which they are; every third is a String."""
    return [(i % 7, i, i % 3, i * 10, f"s{i}" if i % 3 == 0 else None) for i in range(first, first + count)]


def rows(batch: Batch) -> list[Row]:
    columns = (batch.ids, batch.bits, batch.statuses, batch.source_timestamps)
    return [
        (*values, batch.objects.get(i))
        for i, values in enumerate(zip(*(column.tolist() for column in columns), strict=True))
    ]


class JournalMachine(RuleBasedStateMachine):
    """Any appends and reads: what a cursor gets is the list from its place on, less what the ring has dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = 8
        self.journal = Journal(self.ring)
        self.all: list[Row] = []
        self.cursors: list[list[Any]] = []  # cursor, its place in the list, its losses

    @rule(count=st.integers(0, 20))
    def append(self, count: int) -> None:
        new = numbered(count, len(self.all))
        append(self.journal, new)
        self.all += new

    @rule()
    def open(self) -> None:
        if len(self.cursors) < 3:
            self.cursors.append([self.journal.cursor("c"), len(self.all), 0])

    @rule(which=st.integers(0, 2), most=st.integers(1, 10))
    def read(self, which: int, most: int) -> None:
        if which >= len(self.cursors):
            return
        entry = self.cursors[which]
        cursor, place, lost = entry
        oldest = max(0, len(self.all) - self.ring)
        start = max(place, oldest)
        expected = self.all[start : start + most]
        assert rows(cursor.read(most)) == expected
        entry[1:] = start + len(expected), lost + start - place
        assert cursor.lost == entry[2]

    @rule(which=st.integers(0, 2))
    def close(self, which: int) -> None:
        if which < len(self.cursors):
            self.cursors.pop(which)[0].close()

    @invariant()
    def the_ring_is_bounded(self) -> None:
        assert self.journal.end == len(self.all)
        assert self.journal.start == max(0, len(self.all) - self.ring)
        assert len(self.journal._objects) <= self.ring
        assert len(self.journal.cursors) == len(self.cursors)
        assert [cursor.lag for cursor in self.journal.cursors] == [len(self.all) - entry[1] for entry in self.cursors]


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_batch_larger_than_the_ring_keeps_its_end() -> None:
    journal = Journal(5)
    cursor = journal.cursor("c")
    append(journal, numbered(3))
    append(journal, numbered(23, 3))
    assert rows(cursor.read()) == numbered(5, 21)
    assert cursor.lost == 21


def test_strings_come_across_the_seam_of_the_ring() -> None:
    journal = Journal(4)
    cursor = journal.cursor("c")
    append(journal, numbered(3))
    cursor.read()
    append(journal, [(1, 0, 0, 0, text) for text in ("a", "b", "c")])
    assert [row[4] for row in rows(cursor.read())] == ["a", "b", "c"]


def test_two_cursors_do_not_disturb_each_other() -> None:
    journal = Journal(100)
    early = journal.cursor("early")
    append(journal, numbered(4))
    late = journal.cursor("late")
    append(journal, numbered(2, 4))
    assert len(late.read()) == 2
    assert len(early.read(max_rows=1)) == 1
    assert len(early.read()) == 5
    assert len(late.read()) == 0


def test_take_keeps_values_with_their_rows() -> None:
    journal = Journal(10)
    cursor = journal.cursor("c")
    append(journal, numbered(7))
    assert rows(cursor.read().take(np.array([6, 0, 4]))) == [numbered(7)[i] for i in (6, 0, 4)]


@given(st.lists(st.integers(0, 4), max_size=20))
def test_last_is_each_id_s_newest_row(ids: list[int]) -> None:
    journal = Journal(32)
    cursor = journal.cursor("c")
    append(journal, [(id_, i, 0, 0, None) for i, id_ in enumerate(ids)])
    newest = sorted({id_: i for i, id_ in enumerate(ids)}.values())
    assert cursor.read().last().tolist() == newest


def test_a_journal_needs_a_row() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        Journal(0)


async def test_wait_returns_at_once_when_something_is_there() -> None:
    journal = Journal(4)
    cursor = journal.cursor("c")
    append(journal, numbered(1))
    await asyncio.wait_for(cursor.wait(), 1)


async def test_wait_wakes_every_cursor_and_leaves_nothing_behind() -> None:
    journal = Journal(4)
    cursors = [journal.cursor(str(i)) for i in range(3)]
    got: list[str] = []

    async def follow(cursor: Cursor) -> None:
        await cursor.wait()
        got.append(cursor.name)

    tasks = [asyncio.create_task(follow(cursor)) for cursor in cursors]
    await asyncio.sleep(0)
    assert len(journal._waiting) == 3
    assert got == []
    append(journal, numbered(1))
    await asyncio.wait_for(asyncio.gather(*tasks), 1)
    assert sorted(got) == ["0", "1", "2"]
    assert not journal._waiting


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    journal = Journal(4)
    task = asyncio.create_task(journal.cursor("c").wait())
    await asyncio.sleep(0)
    assert len(journal._waiting) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not journal._waiting


async def test_a_wait_ends_with_a_wanted_change_and_passes_others_over() -> None:
    journal = Journal(64)
    wanted = np.zeros(10, np.bool_)
    wanted[7] = True
    cursor = journal.cursor("c", wanted)

    async def waiting() -> asyncio.Task[None]:
        task = asyncio.create_task(cursor.wait())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    append(journal, [(1, 0, 0, 0, None)])
    task = await waiting()
    assert cursor.lag == 0
    journal.append_one(2, 0, 0, 0)
    append(journal, [(3, 0, 0, 0, None)] * 100)
    await asyncio.sleep(0)
    assert not task.done()
    assert cursor.lag == 0
    journal.append_one(7, 0, 0, 0)
    await asyncio.wait_for(task, 1)
    append(journal, [(4, 0, 0, 0, None)])
    await asyncio.wait_for(cursor.wait(), 1)  # the wanted change is still unread
    assert cursor.read().ids.tolist() == [7, 4]
    task = await waiting()
    append(journal, [(3, 0, 0, 0, None), (7, 0, 0, 0, None)])
    await asyncio.wait_for(task, 1)
    assert cursor.read().ids.tolist() == [3, 7]
    assert cursor.lost == 0


async def test_what_was_lost_ends_a_wait_of_one_that_wants_few() -> None:
    journal = Journal(4)
    cursor = journal.cursor("c", np.zeros(10, np.bool_))
    append(journal, numbered(5))
    await asyncio.wait_for(cursor.wait(), 1)
    assert len(cursor.read()) == 4
    assert cursor.lost == 1

"""The outbox: what it has confirmed is there, whatever happens; what it has dropped is counted to the row."""

import asyncio
import math
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways import outbox_file
from gateways.outbox import Outbox
from server.errors import StartError
from server.store import Batch, now_ticks
from tests.gateways.outbox_rig import PLANT, batch, numbers, on_disk, open_outbox, plant


async def test_a_batch_comes_back_as_it_was(tmp_path: Path) -> None:
    model = plant(tmp_path)
    speed, count, label = (model.variable(f"Plant.Pump2.{name}").id for name in ("Speed", "Count", "Label"))
    original = Batch(
        ids=np.array([label, speed, count, label], np.int64),
        bits=np.array([0, np.float64(math.pi).view(np.uint64), 65_535, 0], np.uint64),
        statuses=np.array([0, 0x80310000, 0x40900000, 0xFFFFFFFF], np.uint32),
        source_timestamps=np.array([1, -5, 2**62, 133_000_000_000_000_000], np.int64),
        objects={0: "grün\n\x00 \ud800", 3: None},
    )
    outbox = open_outbox(tmp_path, model)
    before = now_ticks()
    seq = await outbox.append(original)
    await outbox.close()
    outbox = open_outbox(tmp_path, model)
    (entry,) = await outbox.peek()
    assert entry.seq == seq == outbox.last_seq
    assert before <= entry.time <= now_ticks()
    assert outbox.oldest == entry.time
    for column in ("ids", "bits", "statuses", "source_timestamps"):
        assert getattr(entry.batch, column).tolist() == getattr(original, column).tolist()
        assert getattr(entry.batch, column).dtype == getattr(original, column).dtype
    assert entry.batch.objects == original.objects
    await outbox.close()


async def test_peek_leaves_and_acknowledge_removes(tmp_path: Path) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model)
    seqs = [await outbox.append(batch(model, [number, number])) for number in range(5)]
    assert outbox.rows == 10
    assert [entry.seq for entry in await outbox.peek()] == seqs
    assert [entry.seq for entry in await outbox.peek(after=seqs[1], before=seqs[4])] == seqs[2:4]
    assert [entry.seq for entry in await outbox.peek(max_rows=3)] == seqs[:2]
    assert [entry.seq for entry in await outbox.peek(max_rows=1)] == seqs[:1], "one at least"
    await outbox.acknowledge([seqs[3], seqs[0], 999])
    assert [entry.seq for entry in await outbox.peek()] == [seqs[1], seqs[2], seqs[4]]
    assert (outbox.rows, outbox.dropped) == (6, 0)
    await outbox.acknowledge(seqs)
    assert (outbox.rows, outbox.bytes, outbox.oldest, await outbox.peek()) == (0, 0, None, [])
    await outbox.close()


async def test_what_outlived_a_restart_is_historical_and_numbers_are_never_used_twice(tmp_path: Path) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model)
    first, second = [await outbox.append(batch(model, [number])) for number in range(2)]
    assert [entry.historical for entry in await outbox.peek()] == [False, False]
    await outbox.acknowledge([second])
    await outbox.close()
    outbox = open_outbox(tmp_path, model)
    third = await outbox.append(batch(model, [3]))
    assert third > second
    assert [(entry.seq, entry.historical) for entry in await outbox.peek()] == [(first, True), (third, False)]
    await outbox.close()


async def test_overflow_drops_the_oldest_and_counts_every_row(tmp_path: Path) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model, max_bytes=100 * 24)
    for number in range(30):
        await outbox.append(batch(model, [number] * 9))
    assert outbox.bytes <= 100 * 24
    assert outbox.rows == 99
    assert outbox.dropped == 30 * 9 - 99
    assert numbers(await outbox.peek()) == [float(number) for number in range(19, 30) for _ in range(9)]
    await outbox.append(batch(model, range(101)))
    assert (outbox.rows, outbox.dropped) == (99, 30 * 9 - 99 + 101), "larger than the bound; the rest is on its way"
    await outbox.close()
    assert on_disk(tmp_path) == (99, 30 * 9 - 99 + 101)
    outbox = open_outbox(tmp_path, model)
    assert (outbox.rows, outbox.dropped) == (99, 30 * 9 - 99 + 101), "the count survives a restart"
    await outbox.close()


async def test_what_is_on_its_way_is_not_dropped_so_no_row_counts_twice(tmp_path: Path) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model, max_bytes=10 * 24)
    await outbox.append(batch(model, [1] * 5))
    (sending,) = await outbox.peek()
    await outbox.append(batch(model, [2] * 5))
    await outbox.append(batch(model, [3] * 5))
    assert numbers(await outbox.peek(after=sending.seq)) == [3.0] * 5
    assert outbox.dropped == 5
    await outbox.acknowledge([sending.seq])
    assert (outbox.rows, outbox.dropped) == (5, 5)
    outbox.release()
    await outbox.append(batch(model, [4] * 8))
    assert (outbox.rows, outbox.dropped) == (8, 10), "released: it may go"
    await outbox.close()


async def test_what_is_too_old_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model, max_age=60)
    await outbox.append(batch(model, [1, 1]))
    await outbox.expire()
    assert outbox.rows == 2
    monkeypatch.setattr(outbox_file, "now_ticks", lambda: now_ticks() + 61 * 10_000_000)
    await outbox.append(batch(model, [2]))
    assert (numbers(await outbox.peek()), outbox.dropped) == ([2.0], 2)
    await outbox.close()


async def test_lost_rows_are_counted_with_the_batch_and_without_one(tmp_path: Path) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model)
    await outbox.append(batch(model, [1]), lost=7)
    await outbox.append(batch(model, []), lost=5)
    assert (outbox.rows, outbox.dropped) == (1, 12)
    await outbox.close()
    assert on_disk(tmp_path) == (1, 12)


async def test_rejected_rows_are_dropped_rows(tmp_path: Path) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model)
    seq = await outbox.append(batch(model, [1, 2, 3]))
    await asyncio.wrap_future(outbox.post_acknowledge([seq], rejected=2))
    assert (outbox.rows, outbox.dropped) == (0, 2)
    await outbox.close()


async def test_an_edited_plant_file_finds_its_variables_again(tmp_path: Path) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model)
    await outbox.append(batch(model, [1, 2], "Plant.Pump1.Speed"))
    rows = np.arange(3)
    mixed = batch(model, [3, 4, 5], "Plant.Pump3.Speed")
    mixed.ids[0] = model.variable("Plant.Pump2.Speed").id
    mixed.ids[1] = model.variable("Plant.Pump3.Count").id
    await outbox.append(mixed.take(rows))
    await outbox.close()

    edited = PLANT.replace("[1..3]", "[2..4]").replace("UInt16", "UInt32")  # ids shift, Pump1 goes, Count changes
    edited = edited.replace("      Speed:", "      Extra: {type: Double, description: New}\n      Speed:")
    model = plant(tmp_path, edited)
    outbox = open_outbox(tmp_path, model)
    gone, left = await outbox.peek()
    assert len(gone.batch) == 0
    paths = [model.variables[id_].path for id_ in left.batch.ids.tolist()]
    assert list(zip(paths, numbers([left]), strict=True)) == [("Plant.Pump2.Speed", 3.0), ("Plant.Pump3.Speed", 5.0)]
    await outbox.peek()
    await outbox.acknowledge([gone.seq, left.seq])
    assert (outbox.rows, outbox.dropped) == (0, 3), "rows without a variable count as dropped, once"
    await outbox.append(batch(model, [9], "Plant.Pump4.Extra"))
    assert numbers(await outbox.peek()) == [9.0]
    await outbox.close()


async def test_a_batch_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model)
    wrong = batch(model, [1])
    wrong.ids[0] = 99
    results = await asyncio.gather(
        outbox.append(batch(model, [1], "Plant.Pump1.Speed")),
        outbox.append(wrong),
        outbox.append(batch(model, [2], "Plant.Pump2.Speed")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, IndexError, int]
    entries = await outbox.peek()
    assert [model.variables[int(entry.batch.ids[0])].path[6:11] for entry in entries] == ["Pump1", "Pump2"]
    assert (numbers(entries), outbox.rows) == ([1.0, 2.0], 2)
    await outbox.close()


async def test_the_event_loop_never_waits_for_the_disk(tmp_path: Path) -> None:
    model = plant(tmp_path)
    outbox = open_outbox(tmp_path, model)
    blocker = sqlite3.connect(tmp_path / "box" / "outbox.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")  # the outbox waits for it in its thread
    appending = asyncio.ensure_future(outbox.append(batch(model, [1])))
    done, _ = await asyncio.wait([appending], timeout=0.1)
    assert not done
    blocker.execute("ROLLBACK")
    blocker.close()
    await appending
    assert on_disk(tmp_path)[0] == 1
    await outbox.close()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "outbox.sqlite").write_text("no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StartError, match=r"outbox\.sqlite: the outbox cannot be kept here"):
        open_outbox(tmp_path, plant(tmp_path))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 12)),
        st.tuples(st.just("deliver"), st.integers(1, 30)),
        st.tuples(st.just("fail"), st.integers(1, 30)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_each_row_is_delivered_waiting_or_dropped_in_order(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_walk(steps))


async def _walk(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        model = plant(path)
        outbox: Outbox = open_outbox(path, model, max_bytes=40 * 24)
        appended, delivered = 0, list[float]()
        for what, count in steps:
            if what == "append":
                await outbox.append(batch(model, range(appended, appended + count)))
                appended += count
            elif what == "restart":
                await outbox.close()
                outbox = open_outbox(path, model, max_bytes=40 * 24)
            else:
                entries = await outbox.peek(max_rows=count)
                if what == "deliver":
                    delivered += numbers(entries)
                    await outbox.acknowledge([entry.seq for entry in entries])
                else:
                    outbox.release()
            assert outbox.bytes <= 40 * 24
            assert len(delivered) + outbox.rows + outbox.dropped == appended
        waiting = numbers(await outbox.peek())
        assert len(waiting) == outbox.rows
        assert delivered + waiting == sorted(set(delivered + waiting))
        assert not waiting or waiting[-1] == appended - 1, "the newest is never what is dropped"
        await outbox.close()
        assert on_disk(path) == (outbox.rows, outbox.dropped)

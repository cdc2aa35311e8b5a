"""The source: rows reach the journal complete, in order, when due and with the right stamps."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from address_space import PlantError
from server.ports import CommandError
from server.quality import (
    BAD_INVALID_ARGUMENT,
    BAD_INVALID_STATE,
    BAD_NO_COMMUNICATION,
    BAD_NO_DATA,
    BAD_NOT_SUPPORTED,
    BAD_NOT_WRITABLE,
    GOOD,
)
from server.store import Cursor, Store, now_ticks, to_ticks
from sources.replay import create
from sources.replay.source import ReplaySource
from tests.sources.replay.rig import Options, Rig, read_rows, running, until

START = to_ticks(datetime(2020, 1, 1, tzinfo=UTC))
SECOND = 10_000_000
HOUR = 3600 * SECOND


def recording(rig: Rig, seconds: Sequence[float], **more: Any) -> Options:
    """Write a file with one row at each of `seconds` (from 2020-01-01 on), Pressure its row's number from 1 on."""
    ticks = [divmod(round(at * SECOND), SECOND) for at in seconds]
    stamps = [f"{1_577_836_800 + whole}.{rest:07d}" for whole, rest in ticks]
    lines = [f"{stamp},{row},{row + 0.5}" for row, stamp in enumerate(stamps, 1)]
    file = rig.write("r.csv", "\n".join(["t,p,w", *lines, ""]))
    time = {"column": "t", "format": "unix"}
    return {"file": file, "time": time, "columns": {"p": "Pressure", "w": "Power"}, **more}


def opened(rig: Rig, options: Options) -> tuple[ReplaySource, Store, Cursor]:
    source, store = rig.create(options)
    return source, store, store.journal.cursor("test")


def pressures(rows: list[Any]) -> list[Any]:
    return [row[1] for row in rows if row[0] == "Pressure"]


def stamps(rows: list[Any]) -> list[int]:
    return [row[3] for row in rows if row[0] == "Pressure"]


async def play(source: ReplaySource) -> None:
    async with running(source):
        await until(lambda: source.finished)


def fast(rig: Rig, seconds: Sequence[float], **more: Any) -> Options:
    return recording(rig, seconds, mode="speed", speed=1e6, **more)


@pytest.mark.parametrize("factor", [1e3, 1e4, 1e6, 1e9, 1e12])
async def test_the_journal_is_the_file_whatever_the_speed(rig: Rig, factor: float) -> None:
    at = np.cumsum(np.abs(np.sin(np.arange(1000)))).round(7).tolist()
    at[500] = at[300]  # the clock steps back
    options = recording(rig, at, mode="speed", speed=factor, timestamps="original")
    source, store, cursor = opened(rig, options)
    await play(source)
    rows = read_rows(store, cursor)
    assert cursor.lost == 0
    assert [row[:3] for row in rows] == [
        sample for n in range(1, 1001) for sample in (("Pressure", float(n), GOOD), ("Power", n + 0.5, GOOD))
    ]
    assert stamps(rows) == [START + round(second * SECOND) for second in at]
    assert (source.position, source.rows) == (1000, 1000)


async def test_rows_due_in_one_tick_are_one_write(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    source, store, _ = opened(rig, recording(rig, [0.0] * 500))
    sizes: list[int] = []
    write = store.write

    def counted(ids: Any, *rest: Any) -> None:
        sizes.append(len(ids))
        write(ids, *rest)

    monkeypatch.setattr(store, "write", counted)
    await play(source)
    assert sizes == [1000]


async def test_a_consumer_keeps_up_with_more_rows_than_the_journal_holds(rig: Rig) -> None:
    rows = 150_000  # 300,000 samples, the journal holds 131,072
    lines = "\n".join(f"{row},{row}" for row in range(rows))
    file = rig.write("r.csv", f"p,w\n{lines}\n")
    options = {"file": file, "time": {"step": 1}, "columns": {"p": "Pressure", "w": "Power"}, "mode": "speed"}
    context = rig.context({**options, "speed": 1e9})
    store = Store(context.plant, journal_rows=1 << 17)
    source = create(type(context)("rec", context.plant, context.machines, store, context.options))
    cursor = store.journal.cursor("test")
    seen: list[float] = []

    async def consume() -> None:
        while len(seen) < 2 * rows:
            await cursor.wait()
            seen.extend(store.floats(cursor.read()).tolist())

    async with running(source), asyncio.timeout(30):
        await consume()
    assert cursor.lost == 0
    assert seen == [float(row) for row in range(rows) for _ in range(2)]


async def test_shifted_stamps_start_now_and_keep_their_distances_to_100_ns(rig: Rig) -> None:
    at = [0, 0.0000001, 1.5, 0.25, 3600]
    source, store, cursor = opened(rig, fast(rig, at))
    before = now_ticks()
    await play(source)
    found = stamps(read_rows(store, cursor))
    assert before <= found[0] <= now_ticks()
    assert [stamp - found[0] for stamp in found] == [0, 1, 15_000_000, 2_500_000, HOUR]


async def test_original_stamps_are_exact(rig: Rig) -> None:
    at = [0, 0.1234567, 0.1234567, 7200]
    source, store, cursor = opened(rig, fast(rig, at, timestamps="original"))
    await play(source)
    assert [stamp - START for stamp in stamps(read_rows(store, cursor))] == [0, 1_234_567, 1_234_567, 2 * HOUR]


async def test_played_stamps_are_when_a_row_is_due(rig: Rig) -> None:
    options = recording(rig, [0, 1, 3], mode="speed", speed=100, timestamps="played")
    source, store, cursor = opened(rig, options)
    await play(source)
    found = stamps(read_rows(store, cursor))
    assert [stamp - found[0] for stamp in found] == [0, SECOND // 100, 3 * SECOND // 100]
    assert found[-1] <= now_ticks()


async def test_real_time_does_not_drift(rig: Rig) -> None:
    source, store, cursor = opened(rig, recording(rig, [n * 0.03 for n in range(12)]))
    loop = asyncio.get_running_loop()
    arrivals: list[float] = []
    async with running(source):
        while len(arrivals) < 12:
            await cursor.wait()
            arrivals.extend([loop.time()] * len(pressures(read_rows(store, cursor))))
    due = [arrivals[0] + n * 0.03 for n in range(12)]
    assert all(arrival >= at - 0.001 for arrival, at in zip(arrivals, due, strict=True))
    assert min(arrival - at for arrival, at in zip(arrivals[6:], due[6:], strict=True)) < 0.03


async def test_a_clock_that_steps_back_does_not_stop_the_play(rig: Rig) -> None:
    at = [0, 10, 4, 5, 11]
    source, store, cursor = opened(rig, fast(rig, at))
    await play(source)
    rows = read_rows(store, cursor)
    assert pressures(rows) == [1, 2, 3, 4, 5]
    assert [stamp - stamps(rows)[0] for stamp in stamps(rows)] == [second * SECOND for second in at]


@pytest.mark.parametrize("kind", ["shifted", "original", "played"])
async def test_loop(rig: Rig, kind: str) -> None:
    source, store, cursor = opened(rig, fast(rig, [0, 1, 2], loop=True, timestamps=kind))
    rows: list[Any] = []
    async with running(source):
        await until(lambda: bool(rows.extend(read_rows(store, cursor))) or len(rows) >= 18)
    assert pressures(rows)[:9] == [1, 2, 3] * 3
    assert not source.finished
    steps = np.diff(stamps(rows)[:9])
    if kind == "shifted":
        assert (steps == SECOND).all()
    elif kind == "original":
        assert (steps.reshape(-1)[[0, 1, 2]] == [SECOND, SECOND, -2 * SECOND]).all()
    else:
        assert (steps == SECOND // 1_000_000).all()


async def test_missing_cells_become_bad_samples(rig: Rig) -> None:
    file = rig.write("r.csv", "t,p,b,c\n2020-01-01,?,,\n2020-01-01,2,oil,3\n")
    columns = {"p": "Pressure", "b": "Batch", "c": "Count"}
    source, store, cursor = opened(rig, {"file": file, "time": {"column": "t"}, "columns": columns})
    await play(source)
    rows = read_rows(store, cursor)
    assert [row[2] for row in rows] == [BAD_NO_DATA] * 3 + [GOOD] * 3
    assert [row[1] for row in rows[3:]] == [2.0, "oil", 3]
    assert source.recording is not None
    assert source.recording.missing == 3


@pytest.mark.parametrize(("on_end", "status"), [("hold", GOOD), ("stop", BAD_NO_COMMUNICATION)])
async def test_at_the_end(rig: Rig, on_end: str, status: int) -> None:
    source, store, _ = opened(rig, fast(rig, [0, 1], on_end=on_end))
    pressure = store.plant.variable("Plant.Pump1.Pressure")
    async with running(source) as task:
        await until(lambda: source.finished)
        assert store.read(pressure.id)[:2] == (2.0 if status == GOOD else None, status)
        assert not task.done()
        await source.execute(store.plant.machine("Plant.Pump1"), "Start", ())
        assert source.position == 0
        await until(lambda: source.finished)


async def test_stepped(rig: Rig) -> None:
    source, store, cursor = opened(rig, recording(rig, [0, 10, 20, 30, 40], mode="stepped"))
    pump = store.plant.machine("Plant.Pump1")
    with pytest.raises(CommandError, match="not read yet") as caught:
        await source.execute(pump, "Step", ())
    assert caught.value.status == BAD_INVALID_STATE
    async with running(source):
        await until(lambda: source.rows == 5)
        assert read_rows(store, cursor) == []
        await source.execute(pump, "Step", ())
        await source.execute(pump, "Step", (3,))
        rows = read_rows(store, cursor)
        assert pressures(rows) == [1, 2, 3, 4]
        assert np.diff(stamps(rows)).tolist() == [10 * SECOND] * 3
        assert source.position == 4
        for wrong in ((0,), (-1,), (1.5,), (True,), ("1",), (1, 2)):
            with pytest.raises(CommandError) as caught:
                await source.execute(pump, "Step", wrong)
            assert caught.value.status == BAD_INVALID_ARGUMENT
        await source.execute(pump, "Stop", ())
        with pytest.raises(CommandError, match="is stopped") as caught:
            await source.execute(pump, "Step", ())
        assert caught.value.status == BAD_INVALID_STATE
        await source.execute(pump, "Start", ())
        await source.execute(pump, "Step", (100,))
        assert pressures(read_rows(store, cursor)) == [5]
        with pytest.raises(CommandError, match="at its end"):
            await source.execute(pump, "Step", ())


async def test_stepped_over_the_end_of_a_loop(rig: Rig) -> None:
    source, store, cursor = opened(rig, recording(rig, [0, 1], mode="stepped", loop=True, timestamps="played"))
    async with running(source):
        await until(lambda: source.rows == 2)
        before = now_ticks()
        await source.execute(store.plant.machine("Plant.Pump1"), "Step", (5,))
    rows = read_rows(store, cursor)
    assert pressures(rows) == [1, 2, 1, 2, 1]
    assert all(before <= stamp <= now_ticks() for stamp in stamps(rows))


async def test_stop_pauses_and_start_resumes_where_it_was(rig: Rig) -> None:
    source, store, cursor = opened(rig, recording(rig, [0, 0.05, 0.8, 0.85], timestamps="shifted"))
    pump = store.plant.machine("Plant.Pump1")
    loop = asyncio.get_running_loop()
    async with running(source):
        await until(lambda: source.position == 2)
        await source.execute(pump, "Stop", ())
        assert source.paused
        halted = loop.time()
        await until(lambda: loop.time() > halted + 0.9)  # longer than what is left
        assert source.position == 2
        await source.execute(pump, "Start", ())
        await until(lambda: source.finished)
    rows = read_rows(store, cursor)
    assert pressures(rows) == [1, 2, 3, 4]
    steps = np.diff(stamps(rows)) / SECOND
    assert steps[[0, 2]] == pytest.approx(0.05, abs=1e-6)
    assert steps[1] > 0.75 + 0.9 - 0.05  # the pause is in the stamps


async def test_emergency_stop_pauses_until_start(rig: Rig) -> None:
    source, store, _ = opened(rig, recording(rig, [0, 0.6, 1000]))
    pump, meter = store.plant.machine("Plant.Pump1"), store.plant.machine("Plant.Meter1")
    async with running(source):
        await until(lambda: source.position == 1)
        for active in (True, True):
            await source.emergency_stop(pump, active)
        for machine in (pump, meter):
            with pytest.raises(CommandError, match=r"emergency stop of Plant\.Pump1 is active") as caught:
                await source.execute(machine, "Start", ())
            assert caught.value.status == BAD_INVALID_STATE
        for active in (False, False):
            await source.emergency_stop(pump, active)
        assert source.paused
        halted = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() > halted + 0.7)
        assert source.position == 1
        await source.execute(pump, "Start", ())
        await until(lambda: source.position == 2)


async def test_a_second_run_goes_on_where_the_first_was(rig: Rig) -> None:
    source, store, cursor = opened(rig, recording(rig, [0, 0.05, 0.1]))
    async with running(source):
        await until(lambda: source.position >= 2)
    async with running(source):
        await until(lambda: source.finished)
    assert pressures(read_rows(store, cursor)) == [1, 2, 3]


async def test_what_a_recording_cannot_do_is_refused(rig: Rig) -> None:
    source, store, _ = opened(rig, recording(rig, [0]))
    pump = store.plant.machine("Plant.Pump1")
    with pytest.raises(CommandError) as caught:
        await source.put(pump.variables["Setpoint"], 1.0)
    assert caught.value.status == BAD_NOT_WRITABLE
    for command in ("Step", "SetLoad"):
        with pytest.raises(CommandError) as caught:
            await source.execute(pump, command, ())
        assert caught.value.status == BAD_NOT_SUPPORTED


async def test_a_bad_file_fails_the_run(rig: Rig) -> None:
    file = rig.write("r.csv", "t,p\n2020-01-01,1\nx,2\n")
    options = {"file": file, "time": {"column": "t"}, "columns": {"p": "Pressure"}, "on_error": "fail"}
    source, _, _ = opened(rig, options)
    with pytest.raises(PlantError, match="time stamp 'x'"):
        await source.run()

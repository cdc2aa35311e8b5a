"""The two lanes: live at once, what waited in order and no faster than allowed, everything at least once."""

import asyncio
import contextlib
import gc
import resource
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateways import delivery
from gateways.delivery import snapshot
from gateways.outbox import Outbox
from server.quality import BAD_NO_COMMUNICATION
from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND
from tests.gateways.lanes_rig import Clock, GoneError, Peer, Rig, until
from tests.gateways.outbox_rig import PLANT, plant


@contextlib.asynccontextmanager
async def delivering(rig: Rig, peer: Peer) -> AsyncIterator[None]:
    task = asyncio.create_task(rig.lanes.deliver(peer.send))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def test_a_start_sends_the_present_value_of_every_variable_once(tmp_path: Path) -> None:
    rig, peer = Rig(tmp_path), Peer()
    label = rig.plant.variable("Plant.Pump2.Label").id
    rig.store.write(np.array([label]), np.array(["hello"], object), 7)
    rig.write(1, 2)
    rig.store.set_status(np.array([rig.id]), BAD_NO_COMMUNICATION)
    async with rig.lanes, delivering(rig, peer):
        count = len(rig.store)
        await peer.until(lambda: sum(len(entry.batch) for entry in peer.entries) >= count + 4)
        rows = peer.entries[-1].batch
    assert rows.ids.tolist()[-count:] == list(range(count))
    assert rig.store.objects(rows)[-count:][label] == "hello"
    assert rows.source_timestamps[-count:][label] == 7
    assert rows.statuses[-count:][rig.id] == BAD_NO_COMMUNICATION


async def test_a_snapshot_is_what_the_journal_would_hold(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    cursor = rig.store.journal.cursor("test")
    for name, value in (("Speed", -0.5), ("Count", 65_535), ("Label", "ü")):
        mine = [rig.plant.variable(f"Plant.Pump{number}.{name}").id for number in (1, 2, 3)]
        rig.store.write(np.array(mine), np.array([value] * 3, object if name == "Label" else None), 5, 0x40000000)
    written, taken = cursor.read(), snapshot(rig.store)
    assert taken.ids.tolist() == list(range(len(rig.store)))
    written, taken = written.take(np.argsort(written.ids)), taken.take(np.sort(written.ids))
    for column in ("ids", "bits", "statuses", "source_timestamps"):
        assert getattr(taken, column).tolist() == getattr(written, column).tolist()
    assert taken.objects == written.objects != {}


async def test_live_rows_arrive_in_order_and_are_removed(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    peer = rig.peer()
    async with rig.lanes, delivering(rig, peer):
        for value in range(500):
            rig.write(value)
            if value % 50 == 0:
                await asyncio.sleep(0)
        await peer.until(lambda: peer.speeds()[-1:] == [499.0])
        await rig.stored(0)
        assert peer.speeds()[-500:] == list(map(float, range(500)))
        assert not any(entry.historical for entry in peer.entries)
        assert max(len(entry.batch) for entry in peer.entries) <= 100
        assert (rig.status.delivered, rig.status.dropped) == (sum(len(entry.batch) for entry in peer.entries), 0)


async def test_what_waits_at_the_connection_is_backlog_and_new_rows_go_first(tmp_path: Path) -> None:
    clock = Clock()
    rig = Rig(tmp_path, backlog_rate=50, clock=clock)
    peer = rig.peer()
    async with rig.lanes:
        await rig.stored(len(rig.store))
        rig.write(*range(250))
        await rig.stored(len(rig.store) + 250)
        async with delivering(rig, peer):
            await peer.until(lambda: len(peer.entries) == 1)  # the first of the backlog; the rate allows no second yet
            rig.write(1000)
            await peer.until(lambda: len(peer.entries) == 2)
            assert peer.speeds(historical=False) == [1000.0]
            while len(peer.speeds()) < 251 + 1:
                wake = clock.next_wake
                if wake is None:
                    await asyncio.sleep(0.001)
                else:
                    clock.pass_to(wake)
                    await asyncio.sleep(0)
    assert peer.speeds(historical=True)[1:] == list(map(float, range(250)))


async def test_the_backlog_keeps_its_rate(tmp_path: Path) -> None:
    clock = Clock()
    rig = Rig(tmp_path, backlog_rate=200, clock=clock)
    peer = rig.peer()
    moments: list[tuple[float, int]] = []
    peer.before = lambda entry: moments.append((clock.now, len(entry.batch)))
    async with rig.lanes:
        rig.write(*range(1000))
        await rig.stored(len(rig.store) + 1000)
        async with delivering(rig, peer):
            while len(peer.speeds()) < 1001:
                if (wake := clock.next_wake) is not None:
                    clock.pass_to(wake)
                await asyncio.sleep(0.001)
    began = moments[0][0]
    sent = 0
    for moment, rows in moments:
        assert sent <= (moment - began) * 200 + 1e-6, "on average never faster than allowed"
        sent += rows
    assert moments[-1][0] - began == pytest.approx((sent - moments[-1][1]) / 200), "and not slower"


async def test_an_outage_makes_backlog_of_what_came_in_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    first, second = rig.peer(), rig.peer()
    async with rig.lanes:
        await rig.stored(len(rig.store))
        first.gone_after = 2
        deliver = asyncio.create_task(rig.lanes.deliver(first.send))
        await first.until(lambda: len(first.entries) == 1)
        rig.write(1)
        await first.until(lambda: len(first.entries) == 2)
        rig.write(2)
        with pytest.raises(GoneError):
            await deliver
        rig.write(3)
        await rig.stored(2)
        async with delivering(rig, second):
            await second.until(lambda: second.speeds() == [2.0, 3.0])
            rig.write(4)
            await second.until(lambda: second.speeds()[-1] == 4.0)
    assert second.speeds(historical=True) == [2.0, 3.0]
    assert second.speeds(historical=False) == [4.0]
    assert rig.status.delivered == len(rig.store) + 1 + 3


async def test_live_rows_that_wait_too_long_join_the_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = 0
    monkeypatch.setattr(delivery, "now_ticks", lambda: now_ticks() + later)
    rig = Rig(tmp_path, live_delay=3600)
    peer = rig.peer()
    async with rig.lanes, delivering(rig, peer):
        await peer.until(lambda: len(peer.entries) == 1)
        await rig.stored(0)
        peer.gate.clear()
        rig.write(1)
        await rig.stored(1)
        rig.write(2)
        await rig.stored(2)
        later = 3601 * TICKS_PER_SECOND
        peer.gate.set()
        await peer.until(lambda: peer.speeds()[-2:] == [1.0, 2.0])
        later = 0
        rig.write(3)
        await peer.until(lambda: peer.speeds()[-1] == 3.0)
    assert peer.speeds(historical=True) == [2.0]
    assert peer.speeds(historical=False)[-2:] == [1.0, 3.0]


async def test_rejected_rows_count_as_dropped(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    peer = rig.peer()
    peer.before = lambda entry: rig.lanes.rejected(3)
    async with rig.lanes, delivering(rig, peer):
        await rig.stored(0)
        await peer.until(lambda: len(peer.entries) == 1)
        rig.write(*range(10))
        await peer.until(lambda: peer.speeds()[-1:] == [9.0])
        rows, entries = len(rig.store) + 10, len(peer.entries)
        await rig.stored(0)
    assert rig.status.delivered == rows - 3 * entries
    assert rig.status.dropped == 3 * entries


async def test_a_restart_of_the_process_delivers_what_waited(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with rig.lanes:
        rig.write(1, 2)
    assert not rig.store.journal.cursors
    again = Rig(tmp_path, rig.plant)
    peer = again.peer()
    async with again.lanes, delivering(again, peer):
        await peer.until(lambda: len(peer.speeds()) == 4)
    assert peer.speeds(historical=True)[1:] == [1.0, 2.0]


async def test_a_crash_of_the_gateway_loses_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    with contextlib.suppress(GoneError):
        async with rig.lanes:
            rig.write(1)
            raise GoneError
    rig.write(2)  # while it waits to be started again
    peer = rig.peer()
    async with rig.lanes, delivering(rig, peer):
        await peer.until(lambda: len(peer.speeds()) == 4)
    assert sorted(peer.speeds())[1:] == [1.0, 2.0, 2.0], "the last is the snapshot of the start"
    assert peer.speeds(historical=True)[:2] == [0.0, 1.0]


async def test_an_edited_plant_counts_what_is_gone(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with rig.lanes:
        await rig.stored(len(rig.store))
    edited = plant(tmp_path, PLANT.replace("[1..3]", "[2..3]"))
    again, peer = Rig.__new__(Rig), Peer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.gateways.lanes_rig.SPEED", "Plant.Pump2.Speed")
        again.__init__(tmp_path, edited)
    async with again.lanes, delivering(again, peer):
        gone = len(rig.store) - len(again.store)
        await peer.until(lambda: sum(len(entry.batch) for entry in peer.entries) == 2 * len(again.store))
        await again.stored(0)
    assert again.status.dropped == gone > 0


async def test_rows_that_the_journal_lost_are_counted(tmp_path: Path) -> None:
    rig = Rig(tmp_path, journal_rows=64)
    peer = rig.peer()
    rig.write(*range(100))  # nobody reads yet
    async with rig.lanes, delivering(rig, peer):
        await peer.until(lambda: len(peer.speeds()) == 65)
        await rig.stored(0)
        assert rig.lanes.outbox.dropped == 36
    assert rig.status.dropped == 36
    assert peer.speeds()[:64] == list(map(float, range(36, 100)))


async def test_a_full_disk_stops_the_cursor_and_loses_nothing_of_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery, "_RETRY_S", 0.02)
    rig = Rig(tmp_path)
    peer = rig.peer()
    async with rig.lanes:
        await rig.stored(len(rig.store))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # no file may grow
        try:
            rig.write(*range(300))
            await until(lambda: rig.status.last_error)
            assert "outbox cannot be written" in rig.status.last_error
            assert rig.store.journal.cursors[0].lag == 200, "one entry is in hand, the rest stays in the journal"
            assert rig.status.queue_depth == len(rig.store) + 300
            assert [len(entry.batch) for entry in await rig.lanes.outbox.peek()] == [len(rig.store)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await rig.stored(len(rig.store) + 300)
        async with delivering(rig, peer):
            await peer.until(lambda: len(peer.speeds()) == 301)
    assert peer.speeds()[1:] == list(map(float, range(300)))
    assert rig.status.dropped == 0
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_full_disk_does_not_stop_what_a_connected_peer_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_RETRY_S", 0.02)
    rig = Rig(tmp_path)
    peer = rig.peer()
    async with rig.lanes:
        await rig.stored(len(rig.store))
        async with delivering(rig, peer):
            await peer.until(lambda: len(peer.speeds()) == 1)
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # no file may grow
            try:
                rig.write(*range(300))
                await peer.until(lambda: len(peer.speeds()) == 301)
                assert "outbox cannot be written" in rig.status.last_error
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            rig.write(300)
            await peer.until(lambda: len(peer.speeds()) == 302)
            await until(lambda: not rig.status.queue_depth)
    assert peer.speeds()[1:] == list(map(float, range(301)))
    assert (rig.status.delivered, rig.status.dropped) == (len(rig.store) + 301, 0)


async def test_the_status_says_what_waits_and_for_how_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_LOOK_S", 0.02)
    rig = Rig(tmp_path)
    peer = rig.peer()
    async with rig.lanes:
        rig.write(1)
        await rig.stored(len(rig.store) + 1)
        await until(lambda: not (rig.status.lag < 0.05))
        assert rig.status.queue_depth == len(rig.store) + 1
        async with delivering(rig, peer):
            await until(lambda: not (rig.status.queue_depth or rig.status.lag))
        assert rig.status.delivered == len(rig.store) + 1


async def test_a_pump_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    rig = Rig(tmp_path)
    peer = rig.peer()
    async with rig.lanes:
        await rig.stored(len(rig.store))
        monkeypatch.setattr(Outbox, "post", broken)
        rig.write(1)
        with pytest.raises(RuntimeError, match="a bug"):
            await asyncio.wait_for(rig.lanes.deliver(peer.send), 10)
        monkeypatch.undo()


async def test_cancelled_in_the_middle_of_a_write_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with rig.lanes:
        await rig.stored(len(rig.store))
        blocker = sqlite3.connect(tmp_path / "box" / "outbox.sqlite", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        rig.write(1, 2, 3)
        await until(lambda: not (rig.store.journal.cursors[0].lag))
        asyncio.get_running_loop().call_later(0.1, blocker.execute, "ROLLBACK")
    blocker.close()
    again = Rig(tmp_path, rig.plant)
    peer = again.peer()
    async with again.lanes, delivering(again, peer):
        await peer.until(lambda: len(peer.speeds()) == 1 + 3 + 1)
    assert peer.speeds(historical=True)[1:4] == [1.0, 2.0, 3.0]

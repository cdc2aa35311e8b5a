"""Transitions of conditions reach a peer, each, in order, and few twice, whatever happens to it and to us."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from address_space import load_plant
from gateways.transitions import FILE, Transitions
from server.alarms.database import AlarmDatabase
from server.alarms.ports import Listener, Snapshot
from server.store import now_ticks

PLANT = load_plant()
CONDITION = PLANT.conditions[0]
S = 10_000_000  # ticks


class Engine:
    """The engine's own database, with transitions of the test's making."""

    def __init__(self, folder: Path) -> None:
        self.listeners: list[Listener] = []
        self._database = AlarmDatabase(folder / "alarms.sqlite")

    def tell(self, *times: int) -> list[bytes]:
        """Tell of transitions at these times; returns their EventIds."""
        snapshots = [
            Snapshot(CONDITION, event_id=os.urandom(16), time=time, receive_time=now_ticks() + number)
            for number, time in enumerate(times)
        ]
        self._database.post(snapshots)
        for listener in self.listeners:
            listener(snapshots)
        return [it.event_id for it in snapshots]

    async def history(self, start: int, end: int, limit: int = 0) -> list[Snapshot]:
        await asyncio.wrap_future(self._database.flushed())
        return await asyncio.to_thread(self._database.events, PLANT, start, end, limit)

    def close(self) -> None:
        self._database.close()


class GoneError(Exception):
    """The peer is gone."""


class Peer:
    """Takes so many pages, then it is gone."""

    def __init__(self, pages: int = 10**9) -> None:
        self.pages = pages
        self.got: list[bytes] = []
        self.came = asyncio.Event()

    async def send(self, snapshots: Sequence[Snapshot]) -> None:
        if not self.pages:
            raise GoneError
        self.pages -= 1
        self.got += [it.event_id for it in snapshots]
        self.came.set()

    async def has(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.got) < count:
                self.came.clear()
                await self.came.wait()


@contextlib.asynccontextmanager
async def delivering(transitions: Transitions, peer: Peer) -> AsyncGenerator[None]:
    task = asyncio.create_task(transitions.deliver(peer.send))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def engine(tmp_path: Path):
    found = Engine(tmp_path)
    yield found
    found.close()


def made(engine: Engine, folder: Path) -> Transitions:
    transitions = Transitions(engine, folder / "gateway")  # type: ignore[arg-type]
    transitions.listen()
    return transitions


async def test_each_comes_once_in_the_order_in_which_it_was_told(engine: Engine, tmp_path: Path) -> None:
    now, peer = now_ticks(), Peer()
    async with delivering(made(engine, tmp_path), peer):
        told = engine.tell(now, now - 5 * S, now + S)
        await peer.has(3)
        told += engine.tell(now - 400 * S)
        await peer.has(4)
        told += engine.tell(now - 400 * S, now)
        await peer.has(6)
    assert peer.got == told


async def test_more_than_a_page_at_one_time(engine: Engine, tmp_path: Path) -> None:
    now, peer = now_ticks(), Peer()
    transitions = made(engine, tmp_path)
    told = engine.tell(*[now] * 2500, *[now + 1] * 2500, now + 2)
    async with delivering(transitions, peer):
        await peer.has(len(told))
    assert peer.got == told


async def test_what_fails_comes_again(engine: Engine, tmp_path: Path) -> None:
    transitions, peer = made(engine, tmp_path), Peer(0)
    told = engine.tell(now_ticks() - 30 * S)
    with pytest.raises(GoneError):
        await transitions.deliver(peer.send)
    told += engine.tell(now_ticks())
    peer.pages = 1
    async with delivering(transitions, peer):
        await peer.has(2)
    assert peer.got == told


async def test_a_kill_loses_none_and_repeats_none(engine: Engine, tmp_path: Path) -> None:
    first, peer = made(engine, tmp_path), Peer()
    now = now_ticks()
    async with delivering(first, peer):
        told = engine.tell(now)
        await peer.has(1)
        await first.save()
    told += engine.tell(now - 300 * S, now + S)  # while the peer is gone, one with the time of a late clock
    engine.listeners.clear()  # killed
    second = made(engine, tmp_path)
    async with delivering(second, peer):
        await peer.has(3)
        told += engine.tell(now_ticks())
        await peer.has(4)
    assert peer.got == told


async def test_a_kill_before_the_first_is_delivered(engine: Engine, tmp_path: Path) -> None:
    made(engine, tmp_path)
    told = engine.tell(now_ticks() - 60 * S)
    engine.listeners.clear()
    peer = Peer()
    async with delivering(made(engine, tmp_path), peer):
        await peer.has(1)
    assert peer.got == told


async def test_a_file_that_cannot_be_read_repeats_all(engine: Engine, tmp_path: Path) -> None:
    told = engine.tell(*range(1, 2000))
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / FILE).write_text("{")
    peer = Peer()
    async with delivering(made(engine, tmp_path), peer):
        await peer.has(len(told))
    assert peer.got == told

"""Live values over the WebSocket: every change arrives, conflated, with its quality; who is slow costs nobody else."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from web_rig import BAD, World, until, world

from gateways.web import live
from gateways.web.frames import text_frame
from gateways.web.mapping import parse_time
from server.store import now_ticks

SPEED = "Plant.Press1.Speed"
NOON = parse_time("2026-03-01T12:00:00Z")


async def test_the_first_frame_has_everything_and_the_next_what_changes(plant: World) -> None:
    plant.put("Press1.Speed", 1.5, at=NOON)
    async with plant.page(await plant.script("Engineer")) as page:
        first = await page.frame()
        assert first["first"] is True
        assert set(first["v"]) == {it.path for it in plant.plant.variables}
        assert first["v"][SPEED] == [1.5, 0, 1_772_366_400_000]
        plant.put("Press2.Speed", 2.5)
        await page.shows("Press2.Speed", 2.5)
        assert all("first" not in it for it in page.frames[1:])
        assert all(SPEED not in it["v"] for it in page.frames[1:])


@pytest.mark.parametrize(
    ("name", "value", "status", "shown"),
    [("Speed", 3.5, 0x40900000, 3.5), ("Speed", 3.5, BAD, None), ("Speed", float("nan"), 0, None),
     ("Label", "ü", 0, "ü"), ("Count", 2**40, 0, 2**40), ("Due", NOON, 0, 1_772_366_400_000), ("Due", 0, 0, None)],
    ids=range(7),
)  # fmt: skip
async def test_every_kind_of_value_arrives_with_its_quality(
    plant: World, name: str, value: Any, status: int, shown: Any
) -> None:
    async with plant.page(await plant.script("Observer")) as page:
        await page.frame()
        plant.put(f"Press1.{name}", value, status, NOON)
        await page.until(lambda: page.values[f"Plant.Press1.{name}"] == [shown, status, 1_772_366_400_000])


async def test_a_status_that_changes_alone_arrives(plant: World) -> None:
    plant.put("Press1.Speed", 7.0)
    async with plant.page(await plant.script("Observer")) as page:
        await page.shows("Press1.Speed", 7.0)
        plant.store.set_status(np.array([plant.plant.variable(SPEED).id]), 0x40900000)
        await page.shows("Press1.Speed", 7.0, 0x40900000)


async def test_many_changes_come_as_the_newest_in_few_frames(plant: World) -> None:
    async with plant.page(await plant.script("Observer")) as page, plant.page(await plant.script("Engineer")) as other:
        await page.frame()
        for value in range(5000):
            plant.put("Press1.Speed", float(value))
            if value % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(page.shows("Press1.Speed", 4999.0), other.shows("Press1.Speed", 4999.0))
        assert sum(SPEED in it["v"] for it in page.frames) < 500


async def test_what_the_journal_has_overrun_is_shown_whole(plant: World) -> None:
    async with plant.page(await plant.script("Observer")) as page:
        await page.frame()
        plant.put("Press1.Speed", 5.0)
        ids = np.full(plant.store.journal.rows + 10, plant.plant.variable("Plant.Press2.Speed").id)
        plant.store.write(ids, np.arange(len(ids), dtype=np.float64), now_ticks())
        await page.shows("Press1.Speed", 5.0)


async def test_a_page_sees_what_its_user_may_read_and_asked_for(plant: World) -> None:
    async with plant.page(await plant.script("Observer")) as page:
        assert "Plant.Press1.Secret" not in (await page.frame())["v"]
        plant.put("Press1.Secret", 9.0)
        plant.put("Press1.Speed", 9.0)
        await page.shows("Press1.Speed", 9.0)
        assert "Plant.Press1.Secret" not in page.values
    async with plant.page(await plant.script("Observer"), "/live?under=Press2&under=Plant.Press1.Speed") as page:
        below = {it.path for it in plant.plant.machine("Plant.Press2").variables.values()} - {"Plant.Press2.Secret"}
        assert set((await page.frame())["v"]) == below | {SPEED}
    async with plant.page(await plant.script("Observer"), "/live?under=Press9") as page:
        assert await page.closed() == 4404


async def test_roles_that_change_end_the_page(plant: World) -> None:
    client = await plant.script("Engineer")
    async with plant.page(client) as page:
        await page.frame()
        plant.users.add("engineer", "another password", ["Observer"], replace=True)
        assert await page.closed() == 4401
    with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
        async with plant.page(client):
            pass


async def test_a_frame_comes_though_nothing_changes_and_alarms_are_told(plant: World) -> None:
    async with plant.page(await plant.script("Observer")) as page:
        first = await page.frame()
        quiet = await page.frame()
        assert quiet["v"] == {} or quiet["t"] >= first["t"]
        plant.put("Press1.Speed", 1500.0)
        await page.until(lambda: page.frames[-1]["a"] > first["a"])


async def test_no_page_costs_nothing_and_pages_are_counted(plant: World) -> None:
    names = [it.name for it in plant.store.journal.cursors]
    assert "web pages" not in names
    client = await plant.script("Observer")
    for _ in range(2):  # once more: it starts anew
        async with plant.page(client) as page:
            await page.frame()
            assert plant.gateway.web.live.pages == 1
            assert [it.name for it in plant.store.journal.cursors].count("web pages") == 1
        await until(lambda: "web pages" not in [it.name for it in plant.store.journal.cursors])
        assert plant.gateway.web.live.pages == 0


async def test_too_many_pages_are_turned_away(tmp_path: Path) -> None:
    async with world(tmp_path, max_pages=1) as plant:
        client = await plant.script("Observer")
        async with plant.page(client) as page:
            await page.frame()
            async with plant.page(client) as another:
                assert await another.closed() == 1013
            plant.put("Press1.Speed", 4.0)
            await page.shows("Press1.Speed", 4.0)
        await until(lambda: plant.gateway.web.live.pages == 0)
        async with plant.page(client) as again:
            await again.frame()


async def deaf(plant: World, token: str) -> socket.socket:
    """Open the live stream as somebody who then takes nothing, with the smallest of buffers."""
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    connection.setblocking(False)
    await loop.sock_connect(connection, ("127.0.0.1", plant.gateway.port))
    lines = [
        "GET /live HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Authorization: {token}", "", "",
    ]  # fmt: skip
    await loop.sock_sendall(connection, "\r\n".join(lines).encode())
    assert b" 101 " in await loop.sock_recv(connection, 64)
    return connection


async def test_who_takes_nothing_is_bounded_then_cut_off_and_others_do_not_notice(
    plant: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PERIOD_S", 0.005)
    monkeypatch.setattr(live, "MOST_WAITING", 100_000)
    monkeypatch.setattr(live, "PATIENCE_S", 2.0)
    client = await plant.script("Observer")
    slow = await deaf(plant, client.headers["Authorization"])
    feed = plant.gateway.web.live
    await until(lambda: feed.pages == 1)
    (page,) = next(iter(feed._audiences.values())).pages
    most = 0
    async with plant.page(client) as watching:
        async with asyncio.timeout(40):
            while not feed.cut_off:
                plant.put("Press1.Label", "x" * 20_000 + str(now_ticks()))
                await watching.frame()
                most = max(most, page.socket.waiting)
        assert most < 200_000
        plant.put("Press1.Speed", 4.0)
        await watching.shows("Press1.Speed", 4.0)
    await until(lambda: feed.pages == 0)
    slow.close()


async def test_who_was_slow_gets_the_newest_of_all_that_it_missed(
    plant: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PERIOD_S", 0.005)
    monkeypatch.setattr(live, "MOST_WAITING", 100_000)
    client = await plant.script("Observer")
    slow = await deaf(plant, client.headers["Authorization"])
    feed = plant.gateway.web.live
    await until(lambda: feed.pages == 1)
    (page,) = next(iter(feed._audiences.values())).pages
    async with plant.page(client) as watching, asyncio.timeout(40):
        number = 0
        while page.missed is None or number < 200:
            number += 1
            plant.put("Press1.Label", "x" * 20_000 + f"-{number}-")
            await watching.frame()
    plant.put("Press1.Speed", 77.25)
    taken, loop = bytearray(), asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while b"77.25" not in taken:
            taken += await loop.sock_recv(slow, 65_536)
    assert f"-{number}-".encode() in taken
    assert sum(f"-{n}-".encode() in taken for n in range(number)) < number
    slow.close()


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frames_are_those_of_the_protocol(size: int) -> None:
    from websockets.client import ClientProtocol
    from websockets.protocol import State
    from websockets.uri import parse_uri

    client = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=None)
    client.receive_data(text_frame(b"x" * size) * 2)
    assert [bytes(it.data) for it in client.events_received()] == [b"x" * size] * 2  # type: ignore[union-attr]

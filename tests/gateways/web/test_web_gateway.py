"""The gateway's life: it starts, ends clean with people on it, starts again, and says what is in its way."""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from web_rig import World, until, world

from gateways.web.settings import WebSettings
from server.errors import StartError


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_it_listens_where_it_is_told(tmp_path: Path, host: str) -> None:
    try:
        async with world(tmp_path, host=host) as plant:
            client = await plant.script("Observer")
            assert (await client.get("/api/v1/session")).json()["name"] == "observer"
    except StartError as error:
        if host == "::1" and "assign" in str(error):
            pytest.skip("there is no IPv6 here")
        raise


async def test_a_port_in_use_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as caught:
            async with world(tmp_path, port=port):
                pass
    sentence = f"the operator page cannot listen on 127.0.0.1, port {port} (settings web.host, web.port): "
    assert str(caught.value) == sentence + "Address already in use"


async def test_a_host_that_is_none_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"cannot listen on no\.such\.host\.invalid, port \d+ .*: \w+"):
        async with world(tmp_path, host="no.such.host.invalid"):
            pass


async def run(world: World) -> "asyncio.Task[None]":
    task = asyncio.create_task(world.gateway.run())
    await until(lambda: world.status.connected or task.done())
    return task


async def test_it_ends_with_people_on_it_and_starts_again_on_the_same_port(tmp_path: Path) -> None:
    async with world(tmp_path) as plant:
        port = plant.gateway.port
        object.__setattr__(plant.gateway._settings, "port", port)
        before = asyncio.all_tasks()
        gateway = next(it for it in before if it.get_coro().__qualname__ == "WebGateway.run")  # type: ignore[union-attr]
        client = await plant.script("Observer")
        async with plant.page(client) as page, plant.page(client) as other:
            await page.frame()
            idle = socket.create_connection(("127.0.0.1", port))
            gateway.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gateway
            assert await page.closed() == 1012
            assert await other.closed() == 1012
            assert await asyncio.to_thread(idle.recv, 1) == b""
            idle.close()
        with pytest.raises(httpx.HTTPError):
            await client.get("/api/v1/session")
        await until(lambda: asyncio.all_tasks() <= before)
        assert "web pages" not in [it.name for it in plant.store.journal.cursors]
        plant.status.connected = False
        again = await run(plant)
        assert plant.gateway.port == port
        assert (await client.get("/api/v1/session")).status_code == 200  # the token survives
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


async def test_a_request_under_way_does_not_hold_up_the_end(plant: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def never(*_arguments: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(plant.gateway.web.reading, "last_samples", never, raising=False)
    client = await plant.script("Observer")
    asking = asyncio.create_task(client.get("/api/v1/data", params={"machine": "Press1"}))
    await begun.wait()
    running = next(it for it in asyncio.all_tasks() if it.get_coro().__qualname__ == "WebGateway.run")  # type: ignore[union-attr]
    running.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(running, return_exceptions=True)
        with pytest.raises(httpx.HTTPError):
            (await asking).raise_for_status()


async def test_its_address_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with world(tmp_path) as plant:
        assert plant.gateway.url == f"http://127.0.0.1:{plant.gateway.port}/"
        assert any("operator page" in it.getMessage() and plant.gateway.url in it.getMessage() for it in caplog.records)


async def test_what_goes_over_no_websocket_is_refused(plant: World) -> None:
    client = await plant.script("Observer")
    async with aiohttp.ClientSession(headers={"Authorization": client.headers["Authorization"]}) as session:
        async with session.ws_connect(f"{plant.url}/live") as stream:
            await stream.send_str("x" * 100_000)
            while (message := await stream.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert stream.close_code == 1009, message
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{plant.url}/api/v1/values")
    await until(lambda: plant.gateway.web.live.pages == 0)


def test_the_page_is_on_by_default_and_for_this_machine_alone() -> None:
    settings = WebSettings()
    assert (settings.enabled, settings.host, settings.port, settings.tls) == (True, "127.0.0.1", 8081, False)


async def test_without_the_address_space_in_the_process_the_tree_says_so(plant: World) -> None:
    answer = await (await plant.person("Operator")).get("/tree")
    assert answer.status_code == 501
    assert "not in this process" in answer.text

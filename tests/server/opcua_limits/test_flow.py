"""Fairness: what a client that floods, does not read, or dawdles may cost, and that others do not notice."""

import asyncio
import itertools
import struct
import threading
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from asyncua import ua

from bench import wire
from bench.raw_client import RawClient
from server.assembly import Plantree
from server.opcua.wire import READ_REQUEST
from tests.server.opcua.opcua_rig import nid, read, session, small_server
from tests.server.opcua_limits.limits_rig import (
    CODES,
    Bare,
    chunks,
    hello,
    limited,
    raw,
    refusal,
    send_some,
    small_buffers,
    until,
)

SPEED = "Plant.Press1.Target"
pytestmark = pytest.mark.asyncio(loop_scope="module")
ITEM = [(nid(SPEED), ua.AttributeIds.Value)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("flow")) as plantree:
        yield plantree


async def test_too_many_connections_are_told_so(plantree: Plantree) -> None:
    async with limited(plantree, connections=2), session(plantree), session(plantree) as client:
        async with await Bare.open(plantree) as third:
            assert refusal(await third.rest()) == CODES.BadTcpServerTooBusy
        assert (await read(client, ITEM))[0].Value.Value == 10.0
        assert len(plantree.opcua._binary.clients) == 2


async def test_the_oldest_connection_without_a_session_makes_room(plantree: Plantree) -> None:
    async with limited(plantree, connections=2), session(plantree) as client:
        async with await Bare.open(plantree) as idle, session(plantree) as other:
            assert refusal(await idle.rest()) == CODES.BadTcpNotEnoughResources
            assert (await read(other, ITEM))[0].Value.Value == 10.0
        assert (await read(client, ITEM))[0].Value.Value == 10.0


@pytest.mark.parametrize("said", [b"", hello()[:-1], hello()], ids=["nothing", "half a hello", "no channel"])
async def test_a_handshake_takes_only_so_long(plantree: Plantree, said: bytes) -> None:
    async with limited(plantree, handshake=0.3), await Bare.open(plantree) as slow:
        slow.writer.write(said)
        assert refusal(await slow.rest(5)) == CODES.BadTimeout


async def test_a_connection_without_a_session_lasts_only_so_long(plantree: Plantree) -> None:
    async with limited(plantree, handshake=1.0, activation=1.5), raw(plantree) as client:
        await asyncio.to_thread(client.call_service, ua.CloseSessionRequest(), ua.CloseSessionResponse)
        with pytest.raises((wire.WireError, ConnectionError), match=r"0x800A0000|closed"):
            await asyncio.to_thread(client.receive)
        await until(lambda: not plantree.opcua._binary.clients)


async def test_a_connection_with_a_session_is_left_alone(plantree: Plantree) -> None:
    async with limited(plantree, handshake=1.0, activation=1.2), session(plantree) as client:
        async with await Bare.open(plantree) as idle:
            assert refusal(await idle.rest(5)) == CODES.BadTimeout
        async with await Bare.open(plantree) as idle:
            assert refusal(await idle.rest(5)) == CODES.BadTimeout
        assert (await read(client, ITEM))[0].Value.Value == 10.0


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", CODES.BadTcpMessageTypeInvalid),
        (b"MSGF" + struct.pack("<I", 4) + bytes(100), CODES.BadTcpMessageTypeInvalid),
        (b"HELF" + struct.pack("<I", 2**31 - 1), CODES.BadTcpMessageTooLarge),
        (hello(receive=4096), CODES.BadTcpNotEnoughResources),
        (hello(send=100), CODES.BadTcpNotEnoughResources),
        (hello() + b"MSGF" + struct.pack("<IIIII", 24, 9, 9, 1, 1), CODES.BadTcpInternalError),
    ],
    ids=["HTTP", "no size", "2 GB", "small receive buffer", "small send buffer", "a message without a channel"],
)
async def test_what_is_no_opc_ua_is_hung_up_on(plantree: Plantree, said: bytes, status: int) -> None:
    async with await Bare.open(plantree) as stranger:
        stranger.writer.write(said)
        assert refusal(await stranger.rest(5)) == status


async def test_who_has_no_session_may_send_small_messages_only(plantree: Plantree) -> None:
    async with limited(plantree, stranger_bytes=100_000), raw(plantree) as client:
        large = client.prepare(ua.FindServersRequest(Parameters=ua.FindServersParameters(ServerUris=["x" * 150_000])))
        assert await asyncio.to_thread(client.ask, large)
        await asyncio.to_thread(client.call_service, ua.CloseSessionRequest(), ua.CloseSessionResponse)
        with pytest.raises((wire.WireError, OSError)):
            await asyncio.to_thread(client.ask, large)


async def test_answers_come_in_order_by_whichever_path(plantree: Plantree) -> None:
    async with raw(plantree) as client:
        fast = client.read_request([SPEED])
        slow = client.read_request(["Plant.Press1.Label"])  # Strings are asyncua's

        def ask() -> list[int]:
            sent = [client.send(slow if number % 7 == 3 else fast) for number in range(3000)]
            return [client.receive()[0] - number for number in sent]

        assert set(await asyncio.to_thread(ask)) == {0}


@pytest.mark.parametrize(("path", "most"), [(SPEED, 60), ("Plant.Press1.Label", 6)], ids=["fast", "slow"])
async def test_a_flood_leaves_others_their_turn(plantree: Plantree, path: str, most: int) -> None:
    """However many requests one client has sent, only a few are answered before the loop looks at other things."""
    count = 3000
    async with raw(plantree) as flooder:
        (live,) = plantree.opcua._binary.clients
        totals = live.processor.session.counters.total
        flood = chunks(flooder, flooder.read_request([path]), count)

        def pour() -> int:
            flooder._socket.sendall(flood)
            return sum(flooder.receive()[0] > 0 for _ in range(count))

        pouring = asyncio.create_task(asyncio.to_thread(pour))
        turns = [0]
        while not pouring.done():
            turns.append(totals.get(READ_REQUEST, 0))
            await asyncio.sleep(0)
        assert await pouring == count
        assert max(after - before for before, after in itertools.pairwise(turns)) <= most


async def test_a_flood_of_large_requests_waits_in_the_network(plantree: Plantree) -> None:
    """An event loop of uvloop reads dozens of times in a row, unless it is stopped."""
    count = 300
    async with raw(plantree) as flooder:
        (protocol,) = plantree.opcua._binary.clients
        flood = chunks(flooder, flooder.read_request([SPEED] * 1000), count)

        def take() -> int:
            return sum(flooder.receive()[0] > 0 for _ in range(count))

        answers = asyncio.gather(asyncio.to_thread(take))
        most_held = fed = 0
        while fed < len(flood):
            while not protocol._paused and fed < len(flood):
                protocol.data_received(flood[fed : fed + 60_000])
                fed += 60_000
                most_held = max(most_held, len(protocol._buffer) - protocol._at)
            await asyncio.sleep(0)
        assert await answers == [count]
        assert most_held <= plantree.opcua.limits.read_ahead + 60_000


@pytest.mark.parametrize("path", [SPEED, "Plant.Press1.Label"], ids=["fast", "slow"])
async def test_who_floods_and_reads_nothing_is_bounded_and_cut_off(plantree: Plantree, path: str) -> None:
    limits = {"write_buffer": 50_000, "read_ahead": 20_000, "stalled": 0.5}
    async with limited(plantree, **limits), raw(plantree) as victim, raw(plantree) as flooder:
        protocol = small_buffers(flooder, plantree)
        flood = chunks(flooder, flooder.read_request([path] * 20), 20_000)
        read_one = victim.read_request([SPEED])
        cut_off = plantree.opcua.internal.tallies.stalled
        sent = most_unread = most_held = 0
        async with asyncio.timeout(20):
            while protocol in plantree.opcua._binary.clients:
                try:
                    sent += send_some(flooder, flood[sent : sent + 1_000_000])
                except OSError:
                    break
                most_unread = max(most_unread, protocol.transport.get_write_buffer_size())
                most_held = max(most_held, len(protocol._buffer) - protocol._at)
                assert await asyncio.to_thread(victim.ask, read_one)
        await until(lambda: protocol not in plantree.opcua._binary.clients)
        assert sent < len(flood), "the rest was never read from the network"
        assert 50_000 <= most_unread < 100_000
        assert most_held <= 20_000 + 256 * 1024
        assert plantree.opcua.internal.tallies.stalled == cut_off + 1
        assert await asyncio.to_thread(victim.ask, read_one)


async def test_who_reads_slowly_is_not_cut_off(plantree: Plantree) -> None:
    """It takes several times `stalled` to read it all."""
    async with limited(plantree, write_buffer=20_000, stalled=0.4), raw(plantree) as client:
        small_buffers(client, plantree, 131_072)
        count = 3000
        flood = chunks(client, client.read_request([SPEED] * 60), count)

        def dawdle() -> int:
            found, pause, came = 0, threading.Event(), bytearray()
            sent = send_some(client, flood)
            while found < count:
                client._socket.settimeout(10)
                came += client._socket.recv(8192)
                sent += send_some(client, flood[sent:])
                found = came.count(b"MSGF")
                pause.wait(0.002)
            return found

        cut_off = plantree.opcua.internal.tallies.stalled
        began = time.monotonic()
        assert await asyncio.to_thread(dawdle) == count
        assert time.monotonic() - began > 2 * 0.4
        assert plantree.opcua.internal.tallies.stalled == cut_off


async def test_chunks_are_no_larger_than_the_client_said(plantree: Plantree) -> None:
    async with limited(plantree):
        with_small_buffer = await asyncio.to_thread(SmallClient, plantree.opcua.port, "/plantree", None, 20.0)
        try:
            body = await asyncio.to_thread(
                with_small_buffer.ask, with_small_buffer.read_request(["Plant.Press1.Target"] * 2000)
            )
            wire.check_read(body, 2000)
            assert 8000 < with_small_buffer.largest <= 8192
        finally:
            await asyncio.to_thread(with_small_buffer.close)


class SmallClient(RawClient):
    """Takes chunks of 8 KiB."""

    largest = 0

    def _open(self, user: tuple[str, str] | None) -> None:
        send, network = self._socket.sendall, self._socket

        class Hello:
            def sendall(self, _data: bytes) -> None:
                send(hello(receive=8192))
                outer._socket = network

            def __getattr__(self, name: str) -> object:
                return getattr(network, name)

        outer = self
        self._socket = Hello()  # type: ignore[assignment]
        super()._open(user)

    def _chunk(self, deadline: float) -> bytes:
        chunk = super()._chunk(deadline)
        self.largest = max(self.largest, len(chunk))
        return chunk

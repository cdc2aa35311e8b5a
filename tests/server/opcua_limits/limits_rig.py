"""A server whose limits a test can reach, and clients that misbehave on bare sockets."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any, Self

from asyncua import ua

from bench.raw_client import Prepared, RawClient
from server.assembly import Plantree
from server.opcua.protocol import PlantProtocol

CODES = ua.StatusCodes


@contextlib.asynccontextmanager
async def limited(plantree: Plantree, **limits: Any) -> AsyncGenerator[Plantree]:
    """Give connections that are made from now on other limits."""
    internal = plantree.opcua.internal
    before, internal.limits = internal.limits, replace(internal.limits, **limits)
    try:
        yield plantree
    finally:
        internal.limits = before
        await until(lambda: not plantree.opcua._binary.clients)


class Bare:
    """A TCP connection that says what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, plantree: Plantree) -> "Bare":
        return cls(*await asyncio.open_connection("127.0.0.1", plantree.opcua.port))

    async def rest(self, seconds: float = 10) -> bytes:
        """Return all that still comes, up to the end: the server must close."""
        return await asyncio.wait_for(self.reader.read(), seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()


def hello(receive: int = 65535, send: int = 65535) -> bytes:
    url = b"opc.tcp://127.0.0.1/plantree"
    body = struct.pack("<5Ii", 0, receive, send, 0, 0, len(url)) + url
    return b"HELF" + struct.pack("<I", 8 + len(body)) + body


def refusal(answer: bytes) -> int:
    """Return the StatusCode of the Error message that an answer ends with."""
    at = answer.rindex(b"ERRF")
    return struct.unpack_from("<I", answer, at + 8)[0]


@contextlib.asynccontextmanager
async def raw(plantree: Plantree, **options: Any) -> AsyncGenerator[RawClient]:
    """Open a session with the bench's client; its methods block, so they run in a thread."""
    client = await asyncio.to_thread(RawClient, plantree.opcua.port, "/plantree", timeout=20, **options)
    try:
        yield client
    finally:
        await asyncio.to_thread(client.close)


def chunks(client: RawClient, prepared: Prepared, count: int) -> bytes:
    """Return the bytes of `count` requests as the client would send them one after the other."""
    sent: list[bytes] = []

    class Taker:
        def sendall(self, data: bytes) -> None:
            sent.append(data)

    network, client._socket = client._socket, Taker()  # type: ignore[assignment]
    try:
        for _ in range(count):
            client.send(prepared)
    finally:
        client._socket = network
    return b"".join(sent)


def send_some(client: RawClient, data: bytes) -> int:
    """Send what the network takes now; returns how many bytes."""
    client._socket.setblocking(False)
    sent = 0
    try:
        while sent < len(data):
            sent += client._socket.send(data[sent : sent + 65536])
    except BlockingIOError:
        pass
    client._socket.setblocking(True)
    return sent


def small_buffers(client: RawClient, plantree: Plantree, size: int = 4096) -> PlantProtocol:
    """Have the network hold little of what the last connected client leaves unread; returns its connection."""
    protocol = plantree.opcua._binary.clients[-1]
    client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    return protocol


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Let the server work until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  there is no event for what tests wait for
            await asyncio.sleep(0)

"""A TCP link between a client and a real server that a test can cut: not a mock, every byte is the server's own."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator


class BrokenLink:
    """Passes bytes on; after `cut_after` bytes of one connection that goes to the server, both ends are closed.

    With `reset_in` the server gets exactly so many bytes from now on, and then a reset.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.cut_after: int | None = None
        self.reset_in: int | None = None
        self.cuts = 0
        self.stalled = asyncio.Event()
        self.stall = False
        """Take bytes and pass nothing on."""
        self._server_port = port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        answers = asyncio.create_task(self._answers(back_reader, writer))
        passed = 0
        try:
            while data := await reader.read(65_536):
                if self.stall:
                    self.stalled.set()
                    continue
                passed += len(data)
                if self.reset_in is not None and len(data) >= self.reset_in:
                    back_writer.write(data[: self.reset_in])
                    await back_writer.drain()
                    linger = struct.pack("ii", 1, 0)
                    back_writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.reset_in = None
                    self.cuts += 1
                    break
                if self.reset_in is not None:
                    self.reset_in -= len(data)
                if self.cut_after is not None and passed > self.cut_after:
                    self.cut_after = None
                    self.cuts += 1
                    break
                back_writer.write(data)
                await back_writer.drain()
        except ConnectionError:
            pass  # the client has gone: that is what links do
        finally:
            answers.cancel()
            back_writer.transport.abort()
            writer.transport.abort()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()


@contextlib.asynccontextmanager
async def broken_link(port: int) -> AsyncGenerator[BrokenLink]:
    """Open a link to a server's port for the time of a `with` block."""
    link = BrokenLink(port)
    server = await asyncio.start_server(link._serve, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()

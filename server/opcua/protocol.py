"""Bytes in, bytes out of one client's TCP connection: whose turn it is, and what a client that misbehaves may cost.

asyncua reads on while answers pile up, and answers everything it has of one client before it looks at the next. Here
requests wait in the network until those before them are answered and the answers are taken, and each connection works
for a tenth of a millisecond at a time.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false, reportPrivateUsage=false

import array
import asyncio
import contextlib
import sys
import time
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.ua.ua_binary import header_from_binary, uatcp_to_binary

from server import logs
from server.opcua.guarded import GuardedConnection
from server.opcua.internal_server import PlantInternalServer
from server.opcua.security import Gatekeeper

log = logs.get(__name__)

_CODES = ua.StatusCodes
_HEADER_SIZE = 8
"""Message type, chunk type and size (OPC 10000-6 7.1.2.2)."""
_LEAST_SIZES = {b"HELF": 32, **dict.fromkeys((b"OPNF", b"MSGF", b"MSGC", b"MSGA", b"CLOF"), 24)}
_LARGEST_HELD = 2**20
"""Bytes of an unfinished message that are held for the short way; asyncua collects larger ones, chunk by chunk."""
_LINGER = 2.0
"""How long a client that is hung up on has to take what was sent to it, in seconds."""


class PlantBinaryServer(BinaryServer):
    """Accepts connections that go through the gatekeeper."""

    def __init__(
        self, internal_server: PlantInternalServer, host: str, port: int, limits: Any, gate: Gatekeeper
    ) -> None:
        super().__init__(internal_server, host, port, limits)
        self._gate = gate

    def _make_protocol(self) -> OPCUAProtocol:
        protocol = PlantProtocol(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )
        protocol.gate = self._gate
        return protocol


class PlantProtocol(OPCUAProtocol):
    """asyncua's protocol with turns and back-pressure; while nothing waits, what can be answered at once is."""

    gate: Gatekeeper
    iserver: PlantInternalServer  # pyright: ignore[reportIncompatibleVariableOverride]
    _at = 0
    _busy = _scheduled = _paused = _ended = False
    _stall: asyncio.TimerHandle | None = None
    _unread = 0
    """Bytes that the client had left unread when that was last looked at."""

    @property
    def in_session(self) -> bool:
        """Whether a session is activated on the connection."""
        session = None if self.processor is None else self.processor.session
        return session is not None and session.is_activated()

    def connection_made(self, transport: Any) -> None:
        """Take a connection, if need be in place of the oldest that has no session (OPC 10000-4 5.6.2)."""
        self._limits = self.iserver.limits
        self._takes = asyncio.Event()
        """Set while the client takes its answers."""
        self._takes.set()
        if len(self.clients) >= self._limits.most_connections and not self._make_room():
            log.warning("connection refused: there are too many", peer=str(transport.get_extra_info("peername")))
            _refuse(transport, _CODES.BadTcpServerTooBusy, "there are too many connections")
            self._ended = True
            return
        super().connection_made(transport)
        transport.set_write_buffer_limits(self._limits.write_buffer, self._limits.write_buffer // 4)
        self.processor = GuardedConnection(self.iserver, self.transport, self.limits, self.gate)
        self.processor.set_policies(self.policies)

    def _make_room(self) -> bool:
        for client in self.clients:
            if isinstance(client, PlantProtocol) and not client.in_session:
                client.hang_up(_CODES.BadTcpNotEnoughResources, "its place was needed")
                self.clients.remove(client)
                return True
        return False

    def connection_lost(self, ex: BaseException | None) -> None:
        """Forget the connection."""
        self._ended = True
        self._takes.set()
        if self._stall is not None:
            self._stall.cancel()
        super().connection_lost(ex)

    def data_received(self, data: bytes) -> None:
        """Answer what has come, for one turn."""
        if self._ended:
            return
        self._buffer = self._buffer[self._at :] + data if self._buffer else data
        self._at = 0
        if not self._scheduled:
            self._go_on()
        elif len(self._buffer) > self._limits.read_ahead:
            self._read_on(False)  # or the event loop goes on reading: dozens of times, before the next turn comes

    def _go_on(self) -> None:
        """Answer requests for one turn; what is left waits for the next."""
        self._scheduled = False
        end = time.perf_counter() + self._limits.turn
        whole = True
        while not self._ended and self._takes.is_set():
            chunks = self._next_message()
            if not chunks:
                whole = False
                break
            if not self._answer(chunks):
                break
            self._at += sum(map(len, chunks))
            if time.perf_counter() >= end:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._go_on)
                break
        if self._at == len(self._buffer):
            self._buffer, self._at = b"", 0
        enough = whole and len(self._buffer) - self._at > self._limits.read_ahead
        self._read_on(self._takes.is_set() and not enough)

    def _read_on(self, go: bool) -> None:
        """Read from the network, or leave the rest there: the client's own send buffer is where a flood waits."""
        transport = self.transport
        if go is not self._paused or transport is None or transport.is_closing():
            return
        self._paused = not go
        if go:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _next_message(self) -> list[bytes] | None:
        """Return the chunks of the next whole message, or one that asyncua is to collect.

        None when there is none yet, or when the client was hung up on.
        """
        chunks: list[bytes] = []
        at = self._at
        held = _LARGEST_HELD if self.in_session else self._limits.stranger_bytes
        while (chunk := self._chunk(at)) is not None:
            chunks.append(chunk)
            at += len(chunk)
            if chunk[:4] != b"MSGC":
                return chunks
            if at - self._at > held:
                return chunks[:1]
        return None

    def _chunk(self, at: int) -> bytes | None:
        left = len(self._buffer) - at
        if left < _HEADER_SIZE:
            return None
        head = self._buffer[at : at + _HEADER_SIZE]
        size = int.from_bytes(head[4:], "little")
        processor: Any = self.processor
        largest = processor._limits.max_recv_buffer
        if size < _LEAST_SIZES.get(head[:4], size + 1):
            self.hang_up(_CODES.BadTcpMessageTypeInvalid, "this is no message of OPC UA TCP")
            return None
        if size > largest:  # OPC 10000-6 7.1.2
            log.warning("chunk refused", peer=str(self.peer_name), size=size, largest=largest)
            self.hang_up(_CODES.BadTcpMessageTooLarge, "the chunk is too large")
            return None
        return self._buffer[at : at + size] if size <= left else None

    def _answer(self, chunks: list[bytes]) -> bool:
        """Answer the chunks of a message at once, or queue them; False when neither can be now."""
        if not self._busy and self.messages.empty() and chunks[-1].startswith(b"MSGF"):
            processor: Any = self.processor
            response = processor.shortcut(chunks)
            if response is not None:
                if response and self.transport is not None:
                    self.transport.write(response)
                return True
        if self.messages.qsize() >= self._limits.waiting:
            return False
        for chunk in chunks:
            body = Buffer(chunk)
            self.messages.put_nowait((header_from_binary(body), body))
        return True

    async def _process_received_message_loop(self) -> None:
        """Answer what is queued, in order; after each turn others have theirs."""
        worked = 0.0
        while True:
            header, body = await self.messages.get()
            if header is None:
                return
            began = time.perf_counter()
            self._busy = True
            try:
                going_on = await self._process_one_msg(header, body)
            except Exception as error:  # what a service raises was answered: this is the channel's  # noqa: BLE001
                log.warning("message refused", peer=str(self.peer_name), error=repr(error))
                self.hang_up(_CODES.BadTcpInternalError, "the message cannot be read")
                return
            finally:
                self._busy = False
            if not going_on:
                self._hang_up()
                return
            worked += time.perf_counter() - began
            if worked > self._limits.turn:
                worked = 0.0
                await asyncio.sleep(0)
            await self._takes.wait()
            if self._buffer and not self._scheduled:
                self._go_on()

    def pause_writing(self) -> None:
        """Answer no more until the client takes what it was sent."""
        self._takes.clear()
        self._read_on(False)
        self._watch_unread()

    def resume_writing(self) -> None:
        """Go on."""
        self._takes.set()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if not self._scheduled and not self._ended:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _watch_unread(self) -> None:
        if self.transport is not None:
            self._unread = _unread(self.transport)
            self._stall = asyncio.get_running_loop().call_later(self._limits.stalled, self._check_unread)

    def _check_unread(self) -> None:
        if self.transport is None:
            return
        if _unread(self.transport) < self._unread:
            self._watch_unread()  # slow, but it reads
            return
        log.warning("connection cut off: the client does not read", peer=str(self.peer_name), unread=self._unread)
        self.iserver.tallies.stalled += 1
        self.transport.abort()

    async def _activation_watchdog(self) -> None:
        """Hang up on who does not open a channel, or has no session for too long."""
        limits = self._limits
        await asyncio.sleep(limits.handshake)
        processor: Any = self.processor
        if not processor._connection.is_open():
            self.hang_up(_CODES.BadTimeout, "no secure channel was opened in time")
            return
        await asyncio.sleep(max(0.0, limits.activation - limits.handshake))
        idle = True
        while self.in_session or not idle:
            idle = not self.in_session
            await asyncio.sleep(limits.activation)
        self.hang_up(_CODES.BadTimeout, "no session was activated in time")

    def hang_up(self, status: int, reason: str) -> None:
        """Say why, and close the connection, whether or not the client takes what was sent to it."""
        if self.transport is not None and not self.transport.is_closing():
            log.info("connection closed", peer=str(self.peer_name), reason=reason)
            _refuse(self.transport, status, reason)
        self._ended = True

    def _hang_up(self) -> None:
        self._ended = True
        if self.transport is not None:
            _close(self.transport)


def _unread(transport: Any) -> int:
    """Return how many bytes a client has not taken: those in our buffer and, where it tells, those in the kernel's."""
    unsent = array.array("i", [0])
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415  not on Windows
        import termios  # noqa: PLC0415

        with contextlib.suppress(OSError):
            fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, unsent)
    return transport.get_write_buffer_size() + unsent[0]


def _refuse(transport: Any, status: int, reason: str) -> None:
    """Send an Error message (OPC 10000-6 7.1.2.5) and close."""
    transport.write(uatcp_to_binary(ua.MessageType.Error, ua.ErrorMessage(ua.StatusCode(status), reason)))
    _close(transport)


def _close(transport: Any) -> None:
    transport.close()
    asyncio.get_running_loop().call_later(_LINGER, transport.abort)

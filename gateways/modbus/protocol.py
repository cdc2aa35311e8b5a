"""Modbus TCP as a server speaks it (Modbus messaging on TCP/IP 1.0b; application protocol 1.1b3).

Reads are answered from the image at once, in the callback that brought them. Whatever asks for more goes through
pymodbus's messages and is done one after another, in the order in which a master sent it.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from gateways.modbus.image import Image
from gateways.modbus.mapping import unit_of
from server import logs

log = logs.get(__name__)

_HEADER = struct.Struct(">HHHB")
"""Transaction, protocol (0), length of what follows, unit."""
_READ = struct.Struct(">BHH")
READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT = 1, 2, 3, 4
_WRITE_COIL = 5
_MOST_BITS, _MOST_REGISTERS = 2000, 125
_LONGEST = 260
_MOST_WAITING = 64
"""Requests of one master that may wait for the one before; who sends more is cut off."""

Handle = Callable[[ModbusPDU, str, int, Any], Awaitable[ModbusPDU]]
"""Answers a request that is no read: (request, word order, bank, connection)."""


class RefusedError(Exception):
    """A request that gets an exception response with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Server:
    """What all connections of a gateway share."""

    def __init__(self, image: Image, handle: Handle, coils: Callable[[int, int, int], bytes | None], most: int) -> None:
        self.image = image
        self.handle = handle
        self.coils = coils
        """Packed coils of (bank, address, count); None where one of them is not there."""
        self.most = most
        self.connections: set[Connection] = set()

    def protocol(self) -> "Connection":
        """Make the protocol of a new connection."""
        return Connection(self)

    def close(self) -> None:
        """End every connection."""
        for connection in list(self.connections):
            connection.close()


class Connection(asyncio.Protocol):
    """One master."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._transport: Any = None
        self._waiting: deque[tuple[bytes, bytes, str, int]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.peer = ""
        self.certificate: bytes | None = None
        """The master's certificate (DER) on a TLS connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a master in, unless there are too many."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        secured = transport.get_extra_info("ssl_object")
        self.certificate = None if secured is None else secured.getpeercert(binary_form=True)
        if len(self._server.connections) >= self._server.most:
            log.warning("master refused: too many connections", peer=self.peer, most=self._server.most)
            self._transport.close()
            return
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the master; what it asked for goes on to its end."""
        self._server.connections.discard(self)
        self._waiting.clear()

    def pause_writing(self) -> None:
        """Cut off a master that does not read its answers."""
        log.warning("master cut off: it does not read", peer=self.peer)
        self._transport.abort()

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Answer every whole request of what has come so far."""
        buffer = self._buffer + data if self._buffer else data
        answers: list[bytes] = []
        at = 0
        while len(buffer) - at >= 8:
            transaction, protocol, length, unit = _HEADER.unpack_from(buffer, at)
            if protocol != 0 or not 2 <= length <= _LONGEST - 6:
                log.warning("not Modbus TCP", peer=self.peer)
                self._transport.close()
                return
            if len(buffer) - at < 6 + length:
                break
            pdu = buffer[at + 7 : at + 6 + length]
            answer = self._answer(transaction, unit, pdu)
            if answer is not None:
                answers.append(_HEADER.pack(transaction, 0, 1 + len(answer), unit) + answer)
            at += 6 + length
        self._buffer = buffer[at:]
        if answers:
            self._transport.write(b"".join(answers))

    def _answer(self, transaction: int, unit: int, pdu: bytes) -> bytes | None:
        """Return the answer's PDU; None when it comes later."""
        function = pdu[0]
        found = unit_of(unit)
        try:
            if found is None:
                raise RefusedError(ExcCodes.GATEWAY_NO_RESPONSE)  # 0x0B: no such device behind this gateway
            order, bank, details = found
            if function <= READ_INPUT and function:
                return self._read(function, pdu, order, bank, details=details)
            if details:
                raise RefusedError(ExcCodes.ILLEGAL_FUNCTION)
        except RefusedError as refusal:
            return bytes((function | 0x80, refusal.code))
        if len(self._waiting) >= _MOST_WAITING:
            log.warning("master cut off: too many writes at a time", peer=self.peer)
            self._transport.abort()
            return None
        self._waiting.append((_HEADER.pack(transaction, 0, 0, unit), pdu, order, bank))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return None

    def _read(self, function: int, pdu: bytes, order: str, bank: int, *, details: bool) -> bytes:
        image = self._server.image
        if len(pdu) != _READ.size:
            raise RefusedError(ExcCodes.ILLEGAL_VALUE)
        _, address, count = _READ.unpack(pdu)
        if function >= READ_HOLDING:
            area = image.details if details else image.input if function == READ_INPUT else image.holding
            if not 1 <= count <= _MOST_REGISTERS:
                raise RefusedError(ExcCodes.ILLEGAL_VALUE)
            data = None if details and function == READ_HOLDING else area.read(order, bank, address, count)
        else:
            if not 1 <= count <= _MOST_BITS:
                raise RefusedError(ExcCodes.ILLEGAL_VALUE)
            data = None if details else self._bits(function, bank, address, count)
        if data is None:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        return bytes((function, len(data))) + data

    def _bits(self, function: int, bank: int, address: int, count: int) -> bytes | None:
        if function == READ_COILS:
            return self._server.coils(bank, address, count)
        return self._server.image.bits(bank, address, count)

    async def _work(self) -> None:
        while self._waiting:
            header, pdu, order, bank = self._waiting[0]
            answer = await self._handled(pdu, order, bank)
            if not self._waiting:
                return  # the master has gone
            self._waiting.popleft()
            transaction, _, _, unit = _HEADER.unpack(header)
            self._transport.write(_HEADER.pack(transaction, 0, 1 + len(answer), unit) + answer)

    async def _handled(self, pdu: bytes, order: str, bank: int) -> bytes:
        if pdu[0] == _WRITE_COIL and pdu[3:] not in (b"\xff\x00", b"\x00\x00"):
            return bytes((pdu[0] | 0x80, ExcCodes.ILLEGAL_VALUE))  # pymodbus would take any of them for "on"
        try:
            request = _DECODER.decode(pdu)
        except (ModbusException, struct.error, IndexError, ValueError):
            request = None
        if request is None:
            known = pdu[0] in _DECODER.list_function_codes()
            return bytes((pdu[0] | 0x80, ExcCodes.ILLEGAL_VALUE if known else ExcCodes.ILLEGAL_FUNCTION))
        try:
            response = await self._server.handle(request, order, bank, self)
        except RefusedError as refusal:
            response = ExceptionResponse(request.function_code, refusal.code)
        return bytes((response.function_code,)) + response.encode()


_DECODER = DecodePDU(is_server=True)

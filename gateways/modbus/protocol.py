"""Modbus TCP as a server speaks it (Modbus messaging on TCP/IP 1.0b; application protocol 1.1b3).

Reads are answered from the image at once, in the callback that brought them. Whatever asks for more goes through
pymodbus's messages and is done one after another, in the order in which a master sent it; a stop waits for nothing.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

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
WRITE_COIL, WRITE_COILS = 5, 15
_IDENTIFY, _DEVICE_IDENTIFICATION = 43, 14
_FUNCTIONS = frozenset((WRITE_COIL, 6, WRITE_COILS, 16, 22, 23, _IDENTIFY))
"""What is done besides reading; the lengths of these requests are looked at where they are done."""
_LENGTHS = {WRITE_COIL: 5, 6: 5, 22: 7, _IDENTIFY: 4}
_MOST_BITS, _MOST_REGISTERS = 2000, 125
_LONGEST = 260
_MOST_WAITING = 16
"""Requests of one master that may wait for the one before (messaging on TCP/IP 4.2: NumberMaxOfServerTransaction)."""

_Request = tuple[int, int, bytes]
"""Transaction, unit, PDU."""


class RefusedError(Exception):
    """A request that gets an exception response with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Handler(Protocol):
    """What carries out requests that are not reads of registers or discrete inputs."""

    async def handle(self, request: ModbusPDU, order: str, bank: int, master: Any) -> ModbusPDU:
        """Answer a request to a unit of this word order and bank; raises RefusedError."""
        ...

    def coils(self, bank: int, address: int, count: int) -> bytes | None:
        """Return packed coils; None where one of them is not there."""
        ...

    def stops(self, bank: int, address: int, bits: Sequence[bool]) -> bool:
        """Whether writing these coils stops something."""
        ...


class Server:
    """What all connections of a gateway share."""

    def __init__(self, image: Image, handler: Handler, most: int) -> None:
        self.image = image
        self.handler = handler
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
        self._waiting: deque[_Request] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
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
            self._transport.abort()
            return
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the master; what it asked for and is being done goes on to its end."""
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
        if self not in self._server.connections:
            return
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
            answer = self._answer((transaction, unit, buffer[at + 7 : at + 6 + length]))
            if answer is not None:
                answers.append(_HEADER.pack(transaction, 0, 1 + len(answer), unit) + answer)
            at += 6 + length
        self._buffer = buffer[at:]
        if answers:
            self._transport.write(b"".join(answers))

    def _answer(self, request: _Request) -> bytes | None:
        """Return the answer's PDU; None when it comes later."""
        _, unit, pdu = request
        try:
            if not self._waiting and READ_COILS <= pdu[0] <= READ_INPUT:
                return self._read(unit, pdu)
            if self._stops(unit, pdu):
                self._start(self._do(request))
            elif len(self._waiting) >= _MOST_WAITING:
                raise RefusedError(ExcCodes.DEVICE_BUSY)
            else:
                self._waiting.append(request)
                if len(self._waiting) == 1:
                    self._start(self._work())
        except RefusedError as refusal:
            return bytes((pdu[0] | 0x80, refusal.code))
        return None

    def _read(self, unit: int, pdu: bytes) -> bytes:
        order, bank, details = _unit(unit)
        if len(pdu) != _READ.size:
            raise RefusedError(ExcCodes.ILLEGAL_VALUE)
        function, address, count = _READ.unpack(pdu)
        if not 1 <= count <= (_MOST_REGISTERS if function >= READ_HOLDING else _MOST_BITS):
            raise RefusedError(ExcCodes.ILLEGAL_VALUE)
        image = self._server.image
        if details:
            data = image.details.read(order, bank, address, count) if function == READ_INPUT else None
        elif function == READ_INPUT:
            data = image.input.read(order, bank, address, count)
        elif function == READ_HOLDING:
            data = image.holding.read(order, bank, address, count)
        else:
            bits = self._server.handler.coils if function == READ_COILS else image.bits
            data = bits(bank, address, count)
        if data is None:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        return bytes((function, len(data))) + data

    def _stops(self, unit: int, pdu: bytes) -> bool:
        """Whether a request is a stop, which must not wait for a command that is under way."""
        if pdu[0] not in (WRITE_COIL, WRITE_COILS) or len(pdu) < 5:
            return False
        _, bank, details = _unit(unit)
        address = int.from_bytes(pdu[1:3], "big")
        if pdu[0] == WRITE_COIL:
            bits = [pdu[3:] == b"\xff\x00"]
        else:
            count = min(int.from_bytes(pdu[3:5], "big"), 8 * (len(pdu) - 6))
            bits = [bool(pdu[6 + at // 8] >> at % 8 & 1) for at in range(count)]
        return not details and self._server.handler.stops(bank, address, bits)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        """Do what waits, one after another."""
        while self._waiting:
            await self._do(self._waiting[0])
            if self._waiting:  # the master may have gone
                self._waiting.popleft()

    async def _do(self, request: _Request) -> None:
        transaction, unit, pdu = request
        try:
            answer = self._read(unit, pdu) if READ_COILS <= pdu[0] <= READ_INPUT else await self._handled(unit, pdu)
        except RefusedError as refusal:
            answer = bytes((pdu[0] | 0x80, refusal.code))
        except Exception as error:
            log.error("request broke", peer=self.peer, function=pdu[0], exc_info=error)
            answer = bytes((pdu[0] | 0x80, ExcCodes.DEVICE_FAILURE))
        if not self._transport.is_closing():
            self._transport.write(_HEADER.pack(transaction, 0, 1 + len(answer), unit) + answer)

    async def _handled(self, unit: int, pdu: bytes) -> bytes:
        order, bank, details = _unit(unit)
        response = await self._server.handler.handle(_decoded(pdu, details=details), order, bank, self)
        if isinstance(response, ExceptionResponse):
            raise RefusedError(response.exception_code)
        return bytes((response.function_code,)) + response.encode()


def _unit(unit: int) -> tuple[str, int, bool]:
    found = unit_of(unit)
    if found is None:
        raise RefusedError(ExcCodes.GATEWAY_NO_RESPONSE)  # 0x0B: no such device behind this gateway
    return found


def _decoded(pdu: bytes, *, details: bool) -> ModbusPDU:
    """Return a request as pymodbus has it; raises RefusedError for what is no request or is malformed."""
    function = pdu[0]
    identifies = function == _IDENTIFY
    if function not in _FUNCTIONS or (details and not identifies):
        raise RefusedError(ExcCodes.ILLEGAL_FUNCTION)
    if identifies and pdu[1:2] != bytes((_DEVICE_IDENTIFICATION,)):
        raise RefusedError(ExcCodes.ILLEGAL_FUNCTION)
    if len(pdu) != _LENGTHS.get(function, len(pdu)):
        raise RefusedError(ExcCodes.ILLEGAL_VALUE)
    if function == WRITE_COIL and pdu[3:] not in (b"\xff\x00", b"\x00\x00"):
        raise RefusedError(ExcCodes.ILLEGAL_VALUE)  # pymodbus would take any of them for "on"
    try:
        request = _DECODER.decode(pdu)
    except (ModbusException, struct.error, IndexError, ValueError):
        request = None
    if request is None:
        raise RefusedError(ExcCodes.ILLEGAL_VALUE)
    return request


_DECODER = DecodePDU(is_server=True)

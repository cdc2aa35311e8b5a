"""One Modbus TCP connection: one request at a time, the urgent ones first, no answer trusted before it is checked."""

import asyncio
import enum
import heapq
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pymodbus import ModbusException
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.pdu import ModbusPDU

from sources.modbus_plc.settings import Table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sources.modbus_plc.registers import Bytes

_T = TypeVar("_T")
_MBAP = 7  # bytes of the header: transaction, protocol, length, unit (Modbus messaging on TCP/IP 3.1.3)
_ECHO_LENGTHS = {5: 6, 6: 6, 15: 6, 16: 6, 22: 8}  # MBAP length of the answers to writes
_EXCEPTION_LENGTH = 3
_CLOSED = "the peer closed the connection"


class Priority(enum.IntEnum):
    """Who goes first when several wait for the connection."""

    EMERGENCY = 0
    COMMAND = 1
    POLL = 2


class LinkDownError(Exception):
    """There is no connection (any more), or what came over it made no sense: it has been closed."""


class ExceptionResponseError(Exception):
    """The PLC answered with an exception; `code` as in Modbus application protocol 7."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(f"exception response 0x{code:02X} for {what}")
        self.code = code


class Turns:
    """A lock whose waiters are served by priority, then in order."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @asynccontextmanager
    async def take(self, priority: Priority) -> "AsyncGenerator[None]":
        """Hold the turn."""
        if self._busy:
            mine = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (priority, next(self._numbers), mine))
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():  # the turn was handed over in the same moment
                    self._release()
                raise
        self._busy = True
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        while self._waiting:
            following = heapq.heappop(self._waiting)[2]
            if not following.done():
                following.set_result(None)
                return
        self._busy = False


class _ReadResponse(ModbusPDU):
    """A read's answer, its bytes left as they are: what they hold is decoded in numpy."""

    payload = b""

    def decode(self, data: bytes) -> None:
        """Keep the data bytes; none when their count is not the announced one."""
        self.payload = data[1:] if data and data[0] == len(data) - 1 else b""


class _ReadCoils(_ReadResponse):
    function_code = 1


class _ReadDiscreteInputs(_ReadResponse):
    function_code = 2


class _ReadHoldingRegisters(_ReadResponse):
    function_code = 3


class _ReadInputRegisters(_ReadResponse):
    function_code = 4


class Connection:
    """A connection to one PLC, opened and closed any number of times.

    `requests` and `errors` count since the start, `last_error` is the last error's sentence. `on_lost` is called
    when the peer closes the connection.
    """

    def __init__(self, unit_id: int, timeout: float, on_lost: Callable[[], None]) -> None:
        self.requests = 0
        self.errors = 0
        self.last_error = ""
        self._unit_id = unit_id
        self._timeout = timeout
        self._on_lost = on_lost
        self._turns = Turns()
        self._client: AsyncModbusTcpClient | None = None
        self._limit: asyncio.Timeout | None = None
        self._fault = ""
        self._sent = bytes(_MBAP + 1)

    @property
    def connected(self) -> bool:
        """True while there is a connection."""
        return self._client is not None and self._client.connected

    async def open(self, host: str, port: int) -> None:
        """Connect; raises LinkDownError."""
        self.close()
        client = AsyncModbusTcpClient(
            host,
            port=port,
            timeout=self._timeout,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._inspect,
            trace_connect=self._connection,
        )
        for response in (_ReadCoils, _ReadDiscreteInputs, _ReadHoldingRegisters, _ReadInputRegisters):
            client.register(response)
        self._client = client
        if not await _cancellable(client.connect()):
            self.close()
            raise self.fault(f"{host}:{port}: no connection")

    def close(self) -> None:
        """Close the connection, if there is one; a request under way fails."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
            self._fail("the connection was closed")

    def fault(self, message: str) -> LinkDownError:
        """Count an error and return it."""
        self.errors += 1
        self.last_error = message
        return LinkDownError(message)

    async def read(self, table: Table, address: int, count: int, priority: Priority) -> "Bytes":
        """Return `count` registers as 2 bytes each in wire order, or `count` bits as one element each.

        Raises LinkDownError, ExceptionResponseError.
        """

        def ask(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            read = {
                Table.COIL: client.read_coils,
                Table.DISCRETE: client.read_discrete_inputs,
                Table.HOLDING: client.read_holding_registers,
                Table.INPUT: client.read_input_registers,
            }[table]
            return read(address, count=count, device_id=self._unit_id)

        async with self._turns.take(priority):
            response = await self._request(ask, f"{count} from {table} {address}")
            payload = response.payload if isinstance(response, _ReadResponse) else b""
            expected = (count + 7) // 8 if table.of_bits else 2 * count
            if len(payload) != expected:
                self.close()
                raise self.fault(f"{len(payload)} bytes in the answer to a request for {expected}")
        memory = np.frombuffer(payload, dtype=np.uint8)
        return np.unpackbits(memory, count=count, bitorder="little") if table.of_bits else memory

    async def write(self, table: Table, address: int, values: list[int], priority: Priority) -> None:
        """Write a coil, a register or several; raises LinkDownError, ExceptionResponseError."""

        def ask(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            if table is Table.COIL:
                return client.write_coil(address, bool(values[0]), device_id=self._unit_id)
            if len(values) == 1:
                return client.write_register(address, values[0], device_id=self._unit_id)
            return client.write_registers(address, values, device_id=self._unit_id)

        async with self._turns.take(priority):
            response = await self._request(ask, f"{table} {address}")
            echo = [int(bit) for bit in response.bits] or list(response.registers) or [response.count]
            self._check_echo(response, address, echo == (values if len(values) == 1 else [len(values)]))

    async def write_bit(self, address: int, bit: int, value: bool, priority: Priority) -> None:
        """Set or clear one bit of a holding register (6.16, Mask Write Register); raises as `write`."""
        mask = 1 << bit

        def ask(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            return client.mask_write_register(
                address=address,
                and_mask=0xFFFF & ~mask,
                or_mask=mask if value else 0,
                device_id=self._unit_id,
            )

        async with self._turns.take(priority):
            self._check_echo(await self._request(ask, f"holding {address}, bit {bit}"), address, same=True)

    def _check_echo(self, response: ModbusPDU, address: int, same: bool) -> None:
        if response.address != address or not same:
            self.close()
            raise self.fault(f"the answer to a write to {address} is not its echo")

    async def _request(self, ask: Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]], what: str) -> ModbusPDU:
        client = self._client
        if client is None or not client.connected:
            raise LinkDownError(self._fault or "not connected")
        self.requests += 1
        self._fault = ""
        try:
            response = await self._answer(ask(client))
        except (ModbusException, TimeoutError, OSError) as error:
            reason = self._fault or f"no answer within {self._timeout:g} s"
            self.close()
            raise self.fault(reason) from error
        if response.isError():
            failure = ExceptionResponseError(response.exception_code, what)
            self.fault(str(failure))
            raise failure
        return response

    async def _answer(self, pending: Awaitable[ModbusPDU]) -> ModbusPDU:
        """Wait for the client, which has a timeout of its own, or until the connection is lost (TimeoutError)."""
        try:
            async with asyncio.timeout(None) as self._limit:
                return await _cancellable(pending)
        finally:
            self._limit = None

    def _connection(self, connected: bool) -> None:
        if connected:
            return
        if self._limit is None:
            self.fault(_CLOSED)
        self._fail(_CLOSED)
        self._on_lost()

    def _fail(self, reason: str) -> None:
        """End the request under way, if there is one."""
        self._fault = self._fault or reason
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.reschedule(asyncio.get_running_loop().time())

    def _inspect(self, sending: bool, data: bytes) -> bytes:
        """See every packet before pymodbus does: what it would choke on ends the connection here."""
        if sending:
            self._sent = data
            return data
        if reason := _nonsense(data, self._sent):
            self._fail(reason)
            return b""
        return data


async def _cancellable(pending: Awaitable[_T]) -> _T:
    """Await; Python 3.11's wait_for, in pymodbus, drops a cancellation that meets the result: here it is raised."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    result = await pending
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


def _nonsense(data: bytes, request: bytes) -> str:
    """Say what is wrong with what came since `request`; '' for nothing so far. Late answers are left to pymodbus."""
    while len(data) > _MBAP:
        length = int.from_bytes(data[4:6], "big")
        if any(data[2:4]):
            return f"the answer is no Modbus TCP: protocol identifier 0x{data[2:4].hex()}"
        if not 3 <= length <= 254:  # 3.1.3: a PDU has at most 253 bytes, and the unit identifier counts too
            return f"an answer of length {length}"
        if data[:2] == request[:2]:
            return _wrong_pdu(length, data[_MBAP], request[_MBAP])
        if not any(data[:2]):
            return "an answer without transaction identifier"
        data = data[6 + length :]
    return ""


def _wrong_pdu(length: int, code: int, asked: int) -> str:
    """Say what is wrong with an answer's length (unit identifier included) and function code; '' for nothing."""
    if code == asked | 0x80:
        return "" if length == _EXCEPTION_LENGTH else f"an exception response of length {length}"
    if code != asked:
        return f"the answer has function code {code}, the request {asked}"
    if length != _ECHO_LENGTHS.get(code, length):
        return f"an answer of length {length} to function code {code}"
    return ""

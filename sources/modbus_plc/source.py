"""The source: polls a PLC's blocks at their rates, writes set-points and commands, and never gives up on it."""

import asyncio
import random
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from address_space.model import Machine, Variable
from server import logs
from server.ports import CommandError, SourceContext
from server.quality import (
    BAD_CONFIGURATION_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_NOT_SUPPORTED,
    BAD_NOT_WRITABLE,
    BAD_OUT_OF_RANGE,
    BAD_TOO_MANY_ARGUMENTS,
    BAD_TYPE_MISMATCH,
)
from server.store import now_ticks
from sources.modbus_plc.connection import Connection, ExceptionResponseError, LinkDownError, Priority
from sources.modbus_plc.mapping import Block, plan
from sources.modbus_plc.registers import boolean, encode_value
from sources.modbus_plc.settings import Backoff, Table, Write, read_settings
from sources.modbus_plc.simulated import SimulatedPlc

ILLEGAL_DATA_ADDRESS = 2
WRITE_STATUSES = {  # Modbus application protocol 7, exception responses to a write
    1: BAD_NOT_SUPPORTED,  # illegal function
    ILLEGAL_DATA_ADDRESS: BAD_CONFIGURATION_ERROR,
    3: BAD_OUT_OF_RANGE,  # illegal data value
    10: BAD_NO_COMMUNICATION,  # gateway path unavailable
    11: BAD_NO_COMMUNICATION,  # gateway target device failed to respond
}

log = logs.get(__name__)


class ModbusPlc:
    """One PLC that feeds one machine (the `Source` port)."""

    def __init__(self, context: SourceContext) -> None:
        self.name = context.name
        self.settings = read_settings(context.plant, context.name, context.options)
        self.plan = plan(self.settings, context.plant, context.name, context.machines)
        self.simulated: SimulatedPlc | None = None
        if self.settings.simulate is not None:
            seed = zlib.crc32(context.name.encode())  # no two lines alike, each the same every time
            self.simulated = SimulatedPlc(self.settings, self.settings.simulate, seed)
        self._store = context.store
        self._wake = asyncio.Event()
        self._connection = Connection(self.settings.unit_id, self.settings.timeout, self._wake.set)
        self._failures = 0
        self._refusals: dict[tuple[Table, int], int] = {}  # blocks that the PLC answers with an exception
        self._stops = 0  # emergency stops asked for: a reset does not undo one that came after it
        self._latched = False
        self._latch_due = False

    @property
    def connected(self) -> bool:
        """True while there is a connection to the PLC."""
        return self._connection.connected

    @property
    def requests(self) -> int:
        """Requests sent since the start."""
        return self._connection.requests

    @property
    def errors(self) -> int:
        """Failed attempts to connect, lost connections and exception responses since the start."""
        return self._connection.errors

    @property
    def last_error(self) -> str:
        """What went wrong last, '' for nothing yet."""
        return self._connection.last_error

    async def run(self) -> None:
        """Poll until cancelled; a lost connection is taken up again with backoff."""
        try:
            while True:
                try:
                    await self._session()
                except (LinkDownError, OSError) as error:
                    await self._back_off(error)
        finally:
            self._connection.close()
            if self.simulated is not None:
                await self.simulated.stop()

    async def put(self, variable: Variable, value: Any) -> None:
        """Write a set-point; returns once the PLC has confirmed the write; raises CommandError."""
        point = self.plan.points.get(variable.name)
        if point is None or not point.register.table.writable:
            raise CommandError(BAD_NOT_WRITABLE, f"{variable.path} is in no coil or holding register of {self.name}")
        register = point.register
        try:
            bit = boolean(value) if register.bit is not None else None
            words = [] if bit is not None else encode_value(point, value)
        except TypeError as error:
            raise CommandError(BAD_TYPE_MISMATCH, f"{variable.path}: {error}") from error
        except OverflowError as error:
            raise CommandError(BAD_OUT_OF_RANGE, f"{variable.path}: {error}") from error
        with _command_errors(variable.path):
            if bit is None or register.bit is None:
                await self._connection.write(register.table, register.address, words, Priority.COMMAND)
            else:
                at = register.bit if point.order in {"ABCD", "CDAB"} else register.bit ^ 8  # bytes swapped
                await self._connection.write_bit(register.address, at, bit, Priority.COMMAND)
        self._wake.set()

    async def execute(self, machine: Machine, command: str, arguments: tuple[Any, ...]) -> None:
        """Write a command's coil or register; raises CommandError."""
        write = self.settings.commands.get(command)
        if write is None:
            raise CommandError(BAD_NOT_SUPPORTED, f"the PLC {self.name} has no command {command}")
        if arguments:
            raise CommandError(
                BAD_TOO_MANY_ARGUMENTS, f"the command {command} of the PLC {self.name} takes no arguments"
            )
        with _command_errors(f"{machine.path}.{command}"):
            await self._write(write, write.value, Priority.COMMAND)
            if write.pulse:
                await asyncio.sleep(self.settings.pulse_width)
                await self._write(write, 0, Priority.COMMAND)
        self._wake.set()

    async def emergency_stop(self, machine: Machine, active: bool) -> None:
        """Latch the stop in the PLC, or release it; raises CommandError.

        A stop is remembered even when it could not be written: it is written as soon as the PLC can be reached, and
        again after every loss of the connection, until it is released.
        """
        writes = self.settings.emergency_stop
        if writes is None:
            raise CommandError(BAD_NOT_SUPPORTED, f"the PLC {self.name} has no emergency stop")
        with _command_errors(f"{machine.path} emergency stop"):
            if active:
                self._stops += 1
                self._latched = self._latch_due = True
                await self._latch(writes.set)
            else:
                stops = self._stops
                await self._write(writes.reset, writes.reset.value, Priority.COMMAND)
                if stops == self._stops:
                    self._latched = self._latch_due = False
        self._wake.set()

    async def _latch(self, write: Write) -> None:
        await self._write(write, write.value, Priority.EMERGENCY)
        self._latch_due = False

    async def _write(self, write: Write, value: int, priority: Priority) -> None:
        await self._connection.write(write.table, write.address, [value], priority)

    async def _session(self) -> None:
        """Connect and poll until the connection is lost; raises LinkDownError, or OSError from the simulator."""
        port = self.settings.port if self.simulated is None else await self.simulated.port()
        await self._connection.open(self.settings.host, port)
        log.info("PLC connected", source=self.name, host=self.settings.host, port=port)
        self._latch_due = self._latched
        loop = asyncio.get_running_loop()
        due = [0.0] * len(self.plan.rates)
        while True:
            await self._reassert()
            for index, (period, blocks) in enumerate(self.plan.rates):
                started = loop.time()
                if started >= due[index]:
                    for block in blocks:
                        await self._poll(block)
                    due[index] = max(due[index] + period, loop.time()) if due[index] else started + period
            self._failures = 0
            if await self._woken(min(due)):
                due = [0.0] * len(due)

    async def _woken(self, deadline: float) -> bool:
        """Wait until `deadline` (loop time); True at once when something was written or the connection was lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._wake.wait()
        woken = self._wake.is_set()
        self._wake.clear()
        return woken

    async def _reassert(self) -> None:
        """Write the emergency stop that the PLC has not confirmed yet; a refusal is tried again before each poll."""
        if self._latch_due and self.settings.emergency_stop is not None:
            with suppress(ExceptionResponseError):  # counted, and in last_error
                await self._latch(self.settings.emergency_stop.set)

    async def _poll(self, block: Block) -> None:
        try:
            memory = await self._connection.read(block.table, block.address, block.count, Priority.POLL)
        except ExceptionResponseError as error:
            self._refused(block, error)
            return
        if self._refusals.pop((block.table, block.address), None) is not None:
            log.info("PLC answers again", source=self.name, table=block.table.value, address=block.address)
        now = now_ticks()
        for column in block.columns:
            values, statuses = column.decode(memory)
            self._store.write(column.ids, values, now, statuses)

    def _refused(self, block: Block, error: ExceptionResponseError) -> None:
        """Mark the block's variables; logged when it is another exception than last time."""
        at = (block.table, block.address)
        if self._refusals.get(at) != error.code:
            log.warning("PLC refuses a read", source=self.name, error=str(error))
        self._refusals[at] = error.code
        status = BAD_CONFIGURATION_ERROR if error.code == ILLEGAL_DATA_ADDRESS else BAD_DEVICE_FAILURE
        now = now_ticks()
        for column in block.columns:
            self._store.write(column.ids, column.last, now, np.full(len(column.ids), status, np.uint32))

    async def _back_off(self, error: Exception) -> None:
        was_connected = self._failures == 0
        self._connection.close()
        if not isinstance(error, LinkDownError):
            self._connection.fault(str(error))
        self._failures += 1
        wait = delay(self.settings.backoff, self._failures, random.random())  # noqa: S311  jitter is no secret
        level = log.warning if was_connected else log.debug
        level("PLC not connected", source=self.name, error=str(error), retry_in=round(wait, 2))
        await asyncio.sleep(wait)


@contextmanager
def _command_errors(what: str) -> Generator[None]:
    """Turn what goes wrong with a write into CommandError."""
    try:
        yield
    except LinkDownError as error:
        raise CommandError(BAD_NO_COMMUNICATION, f"{what}: {error}") from error
    except ExceptionResponseError as error:
        status = WRITE_STATUSES.get(error.code, BAD_DEVICE_FAILURE)
        raise CommandError(status, f"{what}: {error}") from error


def delay(backoff: Backoff, failures: int, chance: float) -> float:
    """Return the wait in s after the nth failure in a row, doubling, less up to half of it by `chance` in [0, 1)."""
    full = min(backoff.maximum, backoff.minimum * 2 ** min(failures - 1, 32))
    return full * (1 - 0.5 * chance)

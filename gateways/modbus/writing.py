"""What masters write: set-points, arguments and commands, checked whole before anything is done.

A set-point of several registers is written whole, in one request. Exceptions: 01 no right, 02 no such address, not
writable, or a part of a value, 03 a value that is refused, 04 the command or the set-point failed or is refused in this
state. 05, 06 and 0B are not given for that: drivers take them for an invitation to try again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from pymodbus.constants import ExcCodes
from pymodbus.pdu import ModbusPDU, ReadDeviceInformationRequest
from pymodbus.pdu.bit_message import (
    WriteMultipleCoilsRequest,
    WriteMultipleCoilsResponse,
    WriteSingleCoilRequest,
    WriteSingleCoilResponse,
)
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    MaskWriteRegisterResponse,
    ReadWriteMultipleRegistersRequest,
    ReadWriteMultipleRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterRequest,
    WriteSingleRegisterResponse,
)

from address_space.model import Command
from gateways.modbus import addresses as places
from gateways.modbus.identification import identify
from gateways.modbus.image import Image
from gateways.modbus.mapping import Item, RegisterMap, from_wire, reorder
from gateways.modbus.protocol import RefusedError
from gateways.modbus.rights import Master, Rights
from server import logs, quality
from server.checks import checked_setpoint
from server.ports import CommandError, GatewayContext, Put
from server.security.principal import Principal

log = logs.get(__name__)

_STOP, _RESET = "EmergencyStop", "ResetEmergencyStop"
_REASON = "Modbus coil"
_CODES = {
    quality.BAD_USER_ACCESS_DENIED: ExcCodes.ILLEGAL_FUNCTION,
    quality.BAD_NOT_WRITABLE: ExcCodes.ILLEGAL_ADDRESS,
    quality.BAD_OUT_OF_RANGE: ExcCodes.ILLEGAL_VALUE,
    quality.BAD_TYPE_MISMATCH: ExcCodes.ILLEGAL_VALUE,
    quality.BAD_INVALID_ARGUMENT: ExcCodes.ILLEGAL_VALUE,
}
"""StatusCodes as exception codes; any other is 04."""


class Writing:
    """Carries out what masters write; `attach` comes before the first request."""

    def __init__(self, context: GatewayContext, rights: Rights, register_map: RegisterMap, *, reset: bool) -> None:
        self._context = context
        self._rights = rights
        self._map = register_map
        self._reset = reset
        self._written_by: dict[tuple[int, int], str] = {}
        """Which master wrote an argument last, by bank and address."""
        self._coils_known = np.zeros(register_map.banks * places.BANK, np.bool_)
        for bank, address in register_map.coils:
            self._coils_known[bank * places.BANK + address] = True

    def attach(self, image: Image, catch_up: Callable[[], Awaitable[None]]) -> None:
        """Name the image, and what brings it up to date: who writes must then read what it wrote."""
        self._image, self._catch_up = image, catch_up
        self._written_by.clear()

    async def handle(self, request: ModbusPDU, order: str, bank: int, master: Master) -> ModbusPDU:
        """Answer a request that is no read; raises RefusedError."""
        match request:
            case WriteSingleCoilRequest():
                await self._coils(bank, request.address, request.bits[:1], master)
                return WriteSingleCoilResponse(address=request.address, bits=request.bits[:1])
            case WriteMultipleCoilsRequest():
                _check(1 <= request.count <= 0x7B0 and request.byte_count == -(-request.count // 8))
                _check(request.data_byte_count == request.byte_count)
                await self._coils(bank, request.address, request.bits[: request.count], master)
                response = WriteMultipleCoilsResponse(address=request.address)
                response.count = request.count
                return response
            case WriteSingleRegisterRequest():
                await self._registers(order, bank, request.address, request.registers[:1], master)
                return WriteSingleRegisterResponse(address=request.address, registers=request.registers[:1])
            case WriteMultipleRegistersRequest():
                _check(1 <= request.count <= 0x7B and request.byte_count == 2 * request.count)
                await self._registers(order, bank, request.address, request.registers, master, request.count)
                return WriteMultipleRegistersResponse(address=request.address, count=request.count)
            case MaskWriteRegisterRequest():
                held = int.from_bytes(self._held(order, bank, request.address, 1), "big")
                value = (held & request.and_mask) | (request.or_mask & ~request.and_mask & 0xFFFF)
                await self._registers(order, bank, request.address, [value], master)
                return MaskWriteRegisterResponse(request.address, request.and_mask, request.or_mask)
            case ReadWriteMultipleRegistersRequest():
                return await self._read_write(order, bank, request, master)
            case ReadDeviceInformationRequest():
                return identify(request, self._context.plant)
            case _:
                raise RefusedError(ExcCodes.ILLEGAL_FUNCTION)

    def stops(self, bank: int, address: int, bits: Sequence[bool]) -> bool:
        """Whether writing these coils stops something: such a request waits for no other."""
        items = (self._map.coils.get((bank, address + offset)) for offset, bit in enumerate(bits) if bit)
        return any(item is not None and _name(item) == _STOP for item in items)

    def coils(self, bank: int, address: int, count: int) -> bytes | None:
        """Return coils, eight a byte: that of an emergency stop is on while it is latched, others are always off."""
        first = bank * places.BANK + address
        known = self._coils_known[first : first + count]
        if address + count > places.BANK or len(known) < count or not known.all():
            return None
        bits = [self._is_on(bank, at) for at in range(address, address + count)]
        return np.packbits(bits, bitorder="little").tobytes()

    def _is_on(self, bank: int, address: int) -> bool:
        item = self._map.coils[bank, address]
        if item.command is None or _name(item) != _STOP:
            return False
        active = item.command.machine.variables["EmergencyStopActive"]
        return bool(self._context.store.value(active.id))

    async def _coils(self, bank: int, address: int, bits: Sequence[bool], master: Master) -> None:
        """Carry out the commands of the coils that are set; writing 0 does nothing.

        Stops come first, all at once. One request starts at most one other command, and none beside a stop: of several
        some could fail when others are done already.
        """
        items = [self._map.coils.get((bank, at)) for at in range(address, address + len(bits))]
        wanted = [item for item, bit in zip(items, bits, strict=True) if bit and item is not None]
        stops = [item for item in wanted if _name(item) == _STOP]
        others = [item for item in wanted if _name(item) != _STOP]
        if stops:
            self._check_right(self._rights.may_stop(master), master)
            results = await asyncio.gather(*(self._command(item, master) for item in stops), return_exceptions=True)
            await self._catch_up()
            for result in results:
                if result is not None:
                    raise result
        if None in items or (not self._reset and any(_name(item) == _RESET for item in others)):
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        if not others:
            return
        self._check_right(self._rights.may_write(master), master)
        _check(len(others) == 1 and not stops)
        await self._command(others[0], master)
        await self._catch_up()

    async def _command(self, item: Item, master: Master) -> None:
        command = item.command
        if command is None:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        principal, origin = self._rights.principal(master), f"modbus {master.peer}"
        try:
            if _name(item) == _STOP:
                arguments: list[Any] = [_REASON]
            elif _name(item) == _RESET:
                arguments = list(await self._context.commands.execute(command.path, [""], principal, origin))
            elif principal.has(command.declaration.role):
                names = (argument.name for argument in command.declaration.arguments)
                arguments = [self._argument(command, name, master) for name in names]
            else:
                arguments = []  # it is refused, and recorded, for the role
            await self._context.commands.execute(command.path, arguments, principal, origin)
        except CommandError as error:
            raise self._refused(command.path, master, error) from error

    def _argument(self, command: Command, name: str, master: Master) -> Any:
        """Return an argument that this master wrote; what another wrote, or nobody, is never acted on."""
        place = self._map.place(places.HOLDING, places.argument_name(command, name))
        if self._written_by.get((place.bank, place.address)) != master.peer:
            log.info("command refused: its master has not written the argument", command=command.path, argument=name)
            raise RefusedError(ExcCodes.ILLEGAL_VALUE)
        return _value(self._map.writable[place.bank, place.address], self._held("ABCD", *_span(place)))

    async def _registers(
        self, order: str, bank: int, address: int, words: Sequence[int], master: Master, count: int = 1
    ) -> None:
        """Write set-points and arguments, each whole; all of them are checked before one is put."""
        _check(len(words) == count)
        self._check_right(self._rights.may_write(master), master)
        data = b"".join(word.to_bytes(2, "big") for word in words)
        items: list[tuple[Item, bytes]] = []
        at, end = address, address + count
        while at < end:
            item = self._map.writable.get((bank, at))
            if item is None or item.place.end > end:
                raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
            items.append((item, reorder(data[2 * (at - address) : 2 * (item.place.end - address)], order)))
            at = item.place.end
        values = [_value(item, part) for item, part in items]
        zipped = zip(items, values, strict=True)
        await self._put([Put(item.variable, value) for (item, _), value in zipped if item.variable is not None], master)
        for item, part in items:
            if item.variable is None:
                start = 2 * (item.place.bank * places.BANK + item.place.address)
                self._image.holding.data[start : start + len(part)] = np.frombuffer(part, np.uint8)
                self._written_by[item.place.bank, item.place.address] = master.peer

    async def _put(self, puts: list[Put], master: Master) -> None:
        if not puts:
            return
        principal = self._rights.principal(master)
        for put in puts:
            fault = setpoint_fault(put, principal)
            if fault is not None:
                raise self._refused(put.variable.path, master, fault)
        faults = await self._context.commands.put_many(puts, principal, f"modbus {master.peer}")
        await self._catch_up()
        for put, fault in zip(puts, faults, strict=True):
            if fault is not None:
                raise self._refused(put.variable.path, master, fault)

    async def _read_write(
        self, order: str, bank: int, request: ReadWriteMultipleRegistersRequest, master: Master
    ) -> ModbusPDU:
        """Write, then read (6.17); what cannot be read is found out before anything is written."""
        _check(1 <= request.read_count <= 0x7D and 1 <= request.write_count <= 0x79)
        _check(request.write_byte_count == 2 * request.write_count)
        self._held(order, bank, request.read_address, request.read_count)
        await self._registers(order, bank, request.write_address, request.write_registers, master, request.write_count)
        data = self._held(order, bank, request.read_address, request.read_count)
        return ReadWriteMultipleRegistersResponse(registers=np.frombuffer(data, ">u2").tolist())

    def _held(self, order: str, bank: int, address: int, count: int) -> bytes:
        data = self._image.holding.read(order, bank, address, count)
        if data is None:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        return data

    def _check_right(self, holds: bool, master: Master) -> None:
        if not holds:
            log.warning("master may not write from there", peer=master.peer)
            raise RefusedError(ExcCodes.ILLEGAL_FUNCTION)

    def _refused(self, path: str, master: Master, error: CommandError) -> RefusedError:
        log.info("refused", path=path, peer=master.peer, error=str(error), status=f"0x{error.status:08X}")
        return RefusedError(_CODES.get(error.status, ExcCodes.DEVICE_FAILURE))


def setpoint_fault(put: Put, principal: Principal) -> CommandError | None:
    """Return why a set-point would be refused, before anything is put."""
    role = put.variable.declaration.write_role
    if role is not None and not principal.has(role):
        return CommandError(quality.BAD_USER_ACCESS_DENIED, f"writing {put.variable.path} needs the role {role}")
    try:
        checked_setpoint(put.variable, put.value)
    except CommandError as error:
        return error
    return None


def _name(item: Item) -> str:
    return "" if item.command is None else item.command.declaration.name


def _span(place: places.Place) -> tuple[int, int, int]:
    return place.bank, place.address, place.size


def _value(item: Item, data: bytes) -> Any:
    try:
        return from_wire(item.builtin, data)
    except ValueError:
        raise RefusedError(ExcCodes.ILLEGAL_VALUE) from None


def _check(holds: bool) -> None:
    if not holds:
        raise RefusedError(ExcCodes.ILLEGAL_VALUE)

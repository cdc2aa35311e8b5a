"""What masters write: set-points, arguments and commands, checked whole before anything is done.

A set-point of several registers is written whole, in one request. Exceptions: 01 no right, 02 no such address or not
writable, 03 a value that is refused, 04 the command failed, 06 refused in this state, 0B what feeds the machine does
not answer.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

import numpy as np
from pymodbus.constants import ExcCodes, MoreData
from pymodbus.pdu import ModbusPDU, ReadDeviceInformationRequest
from pymodbus.pdu.bit_message import (
    WriteMultipleCoilsRequest,
    WriteMultipleCoilsResponse,
    WriteSingleCoilRequest,
    WriteSingleCoilResponse,
)
from pymodbus.pdu.mei_message import ReadDeviceInformationResponse
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

from address_space.model import Role
from gateways.modbus import addresses as places
from gateways.modbus.image import Image
from gateways.modbus.mapping import Item, RegisterMap, from_wire, reorder
from gateways.modbus.protocol import Connection, RefusedError
from gateways.modbus.roles import role_of
from gateways.modbus.settings import ModbusSettings
from server import VERSION, logs, quality
from server.checks import checked_setpoint
from server.ports import CommandError, GatewayContext, Put
from server.security.principal import Principal, authenticated

log = logs.get(__name__)

_STOP, _RESET = "EmergencyStop", "ResetEmergencyStop"
_CODES = {
    quality.BAD_USER_ACCESS_DENIED: ExcCodes.ILLEGAL_FUNCTION,
    quality.BAD_NOT_WRITABLE: ExcCodes.ILLEGAL_ADDRESS,
    quality.BAD_OUT_OF_RANGE: ExcCodes.ILLEGAL_VALUE,
    quality.BAD_TYPE_MISMATCH: ExcCodes.ILLEGAL_VALUE,
    quality.BAD_INVALID_ARGUMENT: ExcCodes.ILLEGAL_VALUE,
    quality.BAD_INVALID_STATE: ExcCodes.DEVICE_BUSY,
    quality.BAD_NO_COMMUNICATION: ExcCodes.GATEWAY_NO_RESPONSE,
    quality.BAD_NOT_CONNECTED: ExcCodes.GATEWAY_NO_RESPONSE,
    quality.BAD_TIMEOUT: ExcCodes.GATEWAY_NO_RESPONSE,
}
"""The one table of StatusCodes as exception codes; any other is 04."""


class Writing:
    """Carries out what masters write; `handle` is what the protocol calls."""

    def __init__(
        self, context: GatewayContext, settings: ModbusSettings, register_map: RegisterMap, image: Image
    ) -> None:
        self._context = context
        self._settings = settings
        self._map = register_map
        self._image = image
        self._writers = [ipaddress.ip_network(network) for network in settings.write_from]
        self._stoppers = [ipaddress.ip_network(network) for network in settings.stop_from]
        self._roles = dict(entry.split("=", 1) for entry in settings.tls.roles)
        self._arguments: dict[tuple[int, int], bytes] = {}
        self._coils_known = np.zeros(register_map.banks * places.BANK, np.bool_)
        for bank, address in register_map.coils:
            self._coils_known[bank * places.BANK + address] = True

    async def handle(self, request: ModbusPDU, order: str, bank: int, master: Connection) -> ModbusPDU:
        """Answer a request that is no read; raises RefusedError."""
        match request:
            case WriteSingleCoilRequest():
                await self._coils(bank, request.address, request.bits[:1], master)
                return WriteSingleCoilResponse(address=request.address, bits=request.bits[:1])
            case WriteMultipleCoilsRequest():
                _check(1 <= request.count <= 0x7B0 and request.byte_count == -(-request.count // 8))
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
                value = (self._held(order, bank, request.address) & request.and_mask) | (
                    request.or_mask & ~request.and_mask & 0xFFFF
                )
                await self._registers(order, bank, request.address, [value], master)
                return MaskWriteRegisterResponse(request.address, request.and_mask, request.or_mask)
            case ReadWriteMultipleRegistersRequest():
                return await self._read_write(order, bank, request, master)
            case ReadDeviceInformationRequest():
                return self._identify(request)
            case _:
                raise RefusedError(ExcCodes.ILLEGAL_FUNCTION)

    def coils(self, bank: int, address: int, count: int) -> bytes | None:
        """Return coils, eight a byte: that of an emergency stop is on while it is latched, others are always off."""
        first = bank * places.BANK + address
        if address + count > places.BANK or not self._coils_known[first : first + count].all():
            return None
        return np.packbits(
            [self._is_on(bank, at) for at in range(address, address + count)], bitorder="little"
        ).tobytes()

    def _is_on(self, bank: int, address: int) -> bool:
        command = self._map.coils[bank, address].command
        if command is None or command.declaration.name != _STOP:
            return False
        active = command.machine.variables["EmergencyStopActive"]
        return bool(self._context.store.value(active.id))

    async def _coils(self, bank: int, address: int, bits: Sequence[bool], master: Connection) -> None:
        """Carry out the commands of the coils that are set; writing 0 does nothing."""
        items = [self._map.coils.get((bank, at)) for at in range(address, address + len(bits))]
        if None in items:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        wanted = [item for item, bit in zip(items, bits, strict=True) if bit and item is not None]
        for item in wanted:
            self._check_coil(item, master)
        for item in wanted:
            await self._command(item, master)

    def _check_coil(self, item: Item, master: Connection) -> None:
        name = "" if item.command is None else item.command.declaration.name
        if name == _RESET and not self._settings.reset_by_coil:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        self._check_master(master, self._stoppers if name == _STOP else self._writers)

    async def _command(self, item: Item, master: Connection) -> None:
        command = item.command
        if command is None:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        principal, origin = self._principal(master), f"modbus {master.peer}"
        try:
            if command.declaration.name == _STOP:
                arguments: list[Any] = ["Modbus coil"]
            elif command.declaration.name == _RESET:
                code = await self._context.commands.execute(command.path, [""], principal, origin)
                arguments = list(code)
            else:
                arguments = [
                    self._argument(command.path, item, index) for index in range(len(command.declaration.arguments))
                ]
            await self._context.commands.execute(command.path, arguments, principal, origin)
        except CommandError as error:
            raise self._refused(command.path, master, error) from error

    def _argument(self, path: str, item: Item, index: int) -> Any:
        if item.command is None:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        argument = item.command.declaration.arguments[index]
        place = self._map.place(places.HOLDING, places.argument_name(item.command, argument.name))
        data = self._image.holding.read("ABCD", place.bank, place.address, place.size) or b""
        try:
            return from_wire(argument.type, data)
        except ValueError:
            log.info("argument refused", command=path, argument=argument.name)
            raise RefusedError(ExcCodes.ILLEGAL_VALUE) from None

    async def _registers(
        self, order: str, bank: int, address: int, words: Sequence[int], master: Connection, count: int = 1
    ) -> None:
        """Write set-points and arguments, each whole; all of them are checked before one is put."""
        _check(len(words) == count)
        data = b"".join(word.to_bytes(2, "big") for word in words)
        self._check_master(master, self._writers)
        items: list[tuple[Item, bytes]] = []
        at, end = address, address + count
        while at < end:
            item = self._map.writable.get((bank, at))
            if item is None or item.place.end > end:
                raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
            part = data[2 * (at - address) : 2 * (item.place.end - address)]
            items.append((item, part if item.type_name.startswith("UTF-8") else reorder(part, order)))
            at = item.place.end
        values = [_value(item, part) for item, part in items]
        puts = [
            Put(item.variable, value)
            for (item, _), value in zip(items, values, strict=True)
            if item.variable is not None
        ]
        await self._put(puts, master)
        for item, part in items:
            if item.variable is None:
                start = 2 * (item.place.bank * places.BANK + item.place.address)
                self._image.holding.data[start : start + len(part)] = np.frombuffer(part, np.uint8)

    async def _put(self, puts: list[Put], master: Connection) -> None:
        if not puts:
            return
        principal = self._principal(master)
        for put in puts:
            fault = setpoint_fault(put, principal)
            if fault is not None:
                raise self._refused(put.variable.path, master, fault)
        faults = await self._context.commands.put_many(puts, principal, f"modbus {master.peer}")
        for put, fault in zip(puts, faults, strict=True):
            if fault is not None:
                raise self._refused(put.variable.path, master, fault)

    async def _read_write(
        self, order: str, bank: int, request: ReadWriteMultipleRegistersRequest, master: Connection
    ) -> ModbusPDU:
        _check(1 <= request.read_count <= 0x7D and 1 <= request.write_count <= 0x79)
        await self._registers(order, bank, request.write_address, request.write_registers, master, request.write_count)
        data = self._image.holding.read(order, bank, request.read_address, request.read_count)
        if data is None:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        return ReadWriteMultipleRegistersResponse(registers=np.frombuffer(data, ">u2").tolist())

    def _held(self, order: str, bank: int, address: int) -> int:
        data = self._image.holding.read(order, bank, address, 1)
        if data is None:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        return int.from_bytes(data, "big")

    def _check_master(self, master: Connection, networks: Sequence[Any]) -> None:
        """Refuse a master outside of the allowed networks; one with a certificate is known by that."""
        if master.certificate is None and not any(ipaddress.ip_address(master.peer) in network for network in networks):
            log.warning("master may not write from there", peer=master.peer)
            raise RefusedError(ExcCodes.ILLEGAL_FUNCTION)

    def _principal(self, master: Connection) -> Principal:
        """Return whose rights a master has: by the role in its certificate, else those of the configured user."""
        user = self._settings.user if master.certificate is None else self._roles.get(role_of(master.certificate), "")
        known = self._context.identities.named(user) if user else None
        return known or authenticated("modbus", frozenset[Role]())

    def _refused(self, path: str, master: Connection, error: CommandError) -> RefusedError:
        log.info("refused", path=path, peer=master.peer, error=str(error), status=f"0x{error.status:08X}")
        return RefusedError(_CODES.get(error.status, ExcCodes.DEVICE_FAILURE))

    def _identify(self, request: ReadDeviceInformationRequest) -> ModbusPDU:
        """Answer Read Device Identification (43/14), conformity level basic and regular, stream and individual."""
        objects: dict[int, Any] = {
            0: "Plantree", 1: self._context.plant.name, 2: VERSION,
            4: "Plantree Modbus TCP mirror", 5: self._context.plant.description,
        }  # fmt: skip
        if request.read_code == 4:
            if request.object_id not in objects:
                raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
            chosen = {request.object_id: objects[request.object_id]}
        elif request.read_code in (1, 2, 3):
            first = request.object_id if request.object_id in objects else 0
            chosen = {
                number: text for number, text in objects.items() if first <= number <= (2, 6, 6)[request.read_code - 1]
            }
        else:
            raise RefusedError(ExcCodes.ILLEGAL_VALUE)
        response = ReadDeviceInformationResponse(request.read_code, chosen)
        response.conformity, response.more_follows = 0x82, MoreData.NOTHING
        return response


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


def _value(item: Item, data: bytes) -> Any:
    try:
        return from_wire(item.builtin, data)
    except ValueError:
        raise RefusedError(ExcCodes.ILLEGAL_VALUE) from None


def _check(holds: bool) -> None:
    if not holds:
        raise RefusedError(ExcCodes.ILLEGAL_VALUE)

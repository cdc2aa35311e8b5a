"""A master that pymodbus did not write (libmodbus, through ctypes), and the gateway over a small plant."""

import asyncio
import contextlib
import ctypes
import ctypes.util
import struct
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from address_space.model import Plant
from gateways.modbus import addresses as places
from gateways.modbus import create
from gateways.modbus.gateway import ModbusGateway
from gateways.modbus.mapping import RegisterMap, from_wire, unit_id
from gateways.modbus.settings import ModbusSettings
from server.ports import GatewayContext, GatewayStatus
from server.security.principal import Principal
from server.store import Store

EXCEPTIONS = 112345678  # MODBUS_ENOBASE of modbus.h: errno of exception n is this plus n


class ModbusError(Exception):
    """An exception response: `code` is its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Master:
    """A libmodbus master; every call blocks."""

    def __init__(self, port: int, unit: int = 1) -> None:
        try:
            self._library: Any = ctypes.CDLL("libmodbus.so.5", use_errno=True)
        except OSError:
            pytest.fail("libmodbus.so.5 is not installed, these tests need it: apt-get install libmodbus5")
        self._library.modbus_new_tcp.restype = ctypes.c_void_p
        self._library.modbus_strerror.restype = ctypes.c_char_p
        self._context = ctypes.c_void_p(self._library.modbus_new_tcp(b"127.0.0.1", port))
        self._library.modbus_set_response_timeout(self._context, 5, 0)
        self.unit(unit)
        if self._library.modbus_connect(self._context) != 0:
            raise ConnectionError("libmodbus cannot connect")

    def unit(self, unit: int) -> None:
        self._library.modbus_set_slave(self._context, unit)

    def close(self) -> None:
        self._library.modbus_close(self._context)
        self._library.modbus_free(self._context)

    def read(self, function: int, address: int, count: int) -> list[int]:
        names = {1: "bits", 2: "input_bits", 3: "registers", 4: "input_registers"}
        room = ((ctypes.c_uint8 if function < 3 else ctypes.c_uint16) * count)()
        self._check(getattr(self._library, f"modbus_read_{names[function]}")(self._context, address, count, room))
        return list(room)

    def read_bytes(self, function: int, address: int, count: int) -> bytes:
        return b"".join(struct.pack(">H", word) for word in self.read(function, address, count))

    def write_registers(self, address: int, data: bytes) -> None:
        words = struct.unpack(f">{len(data) // 2}H", data)
        room = (ctypes.c_uint16 * len(words))(*words)
        self._check(self._library.modbus_write_registers(self._context, address, len(words), room))

    def write_register(self, address: int, value: int) -> None:
        self._check(self._library.modbus_write_register(self._context, address, value))

    def mask_write(self, address: int, and_mask: int, or_mask: int) -> None:
        self._check(self._library.modbus_mask_write_register(self._context, address, and_mask, or_mask))

    def write_read(self, write_at: int, data: bytes, read_at: int, count: int) -> bytes:
        words = struct.unpack(f">{len(data) // 2}H", data)
        given, room = (ctypes.c_uint16 * len(words))(*words), (ctypes.c_uint16 * count)()
        call = self._library.modbus_write_and_read_registers
        self._check(call(self._context, write_at, len(words), given, read_at, count, room))
        return b"".join(struct.pack(">H", word) for word in room)

    def write_bit(self, address: int, on: bool) -> None:
        self._check(self._library.modbus_write_bit(self._context, address, int(on)))

    def write_bits(self, address: int, bits: list[bool]) -> None:
        room = (ctypes.c_uint8 * len(bits))(*map(int, bits))
        self._check(self._library.modbus_write_bits(self._context, address, len(bits), room))

    def _check(self, result: int) -> None:
        if result >= 0:
            return
        number = ctypes.get_errno()
        text = self._library.modbus_strerror(number).decode()
        raise ModbusError(number - EXCEPTIONS, f"{text} ({number})")


class NoIdentities:
    """Users that a test names."""

    def __init__(self, users: dict[str, Principal]) -> None:
        self._users = users

    async def authenticate(self, name: str, password: str, peer: str) -> Principal | None:
        return None

    def named(self, name: str) -> Principal | None:
        return self._users.get(name)


def make_context(
    folder: Path, plant: Plant, store: Store, commands: Any, users: dict[str, Principal] | None = None
) -> GatewayContext:
    files = folder / "own.pem", folder / "own.key"
    return GatewayContext(
        "modbus", plant, store, commands, NoIdentities(users or {}), GatewayStatus(), folder / "modbus", *files
    )


class Running:
    """A gateway that runs, with what a test asks of it; blocking calls go to a thread."""

    def __init__(self, gateway: ModbusGateway, context: GatewayContext) -> None:
        self.gateway, self.context, self.map = gateway, context, gateway.map
        self._masters: list[Master] = []

    async def master(self, unit: int = 1) -> Master:
        master = await asyncio.to_thread(Master, self.gateway.ports[0], unit)
        self._masters.append(master)
        return master

    def close(self) -> None:
        for master in self._masters:
            master.close()

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110  a look through the protocol itself
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(context: GatewayContext, **settings: Any) -> AsyncGenerator[Running]:
    """Run a gateway on a free port for the time of a `with` block."""
    gateway: Any = create(context, ModbusSettings(**{"port": 0} | settings))
    task = asyncio.create_task(gateway.run())
    async with asyncio.timeout(10):
        while not context.status.connected:
            if task.done():
                task.result()
            await asyncio.sleep(0.005)
    made = Running(gateway, context)
    try:
        yield made
    finally:
        made.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def read_value(master: Master, register_map: RegisterMap, path: str, order: str, area: str = places.INPUT) -> Any:
    """Read a variable as a master of this word order does."""
    place = register_map.place(area, path)
    master.unit(unit_id(order, place.bank))
    data = master.read_bytes(3 if area == places.HOLDING else 4, place.address, place.size)
    builtin = register_map.plant.variable(path).declaration.type
    return from_wire(builtin, by_hand(data, order))


def by_hand(data: bytes, order: str) -> bytes:
    """Bring bytes into order ABCD as a master's driver does: by the letters of its word order."""
    if order in ("CDAB", "DCBA") and len(data) <= 8:  # longer ones are text
        data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))
    if order in ("BADC", "DCBA"):
        data = b"".join(bytes((data[at + 1], data[at])) for at in range(0, len(data), 2))
    return data


def details(master: Master, register_map: RegisterMap, path: str, order: str) -> tuple[int, int]:
    """Read StatusCode and source timestamp (ticks) of a variable."""
    place = register_map.place(places.DETAIL, path)
    master.unit(unit_id(order, place.bank, details=True))
    data = master.read_bytes(4, place.address, place.size)
    status, time = by_hand(data[:4], order), by_hand(data[4:], order)
    return int.from_bytes(status, "big"), int.from_bytes(time, "big", signed=True)

"""What Modbus shows of the tree, seen as a master sees it: for `python -m server verify`."""

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pymodbus.client import AsyncModbusTcpClient

from address_space.model import Machine, Plant, Role, Variable
from gateways.modbus import addresses as places
from gateways.modbus.addresses import Addresses, Place
from gateways.modbus.lock import lock_file
from gateways.modbus.mapping import ORDERS, RegisterMap, from_wire, reorder, shown, unit_id
from gateways.modbus.settings import ModbusSettings
from gateways.observing import Observation, ObserveError, Plane
from server.quality import BAD_USER_ACCESS_DENIED

_MOST = 125
_TRIES = 100
_STATUS = slice(0, 4)
_TIME = slice(4, 12)


async def observe(
    plant: Plant, settings: ModbusSettings, seconds: float, *, data_dir: Path, port: int | None = None
) -> list[Plane]:
    """Poll every machine in every word order for some seconds; returns a plane for each order.

    `data_dir` is the server's. Raises ObserveError when the gateway does not answer, MapError without a map.
    """
    file = lock_file(settings, plant.file, data_dir / "gateways" / "modbus")
    register_map = RegisterMap(plant, Addresses.load(file))
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    client = AsyncModbusTcpClient(host, port=port or settings.port, timeout=5)
    if not await client.connect():
        raise ObserveError(f"nobody answers Modbus TCP on {host}:{port or settings.port}")
    try:
        seen: dict[str, list[Observation]] = {order: [] for order in ORDERS}
        end = asyncio.get_running_loop().time() + seconds
        while True:
            for order in ORDERS:
                for machine in plant.objects:
                    seen[order] += await _machine(client, register_map, machine, order)
            if asyncio.get_running_loop().time() >= end:
                break
    finally:
        client.close()
    text = "values exact (Strings cut at 64 bytes, DateTimes to the ms, Bad values hidden), StatusCode and time exact"
    return [Plane(f"modbus {order}", text, found, _same) for order, found in seen.items()]


async def _machine(
    client: AsyncModbusTcpClient, register_map: RegisterMap, machine: Machine, order: str
) -> list[Observation]:
    """Read a machine's values and details; again when it was updated in between. Raises ObserveError."""
    sequence = register_map.place(places.INPUT, f"{machine.path}.{places.HEADER[1]}#")
    variables = list(machine.variables.values())
    value_places = [register_map.place(places.INPUT, variable.path) for variable in variables]
    detail_places = [register_map.place(places.DETAIL, variable.path) for variable in variables]
    for _ in range(_TRIES):
        before = await _read(client, [sequence], order, details=False)
        values = await _read(client, value_places, order, details=False)
        details = await _read(client, detail_places, order, details=True)
        if before == await _read(client, [sequence], order, details=False):
            return [
                _observation(variable, value, detail, order)
                for variable, value, detail in zip(variables, values, details, strict=True)
            ]
    raise ObserveError(f"{machine.path} changes faster than it can be read")


def _observation(variable: Variable, value: bytes, detail: bytes, order: str) -> Observation:
    builtin = variable.declaration.type
    data = reorder(value, order)
    status = int.from_bytes(reorder(detail[_STATUS], order), "big")
    time = int.from_bytes(reorder(detail[_TIME], order), "big", signed=True)
    return Observation(variable.path, None if status & 0x80000000 else from_wire(builtin, data), status, time)


async def _read(client: AsyncModbusTcpClient, wanted: list[Place], order: str, *, details: bool) -> list[bytes]:
    """Read input registers, neighbours together."""
    found: list[bytes] = []
    for first, last in _runs(wanted):
        start, end = wanted[first].address, wanted[last].end
        unit = unit_id(order, wanted[first].bank, details=details)
        answer: Any = await client.read_input_registers(start, count=end - start, device_id=unit)
        if answer.isError():
            raise ObserveError(f"Modbus unit {unit}, input registers {start} to {end - 1}: {answer}")
        data = b"".join(word.to_bytes(2, "big") for word in answer.registers)
        found += [data[2 * (place.address - start) : 2 * (place.end - start)] for place in wanted[first : last + 1]]
    return found


def _runs(wanted: list[Place]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of neighbours that fit one request."""
    first = 0
    for index in range(1, len(wanted) + 1):
        together = (
            index < len(wanted)
            and wanted[index].bank == wanted[first].bank
            and wanted[index].address == wanted[index - 1].end
            and wanted[index].end - wanted[first].address <= _MOST
        )
        if not together:
            yield first, index - 1
            first = index


def _same(variable: Variable, truth: Observation, seen: Observation) -> bool:
    """OPC UA clients show whole microseconds: the time is compared to these.

    What a role protects and the gateway's user may not read is rightly not shown.
    """
    if seen.status == BAD_USER_ACCESS_DENIED and variable.declaration.read_role is not Role.Anonymous:
        return True
    if truth.status != seen.status or (truth.source_timestamp or 0) // 10 != (seen.source_timestamp or 0) // 10:
        return False
    if truth.value is None or seen.value is None:
        return truth.value is None and seen.value is None
    expected = shown(variable.declaration.type, truth.value)
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(seen.value, float) and math.isnan(seen.value)
    return bool(expected == seen.value)

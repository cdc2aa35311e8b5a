"""The poll plan: settings and a machine's variables in, blocks to read and columns to write out. No I/O."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType, Feed, Machine, Plant, Variable
from server.quality import BAD_OUT_OF_RANGE, BAD_SENSOR_FAILURE, GOOD
from sources.modbus_plc.registers import Bytes, Group, Point, group
from sources.modbus_plc.settings import RegisterType, Settings, Table, location

MAX_REGISTERS = 125  # of one read request: Modbus application protocol 6.3, 6.4
MAX_BITS = 2000  # 6.1, 6.2

INTEGERS: Mapping[BuiltinType, np.dtype[Any]] = {
    BuiltinType.SByte: np.dtype(np.int8),
    BuiltinType.Byte: np.dtype(np.uint8),
    BuiltinType.Int16: np.dtype(np.int16),
    BuiltinType.UInt16: np.dtype(np.uint16),
    BuiltinType.Int32: np.dtype(np.int32),
    BuiltinType.UInt32: np.dtype(np.uint32),
    BuiltinType.Int64: np.dtype(np.int64),
    BuiltinType.UInt64: np.dtype(np.uint64),
}


@dataclass
class Column:
    """Variables of one block that are written to the store in one call: `ids`, values and statuses of one length.

    `low` and `high` are the least and greatest values that a variable's type or enumeration has.
    """

    groups: tuple[tuple[Group, slice], ...]
    ids: NDArray[np.int64]
    dtype: np.dtype[Any]  # float64; int64 or uint64 where float64 would lose digits
    low: NDArray[Any]
    high: NDArray[Any]
    whole: NDArray[np.bool_]  # integer variables: rounded, not truncated
    last: NDArray[Any] = field(init=False)  # the last good values, 0 before the first

    def __post_init__(self) -> None:
        self.last = np.zeros(len(self.ids), dtype=self.dtype)

    def decode(self, memory: Bytes) -> tuple[NDArray[Any], NDArray[np.uint32]]:
        """Return values and statuses: BadSensorFailure for NaN and infinity, BadOutOfRange beyond the bounds.

        A bad value is replaced by the last good one.
        """
        values = np.empty(len(self.ids), dtype=self.dtype)
        statuses = np.full(len(self.ids), GOOD, dtype=np.uint32)
        with np.errstate(all="ignore"):  # a signalling NaN is a value like any other here
            for points, part in self.groups:
                values[part] = points.decode(memory)
            if self.dtype.kind == "f":
                np.rint(values, out=values, where=self.whole)
            statuses[(values < self.low) | (values > self.high)] = BAD_OUT_OF_RANGE
            statuses[~np.isfinite(values)] = BAD_SENSOR_FAILURE
        self.last = np.where(statuses == GOOD, values, self.last)
        return self.last, statuses


@dataclass(frozen=True)
class Block:
    """One read request: `count` registers or bits from `address`."""

    table: Table
    address: int
    count: int
    period: float
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Plan:
    """All that is polled: `rates` is (period in s, its blocks), the fastest first; `points` by variable name."""

    rates: tuple[tuple[float, tuple[Block, ...]], ...]
    points: Mapping[str, Point]


def plan(settings: Settings, plant: Plant, source: str, machines: Sequence[Machine]) -> Plan:
    """Plan the polling of `source`; raises PlantError naming file, line and variable for a map that cannot be."""
    if len(machines) != 1:
        names = ", ".join(machine.path for machine in machines) or "none"
        raise plant.error(("sources", source), f"a PLC feeds one machine, this one feeds {len(machines)}: {names}")
    machine = machines[0]
    points = {name: Point(name, register, settings.order(register)) for name, register in settings.registers.items()}
    _check_points(plant, source, machine, points)
    _check_overlaps(plant, source, points.values())
    for command in settings.commands:
        if command not in machine.commands:
            where = location(plant, source, ("commands", command))
            raise plant.error(where, f"{machine.type.name} has no command {command}")
    rates: dict[float, dict[Table, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for point in points.values():
        rates[point.register.period or settings.period][point.register.table].append(point)
    return Plan(
        rates=tuple(
            (
                period,
                tuple(
                    _block(run, period, machine.variables)
                    for of_table in tables.values()
                    for run in runs(of_table, settings.max_gap)
                ),
            )
            for period, tables in sorted(rates.items())
        ),
        points=points,
    )


def runs(points: Iterable[Point], max_gap: int) -> list[list[Point]]:
    """Split points of one table into runs that one request each can read, as few as `max_gap` registers allow."""
    result: list[list[Point]] = []
    end = 0
    for point in sorted(points, key=lambda point: (point.register.address, point.end)):
        bits = point.register.table.of_bits
        limit, gap = (MAX_BITS, max_gap * 16) if bits else (MAX_REGISTERS, max_gap)
        if result and point.register.address - end <= gap and point.end - result[-1][0].register.address <= limit:
            result[-1].append(point)
            end = max(end, point.end)
        else:
            result.append([point])
            end = point.end
    return result


def _block(points: Sequence[Point], period: float, variables: Mapping[str, Variable]) -> Block:
    start = points[0].register.address
    kinds: dict[np.dtype[Any], list[Group]] = defaultdict(list)
    for members in group(points, start):
        kinds[_column_type(members.points[0])].append(members)
    columns = tuple(_column(groups, dtype, variables) for dtype, groups in kinds.items())
    end = max(point.end for point in points)
    return Block(points[0].register.table, start, end - start, period, columns)


def _column_type(point: Point) -> np.dtype[Any]:
    exact = {RegisterType.INT64: np.int64, RegisterType.UINT64: np.uint64}
    return np.dtype(np.float64 if point.register.scaled else exact.get(point.register.type, np.float64))


def _column(groups: Sequence[Group], dtype: np.dtype[Any], variables: Mapping[str, Variable]) -> Column:
    parts: list[tuple[Group, slice]] = []
    members: list[Variable] = []
    for points in groups:
        first = len(members)
        members += [variables[point.name] for point in points.points]
        parts.append((points, slice(first, len(members))))
    bounds = [_bounds(variable, dtype) for variable in members]
    return Column(
        groups=tuple(parts),
        ids=np.array([variable.id for variable in members], dtype=np.int64),
        dtype=dtype,
        low=np.array([low for low, _ in bounds], dtype=dtype),
        high=np.array([high for _, high in bounds], dtype=dtype),
        whole=np.array([variable.declaration.type in INTEGERS for variable in members]),
    )


def _bounds(variable: Variable, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return the least and greatest value of `variable` that a column of `dtype` can hold."""
    declaration = variable.declaration
    if declaration.enumeration is not None:
        return 0, len(declaration.enumeration.values) - 1
    if declaration.type is BuiltinType.Boolean:
        return 0, 1
    floats = {BuiltinType.Float: np.finfo(np.float32), BuiltinType.Double: np.finfo(np.float64)}
    if dtype.kind == "f":
        if limits := floats.get(declaration.type):
            return float(limits.min), float(limits.max)
        integer = np.iinfo(INTEGERS[declaration.type])
        high = float(integer.max)  # 2**63 for Int64: one too many, so the float below it
        return float(integer.min), high if int(high) == integer.max else float(np.nextafter(high, 0))
    column = np.iinfo(dtype)
    if declaration.type in floats:
        return column.min, column.max
    integer = np.iinfo(INTEGERS[declaration.type])
    return max(column.min, integer.min), min(column.max, integer.max)


def _check_points(plant: Plant, source: str, machine: Machine, points: Mapping[str, Point]) -> None:
    for name, point in points.items():

        def error(key: str, message: str, name: str = name) -> Exception:
            return plant.error(location(plant, source, ("registers", name, key)), message)

        variable, register = machine.variables.get(name), point.register
        if variable is None:
            where = location(plant, source, ("registers", name))
            raise plant.error(where, f"{machine.type.name} has no variable {name}")
        if point.end > 65536:
            last = point.end - 1
            raise error("address", f"{register.type} at {register.address} ends at {last}, beyond 65535")
        if variable.declaration.feed not in {Feed.SOURCE, Feed.SETPOINT}:
            where = location(plant, source, ("registers", name))
            raise plant.error(where, f"{name} is the server's own: no register feeds it")
        if variable.declaration.type in {BuiltinType.String, BuiltinType.DateTime}:
            raise error("type", f"{name} is a {variable.declaration.type.name}, which registers cannot hold")
        if variable.declaration.writable and not register.table.writable:
            raise error("table", f"{name} is a set-point: it must be a coil or a holding register")


def _check_overlaps(plant: Plant, source: str, points: Iterable[Point]) -> None:
    taken: dict[tuple[Table, int], dict[int | None, str]] = defaultdict(dict)
    for point in points:
        register = point.register
        for address in range(register.address, point.end):
            others = taken[register.table, address]
            clash = (
                others.get(register.bit)
                or others.get(None)
                or (register.bit is None and next(iter(others.values()), None))
            )
            if clash:
                where = location(plant, source, ("registers", point.name, "address"))
                raise plant.error(where, f"{point.name} shares {register.table} {address} with {clash}")
            others[register.bit] = point.name

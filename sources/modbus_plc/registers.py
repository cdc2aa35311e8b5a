"""Registers to columns and back, in numpy: all values of one type in a block in one gather and one view.

A block's memory is a uint8 array: two bytes a register in wire order (big-endian), or one element a bit for the
tables of bits. The order of words and bytes is in the index of the gather, so that it costs nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sources.modbus_plc.settings import Register, RegisterType, WordOrder

Bytes = NDArray[np.uint8]
DTYPES: dict[RegisterType, np.dtype[Any]] = {
    RegisterType.BOOL: np.dtype(">u2"),
    RegisterType.INT16: np.dtype(">i2"),
    RegisterType.UINT16: np.dtype(">u2"),
    RegisterType.INT32: np.dtype(">i4"),
    RegisterType.UINT32: np.dtype(">u4"),
    RegisterType.INT64: np.dtype(">i8"),
    RegisterType.UINT64: np.dtype(">u8"),
    RegisterType.FLOAT32: np.dtype(">f4"),
    RegisterType.FLOAT64: np.dtype(">f8"),
}


@dataclass(frozen=True)
class Point:
    """A register with its name and the word order that holds for it."""

    name: str
    register: Register
    order: WordOrder

    @property
    def end(self) -> int:
        """The address behind its last register."""
        return self.register.address + self.register.type.width


def byte_order(order: WordOrder, width: int) -> list[int]:
    """Return for each byte of a big-endian value of `width` registers its place on the wire."""
    swap_words = order in {WordOrder.CDAB, WordOrder.DCBA}
    swap_bytes = order in {WordOrder.BADC, WordOrder.DCBA}
    places: list[int] = []
    for word in range(width):
        at = 2 * (width - 1 - word if swap_words else word)
        places += [at + 1, at] if swap_bytes else [at, at + 1]
    return places


class Group(Protocol):
    """Points that are decoded and encoded together, in the order of `points`."""

    @property
    def points(self) -> tuple[Point, ...]:
        """The points."""
        ...

    def decode(self, memory: Bytes) -> NDArray[Any]:
        """Return the values; floating-point values as they are, NaN and infinity included."""
        ...

    def encode(self, values: NDArray[Any], memory: Bytes) -> None:
        """Write the values into `memory`; those that do not fit become the nearest that does."""
        ...


@dataclass(frozen=True)
class Numbers:
    """Points of one type; `start` is the address of the memory's first register."""

    points: tuple[Point, ...]
    start: int
    type: RegisterType = field(init=False)
    index: NDArray[np.intp] = field(init=False)  # [n, bytes of a value]
    scale: NDArray[np.float64] | None = field(init=False)  # None: no point is scaled
    offset: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        registers = [point.register for point in self.points]
        kind = registers[0].type
        places = [byte_order(point.order, kind.width) for point in self.points]
        first = np.array([2 * (register.address - self.start) for register in registers], dtype=np.intp)
        scaled = any(register.scaled for register in registers)
        object.__setattr__(self, "type", kind)
        object.__setattr__(self, "index", np.array(places, dtype=np.intp) + first[:, None])
        object.__setattr__(self, "scale", np.array([r.scale for r in registers]) if scaled else None)
        object.__setattr__(self, "offset", np.array([r.offset for r in registers]))

    def decode(self, memory: Bytes) -> NDArray[Any]:
        """Return the scaled values (float64), or the raw ones where nothing is scaled."""
        values = memory[self.index].view(DTYPES[self.type])[:, 0]
        if self.type is RegisterType.BOOL:
            return values != 0
        if self.scale is None:
            return values
        return values.astype(np.float64) * self.scale + self.offset

    def encode(self, values: NDArray[Any], memory: Bytes) -> None:
        """Write the raw values, rounded and clipped to the type."""
        dtype = DTYPES[self.type]
        if self.scale is not None:
            values = (values - self.offset) / self.scale
        if dtype.kind in "iu" and values.dtype.kind == "f":
            values = clipped(np.rint(values), dtype)
        raw = np.ascontiguousarray(values.astype(dtype))
        memory[self.index] = raw.view(np.uint8).reshape(self.index.shape)


@dataclass(frozen=True)
class RegisterBits:
    """Single bits of 16-bit registers; bit 0 is the least significant."""

    points: tuple[Point, ...]
    start: int
    index: NDArray[np.intp] = field(init=False)  # [n]: the byte that holds the bit
    mask: Bytes = field(init=False)  # [n]

    def __post_init__(self) -> None:
        index: list[int] = []
        mask: list[int] = []
        for point in self.points:
            bit = point.register.bit or 0
            high_low = byte_order(point.order, 1)
            index.append(2 * (point.register.address - self.start) + high_low[1 - bit // 8])
            mask.append(1 << bit % 8)
        object.__setattr__(self, "index", np.array(index, dtype=np.intp))
        object.__setattr__(self, "mask", np.array(mask, dtype=np.uint8))

    def decode(self, memory: Bytes) -> NDArray[Any]:
        """Return the bits (bool)."""
        return (memory[self.index] & self.mask) != 0

    def encode(self, values: NDArray[Any], memory: Bytes) -> None:
        """Set and clear the bits, the other bits of their registers stay."""
        np.bitwise_and.at(memory, self.index, ~self.mask)
        np.bitwise_or.at(memory, self.index, np.where(values != 0, self.mask, 0).astype(np.uint8))


@dataclass(frozen=True)
class TableBits:
    """Coils or discrete inputs."""

    points: tuple[Point, ...]
    start: int
    index: NDArray[np.intp] = field(init=False)  # [n]

    def __post_init__(self) -> None:
        addresses = [point.register.address - self.start for point in self.points]
        object.__setattr__(self, "index", np.array(addresses, dtype=np.intp))

    def decode(self, memory: Bytes) -> NDArray[Any]:
        """Return the bits (bool)."""
        return memory[self.index] != 0

    def encode(self, values: NDArray[Any], memory: Bytes) -> None:
        """Write the bits."""
        memory[self.index] = values != 0


def group(points: Sequence[Point], start: int) -> list[Group]:
    """Group points of one table by how they are decoded; 64-bit integers with and without scale stay apart."""
    kinds: dict[tuple[str, bool], list[Point]] = {}
    for point in points:
        register = point.register
        kind = "table" if register.table.of_bits else "bit" if register.bit is not None else register.type.value
        apart = register.scaled and register.type in {RegisterType.INT64, RegisterType.UINT64}
        kinds.setdefault((kind, apart), []).append(point)
    groups: list[Group] = []
    for (kind, _), members in kinds.items():
        maker = TableBits if kind == "table" else RegisterBits if kind == "bit" else Numbers
        groups.append(maker(tuple(members), start))
    return groups


def clipped(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """Clip to what an integer `dtype` holds, staying on the safe side of a bound that float64 cannot hold."""
    bounds = np.iinfo(dtype)
    high = float(bounds.max)
    return np.clip(values, float(bounds.min), high if int(high) == bounds.max else np.nextafter(high, 0))


def encode_value(point: Point, value: Any) -> list[int]:
    """Return the registers for `value`: the inverse of decoding.

    Raises OverflowError when it does not fit the registers, TypeError when it is no number (or no bool).
    """
    register, dtype = point.register, DTYPES[point.register.type]
    if register.type is RegisterType.BOOL:
        return [int(boolean(value))]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    raw = (value - register.offset) / register.scale if register.scaled else value
    if not math.isfinite(raw):
        raise OverflowError(f"{value} is not finite")
    if dtype.kind == "f":
        low, high = float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    else:
        low, high, raw = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max), round(raw)
    if not low <= raw <= high:
        raise OverflowError(f"{value} does not fit {register.type}{_scaling(register)}")
    big_endian = np.array([raw], dtype=dtype).view(np.uint8)
    wire = np.empty_like(big_endian)
    wire[byte_order(point.order, register.type.width)] = big_endian
    return [int(word) for word in wire.view(">u2")]


def _scaling(register: Register) -> str:
    return f" with scale {register.scale:g} and offset {register.offset:g}" if register.scaled else ""


def boolean(value: Any) -> bool:
    """Return `value` as a bool: True, False, 0 or 1; raises TypeError for anything else."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, int) and value in {0, 1}):
        return bool(value)
    raise TypeError(f"{value!r} is neither true nor false")

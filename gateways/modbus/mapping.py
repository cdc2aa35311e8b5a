"""The register map of a plant: what is at which address, how values stand in registers, and the map as text.

Registers are big-endian (Modbus application protocol 4.2); how masters expect values of several differs: each of the
four word orders is on a unit id of its own. As masters and Plantree's own Modbus source have it, BADC and DCBA swap the
bytes of every register, those of 16-bit values and Strings too, and CDAB and DCBA reverse the registers of numbers.
"""

import csv
import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from address_space.model import BuiltinType, Command, Plant, Variable
from gateways.modbus import addresses as places
from gateways.modbus.addresses import Addresses, Place

ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
"""Word orders, on unit ids 1 to 4 (bank 0): A is the most significant byte."""
REVERSED, SWAPPED = ("CDAB", "DCBA"), ("BADC", "DCBA")
"""The orders that reverse the registers of a number, and those that swap the bytes of a register."""
LONGEST_NUMBER = 8
"""Bytes; what is longer is text."""
UNITS_A_BANK = 20
DETAIL_UNITS = 10
"""Unit id of a bank's details: that of its word order, and this."""
_CODES: Mapping[BuiltinType, str] = {
    BuiltinType.Boolean: ">H", BuiltinType.SByte: ">h", BuiltinType.Byte: ">H", BuiltinType.Int16: ">h",
    BuiltinType.UInt16: ">H", BuiltinType.Int32: ">i", BuiltinType.UInt32: ">I", BuiltinType.Int64: ">q",
    BuiltinType.UInt64: ">Q", BuiltinType.Float: ">f", BuiltinType.Double: ">d", BuiltinType.DateTime: ">q",
}  # fmt: skip
_NAMES: Mapping[BuiltinType, str] = {
    BuiltinType.Boolean: "UInt16 0 or 1", BuiltinType.SByte: "Int16", BuiltinType.Byte: "UInt16",
    BuiltinType.Float: "Float32", BuiltinType.Double: "Float64", BuiltinType.DateTime: "Int64, ms since 1970 UTC",
    BuiltinType.String: f"UTF-8, {2 * places.STRING_REGISTERS} bytes, zeros behind",
}  # fmt: skip
UNIX_EPOCH = 116_444_736_000_000_000
_TICKS_A_MS = 10_000


def unit_id(order: str, bank: int = 0, *, details: bool = False) -> int:
    """Return the unit id of a word order and bank."""
    return 1 + ORDERS.index(order) + UNITS_A_BANK * bank + (DETAIL_UNITS if details else 0)


def unit_of(unit: int) -> tuple[str, int, bool] | None:
    """Return word order, bank and whether it is of the details; None for a unit id that means nothing."""
    if unit in (0, 255):  # what masters of a device without a serial line behind it use (messaging on TCP/IP 4.4.2)
        return ORDERS[0], 0, False
    bank, rest = divmod(unit - 1, UNITS_A_BANK)
    details, order = divmod(rest, DETAIL_UNITS)
    if order >= len(ORDERS) or bank >= places.BANKS:
        return None
    return ORDERS[order], bank, bool(details)


def to_wire(builtin: BuiltinType, value: Any) -> bytes:
    """Return a value of the store as it stands in registers of unit ABCD; raises ValueError for what does not fit."""
    if builtin is BuiltinType.String:
        return _text(str(value))
    if builtin is BuiltinType.DateTime:
        value = (int(value) - UNIX_EPOCH) // _TICKS_A_MS
    try:
        return struct.pack(_CODES[builtin], value)
    except (struct.error, OverflowError) as error:
        raise ValueError(str(error)) from None


def from_wire(builtin: BuiltinType, data: bytes) -> Any:
    """Return a value of the store from registers of unit ABCD; raises ValueError."""
    if builtin is BuiltinType.String:
        return data.partition(b"\0")[0].decode()
    (value,) = struct.unpack(_CODES[builtin], data)
    if builtin is BuiltinType.Boolean:
        if value not in (0, 1):
            raise ValueError(f"{value} is neither 0 nor 1")
        return bool(value)
    if builtin in (BuiltinType.SByte, BuiltinType.Byte) and value not in range(
        *((-128, 128) if builtin is BuiltinType.SByte else (0, 256))
    ):
        raise ValueError(f"{value} is no {builtin.name}")
    return value * _TICKS_A_MS + UNIX_EPOCH if builtin is BuiltinType.DateTime else value


def reorder(data: bytes, order: str) -> bytes:
    """Bring the bytes of one value from ABCD into another order, or back: each order is its own inverse."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in REVERSED and len(data) <= LONGEST_NUMBER:
        words.reverse()
    if order in SWAPPED:
        words = [word[::-1] for word in words]
    return b"".join(words)


def _text(value: str) -> bytes:
    """Return a String cut at a character, filled with zeros."""
    size = 2 * places.STRING_REGISTERS
    data = value.encode()[:size]
    return data.decode(errors="ignore").encode().ljust(size, b"\0")


@dataclass(frozen=True, slots=True)
class Item:
    """What is at a place: a value of this type, with what people want to know of it."""

    area: str
    name: str
    place: Place
    builtin: BuiltinType
    variable: Variable | None = None
    command: Command | None = None
    unit: str = ""
    description: str = ""

    @property
    def type_name(self) -> str:
        """How the value stands in registers, in a few words."""
        if self.area in (places.COIL, places.DISCRETE):
            return "bit"
        return _NAMES.get(self.builtin, self.builtin.name)


class RegisterMap:
    """The whole map; raises MapError when the plant does not fit."""

    def __init__(self, plant: Plant, addresses: Addresses) -> None:
        self.plant = plant
        self.addresses = places.assign(plant, addresses)
        self.items = tuple(self._items())
        self.banks = 1 + max(place.bank for given in self.addresses.places.values() for place in given.values())
        self.writable = {
            (item.place.bank, item.place.address): item for item in self.items if item.area == places.HOLDING
        }
        self.coils = {(item.place.bank, item.place.address): item for item in self.items if item.area == places.COIL}

    def place(self, area: str, name: str) -> Place:
        """Return where something is; KeyError."""
        return self.addresses.places[area][name]

    def _items(self) -> Iterator[Item]:
        for machine in self.plant.objects:
            for name in places.HEADER[:3]:
                place = self.place(places.INPUT, f"{machine.path}.{name}#")
                yield Item(
                    places.INPUT, f"{machine.path} {name}", place, BuiltinType.UInt16, description=_HEADERS[name]
                )
            for variable in machine.variables.values():
                yield from self._variable(variable)
            for command in machine.commands.values():
                yield from self._command(command)

    def _variable(self, variable: Variable) -> Iterator[Item]:
        declaration = variable.declaration
        symbol = "" if declaration.unit is None else declaration.unit.symbol
        about = declaration.description
        if declaration.enumeration is not None:
            states = ", ".join(f"{number} {name}" for number, name in enumerate(declaration.enumeration.values))
            about = f"{about} ({states})"
        for area in (places.INPUT, places.DISCRETE, places.HOLDING):
            place = self.addresses.get(area, variable.path)
            if place is not None:
                yield Item(area, variable.path, place, declaration.type, variable, None, symbol, about)

    def _command(self, command: Command) -> Iterator[Item]:
        declaration = command.declaration
        place = self.place(places.COIL, command.path)
        yield Item(places.COIL, command.path, place, BuiltinType.Boolean, None, command, "", declaration.description)
        for argument in declaration.arguments:
            name = places.argument_name(command, argument.name)
            at = self.addresses.get(places.HOLDING, name)
            if at is not None:
                symbol = "" if argument.unit is None else argument.unit.symbol
                yield Item(places.HOLDING, name, at, argument.type, None, command, symbol, argument.description)


_HEADERS = {
    "Quality": "Worst quality of the machine's variables: 192 Good, 64 Uncertain, 0 Bad",
    "Sequence": "Counts the updates of this block, modulo 65,536: equal before and after means nothing changed between",
    "Heartbeat": "Counts seconds while the gateway runs, modulo 65,536",
}
_COLUMNS = ("area", "units", "address", "registers", "type", "name", "unit", "description")
_OFFSETS = {places.INPUT: 30001, places.HOLDING: 40001, places.DISCRETE: 10001, places.COIL: 1}


def rows(register_map: RegisterMap) -> Iterator[tuple[str, ...]]:
    """Yield the map line by line, area by area in the order of addresses."""
    for area in (places.INPUT, places.DISCRETE, places.HOLDING, places.COIL):
        items = (item for item in register_map.items if item.area == area)
        for item in sorted(items, key=lambda item: (item.place.bank, item.place.address)):
            first = unit_id("ABCD", item.place.bank)
            yield (
                area,
                f"{first}-{first + 3}",
                str(item.place.address),
                str(item.place.size),
                item.type_name,
                item.name,
                item.unit,
                item.description,
            )


def as_csv(register_map: RegisterMap) -> str:
    """Return the map as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows(register_map))
    return text.getvalue()


def as_markdown(register_map: RegisterMap) -> str:
    """Return the map as Markdown for people."""
    lines = [_INTRODUCTION.format(name=register_map.plant.name)]
    titles = {
        places.INPUT: "Input registers (function 4)", places.DISCRETE: "Discrete inputs (function 2)",
        places.HOLDING: "Holding registers (functions 3, 6, 16, 22, 23)", places.COIL: "Coils (functions 1, 5, 15)",
    }  # fmt: skip
    found = list(rows(register_map))
    for area, title in titles.items():
        lines += [
            f"## {title}",
            "",
            "| units | address | n | type | name | unit | meaning |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row[1:])} |" for row in found if row[0] == area]
        lines.append("")
    lines += ["## Details (function 4)", "", _DETAILS, "", "| units | address | variable |", "|---|---|---|"]
    for name, place in register_map.addresses.places[places.DETAIL].items():
        if register_map.plant.find(name) is not None:
            first = unit_id("ABCD", place.bank, details=True)
            lines.append(f"| {first}-{first + 3} | {place.address} | {name} |")
    return "\n".join(lines) + "\n"


_INTRODUCTION = """\
# Modbus register map of {name}

Generated by `python -m server export modbus`; do not edit. Addresses count from 0, as they go on the wire. They stay
when the plant changes: the lock file beside this page keeps them, and an address that was given is never given again to
something else.

| unit | word order |
|---|---|
| 1, also 0 and 255 | ABCD: big-endian |
| 2 | CDAB: the registers of a number reversed |
| 3 | BADC: the bytes of every register swapped, those of 16 bit values and Strings too |
| 4 | DCBA: both: little-endian |

All four show the same. What does not fit 65,536 addresses goes on in the next bank, 20 unit ids further.

**Reading.** A response is one snapshot: it never mixes two cycles of a machine, computed variables included. A block of
more than 125 registers is read in parts; it is one snapshot if its Sequence is the same before and after. Room for
variables to come reads as 0. A floating-point value that is Bad reads as NaN; other types keep their last value: the
block's Quality and the details tell.

**Writing.** Set-points and arguments are written whole, any number of neighbours in one request: all are checked before
one is put. Writing 1 to a coil carries its command out, and the answer comes when it is done; writing 0 does nothing. A
command with arguments takes those that the same master has written before. One request carries out one command, or any
number of emergency stops. The coil of an emergency stop reads 1 while it is latched; other coils read 0.

| exception | when |
|---|---|
| 01 | no such function; the master's network, certificate or user may not do that |
| 02 | no such address; a part of a value; not writable; a reset, unless `modbus.reset_by_coil` allows it |
| 03 | malformed; a value out of its range or of another type; an argument that this master has not written |
| 04 | the command or set-point failed, timed out, or is refused in this state |
| 06 | more than 16 requests of this master are waiting |
| 0B | no such unit id |
"""
_DETAILS = (
    "Each variable has six registers on the unit ids 11 to 14: its StatusCode (UInt32), and its source timestamp "
    "(Int64, 100 ns since 1601-01-01 UTC), in the unit's word order. A variable that masters may not read shows "
    "BadUserAccessDenied."
)


def shown(builtin: BuiltinType, value: Any) -> Any:
    """Return what can be seen of a stored value through registers: what `from_wire` makes of it."""
    return from_wire(builtin, to_wire(builtin, value))

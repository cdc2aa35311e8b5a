"""Addresses of the register map: given out once and kept in a lock file, so that a plant may grow under its masters.

An address never changes its meaning: what is removed keeps its place, and what changes its type gets another.

A bank is 65,536 addresses of each area on unit ids of its own. Each machine has a block of input registers, with room
to grow, in which its variables lie in the order of the plant file.
"""

import bisect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from address_space.model import BuiltinType, Command, Plant, Variable

HEADER = ("Quality", "Sequence", "Heartbeat", "Reserved")
"""Registers that each machine's block begins with."""
BANK = 65_536
BANKS = 12
STRING_REGISTERS = 32
DETAIL_REGISTERS = 6
"""StatusCode (UInt32) and source timestamp (Int64) of a variable."""
WIDTHS: Mapping[BuiltinType, int] = {
    BuiltinType.Boolean: 1, BuiltinType.SByte: 1, BuiltinType.Byte: 1, BuiltinType.Int16: 1, BuiltinType.UInt16: 1,
    BuiltinType.Int32: 2, BuiltinType.UInt32: 2, BuiltinType.Float: 2,
    BuiltinType.Int64: 4, BuiltinType.UInt64: 4, BuiltinType.Double: 4, BuiltinType.DateTime: 4,
    BuiltinType.String: STRING_REGISTERS,
}  # fmt: skip
"""Registers that a value takes."""
INPUT, DISCRETE, HOLDING, COIL, DETAIL, BLOCK = "input", "discrete", "holding", "coil", "detail", "block"
_ROOM = 1.25
_ROUND = 10


class MapError(ValueError):
    """The map cannot be made; str() is one clear sentence."""


@dataclass(frozen=True, slots=True)
class Place:
    """`size` addresses from `address` on (from 0), in a bank, for a value of the type `kind`."""

    bank: int
    address: int
    size: int
    kind: str = ""

    @property
    def end(self) -> int:
        """The address behind the last one."""
        return self.address + self.size

    def text(self) -> str:
        """Return it as the lock file has it."""
        numbers = f"{self.bank}, {self.address}, {self.size}"
        return f'[{numbers}, "{self.kind}"]' if self.kind else f"[{numbers}]"


@dataclass
class Addresses:
    """Places by area and name; `given` are those that the lock file did not have."""

    places: dict[str, dict[str, Place]] = field(default_factory=dict[str, dict[str, Place]])
    given: int = 0
    _tops: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    _filled: dict[tuple[int, int], int] | None = None

    @classmethod
    def load(cls, file: Path) -> "Addresses":
        """Read a lock file, an empty one where there is none; raises MapError."""
        if not file.exists():
            return cls()
        try:
            raw: dict[str, dict[str, list[Any]]] = json.loads(file.read_text(encoding="utf-8"))
            places = {
                area: {name: _place(*columns) for name, columns in entries.items()} for area, entries in raw.items()
            }
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise MapError(f"{file}: is no lock file of a register map: {error}") from error
        addresses = cls(places)
        addresses.check()
        return addresses

    def text(self) -> str:
        """Return the lock file."""
        lines = [
            f" {json.dumps(area)}: {{\n"
            + ",\n".join(f"  {encode_basestring(name)}: {place.text()}" for name, place in entries.items())
            + "\n }"
            for area, entries in self.places.items()
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def get(self, area: str, name: str) -> Place | None:
        """Return a place that was given."""
        return self.places.get(area, {}).get(name)

    def give(self, area: str, name: str, size: int, within: Place | None = None, kind: str = "") -> Place:
        """Return the place of a name: the one it has if that is of this type, else a free one, in the block if any."""
        entries = self.places.setdefault(area, {})
        known = entries.get(name)
        if known is not None and (known.size, known.kind) == (size, kind):
            return known
        if known is not None:
            entries[f"{name}#{known.bank}.{known.address}"] = known  # taken for good
        free = (within and self._behind(size, within)) or self._free(area, size)
        place = entries[name] = Place(free.bank, free.address, free.size, kind)
        self.given += 1
        return place

    def check(self) -> None:
        """Raise MapError where two places overlap or one is beyond its bank; blocks lie in the input registers."""
        for area, entries in self.places.items():
            last: tuple[str, Place] | None = None
            for name, place in sorted(entries.items(), key=lambda entry: (entry[1].bank, entry[1].address)):
                if not 0 <= place.bank < BANKS or place.address < 0 or place.size < 1 or place.end > BANK:
                    raise MapError(f"the register map puts {name} ({area}) outside of a bank")
                if last is not None and last[1].bank == place.bank and place.address < last[1].end:
                    raise MapError(f"the register map puts {last[0]} and {name} ({area}) at the same address")
                last = name, place

    def _behind(self, size: int, block: Place) -> Place | None:
        """Return a place behind what lies in a block already."""
        if self._filled is None:
            self._filled = self._fill()
        start = self._filled.get((block.bank, block.address), block.address + len(HEADER))
        if start + size > block.end:
            return None
        self._filled[block.bank, block.address] = start + size
        return Place(block.bank, start, size)

    def _fill(self) -> dict[tuple[int, int], int]:
        """Return where each block is free from on, by its bank and address."""
        starts = sorted((place.bank, place.address) for place in self.places.get(BLOCK, {}).values())
        filled: dict[tuple[int, int], int] = {}
        for place in self.places.get(INPUT, {}).values():
            at = bisect.bisect_right(starts, (place.bank, place.address)) - 1
            if at >= 0 and starts[at][0] == place.bank:
                filled[starts[at]] = max(filled.get(starts[at], 0), place.end)
        return filled

    def _free(self, area: str, size: int) -> Place:
        """Return the next place behind all others; blocks and what does not fit them share the input registers."""
        space = INPUT if area == BLOCK else area
        if space not in self._tops:
            taken = [
                *self.places.get(space, {}).values(),
                *self.places.get(BLOCK if space == INPUT else space, {}).values(),
            ]
            self._tops[space] = max(((place.bank, place.end) for place in taken), default=(0, 0))
        bank, start = self._tops[space]
        if start + size > BANK:
            bank, start = bank + 1, 0
        if bank >= BANKS or size > BANK:
            raise MapError(f"the plant has more {area} addresses than {BANKS} banks hold: leave something out")
        self._tops[space] = bank, start + size
        return Place(bank, start, size)


def _place(bank: Any, address: Any, size: Any, kind: Any = "") -> Place:
    return Place(int(bank), int(address), int(size), str(kind))


def assign(plant: Plant, addresses: Addresses) -> Addresses:
    """Give an address to all that has none yet, in the order of the plant file; raises MapError."""
    for machine in plant.objects:
        wanted = len(HEADER) + sum(WIDTHS[v.declaration.type] for v in machine.variables.values())
        known = addresses.get(BLOCK, machine.path)
        size = known.size if known is not None else _rounded(wanted)
        block = addresses.give(BLOCK, machine.path, size)
        for offset, name in enumerate(HEADER):
            header = Place(block.bank, block.address + offset, 1)
            addresses.places.setdefault(INPUT, {}).setdefault(f"{machine.path}.{name}#", header)
        for variable in machine.variables.values():
            _assign_variable(addresses, variable, block)
        for command in machine.commands.values():
            _assign_command(addresses, command)
    addresses.check()
    return addresses


def argument_name(command: Command, argument: str) -> str:
    """Return what the map calls an argument: Plant.Generator1.SetLoad(Load)."""
    return f"{command.path}({argument})"


def _assign_variable(addresses: Addresses, variable: Variable, block: Place) -> None:
    width = WIDTHS[variable.declaration.type]
    kind = variable.declaration.type.name
    addresses.give(INPUT, variable.path, width, block, kind)
    addresses.give(DETAIL, variable.path, DETAIL_REGISTERS)
    if variable.declaration.type is BuiltinType.Boolean:
        addresses.give(DISCRETE, variable.path, 1)
    if variable.declaration.writable:
        addresses.give(HOLDING, variable.path, width, kind=kind)


def _assign_command(addresses: Addresses, command: Command) -> None:
    addresses.give(COIL, command.path, 1)
    for argument in command.declaration.arguments:
        if command.declaration.name not in ("EmergencyStop", "ResetEmergencyStop"):
            name, kind = argument_name(command, argument.name), argument.type.name
            addresses.give(HOLDING, name, WIDTHS[argument.type], kind=kind)


def _rounded(wanted: int) -> int:
    """Return the size of a block with room for variables to come."""
    size = -(-int(wanted * _ROOM) // _ROUND) * _ROUND
    return size if size <= BANK else wanted

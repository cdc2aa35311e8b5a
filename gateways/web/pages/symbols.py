"""Which symbol stands for a type of machine, and how it is drawn: 48 by 48 units, strokes only, no colour."""

from enum import StrEnum

from address_space.model import Machine, MachineType
from gateways.web.pages.markup import Markup


class Symbol(StrEnum):
    """What a machine is to the process."""

    GENERATOR = "generator"
    METER = "meter"
    LINE = "line"
    CLIMATE = "climate"
    CAMERA = "camera"
    MACHINE = "machine"


SUPPLY = (Symbol.METER, Symbol.GENERATOR)
"""Symbols of what feeds the bus bar."""

_WORDS = (
    (Symbol.GENERATOR, ("generator", "genset", "turbine")),
    (Symbol.METER, ("meter", "mains", "grid", "energy")),
    (Symbol.LINE, ("line", "conveyor", "press", "machine", "pump")),
    (Symbol.CLIMATE, ("environment", "climate", "weather", "room")),
    (Symbol.CAMERA, ("camera",)),
)

_DRAWN = {
    Symbol.GENERATOR: '<circle cx="24" cy="24" r="17"/><path d="M12 24c4-9 8-9 12 0s8 9 12 0"/>'
    '<path d="M24 41v5M14 46h20"/>',
    Symbol.METER: '<path d="M24 3 14 45M24 3l10 42M17 30h14M19 20h10M8 14h32M10 14v4M38 14v4M15 38l16-8M33 38l-16-8"/>',
    Symbol.LINE: '<rect x="3" y="28" width="42" height="12" rx="6"/><circle cx="10" cy="34" r="2.5"/>'
    '<circle cx="24" cy="34" r="2.5"/><circle cx="38" cy="34" r="2.5"/>'
    '<rect x="8" y="15" width="11" height="11"/><rect x="28" y="12" width="13" height="14"/>',
    Symbol.CLIMATE: '<path d="M20 27V9a4 4 0 0 1 8 0v18a9 9 0 1 1-8 0z"/><path d="M24 16v19"/>'
    '<circle cx="24" cy="35" r="4"/>'
    '<path d="M34 10h6M34 17h4M34 24h6"/>',
    Symbol.CAMERA: '<rect x="4" y="14" width="28" height="20" rx="3"/><path d="m32 21 12-6v18l-12-6"/>'
    '<circle cx="18" cy="24" r="5"/>',
    Symbol.MACHINE: '<rect x="7" y="13" width="34" height="26" rx="3"/><path d="M16 13V7h16v6M15 26h18"/>',
}  # fmt: skip


def symbol_of(kind: MachineType) -> Symbol:
    """Return the symbol of a type: its name tells, in the words that plants use."""
    name = kind.name.lower()
    return next((symbol for symbol, words in _WORDS if any(word in name for word in words)), Symbol.MACHINE)


def is_shown(machine: Machine) -> bool:
    """Whether a machine is a part of the process, and not of the server."""
    return bool(machine.variables) and ".ServerDiagnostics" not in machine.path


def drawing(symbol: Symbol) -> Markup:
    """Return the strokes of a symbol; what encloses them sets stroke and fill."""
    return Markup(_DRAWN[symbol])

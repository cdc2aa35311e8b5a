"""What the browser must know of a variable to show it: unit, decimals, range, limits, names of states. Pure."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from address_space.model import AlarmKind, BuiltinType, Condition, Machine, Plant, Variable
from server import quality

LEVELS = (AlarmKind.LEVEL, AlarmKind.NON_EXCLUSIVE_LEVEL)
PRIORITIES = ((800, 1), (600, 2), (400, 3), (0, 4))
"""Least severity of each priority; colour and shape on the page are the priority's (ANSI/ISA-18.2)."""
_MOST_DECIMALS = 3


def priority(severity: int) -> int:
    """Return 1 (most urgent) to 4."""
    return next(number for least, number in PRIORITIES if severity >= least)


def words(name: str) -> str:
    """Return a browse name as words: `OilPressure` is "Oil pressure", `VoltageL1` "Voltage L1", `OEE` stays."""
    parts = re.findall(r"[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    rest = (part if part.isupper() or not part[0].isupper() else part.lower() for part in parts[1:])
    return " ".join((*parts[:1], *rest)) or name


def decimals(variable: Variable) -> int:
    """Return how many decimals tell three figures of the variable's range."""
    declaration = variable.declaration
    if declaration.type not in (BuiltinType.Float, BuiltinType.Double):
        return 0
    if declaration.range is None:
        return 2
    span = max(declaration.range[1] - declaration.range[0], 1e-9)
    return min(max(_MOST_DECIMALS - math.ceil(math.log10(span)), 0), _MOST_DECIMALS)


def unit(variable: Variable) -> str:
    """Return the unit as it is shown; nothing for a ratio."""
    declared = variable.declaration.unit
    return "" if declared is None or declared.symbol == "1" else declared.symbol


def limits(variable: Variable, conditions: Iterable[Condition]) -> dict[str, float]:
    """Return the declared limits of the level alarms that watch a variable; the innermost of each name."""
    found: dict[str, float] = {}
    for condition in conditions:
        if condition.input is not variable or condition.declaration.kind not in LEVELS:
            continue
        for name, value in condition.declaration.limits.items():
            nearer = min if name.startswith("high") else max
            found[name] = nearer(found.get(name, value), value)
    return found


def conditions_of(plant: Plant) -> Mapping[str, list[Condition]]:
    """Return the conditions of each machine, by its path."""
    found: dict[str, list[Condition]] = {}
    for condition in plant.conditions:
        found.setdefault(condition.machine.path, []).append(condition)
    return found


def metadata(variable: Variable, machine: Machine, watched: Iterable[Condition]) -> dict[str, Any]:
    """Return what the browser's script needs, in short: the page carries one for each variable that it shows."""
    declaration = variable.declaration
    meta: dict[str, Any] = {"i": variable.id, "t": declaration.type.name, "d": decimals(variable)}
    if unit(variable):
        meta["u"] = unit(variable)
    if declaration.range is not None:
        meta["r"] = declaration.range
    if declaration.enumeration is not None:
        meta["e"] = declaration.enumeration.values
    if found := limits(variable, watched):
        meta["l"] = found
    meta["n"] = f"{machine.name} · {words(variable.name)}"
    return meta


def status_names() -> dict[int, str]:
    """Return the names of the StatusCodes that values may have (OPC 10000-6 A.2), as clients show them."""
    return {
        value: "".join(part.capitalize() for part in name.split("_"))
        for name, value in vars(quality).items()
        if name.startswith(("GOOD", "UNCERTAIN", "BAD_")) and isinstance(value, int)
    }

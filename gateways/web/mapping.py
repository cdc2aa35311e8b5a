"""The model and its values as JSON, and what comes back: pure, no I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from asyncua.ua.status_codes import StatusCodes
from numpy.typing import NDArray

from address_space.model import Argument, BuiltinType, Command, Machine, Plant, Variable
from server import quality
from server.checks import checked_setpoint
from server.history import Samples
from server.ports import CommandError
from server.store import Store, from_ticks, now_ticks, to_ticks
from server.store.values import VALUE_DTYPES

Json = dict[str, Any]
Columns = tuple[list[Any], list[int], list[int]]
"""Values, StatusCodes and source timestamps (ticks) of some variables."""

_NAMES: dict[int, str] = {
    code: name for name, code in vars(StatusCodes).items() if isinstance(code, int) and not name.startswith("_")
}
_WITH_VALUE = 0x0F


def status_name(code: int) -> str:
    """Return `BadNoCommunication`; with info bits the name without them, else 0x80310001 (OPC 10000-6 A.2)."""
    return _NAMES.get(code) or _NAMES.get(code & 0xFFFF0000) or f"0x{code:08X}"


def quality_of(code: int) -> str:
    """Return `good`, `uncertain` or `bad` (OPC 10000-4 7.39.1)."""
    return ("good", "uncertain", "bad", "bad")[code >> 30]


def iso(ticks: int) -> str | None:
    """Return ISO 8601 in UTC, to the microsecond; None for never."""
    return from_ticks(ticks).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if ticks > 0 else None


def now() -> str:
    """Return the present time as `iso` writes it."""
    return iso(now_ticks()) or ""


def parse_time(text: str) -> int:
    """Return ticks of ISO 8601, taken as UTC where it has no offset; raises ValueError with a sentence."""
    try:
        moment = datetime.fromisoformat(text)
        return to_ticks(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time in ISO 8601, like 2024-01-15T10:30:00Z") from None


def columns(store: Store, ids: NDArray[np.int64]) -> Columns:
    """Return values (None where there is none, DateTimes as ticks), StatusCodes and source timestamps of `ids`."""
    values: list[Any] = [None] * len(ids)
    types = store.types(ids)
    for builtin in np.unique(types).tolist():
        places = np.flatnonzero(types == builtin)
        rows = store.table(BuiltinType(builtin))[store.rows(ids[places])]
        found = rows["value"].tolist()
        for place, value, mask in zip(places.tolist(), found, rows["mask"].tolist(), strict=True):
            values[place] = value if mask == _WITH_VALUE else None
    return values, store.statuses(ids).tolist(), store.source_timestamps(ids).tolist()


def json_value(variable: Variable, value: Any) -> Any:
    """Return what JSON holds for a stored value: a DateTime as ISO 8601, a non-number as null."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return iso(int(value)) if variable.declaration.type is BuiltinType.DateTime else value


def value_form(variable: Variable, value: Any, status: int, source: int) -> Json:
    """Return a variable's value with all that makes it worth something."""
    form = {"path": variable.path, **sample_form(variable, value, status, source)}
    unit = variable.declaration.unit
    if unit is not None:
        form["unit"] = unit.symbol
    return form


def value_forms(
    variables: Sequence[Variable], values: Sequence[Any], statuses: Sequence[int], sources: Sequence[int]
) -> list[Json]:
    """Return `value_form` of each."""
    return [value_form(*row) for row in zip(variables, values, statuses, sources, strict=True)]


def dumps_values(moment: str, variables: Sequence[Variable], found: Columns) -> bytes:
    """Return the JSON of many values as they were at a moment."""
    return orjson.dumps({"time": moment, "values": value_forms(variables, *found)})


def sample_form(variable: Variable, value: Any, status: int, source: int) -> Json:
    """Return one sample: value, quality, StatusCode, time, and the state's name of an enumeration."""
    form: Json = {
        "value": json_value(variable, value),
        "quality": quality_of(status),
        "status": status_name(status),
        "status_code": status,
        "source_timestamp": iso(source),
    }
    enumeration = variable.declaration.enumeration
    if enumeration is not None and isinstance(value, int) and 0 <= value < len(enumeration.values):
        form["text"] = enumeration.values[value]
    return form


def sample_values(samples: Samples, builtin: BuiltinType) -> list[Any]:
    """Return the values of samples as Python objects, None where the status is Bad."""
    if samples.texts is not None:
        values: list[Any] = list(samples.texts)
    else:
        dtype = np.dtype(VALUE_DTYPES[builtin])
        values = samples.bits.astype(f"<u{dtype.itemsize}").view(dtype).tolist()
    bad = quality.is_bad(samples.statuses).tolist()
    return [None if hidden else value for value, hidden in zip(values, bad, strict=True)]


def samples_form(variable: Variable, samples: Samples) -> list[Json]:
    """Return samples of history, in their order."""
    values = sample_values(samples, variable.declaration.type)
    rows = zip(values, samples.statuses.tolist(), samples.stamps.tolist(), strict=True)
    return [sample_form(variable, *row) for row in rows]


def stored_value(variable: Variable, value: Any) -> Any:
    """Return what is stored for a JSON value, checked; raises CommandError with what OPC UA says to the mistake."""
    declaration = variable.declaration
    if not declaration.writable:
        raise CommandError(quality.BAD_NOT_WRITABLE, f"{variable.path} is no set-point")
    if declaration.enumeration is not None and isinstance(value, str):
        if value not in declaration.enumeration.values:
            names = ", ".join(declaration.enumeration.values)
            raise CommandError(quality.BAD_OUT_OF_RANGE, f"{variable.path} is one of {names}, not {value!r}")
        return declaration.enumeration.values.index(value)
    return checked_setpoint(variable, _typed(variable.path, declaration.type, value))


def argument_values(command: Command, given: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a command's arguments in order; raises CommandError for a name that is missing or that it lacks."""
    declared = command.declaration.arguments
    if unknown := set(given) - {argument.name for argument in declared}:
        raise CommandError(quality.BAD_INVALID_ARGUMENT, f"{command.path} takes no argument {min(unknown)!r}")
    if missing := [argument.name for argument in declared if argument.name not in given]:
        raise CommandError(quality.BAD_ARGUMENTS_MISSING, f"missing: {', '.join(missing)}")
    return tuple(_typed(argument.name, argument.type, given[argument.name]) for argument in declared)


def _typed(name: str, builtin: BuiltinType, value: Any) -> Any:
    """Return a JSON value as the type wants it: JSON knows no times, and does not tell 5 from 5.0."""
    if builtin is BuiltinType.DateTime and isinstance(value, str):
        try:
            return parse_time(value)
        except ValueError as error:
            raise CommandError(quality.BAD_TYPE_MISMATCH, f"{name}: {error}") from None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and builtin in (BuiltinType.Float, BuiltinType.Double):
        try:
            return float(value)
        except OverflowError:
            raise CommandError(quality.BAD_OUT_OF_RANGE, f"{name}: {value} is too large") from None
    if isinstance(value, float) and builtin.is_numeric and value.is_integer():
        return int(value)
    return value


def variable_form(variable: Variable) -> Json:
    """Return what a variable is."""
    declaration = variable.declaration
    return {
        "path": variable.path,
        "name": variable.name,
        "description": declaration.description,
        "type": declaration.type.name,
        "feed": declaration.feed.value,
        "unit": None if declaration.unit is None else declaration.unit.symbol,
        "range": None if declaration.range is None else list(declaration.range),
        "enumeration": None if declaration.enumeration is None else list(declaration.enumeration.values),
        "writable": declaration.writable,
        "read_role": declaration.read_role.value,
        "write_role": None if declaration.write_role is None else declaration.write_role.value,
    }


def command_form(command: Command) -> Json:
    """Return what a command is."""
    declaration = command.declaration
    return {
        "path": command.path,
        "name": declaration.name,
        "machine": command.machine.path,
        "description": declaration.description,
        "role": declaration.role.value,
        "arguments": [_argument_form(argument) for argument in declaration.arguments],
        "outputs": [_argument_form(argument) for argument in declaration.outputs],
    }


def _argument_form(argument: Argument) -> Json:
    return {
        "name": argument.name,
        "type": argument.type.name,
        "description": argument.description,
        "unit": None if argument.unit is None else argument.unit.symbol,
        "range": None if argument.range is None else list(argument.range),
        "choices": list(argument.choices),
    }


def machine_form(plant: Plant, machine: Machine) -> Json:
    """Return what an object is, with all that is in it."""
    return {
        "path": machine.path,
        "name": machine.name,
        "type": machine.type.name,
        "description": machine.description,
        "source": machine.source,
        "children": [child.path for child in plant.children(machine)],
        "variables": [variable_form(variable) for variable in machine.variables.values()],
        "commands": [command_form(command) for command in machine.commands.values()],
        "conditions": [it.path for it in plant.conditions if it.machine is machine],
    }


def by_machine(plant: Plant, name: str) -> Machine | None:
    """Return the machine that `Plant.Line1` or, below the root, `Line1` names."""
    return plant.find_machine(name) or plant.find_machine(f"{plant.root.path}.{name}")


def under(plant: Plant, paths: Iterable[str]) -> Sequence[Variable]:
    """Return the variables at or below any of `paths`; raises KeyError with a path that there is not."""
    chosen: dict[int, Variable] = {}
    for path in paths:
        variable = plant.find(path)
        machine = None if variable is not None else by_machine(plant, path)
        if variable is not None:
            chosen[variable.id] = variable
        elif machine is None:
            raise KeyError(path)
        else:
            below = f"{machine.path}."
            chosen |= {it.id: it for it in plant.variables if it.path.startswith(below)}
    return tuple(chosen.values())

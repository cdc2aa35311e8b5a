"""Whether arguments and set-points are what the plant file says: type, range, choices (OPC 10000-4 5.10.4, 5.11.2)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from address_space.model import Argument, BuiltinType, Variable
from server import quality
from server.ports import CommandError
from server.store.values import VALUE_DTYPES

_LARGEST = {builtin: float(np.finfo(VALUE_DTYPES[builtin]).max) for builtin in (BuiltinType.Float, BuiltinType.Double)}
_INTEGERS = {
    builtin: range(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max) + 1)
    for builtin, dtype in VALUE_DTYPES.items()
    if np.dtype(dtype).kind in "iu"
}


def check_arguments(declared: Sequence[Argument], given: Sequence[Any]) -> tuple[Any, ...]:
    """Return the arguments in their types; raises CommandError as OPC 10000-4 5.12.2 says."""
    if len(given) < len(declared):
        names = ", ".join(argument.name for argument in declared[len(given) :])
        raise CommandError(quality.BAD_ARGUMENTS_MISSING, f"missing: {names}")
    if len(given) > len(declared):
        raise CommandError(quality.BAD_TOO_MANY_ARGUMENTS, f"takes {len(declared)} arguments, not {len(given)}")
    faults = [argument_fault(argument, value) for argument, value in zip(declared, given, strict=True)]
    if any(fault is not None for fault in faults):
        first = next(fault for fault in faults if fault is not None)
        statuses = tuple(quality.GOOD if fault is None else fault.status for fault in faults)
        raise CommandError(quality.BAD_INVALID_ARGUMENT, str(first), statuses)
    return tuple(given)


def argument_fault(argument: Argument, value: Any) -> CommandError | None:
    """Return what is wrong with one argument, None when it is right."""
    fault = _fault(argument.name, argument.type, argument.range, value)
    if fault is None and argument.choices and value not in argument.choices:
        message = f"{argument.name} is one of {', '.join(argument.choices)}, not {value!r}"
        return CommandError(quality.BAD_OUT_OF_RANGE, message)
    return fault


def fits_type(builtin: BuiltinType, value: Any) -> bool:
    """Whether a Python value can be one of a built-in type; a floating-point number must be finite."""
    if builtin is BuiltinType.Boolean:
        return isinstance(value, bool)
    if builtin is BuiltinType.String:
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if builtin in (BuiltinType.Float, BuiltinType.Double):
        return isinstance(value, int | float) and abs(value) <= _LARGEST[builtin]
    return isinstance(value, int) and value in _INTEGERS[builtin]


def checked_setpoint(variable: Variable, value: Any) -> Any:
    """Return a value that a set-point may take; raises CommandError."""
    declaration = variable.declaration
    fault = _fault(variable.path, declaration.type, declaration.range, value)
    if fault is not None:
        raise fault
    if declaration.enumeration is not None and not 0 <= value < len(declaration.enumeration.values):
        raise CommandError(quality.BAD_OUT_OF_RANGE, f"{variable.path} has no state {value}")
    return value


def _fault(name: str, builtin: BuiltinType, limits: tuple[float, float] | None, value: Any) -> CommandError | None:
    if builtin.is_numeric and isinstance(value, float) and not math.isfinite(value):
        return CommandError(quality.BAD_OUT_OF_RANGE, f"{name} takes a finite number, not {value}")
    if not fits_type(builtin, value):
        return CommandError(quality.BAD_TYPE_MISMATCH, f"{name} is a {builtin.name}, not {value!r}")
    if limits is not None and not limits[0] <= value <= limits[1]:
        low, high = limits
        return CommandError(quality.BAD_OUT_OF_RANGE, f"{name} is {low:g} to {high:g}, not {value:g}")
    return None

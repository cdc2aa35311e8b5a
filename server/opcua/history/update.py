"""HistoryUpdate: samples inserted, replaced and deleted by hand, each on the audit trail (OPC 10000-11 6.9)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from asyncua import ua

from address_space.model import BuiltinType, Variable
from server.history import Historian, Samples
from server.history.ports import Update
from server.opcua.history import codes
from server.opcua.history.requests import DeleteAtTime, DeleteRaw, UpdateData, Value
from server.opcua.rights import check_variant, plain
from server.ports import CommandError
from server.quality import is_bad
from server.security.principal import Principal
from server.store.values import VALUE_DTYPES

Audit = Callable[[Principal, str, str, Sequence[Any], CommandError | None], Awaitable[None]]
"""Who, from where (like `opcua 10.0.0.7`), what was done, with what, and what went wrong."""

Outcome = tuple[int, list[int]]
"""StatusCode of the whole, and one an operation."""


async def update(historian: Historian, variable: Variable, details: UpdateData, principal: Principal) -> Outcome:
    """Insert, replace or update samples (6.9.2)."""
    try:
        how = Update(details.how)
    except ValueError:
        return codes.BAD_HISTORY_OPERATION_UNSUPPORTED, []
    results = [_fault(value, variable) for value in details.values]
    fit = [row for row, fault in enumerate(results) if not fault]
    if fit:
        samples = _samples([details.values[row] for row in fit], variable)
        done = await historian.update(variable.id, samples, how, principal.name)
        for row, status in zip(fit, done, strict=True):
            results[row] = status
    return codes.GOOD, results


async def delete_raw(historian: Historian, variable: Variable, details: DeleteRaw, principal: Principal) -> Outcome:
    """Delete a stretch of samples, or what is kept of those that were changed (6.9.4)."""
    if details.end < details.start or 0 in (details.start, details.end):
        return codes.BAD_INVALID_TIMESTAMP_ARGUMENT, []
    end = max(details.end, details.start + 1)
    if details.modified:
        gone = await historian.delete_modified(variable.id, details.start, end)
    else:
        gone = await historian.delete(variable.id, details.start, end, principal.name)
    return (codes.GOOD if gone else codes.GOOD_NO_DATA), []


async def delete_at(historian: Historian, variable: Variable, details: DeleteAtTime, principal: Principal) -> Outcome:
    """Delete samples at exact times (6.9.5)."""
    return codes.GOOD, await historian.delete_at(variable.id, details.times, principal.name)


def _fault(value: Value, variable: Variable) -> int:
    """Return what keeps a value from history, 0 for nothing."""
    if value.source is None or value.source <= 0:
        return codes.BAD_INVALID_TIMESTAMP
    hidden = bool(is_bad(np.array([value.status], np.uint32))[0])
    if value.variant is None or value.variant.Value is None:
        return codes.GOOD if hidden or variable.declaration.type is BuiltinType.String else codes.BAD_TYPE_MISMATCH
    try:
        check_variant(value.variant, ua.VariantType(int(variable.declaration.type)))
    except CommandError as error:
        return error.status
    return codes.GOOD


def _samples(values: list[Value], variable: Variable) -> Samples:
    builtin = variable.declaration.type
    given = [None if value.variant is None else plain(value.variant.Value) for value in values]
    bits = np.zeros(len(values), np.uint64)
    texts: tuple[str | None, ...] | None = None
    if builtin is BuiltinType.String:
        texts = tuple(given)
    else:
        dtype = np.dtype(VALUE_DTYPES[builtin])
        column = np.array([0 if value is None else value for value in given], dtype)
        bits = column.view(f"<u{dtype.itemsize}").astype(np.uint64)
    stamps = np.array([value.source or 0 for value in values], np.int64)
    return Samples(stamps, bits, np.array([value.status for value in values], np.uint32), texts)

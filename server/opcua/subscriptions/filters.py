"""The DataChangeFilter on columns: which samples are reported (OPC 10000-4 7.22.2)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server.opcua.subscriptions.table import ON_STATUS, ON_TIMESTAMP, ItemTable, Rows
from server.quality import is_bad
from server.store.values import VALUE_DTYPES


def passes(
    table: ItemTable,
    rows: Rows,
    bits: NDArray[np.uint64],
    status: NDArray[np.uint32],
    source: NDArray[np.int64],
    *,
    plain: bool = False,
) -> NDArray[np.bool_]:
    """Return which samples pass their item's filter, shape (n,); each row at most once.

    A sample is compared with the last that passed. `plain` says that no row has a filter: a change of status or value
    is reported. A Bad status hides the value, so that a change of it is none.
    """
    different = status != table.status[rows]
    value = (bits != table.bits[rows]) & ~is_bad(status)
    if plain:
        return different | value
    trigger, deadband = table.trigger[rows], table.deadband[rows]
    wide = np.flatnonzero(value & (deadband > 0))
    if len(wide):
        value[wide] = _exceeds(table, rows[wide], bits[wide], deadband[wide])
    result = different | (value & (trigger != ON_STATUS))
    return result | ((trigger == ON_TIMESTAMP) & (source != table.source[rows]))


def _exceeds(
    table: ItemTable, rows: Rows, bits: NDArray[np.uint64], deadband: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return whether values differ from the last reported by more than the deadband; to or from NaN, they do."""
    builtin = table.builtin[rows]
    result = np.zeros(len(rows), np.bool_)
    for kind in np.flatnonzero(np.bincount(builtin)):
        chosen = builtin == kind
        new, old = to_numbers(bits[chosen], kind), to_numbers(table.bits[rows[chosen]], kind)
        with np.errstate(invalid="ignore", over="ignore"):
            result[chosen] = ~(np.abs(new - old) <= deadband[chosen])
    return result


def to_numbers(bits: NDArray[np.uint64], builtin: Any) -> NDArray[np.float64]:
    """Return the numbers of a built-in type from the journal's bits."""
    dtype = np.dtype(VALUE_DTYPES[BuiltinType(int(builtin))])
    return bits.astype(f"<u{dtype.itemsize}").view(dtype).astype(np.float64)

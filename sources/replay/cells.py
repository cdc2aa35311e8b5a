"""Cells of a recording to values and StatusCodes: a cell that cannot be read is missing, never zero."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from address_space.model import BuiltinType, VariableDeclaration
from sources.replay.arrow import pc
from sources.replay.settings import SEVERITIES, parse_status

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WORDS = {"true": 1, "on": 1, "yes": 1, "false": 0, "off": 0, "no": 0}
_INTEGERS: Final[Mapping[BuiltinType, type[np.integer[Any]]]] = {
    BuiltinType.SByte: np.int8,
    BuiltinType.Byte: np.uint8,
    BuiltinType.Int16: np.int16,
    BuiltinType.UInt16: np.uint16,
    BuiltinType.Int32: np.int32,
    BuiltinType.UInt32: np.uint32,
    BuiltinType.Int64: np.int64,
    BuiltinType.UInt64: np.uint64,
}


def numbers(cells: Any, decimal: str = ".", missing: Sequence[str] = ()) -> NDArray[np.float64]:
    """Return float64, NaN for a cell that is null, no number, not finite, or equal to a number in `missing`."""
    if _is_text(cells.type):
        cells = _parse(cells, decimal)
    values = np.array(pc.fill_null(pc.cast(cells, pa.float64(), safe=False), np.nan), np.float64)
    values[~np.isfinite(values)] = np.nan
    markers = [number for text in missing if (number := _number(text)) is not None]
    if markers:
        values[np.isin(values, markers)] = np.nan
    return values


def states(cells: Any, declaration: VariableDeclaration, missing: Sequence[str] = ()) -> NDArray[np.float64]:
    """Return the numbers of an enumeration's or a Boolean's cells, which may be its names (or true, off, ...)."""
    if not _is_text(cells.type):
        return numbers(cells, missing=missing)
    text = pc.utf8_trim_whitespace(cells)
    if declaration.enumeration is not None:
        named = pc.index_in(text, value_set=pa.array(declaration.enumeration.values, pa.string()))
    else:
        known = pc.index_in(pc.utf8_lower(text), value_set=pa.array(list(_WORDS)))
        named = pc.take(pa.array(list(_WORDS.values()), pa.int32()), known)
    found = np.asarray(pc.is_valid(named))
    return np.where(found, np.asarray(pc.fill_null(named, 0)), numbers(text, missing=missing))


def fit(values: NDArray[np.float64], declaration: VariableDeclaration) -> NDArray[np.float64]:
    """Return the values as the variable's type holds them: whole numbers rounded, NaN for what it cannot hold."""
    if declaration.type is BuiltinType.Double:
        return values
    if declaration.type is BuiltinType.Float:
        return np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan)
    if declaration.type is BuiltinType.Boolean:
        return np.where((values == 0) | (values == 1), values, np.nan)
    limits = np.iinfo(_INTEGERS[declaration.type])
    low, above = float(limits.min), float(int(limits.max) + 1)
    if declaration.enumeration is not None:
        low, above = 0.0, float(len(declaration.enumeration.values))
    whole = np.rint(values)
    return np.where((whole >= low) & (whole < above), whole, np.nan)


def texts(cells: Any) -> NDArray[np.object_]:
    """Return str objects, None for a null cell."""
    result = np.empty(len(cells), np.object_)
    result[:] = pc.cast(cells, pa.string()).to_pylist()
    return result


def statuses(cells: Any, codes: Mapping[str, int]) -> NDArray[np.uint32]:
    """Return StatusCodes; a cell that says nothing known is Uncertain."""
    if pa.types.is_floating(cells.type):
        cells = pc.cast(cells, pa.int64(), safe=False)
    written = pc.fill_null(pc.cast(cells, pa.string()), "").dictionary_encode()
    known = [_status(text, codes) for text in written.dictionary.to_pylist()]
    return np.array(known, np.uint32)[np.asarray(written.indices)]


def _status(text: str, codes: Mapping[str, int]) -> int:
    if text in codes:
        return codes[text]
    try:
        return parse_status(text)
    except ValueError:
        return SEVERITIES["Uncertain"]


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _parse(cells: Any, decimal: str) -> Any:
    nothing = pa.scalar(None, cells.type)
    if decimal != ".":
        other = pc.match_substring(cells, ".")  # a thousands separator there, never a decimal one
        cells = pc.replace_substring(pc.if_else(other, nothing, cells), decimal, ".")
    try:
        return pc.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        text = pc.utf8_trim_whitespace(cells)
        return pc.cast(pc.if_else(pc.match_substring_regex(text, _NUMBER), text, nothing), pa.float64())


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None

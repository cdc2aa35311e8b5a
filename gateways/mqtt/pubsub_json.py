"""The JSON DataEncoding of OPC 10000-6 5.4 for the types that variables have, verbose and compact; both directions."""

import json
import math
import re
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from asyncua.ua.status_codes import StatusCodes
from numpy.typing import NDArray

from address_space.model import BuiltinType, VariableDeclaration
from server.quality import GOOD
from server.store.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS

Encoding = Literal["verbose", "compact"]

MIN_TIME, MAX_TIME = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
"""What times that a DateTime cannot hold are encoded as (OPC 10000-6 5.4.2.6)."""
_MAX_TICKS = 2_650_467_743_990_000_000
_BAD = 0x80000000
_SYMBOLS: dict[int, str] = {
    code: name for name, code in vars(StatusCodes).items() if isinstance(code, int) and not name.startswith("_")
}
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d+))?Z")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def times(ticks: NDArray[np.int64]) -> list[str]:
    """Return ISO 8601 in UTC to the tick of each, shape (n,): 2026-01-31T12:00:00.1234567Z."""
    distinct, inverse = np.unique(ticks, return_inverse=True)
    moments = ((distinct - UNIX_EPOCH_TICKS) // 10).astype("datetime64[us]")
    texts = [
        f"{text}{tick % 10}Z" if 0 < tick < _MAX_TICKS else (MIN_TIME if tick <= 0 else MAX_TIME)
        for text, tick in zip(np.datetime_as_string(moments, unit="us").tolist(), distinct.tolist(), strict=True)
    ]
    return [texts[index] for index in inverse.tolist()]


def time(ticks: int) -> str:
    """Return `times` of one."""
    return times(np.array([ticks], np.int64))[0]


def parse_time(text: str) -> int:
    """Return the ticks of a DateTime; raises ValueError."""
    if text == MIN_TIME:
        return 0
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no DateTime in UTC")
    seconds = int(np.datetime64(found[1], "s").astype(np.int64))
    fraction = int((found[2] or "0")[:7].ljust(7, "0"))
    return seconds * TICKS_PER_SECOND + UNIX_EPOCH_TICKS + fraction


def status_json(code: int, encoding: Encoding) -> str:
    """Return a StatusCode that is not Good: its Code, and its Symbol in the verbose encoding (5.4.2.12)."""
    symbol = _SYMBOLS.get(code & 0xFFFF0000) if encoding == "verbose" else None
    return f'{{"Code":{code}}}' if symbol is None else f'{{"Code":{code},"Symbol":"{symbol}"}}'


def value_encoder(declaration: VariableDeclaration, encoding: Encoding) -> Callable[[Any], str]:
    """Return what encodes values of a variable, a DateTime from its ticks."""
    if declaration.enumeration is not None and encoding == "verbose":
        return _Names(declaration.enumeration.values)
    return _ENCODERS[declaration.type]


def decode_value(declaration: VariableDeclaration, value: Any) -> Any:
    """Return the stored form of a JSON value, None for null; raises ValueError."""
    builtin = declaration.type
    if value is None:
        return None
    if declaration.enumeration is not None and isinstance(value, str):
        return int(value.rpartition("_")[2])
    if builtin is BuiltinType.DateTime:
        return parse_time(value)
    if builtin in (BuiltinType.Float, BuiltinType.Double):
        return _SPECIAL[value] if isinstance(value, str) else float(value)
    if builtin in (BuiltinType.Int64, BuiltinType.UInt64):
        return int(value)
    return value


class FieldEncoder:
    """Encodes samples of one variable as a field of a DataSetMessage: a DataValue with status and source timestamp.

    Verbose leaves the UaType out, since the field's metadata has it (OPC 10000-14 7.2.5.4.2). A Bad status hides the
    value.
    """

    def __init__(self, declaration: VariableDeclaration, encoding: Encoding) -> None:
        self._encoding: Encoding = encoding
        self._value = value_encoder(declaration, encoding)
        self._key = json.dumps(declaration.name)
        self._begin = '"Value":' if encoding == "verbose" else f'"UaType":{declaration.type.value},"Value":'
        self._null = ['"Value":null'] if encoding == "verbose" else []

    def encode(self, value: Any, status: int, source_time: str) -> str:
        """Return `"Speed":{"Value":…}`; `source_time` is as `times` gives it."""
        hidden = value is None or status & _BAD
        members = [*self._null] if hidden else [self._begin + self._value(value)]
        if status != GOOD:
            members.append(f'"Status":{status_json(status, self._encoding)}')
        if source_time != MIN_TIME:
            members.append(f'"SourceTimestamp":"{source_time}"')
        return f"{self._key}:{{{','.join(members)}}}"


class _Names:
    """Encodes an enumeration as Name_Value, one without a name as its number in a string (5.4.4.2)."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._texts = [json.dumps(f"{name}_{value}", ensure_ascii=False) for value, name in enumerate(names)]

    def __call__(self, value: int) -> str:
        return self._texts[value] if 0 <= value < len(self._texts) else f'"{value}"'


def _boolean(value: Any) -> str:
    return "true" if value else "false"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if math.isnan(value) else f'"{"-" if value < 0 else ""}Infinity"'


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _wide(value: int) -> str:
    return f'"{value}"'


def _moment(value: int) -> str:
    return f'"{time(value)}"'


_ENCODERS: dict[BuiltinType, Callable[[Any], str]] = {
    BuiltinType.Boolean: _boolean,
    BuiltinType.Int64: _wide,
    BuiltinType.UInt64: _wide,
    BuiltinType.Float: _number,
    BuiltinType.Double: _number,
    BuiltinType.String: _text,
    BuiltinType.DateTime: _moment,
    **dict.fromkeys(
        (
            BuiltinType.SByte,
            BuiltinType.Byte,
            BuiltinType.Int16,
            BuiltinType.UInt16,
            BuiltinType.Int32,
            BuiltinType.UInt32,
        ),
        str,
    ),
}

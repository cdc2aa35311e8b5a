"""How values, statuses and times are written in JSON, and read back."""

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from asyncua.ua.status_codes import StatusCodes
from numpy.typing import NDArray

from address_space.model import BuiltinType, VariableDeclaration
from server.store import from_ticks, to_ticks
from server.store.ticks import UNIX_EPOCH_TICKS

_NAMES: dict[int, str] = {
    code: name for name, code in vars(StatusCodes).items() if isinstance(code, int) and not name.startswith("_")
}
_CODES = {name: code for code, name in _NAMES.items()}


def status_name(code: int) -> str:
    """Return `BadNoCommunication`; one without a name, or with info bits, as 0x80310001 (OPC 10000-6 A.2)."""
    return _NAMES.get(code) or f"0x{code:08X}"


def status_code(name: str) -> int:
    """Return the code of a name or 0x… form; raises ValueError."""
    code = _CODES.get(name)
    return int(name, 16) if code is None else code


def iso(ticks: int) -> str:
    """Return ISO 8601 with offset, to the microsecond: 2024-01-15T10:30:00.000000+00:00."""
    return from_ticks(ticks).isoformat(timespec="microseconds")


def iso_column(ticks: NDArray[np.int64]) -> list[str]:
    """Return `iso` of each; shape (n,)."""
    distinct, inverse = np.unique(ticks, return_inverse=True)
    moments = ((distinct - UNIX_EPOCH_TICKS) // 10).astype("datetime64[us]")
    texts = [f"{text}+00:00" for text in np.datetime_as_string(moments, unit="us").tolist()]
    return [texts[index] for index in inverse.tolist()]


def parse_iso(text: str) -> int:
    """Return ticks; raises ValueError. A time without offset is taken as UTC."""
    return to_ticks(datetime.fromisoformat(text))


def json_value(declaration: VariableDeclaration, value: Any) -> Any:
    """Return what JSON holds for a stored value: a DateTime as ISO 8601, a non-number as null."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return iso(int(value)) if declaration.type is BuiltinType.DateTime else value


def stored_value(declaration: VariableDeclaration, value: Any) -> Any:
    """Return the stored form of a JSON value: the inverse of `json_value`; raises ValueError."""
    if value is None:
        return None
    if declaration.type is BuiltinType.DateTime:
        if not isinstance(value, str):
            raise ValueError(f"{declaration.name} is a time in ISO 8601, not {value!r}")
        return parse_iso(value)
    if declaration.type in (BuiltinType.Float, BuiltinType.Double) and type(value) is int:
        return float(value)
    return value


def dumps(document: Any) -> bytes:
    """Return compact JSON in UTF-8; raises ValueError for a NaN or an infinity, which JSON has not."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def loads_object(payload: bytes) -> dict[str, Any]:
    """Return the JSON object of a payload; raises ValueError with a sentence."""
    try:
        document = json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the payload is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("the payload is not a JSON object")  # noqa: TRY004  one kind of error for wrong input
    return document


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic filter matches a topic (MQTT 5 4.7); the one place where + and # are understood."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


def topic_of(path: str, above: str) -> str:
    """Return the levels of a path below `above`: Plant.Line1.LineSpeed below Plant is Line1/LineSpeed."""
    return path.removeprefix(above).lstrip(".").replace(".", "/")


def escape_levels(levels: Sequence[str]) -> str:
    """Join levels; what MQTT forbids in them becomes an underscore."""
    return "/".join("".join("_" if letter in "+#/\0" else letter for letter in level) for level in levels)

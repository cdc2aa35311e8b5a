"""What the audit trail keeps as JSON, as NodeIds and Variants again."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Sequence
from typing import Any

from asyncua import ua

from address_space.model import Plant
from server.opcua.attributes import node_id
from server.store import from_ticks

_T = ua.VariantType


def node(path: str) -> ua.NodeId:
    """Return the node that an entry names: by its path, or by its NodeId where it is none of the plant's."""
    try:
        return ua.NodeId.from_string(path) if path.startswith(("ns=", "i=")) else node_id(path)
    except ua.UaError:
        return node_id(path)


def octets(given: Any) -> bytes:
    """Return bytes that the trail keeps as hexadecimal digits."""
    if isinstance(given, bytes):
        return given
    try:
        return bytes.fromhex(str(given))
    except ValueError:
        return str(given).encode()


def value(plant: Plant, path: str, value: Any) -> ua.Variant:
    """Return the value of a variable as a Variant of its type."""
    variable = plant.find(path)
    return typed(value, None if variable is None else _T(int(variable.declaration.type)))


def paired(values: Sequence[Any], kinds: Sequence[ua.VariantType]) -> list[tuple[Any, ua.VariantType | None]]:
    """Return values with the types that they are declared with, None for those beyond."""
    return [(value, kinds[place] if place < len(kinds) else None) for place, value in enumerate(values)]


def typed(value: Any, kind: ua.VariantType | None) -> ua.Variant:
    """Return a JSON value as a Variant of a type if it is one of it, else of the type that it has in JSON."""
    if value is None:
        return ua.Variant(None, _T.Null)
    try:
        if kind is _T.DateTime and isinstance(value, int):
            return ua.Variant(from_ticks(value), kind)
        if kind in (_T.Double, _T.Float) and isinstance(value, int | float):
            return ua.Variant(float(value), kind)
        if kind is not None and kind is not _T.DateTime and isinstance(value, int | str):
            return ua.Variant(value, kind) if isinstance(value, str) == (kind is _T.String) else ua.Variant(str(value))
    except (ValueError, OverflowError):
        return ua.Variant(str(value), _T.String)
    if isinstance(value, bool | float | str):
        return ua.Variant(value)
    return ua.Variant(value, _T.Int64) if isinstance(value, int) else ua.Variant(str(value), _T.String)


def variants(values: Sequence[ua.Variant]) -> ua.Variant:
    """Return an array of Variants."""
    return ua.Variant(list(values), _T.Variant, is_array=True)

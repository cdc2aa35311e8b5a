"""Index ranges of select clauses: elements of arrays, parts of Strings and ByteStrings (OPC 10000-4 7.27)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import re
from typing import Any

from asyncua import ua

_RANGE = re.compile(r"\d+(?::\d+)?(?:,\d+(?::\d+)?)*")
NO_DATA = ua.Variant(ua.StatusCode(ua.StatusCodes.BadIndexRangeNoData), ua.VariantType.StatusCode)
"""What is sent in place of a value that has no such elements."""

Range = tuple[tuple[int, int], ...]
"""First and last index in each dimension."""


def parse(text: str | None) -> Range | None:
    """Return a NumericRange, None for the whole value; raises ValueError for one that is none."""
    if not text:
        return None
    if not _RANGE.fullmatch(text):
        raise ValueError(f"{text} is no index range")
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        first, colon, last = part.partition(":")
        if colon and int(last) <= int(first):
            raise ValueError(f"{text} goes backwards")
        found.append((int(first), int(last or first)))
    return tuple(found)


def part(variant: ua.Variant, wanted: Range) -> ua.Variant:
    """Return the chosen elements of a value, or the StatusCode that says that there are none."""
    try:
        value = _part(variant.Value, wanted)
    except (IndexError, TypeError):
        return NO_DATA
    return ua.Variant(value, variant.VariantType, is_array=isinstance(value, list))


def _part(value: Any, wanted: Range) -> Any:
    (first, last), rest = wanted[0], wanted[1:]
    if not isinstance(value, list | str | bytes):
        raise TypeError("neither an array nor a string")
    if rest and not isinstance(value, list):
        raise IndexError("a dimension too many")
    if first >= len(value):
        raise IndexError("beyond the end")
    found = value[first : last + 1]
    return [_part(it, rest) for it in found] if rest else found

"""What is wrong with a plant file, in one sentence."""

import difflib
from collections.abc import Iterable

from pydantic_core import ErrorDetails


class PlantError(ValueError):
    """A fault in a plant file: its text names file, line and path. The server exits with code 2 on it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or nothing when no known name is near."""
    names = list(known)
    near = [other for other in names if other.lower() == name.lower()] or difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def sentence(fault: ErrorDetails, unknown: str) -> str:
    """Return what pydantic found wrong, to be read after a location; `unknown` is said of a key that is not known."""
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return unknown
    if fault["type"] == "missing":
        return "is missing"
    if fault["type"] == "value_error":
        return message
    return f"{message[0].lower()}{message[1:]} (it is {fault['input']!r})"

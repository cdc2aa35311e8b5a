"""What is wrong with a plant file, in one sentence."""

import difflib
from collections.abc import Iterable


class PlantError(ValueError):
    """A fault in a plant file: its text names file, line and path. The server exits with code 2 on it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or nothing when no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""

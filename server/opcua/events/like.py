r"""The Like operator: `%`, `_`, `[a-z]`, `[^a-z]`, `\` (OPC 10000-4 7.7.3, table 124).

A pattern is matched without backtracking into more than the last `%`: no pattern takes longer than its length times
that of the text, whoever sends it.
"""

import functools
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _One:
    """One character: of these (or ranges), or with `excluded` none of these; no ranges at all is any character."""

    ranges: tuple[tuple[str, str], ...] = ()
    excluded: bool = False

    def fits(self, character: str) -> bool:
        if not self.ranges:
            return True
        return any(first <= character <= last for first, last in self.ranges) != self.excluded


def like(text: str, pattern: str) -> bool:
    """Whether the whole text matches a pattern."""
    parts = _parts(pattern)
    at = place = 0
    restart, kept = -1, 0
    while at < len(text):
        part = parts[place] if place < len(parts) else _END
        if part is None:
            restart, kept = place, at
            place += 1
        elif part.fits(text[at]):
            at += 1
            place += 1
        elif restart >= 0:
            kept += 1
            at, place = kept, restart + 1
        else:
            return False
    return all(part is None for part in parts[place:])


_END = _One((("", ""),))


@functools.lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[_One | None, ...]:
    """Return what a pattern consists of; None is `%`, any characters."""
    found: list[_One | None] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\" and at + 1 < len(pattern):
            at += 1
            found.append(_exactly(pattern[at]))
        elif character == "%":
            if not found or found[-1] is not None:
                found.append(None)
        elif character == "_":
            found.append(_One())
        elif character == "[" and "]" in pattern[at + 1 :]:
            end = pattern.index("]", at + 1)
            found.append(_set(pattern[at + 1 : end]))
            at = end
        else:
            found.append(_exactly(character))
        at += 1
    return tuple(found)


def _exactly(character: str) -> _One:
    return _One(((character, character),))


def _set(inside: str) -> _One:
    excluded = inside.startswith("^")
    inside = inside[excluded:]
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            found.append((inside[at], inside[at + 2]))
            at += 3
        else:
            found.append((inside[at], inside[at]))
            at += 1
    return _One(tuple(found) or (("", ""),), excluded)

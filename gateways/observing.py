"""What a plane shows of the tree, read back as its clients read it: the raw material of `python -m server verify`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from address_space.model import Variable


class ObserveError(Exception):
    """A plane cannot be read; str() is one clear sentence."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One sample of one variable as a plane shows it.

    `value` is None where the plane shows none; `status` is a StatusCode; `source_timestamp` is in ticks, None where the
    plane carries no time for a value.
    """

    path: str
    value: Any
    status: int
    source_timestamp: int | None


@dataclass(frozen=True, slots=True)
class Plane:
    """All that was seen on one plane ("modbus ABCD", "mqtt sparkplug") in a while.

    `same(variable, truth, seen)` says whether `seen` is `truth` within the resolution that the plane documents;
    `resolution` says in a few words what that is.
    """

    name: str
    resolution: str
    observations: Sequence[Observation]
    same: Callable[[Variable, Observation, Observation], bool]

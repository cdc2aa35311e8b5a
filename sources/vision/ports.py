"""What the vision process tells of alarms, blind cameras and the disk that evidence is on."""

from dataclasses import dataclass
from typing import Literal

from server.evidence import Evidence

BlindReason = Literal["lost", "late", "frozen", "dark", "over-exposed", "blurred"]
"""Why a camera cannot see; "no fire" then means nothing."""


@dataclass(frozen=True, slots=True)
class VisionEvent:
    """A rule's transition: `raised` always carries its evidence, which is on the disk by then; `cleared` has none.

    `camera` is the machine's path, `time` the capture time of the picture that decided, in ticks.
    """

    camera: str
    rule: str
    active: bool
    time: int
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """How the evidence is kept: `error` is empty while it can be written; `bytes` and `items` stored, `free` bytes."""

    error: str
    bytes: int
    items: int
    free: int

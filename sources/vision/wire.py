"""Messages from the vision process to the server's, one line of JSON each."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from server.evidence import Detection, parse
from sources.vision.ports import BlindReason, StorageStatus, VisionEvent

HEARTBEAT = 0.5
"""Seconds between two words about a camera without pictures."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The models are loaded: their names and where each runs."""

    models: dict[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """The process cannot do its work, in one sentence; it ends after this."""

    error: str


@dataclass(frozen=True, slots=True)
class State:
    """A camera after a picture, or (`fresh` False) without one.

    `captured` in ticks; `latency` in ms from capture to result; `arrived`, `dropped` and `detected` since the start.
    `rules` says which alarms are active; `last` is the surest detection of the last picture that had any.
    """

    camera: str
    fresh: bool
    captured: int
    latency: float
    rate: float
    arrived: int
    dropped: int
    detected: int
    objects: int
    blind: BlindReason | None
    error: str
    rules: dict[str, bool]
    last: Detection | None
    last_time: int


Message = Ready | Fault | State | VisionEvent | StorageStatus

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Ready, Fault, State, VisionEvent, StorageStatus)}


def encode(message: Message) -> bytes:
    """Return a message as a line."""
    return json.dumps({"kind": type(message).__name__, **asdict(message)}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Return a line's message; raises ValueError, KeyError, TypeError for what is none."""
    data: dict[str, Any] = json.loads(line)
    kind = _KINDS[data.pop("kind")]
    if kind is State and data["last"] is not None:
        seen = data["last"]
        data["last"] = Detection(seen["name"], seen["confidence"], tuple(seen["box"]), seen["model"])
    if kind is VisionEvent and data["evidence"] is not None:
        data["evidence"] = parse(data["evidence"])
    return kind(**{field.name: data[field.name] for field in fields(kind)})

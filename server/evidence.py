"""Evidence of vision alarms: what was seen, where its pictures are, and how it gets to the condition it raises."""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

from address_space.model import Role, Variable
from server.store.ticks import to_ticks

ROUTE: Final = "/snapshots"
"""Of the pictures on the HTTP server."""
READ_ROLE: Final = Role.Observer
"""Pictures show people: they take the role that history takes, beside that of the variable that they are about."""
_Answer = TypeVar("_Answer")
_ID = re.compile(r"(\d{8}T\d{9})Z-.")
_WAITING: Final = 16
"""Offers kept for a variable until they are taken; a rule raises again only after it cleared, so one is usual."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object in a picture: its class, how sure the model is (0 to 1), its box x0 y0 x1 y1 in shares of the picture.

    `model` names the model in the source's options.
    """

    name: str
    confidence: float
    box: tuple[float, float, float, float]
    model: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is stored about an alarm: two JPEG files below the evidence folder and what was seen.

    `id` names it for good; `snapshot` (with boxes) and `clean` are paths relative to the folder, with `/`; times are
    in ticks, `latency` in ms from capture to result. SHA-256 in hex.
    """

    id: str
    camera: str
    rule: str
    detection: Detection
    frame_time: int
    model_name: str
    model_sha256: str
    latency: float
    snapshot: str
    snapshot_sha256: str
    clean: str
    clean_sha256: str


def parse(data: Mapping[str, Any]) -> Evidence:
    """Return evidence as JSON has it, further fields are left out; raises KeyError, TypeError, ValueError."""
    given: dict[str, Any] = {name: data[name] for name in Evidence.__slots__}
    seen = given["detection"]
    given["detection"] = Detection(seen["name"], seen["confidence"], tuple(seen["box"]), seen["model"])
    return Evidence(**given)


def time_of(id_: str) -> int | None:
    """Return the frame time that an id begins with, to the millisecond (ticks); None for what is no id."""
    found = _ID.match(id_)
    try:
        moment = None if found is None else datetime.strptime(found[1] + "000+0000", "%Y%m%dT%H%M%S%f%z")
    except ValueError:
        return None
    return None if moment is None else to_ticks(moment)


class EvidenceArchive(Protocol):
    """Where evidence lies."""

    def ids(self) -> list[str]:
        """Return what there is, oldest first."""
        ...

    def find(self, id_: str) -> Evidence | None:
        """Return the evidence with this id; None where there is none (any more)."""
        ...

    def newest(self, camera: str, count: int) -> list[str]:
        """Return the ids of a camera's newest, newest first, at most `count`."""
        ...

    def size(self, evidence: Evidence, *, clean: bool = False) -> int:
        """Return a picture's size in bytes; raises FileNotFoundError once it was pruned."""
        ...

    def read(self, evidence: Evidence, *, clean: bool = False) -> bytes:
        """Return a picture's bytes; raises FileNotFoundError once it was pruned, ValueError if it was changed."""
        ...

    def report_false_alarm(self, id_: str, user: str, comment: str) -> Evidence:
        """Keep the pictures of a false alarm for training, with who said so; raises KeyError, OSError."""
        ...


class EvidenceRegister:
    """All archives as one, and the way of an alarm's evidence from its source to the condition that it raises."""

    def __init__(self) -> None:
        self.base_url = ""
        """Where others reach the HTTP server, without a slash at the end."""
        self.standing: Callable[[Variable], bool] = lambda _: False
        """Whether the alarm that a variable raises is active, maybe since before a restart of the server."""
        self.listeners: list[Callable[[Evidence | None], None]] = []
        """Called, in the server's loop, with evidence that came, and with None when some may have gone."""
        self._archives: list[EvidenceArchive] = []
        self._offered: dict[int, deque[Evidence]] = {}

    def add(self, archive: EvidenceArchive) -> None:
        """Show what this archive has, too."""
        self._archives.append(archive)

    def offer(self, variable: Variable, evidence: Evidence) -> None:
        """Hold evidence for the alarm that this variable raises: before True is written with its `frame_time`."""
        self._offered.setdefault(variable.id, deque(maxlen=_WAITING)).append(evidence)
        self.changed(evidence)

    def changed(self, come: Evidence | None = None) -> None:
        """Tell of evidence that came; without any, that some may have gone."""
        for listener in self.listeners:
            listener(come)

    def take(self, variable: Variable, time: int) -> Evidence | None:
        """Return the newest evidence offered up to `time` (ticks); it and what is older are taken."""
        waiting = self._offered.get(variable.id)
        found: Evidence | None = None
        while waiting and waiting[0].frame_time <= time:
            found = waiting.popleft()
        return found

    def uri(self, evidence: Evidence) -> str:
        """Return where the picture with boxes is had over HTTP."""
        return f"{self.base_url}{ROUTE}/{quote(evidence.id)}.jpg"

    def ids(self) -> list[str]:
        """Return what there is, oldest first: ids begin with the time."""
        return sorted({id_ for archive in self._archives for id_ in archive.ids()})

    def newest(self, camera: str, count: int) -> list[str]:
        """Return the ids of a camera's newest, newest first, at most `count`."""
        found = {id_ for archive in self._archives for id_ in archive.newest(camera, count)}
        return sorted(found, reverse=True)[:count]

    def find(self, id_: str) -> Evidence | None:
        """Return the evidence with this id; None where there is none (any more)."""
        for archive in self._archives:
            if (evidence := archive.find(id_)) is not None:
                return evidence
        return None

    def read(self, evidence: Evidence, *, clean: bool = False) -> bytes:
        """Return a picture's bytes; raises FileNotFoundError once it was pruned, ValueError if it was changed."""
        return self._first(evidence, lambda archive: archive.read(evidence, clean=clean))

    def size(self, evidence: Evidence, *, clean: bool = False) -> int:
        """Return a picture's size in bytes; raises FileNotFoundError once it was pruned."""
        return self._first(evidence, lambda archive: archive.size(evidence, clean=clean))

    def _first(self, evidence: Evidence, ask: Callable[[EvidenceArchive], _Answer]) -> _Answer:
        """Return what the first archive that has a picture answers."""
        for archive in self._archives:
            try:
                return ask(archive)
            except FileNotFoundError:
                continue
        raise FileNotFoundError(evidence.id)

    def report_false_alarm(self, id_: str, user: str, comment: str) -> Evidence:
        """Keep the pictures of a false alarm for training, with who said so; raises KeyError, OSError."""
        for archive in self._archives:
            if archive.find(id_) is not None:
                return archive.report_false_alarm(id_, user, comment)
        raise KeyError(id_)

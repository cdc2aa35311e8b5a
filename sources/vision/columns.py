"""What a camera's state writes into the store: which of the machine's variables, which values, how good they are."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType, Feed, Machine
from server.quality import BAD_NO_COMMUNICATION, BAD_NO_DATA, BAD_NOT_SUPPORTED, BAD_SENSOR_FAILURE, GOOD
from sources.vision.ports import BlindReason, StorageStatus
from sources.vision.wire import State

Values = tuple[NDArray[np.int64], NDArray[np.object_], NDArray[np.uint32]]


def online(blind: BlindReason | None) -> bool:
    """Whether pictures arrive."""
    return blind not in {"lost", "late"}


def status_of(blind: BlindReason | None) -> int:
    """Return the StatusCode of what is read out of pictures."""
    if blind is None:
        return GOOD
    return BAD_SENSOR_FAILURE if online(blind) else BAD_NO_COMMUNICATION


_DIAGNOSTIC: Mapping[str, Callable[[State], Any]] = {
    "Online": lambda state: online(state.blind),
    "FrameRate": lambda state: min(state.rate, 240.0),
    "Dropped": lambda state: state.dropped,
    "Blind": lambda state: state.blind is not None,
    "BlindReason": lambda state: state.blind or "",
}
"""Variables about the camera itself: true also when it is blind."""

_STORED = ("EvidenceKept", "LastError")
"""Variables that the disk has a say in; true also when the camera is blind."""

_CONTENT: Mapping[str, Callable[[State], Any]] = {
    "InferenceLatency": lambda state: state.latency,
    "ObjectCount": lambda state: state.objects,
    "DetectionCount": lambda state: state.detected,
    "LastDetectionClass": lambda state: state.last.name if state.last else None,
    "LastDetectionConfidence": lambda state: state.last.confidence if state.last else None,
    "LastDetectionTime": lambda state: state.last_time if state.last else None,
}
"""What detectors see: Bad when the camera is blind, and BadNotSupported where no detector looks."""

_BLANKS: Mapping[BuiltinType, Any] = {BuiltinType.String: ""}


@dataclass(frozen=True, slots=True)
class _Column:
    id: int
    value: Callable[[State], Any]
    blank: Any


class Columns:
    """The variables of one camera. A rule feeds the Boolean variable of its name; raises ValueError without one.

    `ids` are those that are fed.
    """

    def __init__(self, machine: Machine, rules: Iterable[str], *, detects: bool) -> None:
        for name in rules:
            if not _is_boolean(machine, name):
                raise ValueError(f"is a rule that needs a Boolean variable {name} of {machine.type.name}")
        self._diagnostic = _columns(machine, _DIAGNOSTIC)
        self._content = _columns(machine, {**(_CONTENT if detects else {}), **{name: _rule(name) for name in rules}})
        self._stored = {name: machine.variables[name].id for name in _STORED if name in machine.variables}
        fed = [column.id for column in (*self._diagnostic, *self._content)] + list(self._stored.values())
        self.ids = np.array(fed, np.int64)
        owned = [v for v in machine.variables.values() if v.declaration.feed is Feed.SOURCE]
        self._unfed = [v for v in owned if v.id not in set(fed)]

    def unfed(self) -> Values:
        """Return those that nothing here feeds: rules that the camera lacks, and what detectors see without one."""
        values = np.empty(len(self._unfed), np.object_)
        values[:] = [_BLANKS.get(variable.declaration.type, 0) for variable in self._unfed]
        ids = np.array([variable.id for variable in self._unfed], np.int64)
        return ids, values, np.full(len(ids), BAD_NOT_SUPPORTED, np.uint32)

    def diagnostic(self, state: State) -> Values:
        """Return what is known about the camera."""
        return _values(self._diagnostic, state, GOOD)

    def stored(self, state: State, storage: StorageStatus) -> Values:
        """Return whether evidence can be kept, and what is wrong with the camera or the disk."""
        known = {"EvidenceKept": not storage.error, "LastError": state.error or storage.error}
        values = np.empty(len(self._stored), np.object_)
        values[:] = [known[name] for name in self._stored]
        return np.array(list(self._stored.values()), np.int64), values, np.zeros(len(values), np.uint32)

    def content(self, state: State) -> Values:
        """Return what is known of what it shows."""
        return _values(self._content, state, status_of(state.blind))


def _is_boolean(machine: Machine, name: str) -> bool:
    variable = machine.variables.get(name)
    reserved = name in _DIAGNOSTIC or name in _STORED
    return variable is not None and variable.declaration.type is BuiltinType.Boolean and not reserved


def _rule(name: str) -> Callable[[State], Any]:
    return lambda state: state.rules.get(name, False)


def _columns(machine: Machine, wanted: Mapping[str, Callable[[State], Any]]) -> list[_Column]:
    return [
        _Column(variable.id, value, _BLANKS.get(variable.declaration.type, 0))
        for name, value in wanted.items()
        if (variable := machine.variables.get(name)) is not None
    ]


def _values(columns: list[_Column], state: State, status: int) -> Values:
    given = [column.value(state) for column in columns]
    values = np.empty(len(columns), np.object_)
    values[:] = [column.blank if value is None else value for column, value in zip(columns, given, strict=True)]
    statuses = [status or (BAD_NO_DATA if value is None else GOOD) for value in given]
    return np.array([column.id for column in columns], np.int64), values, np.array(statuses, np.uint32)

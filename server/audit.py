"""The audit trail: what was done by whom, from where, and what became of it (OPC 10000-3 6.5, OPC 10000-5 6.4)."""

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

client_entry: ContextVar[str] = ContextVar("client_entry", default="")
"""The AuditEntryId of the request that is being answered in this task (OPC 10000-4 7.33)."""

Columns = Sequence[tuple[int, Sequence[str]]]
"""Built-in type and paths of each column of a put."""


class AuditKind(StrEnum):
    """What is audited; the value is what the trail keeps."""

    WRITE = "write"
    METHOD = "method"
    CONDITION = "condition"
    HISTORY = "history"
    OPEN_CHANNEL = "open channel"
    CREATE_SESSION = "create session"
    ACTIVATE_SESSION = "activate session"
    CLOSE_SESSION = "close session"
    CANCEL = "cancel"
    CERTIFICATE = "certificate"
    NODES = "nodes"


class AuditRecord(NamedTuple):
    """A row of the trail as it is written: times in ticks, `arguments` and `details` as JSON."""

    time: int
    who: str
    origin: str
    action: str
    arguments: str
    status: int
    message: str
    kind: str = ""
    details: str = ""
    event_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A row of the trail as it is read; `details` depend on the kind (`server.opcua.events.audit`)."""

    time: int
    who: str
    origin: str
    action: str
    arguments: Sequence[Any]
    status: int
    message: str
    kind: AuditKind
    event_id: bytes
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    place: tuple[int, int, int] = (0, 0, 0)
    """Which of two tables, id and place in the row: what orders entries of the same time."""


class Put(NamedTuple):
    """Set-points written at once, as they are kept: a row for a request, values in columns one behind the other.

    `action` is a command's path and arguments (JSON), None for a write; `olds` are the values before, as `values`,
    empty in rows of earlier versions.
    """

    number: int
    time: int
    who: str
    origin: str
    action: str | None
    columns: Columns
    values: bytes
    stamps: bytes
    olds: bytes = b""


class AuditWatcher(Protocol):
    """Who is told of records as they come."""

    def wanted(self) -> bool:
        """Whether anybody listens: asked first, for every write."""
        ...

    def told(self, records: Sequence[AuditRecord]) -> None:
        """Take records that are being kept."""
        ...

    def told_put(self, put: Put) -> None:
        """Take set-points that were written at once."""
        ...


def entry(record: AuditRecord, place: tuple[int, int, int] = (0, 0, 0)) -> AuditEntry:
    """Return a record as it is read."""
    details: dict[str, Any] = json.loads(record.details) if record.details else {}
    kind = AuditKind(record.kind) if record.kind else kind_of(record.action)
    event_id = record.event_id or b"audit\x00\x00\x00" + place[1].to_bytes(8, "big")
    arguments = json.loads(record.arguments)
    return AuditEntry(
        record.time, record.who, record.origin, record.action, arguments, record.status, record.message, kind,
        event_id, details, place,
    )  # fmt: skip


def kind_of(action: str) -> AuditKind:
    """Return what kind of record an action makes, for records that do not say."""
    if action.startswith("HistoryUpdate "):
        return AuditKind.HISTORY
    if LIMIT in action:
        return AuditKind.WRITE
    return AuditKind.CONDITION if condition_method(action) is not None else AuditKind.METHOD


LIMIT = ".SetLimit "
"""Between a condition's path and the name of the limit that is written: `Plant.Press1.Hot.SetLimit high_high`."""
CONDITION_METHODS = frozenset(
    {
        "Acknowledge", "Confirm", "AddComment", "Enable", "Disable", "TimedShelve", "OneShotShelve", "Unshelve",
        "Suppress", "Unsuppress", "Silence", "RemoveFromService", "PlaceInService",
        "ReportFalseAlarm",
    }
)  # fmt: skip
"""Methods of conditions; `2` may follow the name (OPC 10000-9 5.5 to 5.8). The last one is our own."""


def condition_method(action: str) -> tuple[str, str] | None:
    """Return the condition's path and the method of `Acknowledge PATH` or `PATH.Acknowledge`, else None."""
    first, _, rest = action.partition(" ")
    if rest and _plain(first) in CONDITION_METHODS:
        return rest, first
    path, _, last = action.rpartition(".")
    return (path, last) if path.count(".") > 1 and _plain(last) in CONDITION_METHODS else None


def _plain(name: str) -> str:
    """Return a method's name as words in the trail have it: `timed_shelve` and `TimedShelve2` are `TimedShelve`."""
    words = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    return words.removesuffix("2")

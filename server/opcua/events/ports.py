"""What an event is to the server, and who takes and gives events (OPC 10000-4 7.22.3, OPC 10000-5 6.4.2)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from asyncua import ua

Path = tuple[str, ...]
"""Browse names without namespace index, from the event type down: ("ActiveState", "Id")."""


class Event(Protocol):
    """One event; its fields are asked for as filters need them."""

    @property
    def private(self) -> bool:
        """Whether only SecurityAdmin and Supervisor may see it, as with audit events."""
        ...

    @property
    def type_id(self) -> ua.NodeId:
        """The event's type, which is in the address space."""
        ...

    @property
    def source_id(self) -> ua.NodeId:
        """The node the event comes from: its notifiers are found from here."""
        ...

    @property
    def condition_id(self) -> ua.NodeId | None:
        """ConditionId: what an empty path with AttributeId NodeId selects (OPC 10000-9 5.5.2.14)."""
        ...

    def value(self, path: Path) -> ua.Variant | None:
        """Return a field; None when the event has none of this name."""
        ...


@dataclass(slots=True)
class PlainEvent:
    """An event made of its fields; those that every event has are filled in (OPC 10000-5 6.4.2)."""

    private = False

    type_id: ua.NodeId
    source_id: ua.NodeId
    source_name: str
    message: str
    severity: int = 500
    fields: Mapping[Path, ua.Variant] = field(default_factory=dict[Path, ua.Variant])
    time: datetime | None = None
    """When it happened (UTC); now, unless given."""
    event_id: bytes = b""
    """16 bytes; made, unless given."""
    condition_id: ua.NodeId | None = None
    receive_time: datetime = field(init=False)

    def __post_init__(self) -> None:
        """Fill in what was not given."""
        self.receive_time = datetime.now(UTC).replace(tzinfo=None)
        self.time = self.time or self.receive_time
        self.event_id = self.event_id or uuid.uuid4().bytes

    def value(self, path: Path) -> ua.Variant | None:
        """Return a field; None when the event has none of this name."""
        found = self.fields.get(path)
        if found is not None or len(path) != 1:
            return found
        match path[0]:
            case "EventId":
                return _variant(self.event_id, ua.VariantType.ByteString)
            case "EventType":
                return _variant(self.type_id, ua.VariantType.NodeId)
            case "SourceNode":
                return _variant(self.source_id, ua.VariantType.NodeId)
            case "SourceName":
                return _variant(self.source_name, ua.VariantType.String)
            case "Time":
                return _variant(self.time, ua.VariantType.DateTime)
            case "ReceiveTime":
                return _variant(self.receive_time, ua.VariantType.DateTime)
            case "Message":
                return _variant(ua.LocalizedText(self.message), ua.VariantType.LocalizedText)
            case "Severity":
                return _variant(self.severity, ua.VariantType.UInt16)
            case _:
                return None


class EventSink(Protocol):
    """Takes events to every item that may see them."""

    def offer(self, events: Sequence[Event]) -> None:
        """Queue events where they are subscribed to; returns at once; on the event loop."""
        ...


class Retained(Protocol):
    """Knows the conditions that a client must be told of (OPC 10000-9 5.5.7)."""

    def retained(self) -> Sequence[Event]:
        """Return an event for each condition, and each branch, with Retain."""
        ...


def _variant(value: Any, kind: ua.VariantType) -> ua.Variant:
    return ua.Variant(value, kind)

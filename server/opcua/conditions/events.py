"""Conditions' events: made from Snapshots, field by field as filters ask for them."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Iterable

from asyncua import ua

from server.alarms.ports import Snapshot
from server.opcua.attributes import node_id
from server.opcua.conditions.live import Conditions
from server.opcua.conditions.members import Path


class ConditionEvent:
    """What a transition tells: every field of the condition's type, as it was then (OPC 10000-9 5.5.2)."""

    __slots__ = ("_conditions", "_known", "condition_id", "snapshot", "source_id", "type_id")

    private = False

    def __init__(self, conditions: Conditions, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.type_id = conditions.form(snapshot.condition).type_id
        self.source_id: ua.NodeId = conditions.source(snapshot.condition)
        self.condition_id: ua.NodeId | None = node_id(snapshot.condition.path)
        self._conditions = conditions
        self._known: dict[Path, ua.Variant | None] = {}

    def value(self, path: Path) -> ua.Variant | None:
        """Return a field, None when the condition has no such field; every subscriber gets the same."""
        try:
            return self._known[path]
        except KeyError:
            found = self._known[path] = self._conditions.field(self.snapshot, path)
            return found


def events(conditions: Conditions, snapshots: Iterable[Snapshot]) -> list[ConditionEvent]:
    """Return the events of Snapshots."""
    return [ConditionEvent(conditions, snapshot) for snapshot in snapshots]

"""Events of asyncua's own generators, as the rest of the server knows events."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from typing import Any

from asyncua import ua

from server.opcua.events.ports import Path


class GeneratedEvent:
    """A copy of an event: its generator changes it for the next one."""

    private = False

    def __init__(self, event: Any) -> None:
        self._fields: dict[str, Any] = dict(vars(event))
        self._kinds: dict[str, ua.VariantType] = dict(event.data_types)
        self.type_id: ua.NodeId = event.EventType
        self.source_id: ua.NodeId = event.emitting_node
        self.condition_id: ua.NodeId | None = getattr(event, "NodeId", None)

    def value(self, path: Path) -> ua.Variant | None:
        """Return a field."""
        name = "/".join(path)
        found = self._fields.get(name)
        return None if found is None or name not in self._kinds else ua.Variant(found, self._kinds[name])

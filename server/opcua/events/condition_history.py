"""Events of conditions of the past, as HistoryRead takes them."""

from collections.abc import Sequence

from server.opcua.conditions.events import events
from server.opcua.conditions.live import Conditions
from server.opcua.events.stored import Stamped


class ConditionHistory:
    """What the alarm engine keeps; nothing as long as there is none."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions

    async def stored(self, since: int, until: int, limit: int) -> Sequence[Stamped]:
        """Return events with since <= Time < until (ticks), the oldest first, at most `limit`."""
        alarms = self._conditions.alarms
        if alarms is None:
            return []
        found = await alarms.history(since, until, limit)
        return [(event.snapshot.time, event) for event in events(self._conditions, found)]

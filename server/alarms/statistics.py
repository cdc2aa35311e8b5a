"""The figures of ANSI/ISA-18.2 and IEC 62682 clause 16: how many alarms there are, and which trouble operators most."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from address_space import diagnostics
from address_space.model import Plant
from server.alarms.ports import UNSHELVED, Snapshot
from server.store import Store
from server.store.ticks import TICKS_PER_SECOND

_MINUTE = 60 * TICKS_PER_SECOND
_TEN_MINUTES = 10 * _MINUTE
_HOUR = 60 * _MINUTE
DAY = 24 * _HOUR
_FLOOD_BEGINS, _FLOOD_ENDS = 10, 5
"""Alarms in ten minutes, above which a flood begins and below which it ends."""
_CHATTERS = 3
"""Alarms of one condition in a minute."""
_MOST_HELD = 200_000
_OFFENDERS = 10


class Statistics:
    """Counts activations, and shows the figures in the tree."""

    def __init__(self, plant: Plant, store: Store) -> None:
        self._plant = plant
        self._store = store
        self._raised: deque[tuple[int, int]] = deque(maxlen=_MOST_HELD)
        """Time (ticks) and condition of every activation of the last day."""
        self._flood = False
        self._peak: deque[tuple[int, int]] = deque()
        """Time and count of the highest counts of ten minutes in the last day: falling, the first is the peak."""
        machine = plant.machine(f"{plant.name}.{diagnostics.OBJECT}.{diagnostics.ALARMS}")
        self._variables = {name: variable.id for name, variable in machine.variables.items()}
        self._shown: dict[str, Any] = {}

    def restore(self, raised: Iterable[tuple[int, str]]) -> None:
        """Take over activations of before, oldest first."""
        recent: deque[int] = deque()
        for time, path in raised:
            condition = self._plant.find_condition(path)
            if condition is not None:
                self._raised.append((time, condition.id))
                recent.append(time)
                while recent[0] <= time - _TEN_MINUTES:
                    recent.popleft()
                self._peak_of(len(recent), time)

    def note(self, snapshots: Sequence[Snapshot], now: int) -> None:
        """Count what has become active, and is neither shelved nor suppressed: operators see nothing of that."""
        seen = (it for it in snapshots if it.kind_of_event == "active" and not it.suppressed_or_shelved)
        self._raised.extend((now, it.condition.id) for it in seen)

    def figures(self, trunks: Sequence[Snapshot], branches: int, now: int) -> dict[str, Any]:
        """Return the variables of AlarmStatisticsType by name."""
        while self._raised and self._raised[0][0] < now - DAY:
            self._raised.popleft()
        times = np.fromiter((time for time, _ in self._raised), np.int64, len(self._raised))
        last_minute = Counter(number for _, number in self._since(now - _MINUTE))
        recent = int(np.count_nonzero(times > now - _TEN_MINUTES))
        self._flood = recent > _FLOOD_BEGINS or (self._flood and recent >= _FLOOD_ENDS)
        standing = [it for it in trunks if it.active and it.enabled and not it.suppressed_or_shelved]
        worst = Counter(number for _, number in self._raised).most_common(_OFFENDERS)
        paths = self._plant.conditions
        return {
            "AlarmsPerHour": int(np.count_nonzero(times > now - _HOUR)),
            "AlarmsPer10Minutes": recent,
            "PeakPer10Minutes": self._peak_of(recent, now),
            "Standing": len(standing),
            "Unacknowledged": branches + sum(not it.acked and it.enabled for it in trunks),
            "Shelved": sum(it.shelving != UNSHELVED for it in trunks),
            "Suppressed": sum(it.suppressed or it.out_of_service for it in trunks),
            "Stale": sum(it.active_time < now - DAY for it in standing),
            "Chattering": sum(count >= _CHATTERS for count in last_minute.values()),
            "Flood": self._flood,
            "TopOffenders": ", ".join(f"{paths[number].path} {count}" for number, count in worst),
        }

    def show(self, trunks: Sequence[Snapshot], branches: int, now: int) -> None:
        """Write to the tree what has changed."""
        figures = self.figures(trunks, branches, now)
        changed = {name: value for name, value in figures.items() if self._shown.get(name) != value}
        if changed:
            self._shown.update(changed)
            ids = np.array([self._variables[name] for name in changed], np.int64)
            self._store.write(ids, np.array(list(changed.values()), object), now)

    def _since(self, start: int) -> Iterable[tuple[int, int]]:
        for time, number in reversed(self._raised):
            if time <= start:
                return
            yield time, number

    def _peak_of(self, recent: int, now: int) -> int:
        while self._peak and self._peak[-1][1] <= recent:
            self._peak.pop()
        self._peak.append((now, recent))
        while self._peak[0][0] < now - DAY:
            self._peak.popleft()
        return self._peak[0][1]

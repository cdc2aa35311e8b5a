"""Conditions that no variable of theirs tells: communication with sources and gateways, the server's certificate."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from address_space import diagnostics
from address_space.model import AlarmKind, Condition, Feed, Plant
from server.quality import is_bad
from server.store import Store
from server.store.ticks import TICKS_PER_SECOND

EXPIRES_WITHIN_S = 14 * 86_400
"""ExpirationLimit of a CertificateExpirationAlarmType, its default (OPC 10000-9 5.8.23.7)."""

Look = Callable[[int], bool]


class Watched:
    """Looks at them; `expires` is when the server's certificate does (ticks), None for never."""

    def __init__(self, plant: Plant, store: Store, expires: int | None) -> None:
        self._plant = plant
        self._store = store
        looks = [(condition, self._look(condition, expires)) for condition in plant.conditions]
        self._looks = [(condition.id, look) for condition, look in looks if look is not None]
        self.rows = np.array([number for number, _ in self._looks], np.int64)

    def masks(self, now: int) -> NDArray[np.uint8]:
        """Return 1 for each of `rows` that is active at `now` (ticks), else 0."""
        return np.array([look(now) for _, look in self._looks], np.uint8)

    def _look(self, condition: Condition, expires: int | None) -> Look | None:
        kind, name = condition.declaration.kind, condition.machine.name
        if kind is AlarmKind.CERTIFICATE_EXPIRY:
            return lambda now: expires is not None and now > expires - EXPIRES_WITHIN_S * TICKS_PER_SECOND
        if kind is not AlarmKind.COMMUNICATION:
            return None
        return self._gateway(condition) if name in diagnostics.GATEWAYS else self._source(condition)

    def _gateway(self, condition: Condition) -> Look:
        """Return whether a gateway that is to run has no peer."""
        state = condition.machine.variables["State"].id
        connected = condition.machine.variables["Connected"].id

        def look(_now: int) -> bool:
            shown = self._store.value(state)
            return shown not in (None, "Disabled", "Stopped") and not self._store.value(connected)

        return look

    def _source(self, condition: Condition) -> Look:
        """Return whether a source does not run, or all that it is to measure is Bad."""
        state = condition.machine.variables["State"].id
        measured = [
            variable.id
            for machine in self._plant.machines
            if machine.source == condition.machine.name
            for variable in machine.variables.values()
            if variable.declaration.feed is Feed.SOURCE
        ]
        ids = np.array(measured, np.int64)

        def look(_now: int) -> bool:
            shown = self._store.value(state)
            if shown in (None, "Stopped"):
                return False
            return shown != "Running" or bool(len(ids) and is_bad(self._store.statuses(ids)).all())

        return look

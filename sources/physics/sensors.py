"""The instruments between the true state and the tree, and what can be wrong with them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.quality import BAD_SENSOR_FAILURE
from sources.physics.columns import Flags

SENSOR_FAULTS = ("sensor_stuck", "sensor_lost")
NO_SENSORS = frozenset({"State", "RunHours", "EnergyTotal", "ProductionCount"})  # the controller's own knowledge


class Sensors:
    """The readings of `count` machines' `variables`: shape (variables, machines), as is every array here."""

    def __init__(self, variables: Sequence[str], count: int) -> None:
        self.variables = tuple(variables)
        self.row = {name: row for row, name in enumerate(self.variables)}
        shape = (len(self.variables), count)
        self.stuck: Flags = np.zeros(shape, np.bool_)
        self.lost: Flags = np.zeros(shape, np.bool_)
        self._last: NDArray[np.float64] = np.full(shape, np.nan)

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that a sensor fault may name; the first is the default."""
        names = [name for name in self.variables if name not in NO_SENSORS]
        return tuple(sorted(names, key=lambda name: name != "OilPressure"))

    def set(self, fault: str, sensor: str, machine: int, active: bool) -> None:
        """Break or mend one sensor of one machine."""
        (self.stuck if fault == "sensor_stuck" else self.lost)[self.row[sensor], machine] = active

    def clear(self, machine: int) -> None:
        """Mend every sensor of one machine."""
        self.stuck[:, machine] = self.lost[:, machine] = False

    def read(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
        """Return values and statuses: a stuck sensor keeps its last value and looks Good, a lost one is Bad."""
        fresh = np.stack([outputs[name] for name in self.variables]).astype(np.float64)
        held = (self.stuck | self.lost) & ~np.isnan(self._last)
        self._last = np.where(held, self._last, fresh)
        return self._last, np.where(self.lost, np.uint32(BAD_SENSOR_FAILURE), np.uint32(0))

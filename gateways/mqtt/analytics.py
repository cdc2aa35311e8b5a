"""The aggregate of energy and environment that the bridge sends: means, trends, alerts. No I/O."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import Plant, Variable
from gateways.mqtt.mapping import alarm_state, snake
from server.quality import is_good
from server.store import Batch, Store

PERIODS = 10
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306)
"""Two-sided 95 % quantiles of Student's t for 1 to 8 degrees of freedom: ten periods less the two of a line."""

SIGNALS: Mapping[str, tuple[str, str]] = {
    "power": ("EnergyMeterType", "PowerConsumption"),
    "efficiency": ("EnergyMeterType", "Efficiency"),
    "temperature": ("EnvironmentType", "Temperature"),
    "air_quality": ("EnvironmentType", "AirQualityIndex"),
    "comfort": ("EnvironmentType", "ComfortIndex"),
}
_CRITICAL_WORDS: Mapping[str, frozenset[str]] = {
    "GridStatus": frozenset({"UnderVoltage", "OverVoltage", "Outage"}),
    "AirQualityStatus": frozenset({"Unhealthy"}),
}


def trend(means: Sequence[float | None]) -> str:
    """Return rising, stable or falling: the sign of the least-squares slope, if it is significant at 95 %.

    `means` are those of successive periods, None for one without samples. Fewer than three are stable.
    """
    points = [(index, mean) for index, mean in enumerate(means) if mean is not None]
    if len(points) < 3:
        return "stable"
    x, y = (np.array(column, np.float64) for column in zip(*points, strict=True))
    x, y = x - x.mean(), y - y.mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    residual = y - slope * x
    freedom = len(points) - 2
    error = math.sqrt(float(residual @ residual) / freedom / spread)
    if abs(slope) <= _T_95[min(freedom, len(_T_95)) - 1] * error or abs(slope) < 1e-12:
        return "stable"
    return "rising" if slope > 0 else "falling"


@dataclass(slots=True)
class _Signal:
    ids: NDArray[np.int64]
    means: deque[float | None]
    total: float = 0.0
    count: int = 0


class Analytics:
    """Collects Good samples; `close_period` turns those of one period into the aggregate."""

    def __init__(self, plant: Plant, store: Store, bridge_id: str, period: float) -> None:
        self._plant = plant
        self._store = store
        self._identity = {
            "bridge_id": bridge_id,
            "aggregation_period": int(period) if period == int(period) else period,
        }
        self._signals = {
            name: _Signal(_ids(plant, type_name, variable), deque(maxlen=PERIODS))
            for name, (type_name, variable) in SIGNALS.items()
        }
        self._of = np.zeros(len(store), np.int64)
        for number, signal in enumerate(self._signals.values(), 1):
            self._of[signal.ids] = number
        self._newest = 0

    def take(self, batch: Batch) -> None:
        """Add the samples of a journal batch."""
        wanted = np.flatnonzero((self._of[batch.ids] > 0) & is_good(batch.statuses))
        if len(wanted) == 0:
            return
        mine = batch.take(wanted)
        values, numbers = self._store.floats(mine), self._of[mine.ids]
        for number, signal in enumerate(self._signals.values(), 1):
            column = values[(numbers == number) & np.isfinite(values)]
            signal.total += float(column.sum())
            signal.count += len(column)
        self._newest = max(self._newest, int(mine.source_timestamps.max()))

    def close_period(self) -> tuple[int, dict[str, Any]] | None:
        """Return the newest source timestamp (ticks) and the aggregate without it; None before any sample."""
        if self._newest == 0:
            return None
        means = {name: self._mean(signal) for name, signal in self._signals.items()}
        trends = {name: trend(tuple(signal.means)) for name, signal in self._signals.items()}
        alerts = self._alerts()
        return self._newest, {
            **self._identity,
            "energy_analytics": {
                "power_consumption": {"average": means["power"], "trend": trends["power"]},
                "efficiency": {"average": means["efficiency"]},
            },
            "environment_analytics": {
                "temperature": {"average": means["temperature"], "trend": trends["temperature"]},
                "air_quality": {"average_index": means["air_quality"]},
            },
            "critical_alerts": alerts,
            "facility_status": {
                "energy_efficiency": means["efficiency"],
                "environmental_comfort": means["comfort"],
                "overall_health": not alerts,
            },
        }

    def _mean(self, signal: _Signal) -> float | None:
        mean = signal.total / signal.count if signal.count else None
        signal.means.append(mean)
        signal.total, signal.count = 0.0, 0
        return None if mean is None else round(mean, 6)

    def _alerts(self) -> list[str]:
        """Return what is critical now, one sentence each, from states and latches: there are no conditions yet."""
        alerts: list[str] = []
        for machine in self._plant.objects:
            for variable in machine.variables.values():
                word = self._critical(variable)
                if word is not None:
                    alerts.append(f"{machine.name}: {word}")
        return alerts

    def _critical(self, variable: Variable) -> str | None:
        declaration, value = variable.declaration, self._store.value(variable.id)
        if variable.name == "EmergencyStopActive":
            return "emergency stop active" if value is True else None
        if declaration.enumeration is None or value is None:
            return None
        if variable.name == "State":
            state = alarm_state(declaration, value)
        else:
            names = declaration.enumeration.values
            name = names[value] if 0 <= value < len(names) else ""
            state = name if name in _CRITICAL_WORDS.get(variable.name, frozenset()) else None
        return None if state is None else snake(state).replace("_", " ")


def _ids(plant: Plant, type_name: str, variable: str) -> NDArray[np.int64]:
    machines = [machine for machine in plant.machines if machine.type.name == type_name]
    return np.array([m.variables[variable].id for m in machines if variable in m.variables], np.int64)

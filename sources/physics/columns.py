"""Columns: a state is a frozen dataclass of 1-D arrays, a machine an element; these work on all at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """Base of every state and input: all fields are arrays of one length, a machine an index."""

    def __len__(self) -> int:
        """Return the number of machines."""
        return len(getattr(self, fields(self)[0].name))

    def take(self, index: Any) -> Self:
        """Return the machines that `index` (slice, integers or mask) selects."""
        chosen = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{name: None if column is None else column[index] for name, column in chosen.items()})


def lag(value: Column, target: Column | float, time_constant: Column | float, dt: float) -> Column:
    """First-order lag toward `target` over `dt` s: exact for a constant target, so always stable."""
    return target + (value - target) * np.exp(-dt / np.asarray(time_constant))


def ramp(value: Column, target: Column | float, rate: Column | float, dt: float) -> Column:
    """Move toward `target` by at most `rate` (units per second) times `dt`."""
    limit = np.asarray(rate) * dt
    return value + np.clip(target - value, -limit, limit)


def noisy(value: Column, rng: np.random.Generator, absolute: float, relative: float = 0.0) -> Column:
    """Return a sensor's reading: Gaussian noise of deviation `absolute` plus `relative` of the value."""
    return value + rng.standard_normal(len(value)) * (absolute + relative * np.abs(value))

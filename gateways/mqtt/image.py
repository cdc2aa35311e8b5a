"""The newest value of every variable as a stream of samples has told it so far."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.quality import is_bad
from server.store import Batch, Store


class Image:
    """Values by variable id (None where Bad or not known yet) with their source timestamps in ticks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.values: list[Any] = [None] * len(store)
        self.times = np.full(len(store), np.iinfo(np.int64).min)

    def load(self) -> None:
        """Take every variable's present value from the store."""
        for id_ in range(len(self.values)):
            value, _, source, _ = self._store.read(id_)
            self.values[id_] = value
            self.times[id_] = source

    def set(self, id_: int, value: Any, time: int) -> None:
        """Take one sample."""
        self.values[id_] = value
        self.times[id_] = time

    def catch_up(self, other: "Image", before: int) -> None:
        """Take over what another image knows that is newer than here and not newer than `before` (ticks)."""
        for id_ in np.flatnonzero((other.times <= before) & (other.times > self.times)).tolist():
            self.values[id_] = other.values[id_]
            self.times[id_] = other.times[id_]


def shown_values(store: Store, batch: Batch) -> list[Any]:
    """Return the values of a batch as Python objects, None where the status is Bad."""
    bad: NDArray[np.bool_] = is_bad(batch.statuses)
    return [None if hidden else value for value, hidden in zip(store.objects(batch), bad.tolist(), strict=True)]

"""Heartbeats: the last value of a variable that nothing was written of for a while, told again."""

import time
from collections.abc import Callable

import numpy as np

from gateways.delivery import snapshot
from server.store import Batch, Store, now_ticks
from server.store.ticks import TICKS_PER_SECOND

MARGIN_S = 2.0
"""How far in the past a heartbeat's time lies: a change measured before it may still be on its way."""
_MS = 10_000  # ticks: VictoriaMetrics keeps whole milliseconds, so that time less age is exact there, too


class Heartbeats:
    """When each variable was told last; `clock` is monotonic seconds, for tests."""

    def __init__(self, store: Store, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._interval = interval
        self._clock = clock
        self._told = np.full(len(store), clock())

    def told(self, batch: Batch) -> None:
        """Note that rows were written."""
        self._told[batch.ids] = self._clock()

    def due(self) -> tuple[Batch, int]:
        """Return what to repeat, and the time of the repetition in ticks: never before the sample's own."""
        at = (now_ticks() - int(MARGIN_S * TICKS_PER_SECOND)) // _MS * _MS
        silent = np.flatnonzero(self._clock() - self._told >= self._interval)
        batch = snapshot(self._store)
        return batch.take(silent[batch.source_timestamps[silent] < at]), at

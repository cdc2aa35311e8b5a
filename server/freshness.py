"""Silence becomes quality: a variable that its source no longer writes turns Uncertain, then Bad."""

import asyncio
import time

import numpy as np
from numpy.typing import NDArray

from address_space.model import Feed, Plant
from server.quality import BAD_NO_COMMUNICATION, BAD_NOT_SUPPORTED, UNCERTAIN_LAST_USABLE, is_good
from server.store import Store

_PERIOD_S = 0.25


class Freshness:
    """Watches the age of every variable that a source owns; ages and limits in seconds."""

    def __init__(self, plant: Plant, store: Store, stale_after: float, bad_after: float) -> None:
        self._store = store
        ids: list[int] = []
        stale: list[float] = []
        bad: list[float] = []
        for machine in plant.machines:
            if machine.source is None:
                continue
            source = plant.sources[machine.source]
            owned = [v.id for v in machine.variables.values() if v.declaration.feed is Feed.SOURCE]
            ids += owned
            stale += [source.stale_after or stale_after] * len(owned)
            bad += [source.bad_after or max(bad_after, source.stale_after or 0)] * len(owned)
        self._ids: NDArray[np.int64] = np.array(ids, np.int64)
        self._stale_after = np.array(stale)
        self._bad_after = np.array(bad)
        self._began = time.monotonic()

    async def run(self) -> None:
        """Look at the ages four times a second until cancelled."""
        while True:
            self.check(time.monotonic())
            await asyncio.sleep(_PERIOD_S)

    def check(self, now: float) -> None:
        """Set the quality that the ages at `now` (monotonic, s) deserve; silence counts from the start on."""
        age = now - np.maximum(self._store.received[self._ids], self._began)
        statuses = self._store.statuses(self._ids)
        # What a source says it does not have cannot fall silent.
        bad = (age > self._bad_after) & (statuses != BAD_NO_COMMUNICATION) & (statuses != BAD_NOT_SUPPORTED)
        stale = (age > self._stale_after) & is_good(statuses) & ~bad
        self._store.set_status(self._ids[stale], UNCERTAIN_LAST_USABLE)
        self._store.set_status(self._ids[bad], BAD_NO_COMMUNICATION)

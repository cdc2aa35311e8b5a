"""Samples that are told again: their SourceTimestamp is taken already, so that they need a time of their own.

A source that goes silent changes the status of its variables and nothing else; the time of the measurement stays
(OPC 10000-4 7.11). A database holds one row a series and time: the second would overwrite the first.
"""

import numpy as np
from numpy.typing import NDArray

from server.store import Batch

_MS = 10_000
_NEVER = np.iinfo(np.int64).min


class Told:
    """The newest sample of each variable that was told on one lane: its time and its status, arrays by id."""

    def __init__(self, times: NDArray[np.int64], statuses: NDArray[np.uint32]) -> None:
        self.times = times
        self.statuses = statuses

    @classmethod
    def nothing(cls, count: int) -> "Told":
        """Return the state before anything was told."""
        return cls(np.full(count, _NEVER, np.int64), np.zeros(count, np.uint32))

    def newer(self, other: "Told") -> "Told":
        """Return the newer sample of each variable; of equal ones that of `other`."""
        mine = self.times > other.times
        return Told(np.where(mine, self.times, other.times), np.where(mine, self.statuses, other.statuses))

    def note(self, batch: Batch) -> None:
        """Note that rows were told, in this order."""
        rows = batch.last()
        rows = rows[batch.source_timestamps[rows] >= self.times[batch.ids[rows]]]
        self.times[batch.ids[rows]] = batch.source_timestamps[rows]
        self.statuses[batch.ids[rows]] = batch.statuses[rows]

    def times_for(self, batch: Batch, taken: int) -> NDArray[np.int64]:
        """Return the time in ticks that each row is written at: its SourceTimestamp, or when it was taken in.

        The latter where the row before it has the same SourceTimestamp and another status; in whole milliseconds,
        one after the other where there are several.
        """
        order = np.argsort(batch.ids, kind="stable")
        ids, times, statuses = batch.ids[order], batch.source_timestamps[order], batch.statuses[order]
        first = np.ones(len(ids), np.bool_)
        first[1:] = ids[1:] != ids[:-1]
        before_times = np.where(first, self.times[ids], np.roll(times, 1))
        before_statuses = np.where(first, self.statuses[ids], np.roll(statuses, 1))
        again = (before_times == times) & (before_statuses != statuses)
        result = batch.source_timestamps.copy()
        if again.any():
            starts = np.flatnonzero(first)
            counted = np.cumsum(again)
            before_group = np.repeat(counted[starts] - again[starts], np.diff(np.append(starts, len(ids))))
            nth = counted - before_group  # 1 for a variable's first
            moment = np.maximum(taken, times) // _MS * _MS + nth * _MS
            result[order[again]] = moment[again]
        return result

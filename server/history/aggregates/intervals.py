"""Intervals of a request (OPC 10000-13 5.4.2.2): from its start to its end, in either direction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.history.aggregates.data import Data, Flags, Stamps

Indexes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals by time, whatever the direction; `lows` and `highs` in ticks, shape (n,).

    An interval begins where the request comes to it first: that time is in it, the other end is not. `cut` is where
    one is shorter than the others.
    """

    lows: Stamps
    highs: Stamps
    cut: Flags
    reverse: bool

    def __len__(self) -> int:
        return len(self.lows)

    @property
    def begins(self) -> Stamps:
        """When each begins, as the request goes: the timestamp of what is said of it."""
        return self.highs if self.reverse else self.lows

    @property
    def ends(self) -> Stamps:
        """When each ends, as the request goes."""
        return self.lows if self.reverse else self.highs

    def rows(self, stamps: Stamps) -> tuple[Indexes, Indexes]:
        """Return the first row of each interval in `stamps`, and the row after its last."""
        side = "right" if self.reverse else "left"
        return np.searchsorted(stamps, self.lows, side), np.searchsorted(stamps, self.highs, side)

    def partial(self, data: Data) -> Flags:
        """Return which intervals are not full of data: cut, or recording began or ends within (5.3.3.2)."""
        if len(data) == 0:
            return self.cut
        first, last = data.stamps[0], data.stamps[-1]
        begins = (first > self.lows) & (first < self.highs)
        ends = (last >= self.lows) & (last < self.highs)
        if self.reverse:
            ends = (last > self.lows) & (last < self.highs)
        return self.cut & ~self.outside(data) | begins | ends

    def outside(self, data: Data) -> Flags:
        """Return which intervals lie before all data or after it."""
        if len(data) == 0:
            return np.ones(len(self), np.bool_)
        first, last = data.stamps[0], data.stamps[-1]
        if self.reverse:
            return (self.highs < first) | (self.lows >= last)
        return (self.highs <= first) | (self.lows > last)


def split(start: int, end: int, width: int) -> Intervals:
    """Cut the time from `start` to `end` (ticks) into intervals of `width`, 0 for one; the last may be shorter."""
    reverse = end < start
    span = abs(end - start)
    width = width or span
    count = -(-span // width)
    near = np.arange(count, dtype=np.int64) * width
    far = np.minimum(near + width, span)
    cut = far - near < width
    if reverse:
        return Intervals((start - far)[::-1].copy(), (start - near)[::-1].copy(), cut[::-1].copy(), reverse=True)
    return Intervals(start + near, start + far, cut, reverse=False)

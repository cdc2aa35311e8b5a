"""When each row of a recording is due, and the SourceTimestamp that it then has."""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sources.replay.stamps import TICKS_PER_SECOND

Timestamps = Literal["original", "shifted", "played"]


class Timeline:
    """Rows are counted through all passes: row `n` is row `n % rows` of pass `n // rows`.

    A row is due when its stamp is, counted from the first row's. Rows keep the file's order: where the recorded
    clock steps back, rows are due at once until it has caught up. The next pass follows one usual interval later.
    """

    def __init__(self, stamps: NDArray[np.int64]) -> None:
        self.rows: Final = len(stamps)
        self._stamps = stamps
        self._due = np.maximum.accumulate(stamps - stamps[0])
        steps = np.diff(self._due)
        usual = int(np.median(steps[steps > 0])) if (steps > 0).any() else TICKS_PER_SECOND
        self.period: Final = int(self._due[-1]) + usual
        """Ticks from a pass's first row to the next pass's."""

    def due(self, row: int) -> int:
        """Return when `row` is due, in ticks of recorded time after the first row."""
        turn, row = divmod(row, self.rows)
        return turn * self.period + int(self._due[row])

    def count(self, elapsed: int, *, loop: bool) -> int:
        """Return how many rows are due after `elapsed` ticks of recorded time."""
        if elapsed < 0:
            return 0
        turn, rest = divmod(elapsed, self.period) if loop else (0, min(elapsed, int(self._due[-1])))
        return turn * self.rows + int(np.searchsorted(self._due, rest, side="right"))

    def stamps(self, first: int, last: int, kind: Timestamps, base: int, factor: float) -> NDArray[np.int64]:
        """Return the SourceTimestamps of the rows `first` to `last` (excluded) of one pass; `base` is row 0's."""
        turn, row = divmod(first, self.rows)
        rows = slice(row, row + last - first)
        if kind == "original":
            return self._stamps[rows]
        if kind == "shifted":
            return self._stamps[rows] - self._stamps[0] + (base + turn * self.period)
        due = self._due[rows] + turn * self.period
        return base + (due if factor == 1 else np.rint(due / factor).astype(np.int64))

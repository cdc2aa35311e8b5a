"""Samples as columns, and the comparison of those that were sent with those that are stored."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from server.store.ticks import UNIX_EPOCH_TICKS

TICKS_PER_US, TICKS_PER_MS = 10, 10_000
_TIME_BITS = 52  # µs since 1970, until 2112; there are 11 bits for variables


@dataclass(frozen=True, slots=True)
class Samples:
    """Columns of shape (n,): variable ids, source timestamps in ticks, values (NaN where there is no number)."""

    ids: NDArray[np.int64]
    times: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def joined(cls, parts: "list[Samples]") -> Self:
        """Return the parts one after another."""
        if not parts:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "times", "values"))
        return cls(*columns)

    def where(self, chosen: NDArray[np.bool_]) -> "Samples":
        """Return some of the rows."""
        return Samples(self.ids[chosen], self.times[chosen], self.values[chosen])

    def within(self, after: int, until: int) -> "Samples":
        """Return those with after < source timestamp <= until (ticks)."""
        return self.where((self.times > after) & (self.times <= until))

    def of(self, ids: NDArray[np.int64]) -> "Samples":
        """Return those of some variables."""
        return self.where(np.isin(self.ids, ids))


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of samples: `stored` and `duplicate` count arrivals of what was sent, each sample once as stored.

    `unsent` were stored and not sent: that is a fault of the observer or of the gateway. `wrong` have another value.
    """

    sent: int
    stored: int
    duplicate: int
    lost: int
    unsent: int
    wrong: int

    def __str__(self) -> str:
        names = ("sent", "stored", "duplicate", "lost", "unsent", "wrong")
        return ", ".join(f"{name} {getattr(self, name):,}" for name in names)


def compare(sent: Samples, stored: Samples, resolution: int = TICKS_PER_US) -> Counts:
    """Compare by (variable, source timestamp at a resolution in ticks), then the values of those in both."""
    sent_keys, sent_rows = np.unique(_keys(sent, resolution), return_index=True)
    all_stored = _keys(stored, resolution)
    stored_keys, stored_rows = np.unique(all_stored, return_index=True)
    both, in_sent, in_stored = np.intersect1d(sent_keys, stored_keys, assume_unique=True, return_indices=True)
    one, other = sent.values[sent_rows[in_sent]], stored.values[stored_rows[in_stored]]
    wrong = (one != other) & ~(np.isnan(one) | np.isnan(other))
    return Counts(
        sent=len(sent_keys),
        stored=len(both),
        duplicate=int(np.isin(all_stored, both).sum()) - len(both),
        lost=len(sent_keys) - len(both),
        unsent=len(stored_keys) - len(both),
        wrong=int(wrong.sum()),
    )


def missing(sent: Samples, stored: Samples, resolution: int = TICKS_PER_US) -> Samples:
    """Return what was sent and is not stored."""
    return sent.where(~np.isin(_keys(sent, resolution), _keys(stored, resolution)))


def _keys(samples: Samples, resolution: int) -> NDArray[np.int64]:
    return (samples.ids << _TIME_BITS) | ((samples.times - UNIX_EPOCH_TICKS) // resolution)

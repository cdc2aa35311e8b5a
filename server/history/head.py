"""The newest samples, in memory: what came in since the last blocks were made, quickly found by variable."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.history.ports import Samples, join, no_samples

_RUN_ROWS = 131_072
"""Rows that are sorted by variable together; those that wait for it are looked through."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of many variables: their numbers (n,), columns, and the values of String rows by row."""

    numbers: NDArray[np.int32]
    samples: Samples
    texts: dict[int, str | None]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, places: NDArray[np.intp]) -> "Rows":
        """Return some of the rows."""
        texts: dict[int, str | None] = {}
        if self.texts:
            texts = {new: self.texts[old] for new, old in enumerate(places.tolist()) if old in self.texts}
        return Rows(self.numbers[places], self.samples.take(places), texts)

    def of_one(self, places: NDArray[np.intp] | slice, *, text: bool) -> Samples:
        """Return rows that are all of one variable."""
        found = self.samples.take(places)
        if not text:
            return found
        rows = range(places.start, places.stop) if isinstance(places, slice) else places.tolist()
        return Samples(found.stamps, found.bits, found.statuses, tuple(self.texts.get(row) for row in rows))


def put_together(parts: list[Rows]) -> Rows:
    """Put rows behind each other."""
    if len(parts) == 1:
        return parts[0]
    texts: dict[int, str | None] = {}
    at = 0
    for part in parts:
        texts |= {at + row: text for row, text in part.texts.items()}
        at += len(part)
    if not parts:
        return Rows(np.zeros(0, np.int32), no_samples(), {})
    return Rows(np.concatenate([part.numbers for part in parts]), join([part.samples for part in parts]), texts)


class Head:
    """Rows in the order in which they came; one thread changes it, others may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: tuple[Rows, ...] = ()  # each sorted by number
        self._waiting: tuple[Rows, ...] = ()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: Rows) -> None:
        """Take rows."""
        waiting = (*self._waiting, rows)
        runs = self._runs
        if sum(map(len, waiting)) >= _RUN_ROWS or len(waiting) >= 64:
            together = put_together(list(waiting))
            runs, waiting = (*runs, together.take(np.argsort(together.numbers, kind="stable"))), ()
        with self._lock:
            self._runs, self._waiting, self._rows = runs, waiting, self._rows + len(rows)

    def find(self, number: int, *, text: bool = False) -> Samples:
        """Return what there is of a variable, in the order in which it came."""
        with self._lock:
            runs, waiting = self._runs, self._waiting
        parts: list[Samples] = []
        for run in runs:
            first, end = np.searchsorted(run.numbers, [number, number + 1]).tolist()
            if end > first:
                parts.append(run.of_one(slice(first, end), text=text))
        for rows in waiting:
            places = np.flatnonzero(rows.numbers == number)
            if len(places):
                parts.append(rows.of_one(places, text=text))
        return join(parts) if parts else no_samples(text=text)

    def all(self) -> Rows:
        """Return every row, in the order in which it came within each variable."""
        return put_together([*self._runs, *self._waiting])

    def replace(self, rows: Rows) -> None:
        """Have only `rows`."""
        with self._lock:
            self._runs, self._waiting, self._rows = (), ((rows,) if len(rows) else ()), len(rows)

    def remove(self, number: int) -> None:
        """Let go of a variable's rows."""
        runs = tuple(_without(run, number) for run in self._runs)
        waiting = tuple(_without(rows, number) for rows in self._waiting)
        with self._lock:
            self._runs, self._waiting = runs, waiting
            self._rows = sum(map(len, (*runs, *waiting)))


def _without(rows: Rows, number: int) -> Rows:
    keep = rows.numbers != number
    return rows if keep.all() else rows.take(np.flatnonzero(keep))


def by_variable(rows: Rows) -> Iterator[tuple[int, int, int]]:
    """Yield number, first row and end of each variable in rows that are sorted by number."""
    if len(rows) == 0:
        return
    starts = np.flatnonzero(np.diff(rows.numbers, prepend=rows.numbers[0] - 1))
    ends = np.append(starts[1:], len(rows))
    yield from zip(rows.numbers[starts].tolist(), starts.tolist(), ends.tolist(), strict=True)

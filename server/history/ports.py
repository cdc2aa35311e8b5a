"""The one interface that a historian's backend offers, and the columns that cross it."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.quality import BAD_NO_COMMUNICATION, BAD_UNEXPECTED_ERROR
from server.store import Batch

BAD_HISTORY_OPERATION_UNSUPPORTED = 0x8072_0000


class HistoryError(Exception):
    """The historian cannot do what is asked; the text says why, `status` is the StatusCode to answer."""

    status = BAD_UNEXPECTED_ERROR


class UnsupportedError(HistoryError):
    """What is asked is nothing that the backend ever does."""

    status = BAD_HISTORY_OPERATION_UNSUPPORTED


class UnreachableError(HistoryError):
    """The backend is elsewhere, and does not answer."""

    status = BAD_NO_COMMUNICATION


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of one variable, oldest first, every timestamp once; columns of shape (n,).

    `stamps` are source timestamps in ticks, `bits` each value's 8 bytes as the store has them; `texts` holds the values
    of a String variable, None where it is null, and is None for any other type.
    """

    stamps: NDArray[np.int64]
    bits: NDArray[np.uint64]
    statuses: NDArray[np.uint32]
    texts: tuple[str | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.stamps)

    def take(self, rows: NDArray[np.intp] | slice) -> "Samples":
        """Return some of the samples."""
        texts = self.texts
        if texts is not None:
            texts = texts[rows] if isinstance(rows, slice) else tuple(texts[row] for row in rows.tolist())
        return Samples(self.stamps[rows], self.bits[rows], self.statuses[rows], texts)


def no_samples(*, text: bool = False) -> Samples:
    """Return no samples, of a String variable or of another."""
    return Samples(np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint32), () if text else None)


def join(parts: Sequence[Samples]) -> Samples:
    """Put samples of one variable behind each other."""
    if len(parts) == 1:
        return parts[0]
    texts: tuple[str | None, ...] | None = None
    if parts and parts[0].texts is not None:
        texts = tuple(text for part in parts for text in part.texts or ())
    return Samples(
        np.concatenate([part.stamps for part in parts]),
        np.concatenate([part.bits for part in parts]),
        np.concatenate([part.statuses for part in parts]),
        texts,
    )


def ordered(samples: Samples) -> Samples:
    """Return samples by time; of equal timestamps the last one given."""
    stamps = samples.stamps
    steps = np.diff(stamps)
    if bool((steps > 0).all()):
        return samples
    order = np.argsort(stamps, kind="stable")
    steps = np.diff(stamps[order])
    keep = np.append(steps > 0, True) if len(stamps) else np.zeros(0, np.bool_)
    return samples.take(order[keep])


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Samples of one variable with start <= timestamp < end (ticks), oldest first, or newest first with `reverse`.

    `limit` is the most to return, 0 for all. With `bounds` also the last sample before `start` and the first one at
    or after `end`, beside the limit, where there are such.
    """

    variable: int
    start: int
    end: int
    limit: int = 0
    reverse: bool = False
    bounds: bool = False


@dataclass(frozen=True, slots=True)
class Modified:
    """Samples that were changed or deleted, in the order in which that was done; columns of shape (n,).

    `types` are HistoryUpdateType (1 insert, 2 replace, 3 update, 4 delete), `times` when (ticks), `users` who.
    """

    samples: Samples
    types: NDArray[np.int64]
    times: NDArray[np.int64]
    users: tuple[str, ...]


class Update(enum.IntEnum):
    """What HistoryUpdate may do with a sample (PerformUpdateType, OPC 10000-11 6.9.2)."""

    INSERT = 1
    REPLACE = 2
    UPDATE = 3


@dataclass(frozen=True, slots=True)
class Retention:
    """How long samples stay: `default` (s), by name of the machine's type, in `max_bytes` of disk at most (0: any).

    Roll-ups by the minute stay `minutes` seconds, those by the hour `hours`.
    """

    default: float = 7 * 86_400.0
    by_type: Mapping[str, float] | None = None
    max_bytes: int = 0
    minutes: float = 90 * 86_400.0
    hours: float = 5 * 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Rollup:
    """Minimum, maximum, mean and count of the Good samples of each interval that has any, oldest first.

    `starts` (ticks) and `counts` are int64, the others float64, all of shape (n,).
    """

    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    minima: NDArray[np.float64]
    maxima: NDArray[np.float64]
    means: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stats:
    """How a historian is doing: rows taken, bytes on the disk, rows waiting in memory, rows that retention removed."""

    rows: int
    bytes: int
    waiting: int
    pruned: int


class Historian(Protocol):
    """What keeps samples; `variable` is `Variable.id` of its plant. What is awaited leaves the event loop free.

    `editable` says whether samples may be changed; else `update`, `delete` and their like raise UnsupportedError.
    """

    editable: bool

    async def append(self, batch: Batch) -> None:
        """Keep rows of the journal; returns once they survive the process."""
        ...

    async def read(self, request: ReadRequest) -> Samples:
        """Return samples of one variable."""
        ...

    async def read_many(self, requests: Sequence[ReadRequest]) -> list[Samples]:
        """Answer several reads."""
        ...

    async def at_time(self, variable: int, stamps: Sequence[int]) -> Samples:
        """Return what is needed to say the value at each of `stamps`: samples there and on both sides."""
        ...

    async def modified(self, request: ReadRequest) -> Modified:
        """Return the samples that were changed or deleted, by the same rules as `read`."""
        ...

    async def rollup(self, variable: int, start: int, end: int, seconds: int) -> Rollup:
        """Return the roll-ups of 60 or 3600 seconds that begin from `start` to before `end` (ticks)."""
        ...

    async def update(self, variable: int, samples: Samples, how: Update, user: str) -> list[int]:
        """Insert or replace samples; returns a StatusCode a sample (OPC 10000-11 6.9.2)."""
        ...

    async def delete(self, variable: int, start: int, end: int, user: str) -> int:
        """Delete samples with start <= timestamp < end; returns how many there were."""
        ...

    async def delete_at(self, variable: int, stamps: Sequence[int], user: str) -> list[int]:
        """Delete samples at exact timestamps; returns a StatusCode a timestamp (OPC 10000-11 6.9.5)."""
        ...

    async def delete_modified(self, variable: int, start: int, end: int) -> int:
        """Forget what is kept of changed samples with start <= timestamp < end; returns how many there were."""
        ...

    def oldest(self, variable: int) -> int | None:
        """Return the timestamp of the oldest sample (ticks), None when there is none; at once, from memory."""
        ...

    def kept(self, variable: int) -> float:
        """Return how long samples of a variable stay (s)."""
        ...

    async def prune(self, now: int) -> int:
        """Bring roll-ups up to date, remove what is too old or too much at `now` (ticks); returns the rows removed."""
        ...

    def stats(self) -> Stats:
        """Return how the historian is doing."""
        ...

    async def close(self) -> None:
        """Let go of files and threads."""
        ...

"""Samples for tests, and a plain list that says what a historian must answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from address_space.model import BuiltinType
from server.history.archive import Archive
from server.history.head import Rows
from server.history.ports import ReadRequest, Samples
from server.store.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS

SECOND = TICKS_PER_SECOND
NOON = UNIX_EPOCH_TICKS + 1_700_049_600 * SECOND
"""2023-11-15 12:00:00."""

KEYS = (("Plant.A", BuiltinType.Double), ("Plant.B", BuiltinType.Int32), ("Plant.C", BuiltinType.String))
Row = tuple[int, int, Any, int]
"""Place of the variable in KEYS, timestamp, value, status."""


def bits_of(value: Any, builtin: BuiltinType) -> int:
    if builtin is BuiltinType.Double:
        return int(np.array([value], "<f8").view("<u8")[0])
    return int(value) & 0xFFFF_FFFF if builtin is BuiltinType.Int32 else 0


def rows_of(archive: Archive, rows: Sequence[Row]) -> Rows:
    places = np.array([row[0] for row in rows], np.intp)
    bits = [bits_of(value, archive.keys[place][1]) for place, _, value, _ in rows]
    samples = Samples(
        np.array([row[1] for row in rows], np.int64),
        np.array(bits, np.uint64),
        np.array([row[3] for row in rows], np.uint32),
    )
    texts = {at: row[2] for at, row in enumerate(rows) if archive.keys[row[0]][1] is BuiltinType.String}
    return Rows(archive.numbers[places], samples, texts)


def samples_of(rows: Sequence[tuple[int, Any, int]], builtin: BuiltinType) -> Samples:
    """Return samples of one variable: (timestamp, value, status)."""
    is_text = builtin is BuiltinType.String
    return Samples(
        np.array([row[0] for row in rows], np.int64),
        np.array([bits_of(row[1], builtin) for row in rows], np.uint64),
        np.array([row[2] for row in rows], np.uint32),
        tuple(row[1] for row in rows) if is_text else None,
    )


def plain(samples: Samples) -> list[tuple[int, Any, int]]:
    """Return samples as (timestamp, bits or text, status)."""
    values: Any = samples.bits.tolist() if samples.texts is None else samples.texts
    return list(zip(samples.stamps.tolist(), values, samples.statuses.tolist(), strict=True))


class PlainHistory:
    """What a historian must answer, in dictionaries."""

    def __init__(self) -> None:
        self.kept: dict[int, dict[int, tuple[Any, int]]] = {place: {} for place in range(len(KEYS))}

    def append(self, rows: Sequence[Row]) -> None:
        for place, stamp, value, status in rows:
            self.kept[place][stamp] = (value, status)

    def read(self, request: ReadRequest) -> list[tuple[int, Any, int]]:
        builtin = KEYS[request.variable][1]
        history = sorted(self.kept[request.variable].items())
        seen = [
            (stamp, value if builtin is BuiltinType.String else bits_of(value, builtin), status)
            for stamp, (value, status) in history
        ]
        inside = [row for row in seen if request.start <= row[0] < request.end]
        before = [row for row in seen if row[0] < request.start][-1:]
        after = [row for row in seen if row[0] >= request.end][:1]
        if request.reverse:
            inside, before, after = inside[::-1], after, before
        if request.limit:
            cut = len(inside) >= request.limit
            inside, after = inside[: request.limit], [] if cut else after
        return [*before, *inside, *after] if request.bounds else inside


def archive(folder: Path, **options: Any) -> Archive:
    return Archive(folder / "history.sqlite", KEYS, **options)

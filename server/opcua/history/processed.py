"""ReadProcessedDetails and ReadAtTimeDetails: aggregates and interpolated values (OPC 10000-11 6.5.4, 6.5.5)."""

import asyncio
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType, Variable
from server.history import Historian, Samples
from server.history.aggregates import (
    AGGREGATES,
    Aggregate,
    Configuration,
    Data,
    Intervals,
    Kind,
    Processed,
    at_times,
    compute,
    split,
)
from server.history.around import with_neighbours
from server.history.rollups import floats
from server.opcua.history import answers, rolled
from server.store.ticks import TICKS_PER_SECOND
from server.store.values import VALUE_DTYPES

_SPAN = 3600 * TICKS_PER_SECOND
"""How much time is looked at first; then more or less, so that it holds some number of samples, which fit a cache."""
_FEW, _MANY = 50_000, 200_000
_BY_ROW = ("Interpolative", "Start", "End", "StartBound", "EndBound")
"""Aggregates that give back values as they are, where these are not drawn as lines: so of Strings too."""


@dataclass(frozen=True, slots=True)
class ProcessedRead:
    """What is still to be worked out: intervals of `width` from `start` to `end` (ticks)."""

    variable: Variable
    aggregate: Aggregate
    configuration: Configuration
    start: int
    end: int
    width: int


@dataclass(frozen=True, slots=True)
class Page:
    """Encoded HistoryData, and what is still to be worked out (None: nothing)."""

    data: bytes
    rest: ProcessedRead | None


def fits(aggregate: Aggregate, variable: Variable, configuration: Configuration) -> bool:
    """Whether an aggregate can be worked out of a variable's values."""
    if variable.declaration.type is BuiltinType.String:
        by_row = aggregate.name in _BY_ROW and configuration.stepped
        return by_row or aggregate.name in ("Start", "End") or not aggregate.numbers_only
    return True


async def read(historian: Historian, wanted: ProcessedRead, room: int, most: int) -> Page:
    """Return the next page: at most `most` values and about `room` bytes.

    Where the samples are gone, what can be said from the roll-ups is said from those.
    """
    count = max(1, min(most, room // _size(wanted)))
    sign = -1 if wanted.end < wanted.start else 1
    parts: list[bytes] = []
    done = 0
    start, span = wanted.start, _SPAN
    while start != wanted.end and done < count:
        step = min(count - done, max(1, span // wanted.width)) * wanted.width
        gone = _without_samples(historian, wanted, start, sign)
        step = min(step, abs(gone) or step)
        until = min(start + step, wanted.end) if sign > 0 else max(start - step, wanted.end)
        intervals = split(start, until, wanted.width)
        if gone > 0:
            found = await rolled.compute(historian, wanted.variable.id, wanted.aggregate.name, intervals)
            parts.append(_as_declared(wanted, found))
        else:
            low, high = int(intervals.lows[0]), int(intervals.highs[-1])
            samples = await with_neighbours(historian, wanted.variable.id, low, high)
            parts.append(await asyncio.to_thread(_encoded, wanted, samples, intervals))
            span = span * 4 if len(samples) < _FEW else span // 2 if len(samples) > _MANY else span
        done += len(intervals)
        start = until
    rest = None if start == wanted.end else replace(wanted, start=start)
    return Page(answers.data(b"".join(parts), done), rest)


def _without_samples(historian: Historian, wanted: ProcessedRead, start: int, sign: int) -> int:
    """Return for how much time (ticks) from `start` on the roll-ups have the say; negative: for how much they do not.

    0 means that they have no say at all.
    """
    oldest = historian.oldest(wanted.variable.id)
    if oldest is None or not rolled.fits(wanted.aggregate.name, wanted.start, wanted.width):
        return 0
    whole = (oldest - start) // wanted.width if sign > 0 else (start - oldest) // wanted.width
    if sign > 0:
        return max(whole, 0) * wanted.width
    return -(whole + 1) * wanted.width if start > oldest else max(start - wanted.end, wanted.width)


async def read_at(
    historian: Historian, variable: Variable, configuration: Configuration, times: tuple[int, ...], *, simple: bool
) -> bytes:
    """Return HistoryData of a variable's values at `times` (ticks), in their order."""
    samples = await historian.at_time(variable.id, times)
    by_row = configuration.stepped or variable.declaration.type is BuiltinType.String
    configuration = replace(configuration, stepped=by_row)
    wanted = np.array(times, np.int64)

    def work() -> bytes:
        values = _rows(samples) if by_row else floats(samples, variable.declaration.type)
        usable = Data(samples.stamps, values, samples.statuses, configuration)
        found = at_times(usable, wanted, simple_bounds=simple)
        encoded = _by_row(samples, found, variable) if by_row else _as_source(found, variable)
        return answers.data(encoded, len(times))

    return await asyncio.to_thread(work)


def _encoded(wanted: ProcessedRead, samples: Samples, intervals: Intervals) -> bytes:
    variable, aggregate = wanted.variable, wanted.aggregate
    by_row = aggregate.name in _BY_ROW and (wanted.configuration.stepped or aggregate.name in ("Start", "End"))
    is_text = variable.declaration.type is BuiltinType.String
    values = _rows(samples) if by_row or is_text else floats(samples, variable.declaration.type)
    usable = Data(samples.stamps, values, samples.statuses, wanted.configuration)
    found = compute(aggregate.name, usable, intervals)
    return _by_row(samples, found, variable) if by_row else _as_declared(wanted, found)


def _as_declared(wanted: ProcessedRead, found: Processed) -> bytes:
    """Return values encoded as those of the aggregate are."""
    aggregate = wanted.aggregate
    if aggregate.kind is Kind.STATUS:
        return answers.status_values(found.values, found.statuses, found.stamps)
    if aggregate.kind is Kind.SOURCE:
        return _as_source(found, wanted.variable)
    if aggregate.kind is Kind.INT32:
        whole = np.nan_to_num(found.values).astype("<i4")
        return answers.columns(whole, int(BuiltinType.Int32), found.statuses, found.stamps)
    return answers.columns(found.values, int(BuiltinType.Double), found.statuses, found.stamps)


def _rows(samples: Samples) -> NDArray[np.float64]:
    """Return the number of each sample in place of its value: what is only handed on needs no arithmetic."""
    return np.arange(len(samples), dtype=np.float64)


def _by_row(samples: Samples, found: Processed, variable: Variable) -> bytes:
    known = ~np.isnan(found.values)
    row = np.where(known, found.values, 0).astype(np.intp)
    texts = samples.texts
    if texts is not None:
        texts = tuple(
            texts[place] if there else None for place, there in zip(row.tolist(), known.tolist(), strict=True)
        )
    bits = np.where(known, samples.bits[row], np.uint64(0)) if len(samples) else np.zeros(len(row), np.uint64)
    return answers.values(Samples(found.stamps, bits, found.statuses, texts), variable.declaration.type)


def _as_source(found: Processed, variable: Variable) -> bytes:
    builtin = variable.declaration.type
    dtype = np.dtype(VALUE_DTYPES[builtin])
    values = np.nan_to_num(found.values, nan=0.0) if dtype.kind != "f" else found.values
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), float(limits.min), float(limits.max))
    elif dtype.kind == "b":
        values = values != 0
    with np.errstate(over="ignore", invalid="ignore"):
        column = values.astype(dtype)
    return answers.columns(column, int(builtin), found.statuses, found.stamps)


def _size(wanted: ProcessedRead) -> int:
    return 256 if wanted.variable.declaration.type is BuiltinType.String else answers.BYTES_A_VALUE


def plan(
    variable: Variable, name: str, configuration: Configuration, start: int, end: int, interval: float
) -> ProcessedRead | None:
    """Return what a request asks for; None where its times make no sense (OPC 10000-11 6.5.4.2)."""
    if start == end or 0 in (start, end) or not 0 <= interval < 1e15:
        return None
    width = round(interval * TICKS_PER_SECOND / 1000)
    if interval > 0 and width == 0:
        return None
    return ProcessedRead(variable, AGGREGATES[name], configuration, start, end, width or abs(end - start))

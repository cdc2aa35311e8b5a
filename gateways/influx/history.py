"""History out of the time-series database: HistoryRead answers from what the gateway wrote, which Grafana shows too.

It is read only: what is in the database came from the gateway. VictoriaMetrics keeps times to the millisecond.
"""

import contextlib
from collections.abc import Sequence

import numpy as np

from address_space.model import BuiltinType, Plant
from gateways.influx.mapping import observation
from gateways.influx.peer import Peer, PeerError, RefusedError, connect
from gateways.influx.queries import Row, influxql, victoria
from gateways.influx.settings import Database, InfluxSettings
from server.historian import Backend
from server.history import (
    Historian,
    HistoryError,
    ReadRequest,
    Rollup,
    Samples,
    Stats,
    UnreachableError,
    UnsupportedError,
)
from server.history.ports import Modified, Update, join, no_samples, ordered
from server.history.rollups import roll
from server.quality import is_bad
from server.settings import HistorianSettings
from server.store import Batch, now_ticks
from server.store.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from server.store.values import VALUE_DTYPES

_FIRST_SPAN = 60 * TICKS_PER_SECOND
"""How much time is asked for first where only so many samples are wanted; four times as much with each try."""
_AHEAD = 3600 * TICKS_PER_SECOND
"""How far ahead of this clock a sample may be."""
_FOR_EVER_S = 10 * 365 * 86_400.0
_AROUND = 64
_TICKS = {"influxdb": 1, "victoriametrics": 10_000}


def backend(plant: Plant, settings: InfluxSettings, _historian: HistorianSettings) -> Backend:
    """Return the backend; the database need not be there yet when it is opened."""

    async def open_() -> Historian:
        stack = contextlib.AsyncExitStack()
        peer = await stack.enter_async_context(connect(settings))
        return DatabaseHistorian(plant, settings, peer, stack)

    return Backend(open_, fed=False)


class DatabaseHistorian:
    """A `Historian` that asks the database of the gateway's settings; UnreachableError where that cannot answer."""

    editable = False

    def __init__(self, plant: Plant, settings: InfluxSettings, peer: Peer, stack: contextlib.AsyncExitStack) -> None:
        self._plant = plant
        self._settings = settings
        self._peer = peer
        self._stack = stack
        self._database: Database | None = None

    async def append(self, batch: Batch) -> None:
        """Do nothing: the gateway writes."""

    async def read(self, request: ReadRequest) -> Samples:
        """Return samples of one variable."""
        variable, start, end = request.variable, request.start, request.end
        if request.reverse:
            found = await self._before(variable, start, end, request.limit)
        else:
            found = await self._from(variable, start, end, request.limit)
        if request.bounds:
            parts = [
                await self._before(variable, -(2**63), start, 1),
                found,
                await self._from(variable, end, 2**63 - 1, 1),
            ]
            if request.limit and len(found) >= request.limit:
                parts = parts[1:] if request.reverse else parts[:2]
            found = join(parts)
        return found.take(slice(None, None, -1)) if request.reverse else found

    async def read_many(self, requests: Sequence[ReadRequest]) -> list[Samples]:
        """Answer several reads."""
        return [await self.read(request) for request in requests]

    async def at_time(self, variable: int, stamps: Sequence[int]) -> Samples:
        """Return the samples from before the first of `stamps` to after the last one."""
        first, last = min(stamps), max(stamps)
        before = await self._before(variable, -(2**63), first, _AROUND)
        inside = await self._from(variable, first, last + 1, 0)
        after = await self._from(variable, last + 1, 2**63 - 1, _AROUND)
        return ordered(join([before, inside, after]))

    async def rollup(self, variable: int, start: int, end: int, seconds: int) -> Rollup:
        """Return roll-ups, worked out of the samples."""
        width = seconds * TICKS_PER_SECOND
        first = start + -start % width
        samples = await self._from(variable, first, end + -end % width, 0)
        starts, table = roll(samples, self._plant.variables[variable].declaration.type, width)
        return Rollup(starts, table["count"].astype(np.int64), table["least"], table["most"], table["mean"])

    async def modified(self, request: ReadRequest) -> Modified:
        """Refuse: the database does not keep what was there before."""
        raise UnsupportedError("the time-series database keeps no changes")

    async def update(self, variable: int, samples: Samples, how: Update, user: str) -> list[int]:
        """Refuse."""
        raise UnsupportedError("history in the time-series database cannot be changed from here")

    async def delete(self, variable: int, start: int, end: int, user: str) -> int:
        """Refuse."""
        raise UnsupportedError("history in the time-series database cannot be changed from here")

    async def delete_at(self, variable: int, stamps: Sequence[int], user: str) -> list[int]:
        """Refuse."""
        raise UnsupportedError("history in the time-series database cannot be changed from here")

    async def delete_modified(self, variable: int, start: int, end: int) -> int:
        """Refuse."""
        raise UnsupportedError("the time-series database keeps no changes")

    def oldest(self, variable: int) -> int | None:
        """Return None: it cannot be known without asking."""
        return None

    def kept(self, variable: int) -> float:
        """Return how long the database is told to keep samples (s)."""
        return self._settings.retention.raw_days * 86_400.0 or _FOR_EVER_S

    async def prune(self, now: int) -> int:
        """Do nothing: the database has its own retention."""
        return 0

    def stats(self) -> Stats:
        """Return nothing: the gateway's figures say what was delivered."""
        return Stats(0, 0, 0, 0)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._stack.aclose()

    async def _from(self, variable: int, start: int, end: int, limit: int) -> Samples:
        """Return samples with start <= stamp < end, the first `limit` of them; later and later stretches of time."""
        low, high = self._clamped(variable, start, end)
        span = _FIRST_SPAN if limit else high - low
        found = self._none(variable)
        while low < high and (limit == 0 or len(found) < limit):
            until = min(low + span, high)
            found = ordered(join([found, await self._stretch(variable, start, low, until)]))
            low, span = until, span * 4
        return found.take(slice(0, limit)) if limit else found

    async def _before(self, variable: int, start: int, end: int, limit: int) -> Samples:
        """Return samples with start <= stamp < end, the last `limit` of them; earlier and earlier stretches of time."""
        low, high = self._clamped(variable, start, end)
        span = _FIRST_SPAN if limit else high - low
        found = self._none(variable)
        while low < high and (limit == 0 or len(found) < limit):
            begin = max(high - span, low)
            found = ordered(join([await self._stretch(variable, start, begin, high), found]))
            high, span = begin, span * 4
        return found.take(slice(max(0, len(found) - limit), None)) if limit else found

    async def _stretch(self, variable: int, start: int, low: int, high: int) -> Samples:
        """Return the samples that lines of low <= time < high tell of.

        A heartbeat tells of a sample before it: that counts too, unless it is before `start`.
        """
        path = self._plant.variables[variable].path
        try:
            database = self._database = self._database or await self._peer.database()
            ask = victoria if database == "victoriametrics" else influxql
            last = high - 1
            begin, until = low - UNIX_EPOCH_TICKS, last - UNIX_EPOCH_TICKS
            rows = await ask(self._peer.get, self._settings.bucket, begin, until, [path])
        except (PeerError, RefusedError) as error:
            raise UnreachableError(f"the time-series database cannot be asked: {error}") from error
        except (ValueError, KeyError, IndexError) as error:
            raise HistoryError(f"the time-series database answers what cannot be read: {error!r}") from error
        inside = [row for row in rows if low <= row.ticks + UNIX_EPOCH_TICKS < high]
        found = ordered(_samples(self._plant, variable, inside, _TICKS[database]))
        return found.take(np.flatnonzero((found.stamps >= start) & (found.stamps < high)))

    def _clamped(self, variable: int, start: int, end: int) -> tuple[int, int]:
        now = now_ticks()
        oldest = max(UNIX_EPOCH_TICKS, now - int(self.kept(variable) * TICKS_PER_SECOND))
        return max(start, oldest), min(end, now + _AHEAD)

    def _none(self, variable: int) -> Samples:
        return no_samples(text=self._plant.variables[variable].declaration.type is BuiltinType.String)


def _samples(plant: Plant, variable: int, rows: Sequence[Row], resolution: int) -> Samples:
    """Turn lines back into the samples that they tell of; times in multiples of `resolution` ticks."""
    declared = plant.variables[variable]
    builtin = declared.declaration.type
    ages = np.array([0 if row.age is None else round(row.age * TICKS_PER_SECOND) for row in rows], np.int64)
    stamps = (np.array([row.ticks for row in rows], np.int64) - ages) // resolution * resolution + UNIX_EPOCH_TICKS
    statuses = np.array([row.status for row in rows], np.uint32)
    values = [observation(declared, row.value, row.text, row.status, 0).value for row in rows]
    # Of a heartbeat and its sample the sample has the say: it comes last.
    order = np.argsort(ages == 0, kind="stable")
    if builtin is BuiltinType.String:
        texts = tuple(None if bad else value for value, bad in zip(values, is_bad(statuses).tolist(), strict=True))
        return Samples(stamps, np.zeros(len(rows), np.uint64), statuses, texts).take(order)
    dtype = np.dtype(VALUE_DTYPES[builtin])
    missing = np.nan if dtype.kind == "f" else 0
    column = np.array([missing if value is None else value for value in values], dtype)
    return Samples(stamps, column.view(f"<u{dtype.itemsize}").astype(np.uint64), statuses).take(order)

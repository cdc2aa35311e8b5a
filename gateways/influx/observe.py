"""What the database shows of the tree, asked as dashboards ask: for `python -m server verify`."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from functools import partial

from address_space.model import BuiltinType, Plant, Variable
from gateways.influx.heartbeat import MARGIN_S
from gateways.influx.mapping import TEXT_BYTES, cut, observation
from gateways.influx.peer import Peer, PeerError, RefusedError, connect
from gateways.influx.protocol import untag
from gateways.influx.queries import Row, influxql, victoria
from gateways.influx.settings import Database, InfluxSettings
from gateways.observing import Observation, ObserveError, Plane
from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS

_SETTLE_S = 2.0
"""What was written is found by queries within a second (VictoriaMetrics)."""
_LOOK_BACK_S = 3600.0
_ONE_QUERY = 50  # variables
_RELATIVE = 1e-11  # VictoriaMetrics keeps twelve digits of a number, or more
_TICKS = {"influxdb": 10, "victoriametrics": 10_000}
_RESOLUTION = {
    "influxdb": "values exact as Float64, texts to 65,000 bytes, StatusCode exact, time to the µs",
    "victoriametrics": "values to 11 digits, texts to 4,000 bytes, StatusCode exact, time to the ms",
}


async def observe(plant: Plant, settings: InfluxSettings, seconds: float) -> list[Plane]:
    """Wait for some seconds, then read back what the database has got in them; raises ObserveError.

    Of a variable that did not change the newest sample is read: a heartbeat shows it, and how old it is.
    """
    began = now_ticks()
    await asyncio.sleep(seconds)
    ended = now_ticks()
    await asyncio.sleep(_SETTLE_S)
    back = max(2 * (settings.heartbeat + MARGIN_S), 10.0) if settings.heartbeat else _LOOK_BACK_S
    try:
        async with connect(settings) as peer:
            database = await peer.database()
            read = partial(_read, peer, settings.bucket, database)
            rows = await read(began - int(MARGIN_S * TICKS_PER_SECOND), ended, None)
            missing = sorted({variable.path for variable in plant.variables} - {row.node for row in rows})
            for start in range(0, len(missing), _ONE_QUERY):
                nodes = missing[start : start + _ONE_QUERY]
                rows += _newest(await read(began - int(back * TICKS_PER_SECOND), ended, nodes))
    except (PeerError, RefusedError) as error:
        raise ObserveError(f"the time-series database cannot be asked: {error}") from error
    seen = [_observation(plant, row) for row in rows if plant.find(row.node) is not None]
    return [Plane(database, _RESOLUTION[database], seen, partial(same, database))]


async def _read(
    peer: Peer, bucket: str, database: Database, start: int, end: int, nodes: Sequence[str] | None
) -> list[Row]:
    ask = victoria if database == "victoriametrics" else influxql
    return await ask(peer.get, bucket, start - UNIX_EPOCH_TICKS, end - UNIX_EPOCH_TICKS, nodes)


def _newest(rows: Iterable[Row]) -> list[Row]:
    newest: dict[str, Row] = {}
    for row in rows:
        if row.node not in newest or row.ticks > newest[row.node].ticks:
            newest[row.node] = row
    return list(newest.values())


def _observation(plant: Plant, row: Row) -> Observation:
    """Turn a row back into the sample; of a heartbeat into the one that it repeats."""
    age = 0 if row.age is None else round(row.age * TICKS_PER_SECOND)
    variable = plant.variable(row.node)
    return observation(variable, row.value, row.text, row.status, row.ticks - age + UNIX_EPOCH_TICKS)


def same(database: Database, variable: Variable, truth: Observation, seen: Observation) -> bool:
    """Tell whether a sample is the one of the tree, within what the database keeps."""
    if truth.source_timestamp is None or seen.source_timestamp is None:
        return False
    if abs(truth.source_timestamp - seen.source_timestamp) > _TICKS[database] or truth.status != seen.status:
        return False
    if isinstance(truth.value, float) and not math.isfinite(truth.value):
        return seen.value is None  # never sent
    if truth.value is None or seen.value is None:
        return truth.value is None and seen.value is None
    kind = variable.declaration.type
    if kind is BuiltinType.String:
        return untag(cut(str(truth.value), TEXT_BYTES[database])) == seen.value
    if kind is BuiltinType.DateTime:
        return _close(database, truth.value - UNIX_EPOCH_TICKS, seen.value - UNIX_EPOCH_TICKS, 10)
    return _close(database, float(truth.value), float(seen.value), 0)


def _close(database: Database, truth: float, seen: float, ticks: int) -> bool:
    relative = _RELATIVE if database == "victoriametrics" else 0.0
    return math.isclose(truth, seen, rel_tol=relative, abs_tol=ticks or (1e-300 if relative else 0.0))

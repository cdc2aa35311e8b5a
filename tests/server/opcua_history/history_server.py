"""A whole server with a historian that the test fills, and HistoryRead as asyncua's client sends it."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import Client, ua

from server.assembly import Plantree
from server.history import Retention
from server.history.embedded import EmbeddedHistorian
from server.history.feed import HistoryFeed
from server.opcua.history import wiring
from server.opcua.history.policy import HistoryPolicy
from server.opcua.history.service import HistoryService
from server.ports import CommandError
from server.security.principal import Principal
from server.settings import HistorianSettings
from server.store import Batch, from_ticks, to_ticks
from tests.server.opcua.opcua_rig import nid, plant_file, session, settings

PRESSES = "  Press[1..200]: {type: PressType}\n"
NOON = to_ticks(datetime(2023, 11, 15, 12, 0, 0))
SECOND = 10_000_000
Row = tuple[float, Any] | tuple[float, Any, int]
"""Seconds after noon, value, status."""


@dataclass(frozen=True)
class Press:
    """Paths of the variables of one press."""

    path: str

    @property
    def speed(self) -> str:
        return f"{self.path}.Speed"

    @property
    def count(self) -> str:
        return f"{self.path}.Count"

    @property
    def label(self) -> str:
        return f"{self.path}.Label"

    @property
    def state(self) -> str:
        return f"{self.path}.State"

    @property
    def secret(self) -> str:
        return f"{self.path}.Secret"


@dataclass
class HistoryServer:
    """A server, its historian, and what was told to the audit trail."""

    plantree: Plantree
    historian: EmbeddedHistorian
    service: HistoryService
    feed: HistoryFeed
    audited: list[tuple[Any, ...]] = field(default_factory=list)

    async def keep(self, path: str, rows: Sequence[Row]) -> None:
        """Put samples into history: seconds after noon, value, status."""
        variable = self.plantree.plant.variable(path)
        full = [(*row, 0)[:3] for row in rows]
        ids = np.full(len(rows), variable.id, np.int64)
        stamps = np.array([NOON + round(row[0] * SECOND) for row in full], np.int64)
        statuses = np.array([row[2] for row in full], np.uint32)
        objects: dict[int, Any] = {}
        bits = np.zeros(len(rows), np.uint64)
        if path.endswith(".Label"):
            objects = {place: row[1] for place, row in enumerate(full)}
        elif path.endswith((".Speed", ".Secret")):
            bits = np.array([row[1] for row in full], np.float64).view(np.uint64)
        else:
            bits = np.array([row[1] for row in full], np.int32).view(np.uint32).astype(np.uint64)
        await self.historian.append(Batch(ids, bits, statuses, stamps, objects))

    def session(self, user: str | None = "Observer") -> Any:
        return session(self.plantree, user)


@contextlib.asynccontextmanager
async def serving(folder: Path, retention: Retention | None = None) -> AsyncGenerator[HistoryServer]:
    """Run a server of one press with a historian in `folder`; a second time it is a restart."""
    given = settings(folder, plant_file(folder, PRESSES))
    given = given.model_copy(update={"historian": HistorianSettings(enabled=False)})  # the test has its own
    plantree = Plantree(given)
    historian = await EmbeddedHistorian.open(given.data_dir / "history.sqlite", plantree.plant, retention)
    policy = HistoryPolicy()
    wiring.add_nodes(plantree.opcua.space, historian, policy)
    feed = HistoryFeed(plantree.store, historian, interval=0.01)
    audited: list[tuple[Any, ...]] = []

    async def audit(
        principal: Principal, origin: str, action: str, arguments: Sequence[Any], fault: CommandError | None
    ) -> None:
        audited.append((principal.name, origin, action, list(arguments), None if fault is None else fault.status))

    try:
        await plantree.start()
        service = await wiring.add_services(plantree.opcua.space, plantree.opcua.internal, historian, audit, policy)
        yield HistoryServer(plantree, historian, service, feed, audited)
    finally:
        await plantree.stop()
        feed.close()
        await historian.close()


def at(seconds: float) -> datetime:
    """Return a time so many seconds after noon."""
    return from_ticks(NOON + round(seconds * SECOND))


def when(stamp: datetime) -> float:
    """Return how many seconds after noon a time is."""
    return (to_ticks(stamp) - NOON) / SECOND


def raw(
    start: float | None, end: float | None, most: int = 0, *, bounds: bool = False, modified: bool = False
) -> ua.ReadRawModifiedDetails:
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = modified
    details.StartTime = ua.get_win_epoch() if start is None else at(start)
    details.EndTime = ua.get_win_epoch() if end is None else at(end)
    details.NumValuesPerNode = most
    details.ReturnBounds = bounds
    return details


def processed(
    start: float, end: float, interval: float, *aggregates: str, configuration: Any = None
) -> ua.ReadProcessedDetails:
    details = ua.ReadProcessedDetails()
    details.StartTime, details.EndTime, details.ProcessingInterval = at(start), at(end), interval * 1000
    details.AggregateType = [ua.NodeId(getattr(ua.ObjectIds, f"AggregateFunction_{name}")) for name in aggregates]
    details.AggregateConfiguration = configuration or ua.AggregateConfiguration(UseServerCapabilitiesDefaults=True)
    return details


def at_time(*seconds: float, simple: bool = False) -> ua.ReadAtTimeDetails:
    return ua.ReadAtTimeDetails(ReqTimes=[at(second) for second in seconds], UseSimpleBounds=simple)


async def read(
    client: Client, details: Any, *paths: str | ua.NodeId, points: Sequence[bytes | None] = (), release: bool = False,
    timestamps: ua.TimestampsToReturn = ua.TimestampsToReturn.Source, index_range: str | None = None,
) -> list[ua.HistoryReadResult]:  # fmt: skip
    parameters = ua.HistoryReadParameters()
    parameters.HistoryReadDetails = details
    parameters.TimestampsToReturn = timestamps
    parameters.ReleaseContinuationPoints = release
    for place, path in enumerate(paths):
        node = path if isinstance(path, ua.NodeId) else nid(path)
        wanted = ua.HistoryReadValueId(NodeId=node, IndexRange=index_range)
        wanted.DataEncoding = ua.QualifiedName()
        wanted.ContinuationPoint = points[place] if points else None
        parameters.NodesToRead.append(wanted)
    return await client.uaclient.history_read(parameters)


async def update(client: Client, *details: Any) -> list[ua.HistoryUpdateResult]:
    request = ua.HistoryUpdateRequest()
    request.Parameters.HistoryUpdateDetails = list(details)
    data = await client.uaclient.protocol.send_request(request)
    response = ua.ua_binary.struct_from_binary(ua.HistoryUpdateResponse, data)
    response.ResponseHeader.ServiceResult.check()
    return response.Results


def data_of(result: ua.HistoryReadResult) -> Any:
    """Return the HistoryData or HistoryModifiedData of a result."""
    found: Any = result.HistoryData
    return found


def rows(result: ua.HistoryReadResult) -> list[tuple[float, Any, str]]:
    """Return (seconds after noon, value, status name) of each value."""
    values = data_of(result).DataValues or []
    return [
        (when(value.SourceTimestamp), None if value.Value is None else value.Value.Value, status_of(value))
        for value in values
    ]


def status_of(value: ua.DataValue) -> str:
    return "Good" if value.StatusCode is None else value.StatusCode.name


def codes(result: ua.HistoryReadResult) -> list[int]:
    return [0 if value.StatusCode is None else value.StatusCode.value for value in data_of(result).DataValues or []]

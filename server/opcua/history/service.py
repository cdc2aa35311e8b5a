"""HistoryRead and HistoryUpdate, from request bytes to response bytes (OPC 10000-4 5.10.3, 5.10.5)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from asyncua import ua
from asyncua.common.utils import ServiceError

from address_space.model import Role, Variable
from server import logs
from server.history import Historian, HistoryError
from server.history.aggregates import AGGREGATES, Configuration
from server.opcua.history import answers, codes, processed, raw, requests, update
from server.opcua.history.points import HistoryPoints, PointsOfSessions
from server.opcua.history.policy import HistoryPolicy
from server.opcua.history.requests import (
    AtTimeDetails,
    EventDetails,
    HistoryRead,
    ProcessedDetails,
    RawDetails,
    ReadNode,
)
from server.opcua.history.update import Audit
from server.opcua.locales import Locale
from server.opcua.space import PlantAddressSpace
from server.opcua.view_requests import MalformedError
from server.opcua.wire import Request, response_header, service_fault
from server.ports import CommandError
from server.security.principal import Principal

log = logs.get(__name__)

MAX_NODES = 1000
"""OperationLimits.MaxNodesPerHistoryReadData and MaxNodesPerHistoryUpdateData."""
MAX_VALUES = 100_000
"""HistoryServerCapabilities.MaxReturnDataValues: of one node in one response."""
MAX_TIMES = 10_000
_COUNT = struct.Struct("<i")
_NO_DIAGNOSTICS = b"\x00\x00\x00\x00"
_FRAME = 512
"""Bytes that a response takes beside the values of its nodes, and each node's result beside its values."""
_SOURCE, _SERVER, _NEITHER = 0, 1, 3
"""TimestampsToReturn."""


class Session(Protocol):
    """What of a session history needs to know."""

    @property
    def principal(self) -> Principal:
        """Who is on it."""
        ...

    @property
    def locale(self) -> Locale | None:
        """Its language; None: the plant file's."""
        ...

    @property
    def origin(self) -> str:
        """From where, like `opcua 10.0.0.7`."""
        ...


class EventHistory(Protocol):
    """What answers ReadEventDetails: `server.opcua.events.history.StoredEvents`."""

    async def read(
        self, nodeid: ua.NodeId, details: bytes, point: bytes, principal: Principal, room: int, points: HistoryPoints,
        locale: Locale | None = None,
    ) -> bytes:  # fmt: skip
        """Return one HistoryReadResult as it goes on the wire; `details` is the body of a ReadEventDetails."""
        ...


def _type(name: str) -> bytes:
    return b"\x01\x00" + struct.pack("<H", getattr(ua.ObjectIds, f"{name}_Encoding_DefaultBinary"))


READ, UPDATE = _type("HistoryReadRequest"), _type("HistoryUpdateRequest")
_READ_RESPONSE, _UPDATE_RESPONSE = _type("HistoryReadResponse"), _type("HistoryUpdateResponse")
_AGGREGATE_NAMES: Mapping[int, str] = {getattr(ua.ObjectIds, f"AggregateFunction_{name}"): name for name in AGGREGATES}


class HistoryService:
    """Answers the two services for all sessions; `events` answers what asks for events, once there is one."""

    def __init__(self, space: PlantAddressSpace, historian: Historian, audit: Audit, policy: HistoryPolicy) -> None:
        self.policy = policy
        self.events: EventHistory | None = None
        self._space = space
        self._historian = historian
        self._audit = audit
        self._points = PointsOfSessions()

    async def answer(self, request: Request, session: Session, room: int) -> bytes | None:
        """Return the response, or a ServiceFault; None for a request of another service. `room` in bytes."""
        service = {READ: self._read, UPDATE: self._update}.get(request.type_id)
        if service is None:
            return None
        try:
            return await service(request, session, room)
        except MalformedError:
            return service_fault(request.handle, ua.StatusCodes.BadDecodingError)
        except ServiceError as error:
            return service_fault(request.handle, error.code)

    async def _read(self, request: Request, session: Session, room: int) -> bytes:
        wanted = requests.history_read(request.rest)
        points = self._points.of(session)
        points.begin()
        if not wanted.nodes:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        if len(wanted.nodes) > MAX_NODES:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        if wanted.release:
            for node in wanted.nodes:
                points.take(node.point)
            return _response(_READ_RESPONSE, request, [answers.result(codes.GOOD) for _ in wanted.nodes])
        if wanted.timestamps >= _NEITHER:
            raise ServiceError(ua.StatusCodes.BadTimestampsToReturnInvalid)
        details = wanted.details
        if isinstance(details, ProcessedDetails) and len(details.aggregates) != len(wanted.nodes):
            raise ServiceError(codes.BAD_AGGREGATE_LIST_MISMATCH)
        left = room - _FRAME * (1 + len(wanted.nodes))
        if left < 0:
            raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
        results: list[bytes] = []
        for place, node in enumerate(wanted.nodes):
            share = left // (len(wanted.nodes) - place)
            found = await self._read_node(wanted, place, node, session, points, share)
            left -= max(len(found) - _FRAME, 0)
            if left < 0:
                raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
            results.append(found)
        return _response(_READ_RESPONSE, request, results)

    async def _read_node(
        self, wanted: HistoryRead, place: int, node: ReadNode, session: Session, points: HistoryPoints, room: int
    ) -> bytes:
        details = wanted.details
        if isinstance(details, EventDetails):
            if self.events is None:
                return answers.result(codes.BAD_HISTORY_OPERATION_UNSUPPORTED)
            whose, locale = session.principal, session.locale
            return await self.events.read(node.nodeid, details.body, node.point, whose, room, points, locale)
        variable = self._variable(node.nodeid, session.principal, self.policy.read_role)
        if isinstance(variable, int):
            return answers.result(variable)
        fault = _unusual(wanted, node)
        if fault:
            return answers.result(fault)
        try:
            if node.point:
                return await self._go_on(variable, points.take(node.point), points, room)
            return await self._begin(details, place, variable, points, room)
        except HistoryError as error:
            log.error("history cannot be read", variable=variable.path, error=str(error))
            return answers.result(error.status)

    async def _begin(self, details: Any, place: int, variable: Variable, points: HistoryPoints, room: int) -> bytes:
        configuration = self.policy.configuration(variable.declaration)
        if isinstance(details, RawDetails):
            plan = raw.plan(variable, details)
            return answers.result(plan) if isinstance(plan, int) else await self._raw(plan, points, room)
        if isinstance(details, AtTimeDetails):
            if not details.times or len(details.times) > MAX_TIMES:
                return answers.result(codes.BAD_INVALID_TIMESTAMP_ARGUMENT)
            data = await processed.read_at(
                self._historian, variable, configuration, details.times, simple=details.simple_bounds
            )
            if len(data) > room:
                raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
            return answers.result(codes.GOOD, data)
        if isinstance(details, ProcessedDetails):
            planned = _plan_processed(details, place, variable, configuration)
            return answers.result(planned) if isinstance(planned, int) else await self._processed(planned, points, room)
        return answers.result(codes.BAD_HISTORY_OPERATION_UNSUPPORTED)

    async def _go_on(self, variable: Variable, rest: Any, points: HistoryPoints, room: int) -> bytes:
        if isinstance(rest, raw.RawRead) and rest.variable is variable:
            return await self._raw(rest, points, room)
        if isinstance(rest, processed.ProcessedRead) and rest.variable is variable:
            return await self._processed(rest, points, room)
        return answers.result(codes.BAD_CONTINUATION_POINT_INVALID)

    async def _raw(self, wanted: raw.RawRead, points: HistoryPoints, room: int) -> bytes:
        page = await raw.read(self._historian, wanted, room, MAX_VALUES)
        return _with_point(page.result, page.data, page.rest, points)

    async def _processed(self, wanted: processed.ProcessedRead, points: HistoryPoints, room: int) -> bytes:
        page = await processed.read(self._historian, wanted, room, MAX_VALUES)
        return _with_point(codes.GOOD, page.data, page.rest, points)

    async def _update(self, request: Request, session: Session, room: int) -> bytes:
        wanted = requests.history_update(request.rest)
        if not wanted:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        if len(wanted) > MAX_NODES:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        results: list[bytes] = []
        for details in wanted:
            # to its end and onto the audit trail, though the client go away
            status, operations = await asyncio.shield(asyncio.create_task(self._update_node(details, session)))
            parts = struct.pack(f"<Ii{len(operations)}I", status, len(operations), *operations)
            results.append(parts + _NO_DIAGNOSTICS)
        return _response(_UPDATE_RESPONSE, request, results)

    async def _update_node(self, details: requests.UpdateDetails, session: Session) -> update.Outcome:
        if details is None:
            return codes.BAD_HISTORY_OPERATION_UNSUPPORTED, []
        variable = self._variable(details.nodeid, session.principal, self.policy.write_role)
        action = f"HistoryUpdate {details.nodeid.Identifier}"
        outcome: update.Outcome
        try:
            if isinstance(variable, int):
                outcome = variable, []
            elif isinstance(details, requests.UpdateData):
                outcome = await update.update(self._historian, variable, details, session.principal)
            elif isinstance(details, requests.DeleteRaw):
                outcome = await update.delete_raw(self._historian, variable, details, session.principal)
            else:
                outcome = await update.delete_at(self._historian, variable, details, session.principal)
        except HistoryError as error:
            outcome = error.status, []
        status, operations = outcome
        bad = next((code for code in (status, *operations) if code & 0x8000_0000), 0)
        fault = CommandError(bad, "history was not changed as asked") if bad else None
        await self._audit(session.principal, session.origin, action, _told(details), fault)
        return outcome

    def _variable(self, nodeid: ua.NodeId, principal: Principal, role: Role) -> Variable | int:
        """Return the variable whose history is meant, or the bad StatusCode of one that has none to show."""
        variable = self._space.variable_of(nodeid)
        if variable is None:
            known = self._space.get(nodeid) is not None
            return codes.BAD_HISTORY_OPERATION_UNSUPPORTED if known else codes.BAD_NODE_ID_UNKNOWN
        if not (principal.has(role) and principal.has(variable.declaration.read_role)):
            return codes.BAD_USER_ACCESS_DENIED
        return variable


def _unusual(wanted: HistoryRead, node: ReadNode) -> int:
    if wanted.timestamps == _SERVER:
        return codes.BAD_TIMESTAMP_NOT_SUPPORTED
    if node.index_range:
        return codes.BAD_INDEX_RANGE_INVALID
    return codes.BAD_DATA_ENCODING_INVALID if node.encoding else codes.GOOD


def _plan_processed(
    details: ProcessedDetails, place: int, variable: Variable, configuration: Configuration
) -> processed.ProcessedRead | int:
    asked = details.aggregates[place]
    name = _AGGREGATE_NAMES.get(asked.Identifier) if asked.NamespaceIndex == 0 else None
    if name is None:
        return codes.BAD_AGGREGATE_NOT_SUPPORTED
    if details.configuration is not None:
        as_bad, bad, good, sloped = details.configuration
        if bad > 100 or good > 100 or bad + good < 100:
            return codes.BAD_AGGREGATE_CONFIGURATION_REJECTED
        configuration = Configuration(configuration.stepped, as_bad, bad, good, sloped)
    if not processed.fits(AGGREGATES[name], variable, configuration):
        return codes.BAD_AGGREGATE_INVALID_INPUTS
    plan = processed.plan(variable, name, configuration, details.start, details.end, details.interval)
    return codes.BAD_INVALID_ARGUMENT if plan is None else plan


def _with_point(status: int, data: bytes, rest: Any, points: HistoryPoints) -> bytes:
    if rest is None:
        return answers.result(status, data)
    point = points.add(rest)
    return answers.result(codes.BAD_NO_CONTINUATION_POINTS) if point is None else answers.result(status, data, point)


def _response(kind: bytes, request: Request, results: Sequence[bytes]) -> bytes:
    head = response_header(kind, request.handle)
    return b"".join((head, _COUNT.pack(len(results)), *results, _NO_DIAGNOSTICS))


def _told(details: requests.UpdateData | requests.DeleteRaw | requests.DeleteAtTime) -> list[Any]:
    """Return what the audit trail says of an update: what, how many, from when to when (ticks)."""
    if isinstance(details, requests.UpdateData):
        stamps = [value.source or 0 for value in details.values]
        return ["update", details.how, len(stamps), min(stamps, default=0), max(stamps, default=0)]
    if isinstance(details, requests.DeleteRaw):
        return ["delete modified" if details.modified else "delete", details.start, details.end]
    return ["delete at", len(details.times), min(details.times, default=0), max(details.times, default=0)]

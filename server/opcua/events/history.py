"""HistoryRead of events: ReadEventDetails from the audit trail and from alarms (OPC 10000-11 6.5.2)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import sqlite3
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.address_space import AddressSpace
from asyncua.ua.ua_binary import struct_from_binary

from address_space.model import Plant, Role
from server import logs
from server.audit_trail import AuditTrail
from server.opcua.events.audit import AuditEvent
from server.opcua.events.delivery import may_see_private
from server.opcua.events.filters import EventFilter, EventFilters, InvalidFilterError
from server.opcua.events.ports import Event
from server.opcua.events.stored import AuditSource, EventStore, Merged, Source, StoreSource
from server.opcua.history import answers, codes
from server.opcua.locales import Locale
from server.security.principal import Principal
from server.store import now_ticks

log = logs.get(__name__)

_IDS = ua.ObjectIds
_SUBSCRIBE, _HISTORY_READ = 0x01, 0x04
"""Bits of EventNotifier (OPC 10000-3 8.59)."""
READ_ROLE = Role.Observer
"""Who may read stored events; audit events are for those who may see them live."""
MAX_EVENTS = 10_000
"""HistoryServerCapabilities.MaxReturnEventValues: of one node in one response."""
_LOOKED_AT = 100_000
"""Events that a response looks at, however few pass the filter; the rest is behind a continuation point."""
_HEAD = struct.Struct("<Iqq")
_COUNT = struct.Struct("<i")
_HISTORY_EVENT = b"\x01\x00" + struct.pack("<H", _IDS.HistoryEvent_Encoding_DefaultBinary) + b"\x01"
_AHEAD = 24 * 3600 * 10_000_000
"""Ticks that a clock may have been ahead: nothing is looked for beyond."""
_EARLIEST, _LATEST = -(2**62), 2**62


class Points(Protocol):
    """A session's continuation points."""

    def add(self, rest: Any) -> bytes | None:
        """Return a new point; None when there may be no more."""
        ...

    def take(self, point: bytes) -> Any:
        """Return and forget what a point stands for."""
        ...


@dataclass(slots=True)
class EventRead:
    """A reading under way."""

    nodeid: ua.NodeId
    filter: EventFilter
    source: Source
    most: int
    """Events in a response."""


class StoredEvents:
    """Answers ReadEventDetails. `alarms` keeps the events of conditions, None as long as nobody does."""

    def __init__(
        self,
        space: AddressSpace,
        plant: Plant,
        trail: AuditTrail,
        filters: EventFilters,
        notified: Callable[[ua.NodeId], Iterable[ua.NodeId]],
        server_uri: Callable[[], str],
    ) -> None:
        self.alarms: EventStore | None = None
        self._space = space
        self._plant = plant
        self._trail = trail
        self._filters = filters
        self._notified = notified
        self._server_uri = server_uri

    async def publish(self) -> None:
        """Have the server say that it has a history of events (OPC 10000-11 5.4, OPC 10000-3 8.59)."""
        values = (
            (_IDS.HistoryServerCapabilities_AccessHistoryEventsCapability, ua.Variant(True, ua.VariantType.Boolean)),
            (_IDS.HistoryServerCapabilities_MaxReturnEventValues, ua.Variant(MAX_EVENTS, ua.VariantType.UInt32)),
        )
        for number, variant in values:
            await self._write(ua.NodeId(number), ua.AttributeIds.Value, variant)
        notifier = ua.Variant(_SUBSCRIBE | _HISTORY_READ, ua.VariantType.Byte)
        await self._write(ua.NodeId(_IDS.Server), ua.AttributeIds.EventNotifier, notifier)

    async def _write(self, nodeid: ua.NodeId, attribute: ua.AttributeIds, variant: ua.Variant) -> None:
        status = await self._space.write_attribute_value(nodeid, attribute, ua.DataValue(variant))
        status.check()

    async def read(
        self, nodeid: ua.NodeId, details: bytes, point: bytes, principal: Principal, room: int, points: Points,
        locale: Locale | None = None,
    ) -> bytes:  # fmt: skip
        """Return one HistoryReadResult as it goes on the wire; `details` is the body of a ReadEventDetails."""
        if point:
            rest = points.take(point)
            if not isinstance(rest, EventRead) or rest.nodeid != nodeid:
                return answers.result(codes.BAD_CONTINUATION_POINT_INVALID)
            planned: EventRead | int = rest
        else:
            planned = self._plan(nodeid, details, principal, locale)
        if isinstance(planned, int):
            return answers.result(planned)
        try:
            return await self._page(planned, room, points)
        except sqlite3.Error as error:
            log.error("stored events cannot be read", error=str(error))
            return answers.result(codes.BAD_UNEXPECTED_ERROR)

    def _plan(self, nodeid: ua.NodeId, details: bytes, principal: Principal, locale: Locale | None) -> EventRead | int:
        """Return how to read, or the bad StatusCode."""
        refusal = self._refusal(nodeid, principal)
        if refusal:
            return refusal
        try:
            most, start, end = _HEAD.unpack_from(details)
            given: Any = struct_from_binary(ua.EventFilter, Buffer(details[_HEAD.size :]))
            filter_ = self._filters.make(given, locale)
        except InvalidFilterError:
            return ua.StatusCodes.BadEventFilterInvalid
        except Exception:  # noqa: BLE001  whatever asyncua stumbles over is no filter
            return ua.StatusCodes.BadDecodingError
        if not given.SelectClauses:
            return ua.StatusCodes.BadEventFilterInvalid
        start, end = max(start, 0), max(end, 0)
        if (start > 0) + (end > 0) + (most > 0) < 2:
            return codes.BAD_HISTORY_OPERATION_INVALID
        backward = not start or 0 < end < start
        since, until = (end + 1 if start else _EARLIEST, (start or end) + 1) if backward else (start, end or _LATEST)
        if start and start == end:
            until = start + 1
        until = min(until, now_ticks() + _AHEAD)
        source = Merged(self._sources(since, until, principal, newest_first=backward), newest_first=backward)
        return EventRead(nodeid, filter_, source, min(most or MAX_EVENTS, MAX_EVENTS))

    def _refusal(self, nodeid: ua.NodeId, principal: Principal) -> int:
        if self._space.get(nodeid) is None:
            return codes.BAD_NODE_ID_UNKNOWN
        notifier = self._space.read_attribute_value(nodeid, ua.AttributeIds.EventNotifier).Value
        if notifier is None or not notifier.Value:
            return codes.BAD_HISTORY_OPERATION_UNSUPPORTED
        may = principal.has(READ_ROLE) or may_see_private(principal)
        return codes.GOOD if may else codes.BAD_USER_ACCESS_DENIED

    def _sources(self, since: int, until: int, principal: Principal, *, newest_first: bool) -> list[Source]:
        found: list[Source] = []
        if may_see_private(principal):
            uri = self._server_uri()
            found.append(
                AuditSource(
                    self._trail,
                    since,
                    until,
                    lambda entry: AuditEvent(entry, self._plant, uri),
                    newest_first=newest_first,
                )
            )
        if self.alarms is not None and principal.has(READ_ROLE):
            found.append(StoreSource(self.alarms, since, until, newest_first=newest_first))
        return found

    async def _page(self, wanted: EventRead, room: int, points: Points) -> bytes:
        rows: list[bytes] = []
        size = looked_at = 0
        more = False
        while (found := await wanted.source.peek()) is not None:
            row = self._row(wanted, found[1])
            if row is not None and rows and (len(rows) >= wanted.most or size + len(row) > room):
                more = True
                break
            looked_at += 1
            if looked_at > _LOOKED_AT:
                more = True
                break
            wanted.source.take()
            if row is not None:
                rows.append(row)
                size += len(row)
        if size > room:
            return answers.result(ua.StatusCodes.BadEncodingLimitsExceeded)
        body = _COUNT.pack(len(rows)) + b"".join(rows)
        data = _HISTORY_EVENT + _COUNT.pack(len(body)) + body
        if not more:
            return answers.result(codes.GOOD if rows else codes.GOOD_NO_DATA, data)
        point = points.add(wanted)
        return answers.result(codes.BAD_NO_CONTINUATION_POINTS) if point is None else answers.result(0, data, point)

    def _row(self, wanted: EventRead, event: Event) -> bytes | None:
        """Return the selected fields of an event that can be seen at the node and passes the filter."""
        if wanted.nodeid not in self._notified(event.source_id) or not wanted.filter.passes(event):
            return None
        return wanted.filter.encode(event)

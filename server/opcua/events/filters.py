"""Event filters, compiled once for all monitored items that ask for the same (OPC 10000-4 7.22.3)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
from weakref import WeakValueDictionary

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from server.opcua.events import where
from server.opcua.events.fields import NULL, Getter, applies, encoded, getter, status_of
from server.opcua.events.ports import Event
from server.opcua.events.types import EventTypes
from server.opcua.locales import Locale
from server.quality import GOOD

_COUNT = struct.Struct("<i")


class InvalidFilterError(Exception):
    """A filter has clauses that no event could satisfy; `result` says which, and why."""

    def __init__(self, result: ua.EventFilterResult) -> None:
        super().__init__("invalid event filter")
        self.result = result


class EventFilter:
    """Which events pass, and their fields on the wire; `locale` is the language of these, not of the where clause."""

    def __init__(self, types: EventTypes, given: ua.EventFilter, locale: Locale | None = None) -> None:
        self.given = given
        self._types = types
        self._locale = locale
        self._clauses = given.SelectClauses
        self._getters = [getter(types, clause) for clause in given.SelectClauses]
        self._head = _COUNT.pack(len(self._clauses))
        self._plans: dict[ua.NodeId, list[Getter | None]] = {}
        self._where = where.compiled(types, given.WhereClause)

    def passes(self, event: Event) -> bool:
        """Whether the where clause lets an event pass."""
        return self._where is None or self._where(event)

    def encode(self, event: Event) -> bytes:
        """Return the selected fields as an array of Variants; those that the event has not are null."""
        plan = self._plans.get(event.type_id)
        if plan is None:
            plan = self._plans[event.type_id] = self._plan(event.type_id)
        if self._locale is None:
            return self._head + b"".join([NULL if get is None else encoded(get(event)) for get in plan])
        found = [None if get is None else get(event) for get in plan]
        return self._head + b"".join([encoded(it if it is None else self._locale.variant(it)) for it in found])

    def _plan(self, kind: ua.NodeId) -> list[Getter | None]:
        pairs = zip(self._getters, self._clauses, strict=True)
        return [get if applies(self._types, clause, kind) else None for get, clause in pairs]


class EventFilters:
    """Makes filters: the same bytes give the same filter as long as anybody uses it."""

    def __init__(self, types: EventTypes) -> None:
        self.types = types
        self._kept: WeakValueDictionary[tuple[bytes, Locale | None], EventFilter] = WeakValueDictionary()

    def make(self, given: ua.EventFilter, locale: Locale | None = None) -> EventFilter:
        """Return a filter; raises InvalidFilterError with what is wrong with which clause."""
        key = (struct_to_binary(given), locale)
        found = self._kept.get(key)
        if found is None:
            _check(self.types, given)
            found = self._kept[key] = EventFilter(self.types, given, locale)
        return found


def _check(types: EventTypes, given: ua.EventFilter) -> None:
    selected = [status_of(types, clause) for clause in given.SelectClauses]
    elements = where.check(types, given.WhereClause)
    bad_elements = any(element.StatusCode.value != GOOD for element in elements)
    if any(selected) or bad_elements:
        raise InvalidFilterError(
            ua.EventFilterResult(
                SelectClauseResults=[ua.StatusCode(status) for status in selected] if any(selected) else [],
                WhereClauseResult=ua.ContentFilterResult(ElementResults=elements if bad_elements else []),
            )
        )

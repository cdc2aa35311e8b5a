"""Events on their way to monitored items: up the notifiers, through each filter once, in order, in short turns."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from asyncua import ua

from address_space.model import Role
from server.opcua.events.filters import EventFilter
from server.opcua.events.ports import Event
from server.security.principal import Principal

AUDITORS = (Role.SecurityAdmin, Role.Supervisor)
"""Who may see private events: audit events (OPC 10000-5 6.4.3)."""
_AT_ONCE = 16
"""Events that are queued before `offer` returns, unless others wait."""
_UNFILTERED = {
    ua.NodeId(ua.ObjectIds.RefreshStartEventType),
    ua.NodeId(ua.ObjectIds.RefreshEndEventType),
    ua.NodeId(ua.ObjectIds.RefreshRequiredEventType),
}
"""What tells a client how to read the other events reaches it whatever its where clause (OPC 10000-9 5.11)."""


class Item(Protocol):
    """A monitored item of events."""

    node: ua.NodeId
    filter: EventFilter
    since: int
    """The number of the first event that it may see."""

    @property
    def principal(self) -> Principal:
        """Whose rights it has."""
        ...

    def accept(self, fields: bytes) -> None:
        """Queue the selected fields of an event that passed the filter."""
        ...


def may_see_private(principal: Principal) -> bool:
    """Whether audit events are for a principal."""
    return any(principal.has(role) for role in AUDITORS)


class Delivery:
    """Finds the items that may see an event; `notified` gives the nodes where events of a source can be seen."""

    def __init__(self, notified: Callable[[ua.NodeId], Iterable[ua.NodeId]], wake: Callable[[], None]) -> None:
        self._notified = notified
        self._wake = wake
        self._items: dict[ua.NodeId, dict[EventFilter, list[Item]]] = {}
        self._waiting: deque[tuple[int, Event, Collection[Item] | None]] = deque()
        self._offered = 0
        self._count = 0
        self._private: bool | None = None
        """Whether anybody may see private events; None when that is to be looked up."""

    def __len__(self) -> int:
        return self._count

    @property
    def busy(self) -> bool:
        """Whether events wait to be queued."""
        return bool(self._waiting)

    def add(self, item: Item) -> None:
        """Let an item see what is offered from now on."""
        item.since = self._offered
        self._items.setdefault(item.node, {}).setdefault(item.filter, []).append(item)
        self._count += 1
        self._private = None

    def remove(self, item: Item) -> None:
        """Let an item see nothing more."""
        by_filter = self._items[item.node]
        by_filter[item.filter].remove(item)
        self._count -= 1
        self._private = None
        if not by_filter[item.filter]:
            del by_filter[item.filter]
        if not by_filter:
            del self._items[item.node]

    def change(self, item: Item, new: EventFilter, *, anew: bool = True) -> None:
        """Give an item another filter; `anew` says that it is for events to come only, not for those that wait."""
        since = item.since
        self.remove(item)
        item.filter = new
        self.add(item)
        if not anew:
            item.since = since

    def rights_changed(self) -> None:
        """Look anew at who may see what: items act for another user."""
        self._private = None

    def wants_private(self) -> bool:
        """Whether anybody who may see audit events subscribes to any events: asked at every write."""
        if self._private is None:
            self._private = any(
                may_see_private(item.principal)
                for by_filter in self._items.values()
                for items in by_filter.values()
                for item in items
            )
        return self._private

    def offer(self, events: Sequence[Event], among: Iterable[Item] | None = None) -> None:
        """Take events to all items that may see them, or to those `among` them; in the order of the calls."""
        if not self._count:
            return
        first = self._offered
        self._offered += len(events)
        among = None if among is None else set(among)
        if not self._waiting and len(events) <= _AT_ONCE:
            for number, event in enumerate(events, first):
                self._deliver(number, event, among)
            return
        self._waiting.extend((number, event, among) for number, event in enumerate(events, first))
        self._wake()

    def work(self, seconds: float) -> None:
        """Queue events that wait, for about this long."""
        end = time.monotonic() + seconds
        while self._waiting:
            self._deliver(*self._waiting.popleft())
            if time.monotonic() > end:
                return

    def _deliver(self, number: int, event: Event, among: Collection[Item] | None) -> None:
        if event.type_id in _UNFILTERED:
            self._tell(event, among)
            return
        known: dict[EventFilter, bytes | None] = {}
        for node in self._notified(event.source_id):
            for filter_, items in self._items.get(node, {}).items():
                if filter_ not in known:
                    known[filter_] = filter_.encode(event) if filter_.passes(event) else None
                fields = known[filter_]
                if fields is not None:
                    _hand_out(number, event, fields, items, among)

    def _tell(self, event: Event, among: Collection[Item] | None) -> None:
        for by_filter in self._items.values():
            for filter_, items in by_filter.items():
                for item in items:
                    if among is None or item in among:
                        item.accept(filter_.encode(event))


def _hand_out(number: int, event: Event, fields: bytes, items: Iterable[Item], among: Collection[Item] | None) -> None:
    for item in items:
        if item.since > number or (among is not None and item not in among):
            continue
        if event.private and not may_see_private(item.principal):
            continue
        item.accept(fields)

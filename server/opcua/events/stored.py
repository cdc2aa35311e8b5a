"""Events of the past, page by page, in either direction: of the audit trail and of alarms."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from server.audit import AuditEntry
from server.audit_trail import AuditTrail, Key, key
from server.opcua.events.ports import Event

Stamped = tuple[int, Event]
"""An event and its Time in ticks."""
_AT_ONCE = 500
_WINDOW = 3600 * 10_000_000
"""Ticks that reading backwards looks at first; twice as many each time that there is nothing."""
_MOST_OF_WINDOW = 1_000_000


class EventStore(Protocol):
    """Keeps events; `server.alarms` does for those of conditions."""

    async def stored(self, since: int, until: int, limit: int) -> Sequence[Stamped]:
        """Return events with since <= Time < until (ticks), the oldest first, at most `limit`."""
        ...


class Source(Protocol):
    """Gives events one after the other."""

    async def peek(self) -> Stamped | None:
        """Return the next event, None when there is no more."""
        ...

    def take(self) -> None:
        """Go on to the one behind it."""
        ...


class AuditSource:
    """Entries of the audit trail as events."""

    def __init__(
        self, trail: AuditTrail, since: int, until: int, show: Callable[[AuditEntry], Event], *, newest_first: bool
    ) -> None:
        self._trail = trail
        self._range = since, until
        self._show = show
        self._newest_first = newest_first
        self._after: Key | None = None
        self._buffer: deque[AuditEntry] = deque()
        self._ended = False

    async def peek(self) -> Stamped | None:
        """Return the next entry as an event."""
        if not self._buffer and not self._ended:
            found = await asyncio.to_thread(
                self._trail.read, *self._range, _AT_ONCE, newest_first=self._newest_first, after=self._after
            )
            self._buffer.extend(found)
            self._ended = len(found) < _AT_ONCE
            self._after = key(found[-1]) if found else self._after
        return (self._buffer[0].time, self._show(self._buffer[0])) if self._buffer else None

    def take(self) -> None:
        """Go on."""
        self._buffer.popleft()


class StoreSource:
    """Events of a store; backwards in windows, as stores give the oldest first."""

    def __init__(self, store: EventStore, since: int, until: int, *, newest_first: bool) -> None:
        self._store = store
        self._since, self._until = since, until
        self._read: Callable[[], Awaitable[list[Stamped]]] = self._backward if newest_first else self._forward
        self._window = _WINDOW
        self._limit = _AT_ONCE
        self._seen: set[bytes] = set()
        self._buffer: deque[Stamped] = deque()
        self._ended = False

    async def peek(self) -> Stamped | None:
        """Return the next event."""
        while not self._buffer and not self._ended:
            self._buffer.extend(await self._read())
        return self._buffer[0] if self._buffer else None

    def take(self) -> None:
        """Go on."""
        self._buffer.popleft()

    async def _forward(self) -> list[Stamped]:
        found = await self._store.stored(self._since, self._until, self._limit)
        self._ended = len(found) < self._limit
        if not found:
            return []
        fresh = [it for it in found if it[0] > self._since or _id(it[1]) not in self._seen]
        last = found[-1][0]
        if last == self._since and not self._ended:
            self._limit *= 2  # more of one time than were asked for
        self._seen = {_id(event) for time, event in found if time == last}
        self._since = last
        return fresh

    async def _backward(self) -> list[Stamped]:
        start = max(self._since, self._until - self._window)
        found = await self._store.stored(start, self._until, _MOST_OF_WINDOW)
        self._window = self._window if found else self._window * 2
        self._until = start
        self._ended = start <= self._since
        return list(reversed(found))


class Merged:
    """Several sources in the order of time."""

    def __init__(self, sources: Sequence[Source], *, newest_first: bool) -> None:
        self._sources = sources
        self._newest_first = newest_first
        self._next: Source | None = None

    async def peek(self) -> Stamped | None:
        """Return the next event of all."""
        best: Stamped | None = None
        for source in self._sources:
            found = await source.peek()
            if found is not None and (best is None or self._before(found[0], best[0])):
                best, self._next = found, source
        return best

    def take(self) -> None:
        """Go on."""
        if self._next is not None:
            self._next.take()

    def _before(self, first: int, second: int) -> bool:
        return first > second if self._newest_first else first < second


def _id(event: Event) -> bytes:
    found = event.value(("EventId",))
    return b"" if found is None else found.Value

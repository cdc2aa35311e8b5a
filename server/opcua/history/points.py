"""Continuation points of HistoryRead: where each read that did not fit goes on (OPC 10000-11 6.3)."""

import secrets
import weakref
from collections import OrderedDict
from typing import Any

MAX_POINTS = 100
"""Of a session: ServerCapabilities.MaxHistoryContinuationPoints."""


class HistoryPoints:
    """The points of one session. Those of earlier requests go when a new request needs their place."""

    def __init__(self) -> None:
        self._points: OrderedDict[bytes, Any] = OrderedDict()
        self._new: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._points)

    def begin(self) -> None:
        """Begin a request."""
        self._new.clear()

    def add(self, rest: Any) -> bytes | None:
        """Return a new point, or None when this request has taken all there may be."""
        if len(self._points) >= MAX_POINTS:
            oldest = next(iter(self._points))
            if oldest in self._new:
                return None
            del self._points[oldest]
        point = secrets.token_bytes(16)
        self._points[point] = rest
        self._new.add(point)
        return point

    def take(self, point: bytes) -> Any:
        """Return and forget what a point stands for; None when it is not, or no longer, known."""
        return self._points.pop(point, None)


class PointsOfSessions:
    """The points of every session, gone with it."""

    def __init__(self) -> None:
        self._sessions: weakref.WeakKeyDictionary[Any, HistoryPoints] = weakref.WeakKeyDictionary()

    def of(self, session: Any) -> HistoryPoints:
        """Return a session's points."""
        found = self._sessions.get(session)
        if found is None:
            found = self._sessions[session] = HistoryPoints()
        return found

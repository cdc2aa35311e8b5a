"""Continuation points of Browse: the references that did not go into an answer (OPC 10000-4 7.9)."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

MAX_POINTS = 100
"""Of a session: ServerCapabilities.MaxBrowseContinuationPoints."""
POINT_SIZE = 16


@dataclass(frozen=True, slots=True)
class Rest:
    """Encoded references from `at` on; `most` a message, 0 for no limit."""

    references: tuple[bytes, ...]
    at: int
    most: int


class ContinuationPoints:
    """The points of one session. Those of earlier requests go when a new request needs their place."""

    def __init__(self) -> None:
        self._points: OrderedDict[bytes, Rest] = OrderedDict()
        self._of_request: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._points)

    def begin(self) -> None:
        """Begin a request: what is there now is of earlier ones."""
        self._of_request.clear()

    def add(self, rest: Rest) -> bytes | None:
        """Return a new point, or None when this request has taken all there may be."""
        if len(self._points) >= MAX_POINTS:
            oldest = next(iter(self._points))
            if oldest in self._of_request:
                return None
            del self._points[oldest]
        point = secrets.token_bytes(POINT_SIZE)
        self._points[point] = rest
        self._of_request.add(point)
        return point

    def take(self, point: bytes) -> Rest | None:
        """Return and forget what a point stands for; None when it is not, or no longer, known."""
        return self._points.pop(point, None)

    def forget_new(self) -> None:
        """Forget the points of this request: it failed as a whole."""
        for point in self._of_request:
            del self._points[point]
        self._of_request.clear()

    def snapshot(self) -> "OrderedDict[bytes, Rest]":
        """Return all points, for `restore`."""
        return self._points.copy()

    def restore(self, points: "OrderedDict[bytes, Rest]") -> None:
        """Go back to what a snapshot had: the request failed as a whole."""
        self._points = points

    def clear(self) -> None:
        """Release all points: the session closes."""
        self._points.clear()

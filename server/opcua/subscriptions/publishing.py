"""Publish requests of a session, and which subscription each is spent on (OPC 10000-4 5.13.1.2, 5.13.5)."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from asyncua import ua

from server.opcua.subscriptions import encoding
from server.opcua.subscriptions.limits import Limits
from server.opcua.subscriptions.subscription import Subscription
from server.opcua.wire import service_fault


class Sink(Protocol):
    """A connection, as far as publishing needs it."""

    @property
    def backlog(self) -> int:
        """Bytes that wait in the connection's write buffer."""
        ...

    @property
    def message_limit(self) -> int:
        """The most bytes that a message's body may have."""
        ...

    def respond(self, request_id: int, body: bytes) -> None:
        """Send a response."""
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A publish request that waits; `results` are its acknowledgements' StatusCodes, `expires` is monotonic."""

    sink: Sink
    request_id: int
    handle: int
    results: list[int]
    expires: float

    def refuse(self, status: int) -> None:
        """Answer with a ServiceFault."""
        self.sink.respond(self.request_id, service_fault(self.handle, status))


class Publisher:
    """A session's subscriptions and publish requests, the latter bounded in number."""

    def __init__(self, limits: Limits) -> None:
        self.subscriptions: dict[int, Subscription] = {}
        self._limits = limits
        self._requests: deque[PublishRequest] = deque()
        self._statuses: deque[tuple[int, bytes]] = deque()
        self._stalled_since: float | None = None
        self.refused = 0
        """Publish requests that were answered with a ServiceFault."""

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: PublishRequest, now: float) -> None:
        """Queue a publish request, and spend it if something waits for one."""
        if not self.subscriptions and not self._statuses:
            self._refuse(request, ua.StatusCodes.BadNoSubscription)
            return
        self._expire(now)
        if len(self._requests) >= max(self._limits.publish_requests, len(self.subscriptions) + 1):
            self._refuse(self._requests.popleft(), ua.StatusCodes.BadTooManyPublishRequests)
        self._requests.append(request)
        self.serve(now)

    def _refuse(self, request: PublishRequest, status: int) -> None:
        self.refused += 1
        request.refuse(status)

    def tell(self, subscription: Subscription, status: int) -> None:
        """Queue a StatusChangeNotification of a subscription that is no longer the session's."""
        self._statuses.append((subscription.id, subscription.status_message(status)))

    def serve(self, now: float) -> None:
        """Spend publish requests on what waits for them, as long as the connection takes it."""
        while self._requests:
            request = self._requests[0]
            if request.sink.backlog > self._limits.write_buffer:
                self._stalled_since = self._stalled_since or now
                return
            self._stalled_since = None
            if request.expires <= now:
                self._refuse(self._requests.popleft(), ua.StatusCodes.BadTimeout)
            elif self._statuses:
                self._requests.popleft()
                number, message = self._statuses.popleft()
                self._send(request, number, [], message, more=False)
            else:
                subscription = self._next()
                if subscription is None:
                    break
                self._requests.popleft()
                message, more = subscription.next_message(request.sink.message_limit)
                subscription.ready_since = now
                self._send(request, subscription.id, subscription.available, message, more=more)
        self.release()

    def release(self) -> None:
        """Refuse what waits once there is nothing that it could be spent on."""
        while self._requests and not self.subscriptions and not self._statuses:
            self._refuse(self._requests.popleft(), ua.StatusCodes.BadNoSubscription)

    def look_after(self, now: float) -> None:
        """Expire requests; go on publishing, or close the connection that has not been read from for too long."""
        self._expire(now)
        self.serve(now)
        if self._requests and self._stalled_since is not None and now - self._stalled_since > self._limits.stalled:
            self._stalled_since = None
            self._requests[0].sink.abort()

    def close(self, status: int) -> None:
        """Refuse every request that waits: the session ends."""
        while self._requests:
            self._refuse(self._requests.popleft(), status)

    def abort(self) -> None:
        """Close the connections that requests came over."""
        for request in self._requests:
            request.sink.abort()

    def forget(self, sink: Sink) -> None:
        """Forget the requests of a connection that is closed."""
        self._requests = deque(request for request in self._requests if request.sink is not sink)
        self._stalled_since = None

    def _next(self) -> Subscription | None:
        """Return who is served first: the highest priority, then who has waited longest."""
        ready = [subscription for subscription in self.subscriptions.values() if subscription.ready]
        return min(ready, key=lambda it: (-it.priority, it.ready_since), default=None)

    def _expire(self, now: float) -> None:
        if any(request.expires <= now for request in self._requests):
            expired = [request for request in self._requests if request.expires <= now]
            self._requests = deque(request for request in self._requests if request.expires > now)
            for request in expired:
                self._refuse(request, ua.StatusCodes.BadTimeout)

    def _send(self, request: PublishRequest, number: int, available: list[int], message: bytes, *, more: bool) -> None:
        body = encoding.publish_response(request.handle, number, available, message, request.results, more=more)
        request.sink.respond(request.request_id, body)

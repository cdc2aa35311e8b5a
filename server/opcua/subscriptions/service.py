"""All subscriptions of the server: who owns them, when they are due, and what asyncua calls of them."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
import heapq
import time
from typing import Any, NoReturn

from asyncua import ua, uamethod
from asyncua.common.utils import ServiceError

from server import logs
from server.opcua.diagnostics.counters import Tallies
from server.opcua.rights import Rights
from server.opcua.space import PlantAddressSpace
from server.opcua.subscriptions.feed import Feed
from server.opcua.subscriptions.limits import Limits
from server.opcua.subscriptions.log import QueueLog
from server.opcua.subscriptions.monitoring import Monitoring
from server.opcua.subscriptions.notifiers import notified
from server.opcua.subscriptions.publishing import Publisher, PublishRequest, Sink
from server.opcua.subscriptions.singles import EventItem
from server.opcua.subscriptions.subscription import Subscription
from server.opcua.subscriptions.table import ItemTable
from server.quality import GOOD

log = logs.get(__name__)

_CODES = ua.StatusCodes
_LOOK_AFTER = 0.25
"""How often publish requests are expired and stalled connections looked for, in seconds."""
_EARLY = 0.0005
_YIELD_AFTER = 0.001
"""How long publishing may keep the event loop from its other work, in seconds."""


class Subscriptions:
    """In place of asyncua's SubscriptionService. Everything but `run` returns at once."""

    def __init__(
        self, space: PlantAddressSpace, rights: Rights, limits: Limits | None = None, tallies: Tallies | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._tallies = tallies or Tallies()
        self.subscriptions: dict[int, Subscription] = {}
        self.standard_events: dict[int, Any] = {}
        """Generators of RefreshStart and RefreshEnd events; asyncua fills it."""
        self.table = ItemTable(len(space.plant.variables))
        self.feed = Feed(space.store, self.table, self, self.limits.poll)
        self.monitoring = Monitoring(space, rights, self.table, self.feed, self.limits)
        self._space = space
        self._publishers: dict[ua.NodeId, Publisher] = {}
        self._conditions: dict[ua.NodeId, Any] = {}
        self._timers: list[tuple[float, int]] = []
        self._wake = asyncio.Event()
        self._last_id = 0
        self._looked_after = 0.0

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            self._wake.clear()
            delay = await self._tick()
            try:
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _tick(self) -> float:
        """Do what is due; returns after how many seconds to come again."""
        began = time.monotonic()
        self.feed.drain(began)
        publishers: dict[Publisher, None] = {}
        while self._timers and self._timers[0][0] <= began + _EARLY:
            due, number = heapq.heappop(self._timers)
            subscription = self.subscriptions.get(number)
            if subscription is None or subscription.due != due:
                continue  # deleted, or its interval was changed
            missed = int((began - due) / subscription.interval) if began > due else 0
            self._schedule(subscription, due + subscription.interval * (missed + 1))
            publisher = self._publishers.get(subscription.session_id)
            if not subscription.cycle(due, heard=publisher is not None and len(publisher) > 0):
                self._expire(subscription)
            elif subscription.ready and publisher is not None:
                publishers[publisher] = None
        for publisher in publishers:
            try:
                publisher.serve(time.monotonic())
            except Exception:  # one session's trouble is not that of the others
                log.exception("publishing failed: the connection is closed")
                publisher.abort()
            if time.monotonic() - began > _YIELD_AFTER:
                await asyncio.sleep(0)
                began = time.monotonic()
        return self._until_next()

    def _until_next(self) -> float:
        now = time.monotonic()
        if now - self._looked_after >= _LOOK_AFTER:
            self._looked_after = now
            for publisher in list(self._publishers.values()):
                publisher.look_after(now)
        waits = [self._looked_after + _LOOK_AFTER - now]
        if self.table.count:
            waits.append(max(self.limits.min_sampling, min(self.limits.drain, self.table.index.shortest)))
        if self._timers:
            waits.append(self._timers[0][0] - now)
        return max(0.0, min(waits))

    def _schedule(self, subscription: Subscription, due: float) -> None:
        subscription.due = due
        heapq.heappush(self._timers, (due, subscription.id))

    def log_of(self, subscription: int) -> QueueLog:
        """Return the queues of a subscription."""
        return self.subscriptions[subscription].log

    def own(self, session: Any, number: int) -> Subscription:
        """Return a subscription of a session; raises ServiceError with BadSubscriptionIdInvalid."""
        subscription = self.subscriptions.get(number)
        if subscription is None or subscription.session_id != session.session_id:
            raise ServiceError(_CODES.BadSubscriptionIdInvalid)
        subscription.heard()
        return subscription

    def publisher(self, session: Any) -> Publisher:
        """Return the publisher of a session."""
        found = self._publishers.get(session.session_id)
        if found is None:
            found = self._publishers[session.session_id] = Publisher(self.limits)
        return found

    def find_publisher(self, session: Any) -> Publisher | None:
        """Return the publisher of a session, if it has one yet."""
        return self._publishers.get(session.session_id)

    def user_changed(self, session: Any) -> None:
        """Have a session's subscriptions be those of its new user (OPC 10000-4 5.7.3)."""
        publisher = self._publishers.get(session.session_id)
        for subscription in () if publisher is None else publisher.subscriptions.values():
            subscription.owner = session.owner
            self.monitoring.change_user(subscription, session.principal)

    def create(self, session: Any) -> Subscription:
        """Make a subscription, still to be revised and started."""
        publisher = self.publisher(session)
        if (
            len(publisher.subscriptions) >= self.limits.subscriptions_per_session
            or len(self.subscriptions) >= self.limits.subscriptions
        ):
            raise ServiceError(_CODES.BadTooManySubscriptions)
        self._last_id = self._last_id % (2**32 - 1) + 1
        subscription = Subscription(
            self._last_id, self.table, self.limits, session.session_id, session.owner, session.principal,
            self.feed.sampled,
        )  # fmt: skip
        self._tallies.subscriptions += 1
        self.subscriptions[subscription.id] = publisher.subscriptions[subscription.id] = subscription
        return subscription

    def start(self, subscription: Subscription) -> None:
        """Begin the first publishing interval, or one of another length."""
        self._schedule(subscription, time.monotonic() + subscription.interval)
        self._wake.set()

    def delete(self, session: Any, numbers: list[int]) -> list[int]:
        """Delete subscriptions of a session; returns StatusCodes."""
        statuses: list[int] = []
        for number in numbers:
            try:
                self._remove(self.own(session, number))
                statuses.append(GOOD)
            except ServiceError as error:
                statuses.append(error.code)
        self.publisher(session).release()
        return statuses

    def _remove(self, subscription: Subscription) -> None:
        subscription.deleted = True
        self.monitoring.delete(subscription, list(subscription.items))
        del self.subscriptions[subscription.id]
        publisher = self._publishers.get(subscription.session_id)
        if publisher is not None:
            publisher.subscriptions.pop(subscription.id, None)

    def _expire(self, subscription: Subscription) -> None:
        log.info("subscription expired", subscription=subscription.id)
        publisher = self._publishers.get(subscription.session_id)
        if publisher is not None:
            publisher.tell(subscription, _CODES.BadTimeout)
        self._remove(subscription)

    def publish(
        self, session: Any, sink: Sink, request: tuple[int, int, float], acknowledged: list[tuple[int, int]]
    ) -> None:
        """Take a publish request: id, handle and TimeoutHint (ms), with (SubscriptionId, SequenceNumber) pairs."""
        publisher, now = self.publisher(session), time.monotonic()
        results: list[int] = []
        for number, sequence in acknowledged:
            subscription = publisher.subscriptions.get(number)
            known = subscription is not None
            results.append(subscription.acknowledge(sequence) if known else _CODES.BadSubscriptionIdInvalid)
        for subscription in publisher.subscriptions.values():
            subscription.heard()
        request_id, handle, timeout = request
        expires = now + timeout / 1000 if timeout else float("inf")
        publisher.add(PublishRequest(sink, request_id, handle, results, expires), now)

    def transfer(self, session: Any, number: int, *, send_initial: bool) -> list[int]:
        """Take a subscription over; returns the available sequence numbers. Raises ServiceError."""
        subscription = self.subscriptions.get(number)
        if subscription is None:
            raise ServiceError(_CODES.BadSubscriptionIdInvalid)
        if subscription.owner != session.owner:
            raise ServiceError(_CODES.BadUserAccessDenied)
        subscription.counters.transfer_requests += 1
        publisher = self.publisher(session)
        if number not in publisher.subscriptions:
            if len(publisher.subscriptions) >= self.limits.subscriptions_per_session:
                raise ServiceError(_CODES.BadTooManySubscriptions)
            before = self._publishers.get(subscription.session_id)
            if before is not None:
                del before.subscriptions[number]
                before.tell(subscription, _CODES.GoodSubscriptionTransferred)
                before.serve(time.monotonic())
            publisher.subscriptions[number] = subscription
            subscription.session_id = session.session_id
            subscription.counters.transferred_to_same += 1
            self.monitoring.change_user(subscription, session.principal)  # whose roles may have changed
        subscription.heard()
        if send_initial:
            subscription.resend_values()
        return subscription.available

    def session_closed(self, session: Any, *, delete: bool) -> None:
        """Forget a session; its subscriptions go with it or wait for another session of the same user."""
        publisher = self._publishers.pop(session.session_id, None)
        if publisher is None:
            return
        publisher.close(_CODES.BadSessionClosed)
        if delete:
            for subscription in list(publisher.subscriptions.values()):
                self._remove(subscription)

    def connection_closed(self, session: Any, sink: Sink) -> None:
        """Forget the publish requests that came over a connection."""
        publisher = self._publishers.get(session.session_id)
        if publisher is not None:
            publisher.forget(sink)

    async def trigger_event(self, event: Any, subscription_id: int | None = None) -> None:
        """Queue an event where it is subscribed to, in one subscription or in all; asyncua's generators call it."""
        if hasattr(event, "Retain") and hasattr(event, "NodeId"):
            if event.Retain:
                self._conditions[event.NodeId] = event
            else:
                self._conditions.pop(event.NodeId, None)
        if subscription_id is None:
            chosen = list(self.subscriptions.values())
        else:
            chosen = [self.subscriptions[subscription_id]] if subscription_id in self.subscriptions else []
        self._offer(event, [item for subscription in chosen for item in subscription.events.values()])

    def _offer(self, event: Any, items: list[EventItem]) -> None:
        if items:
            nodes = notified(self._space, event.emitting_node)
            for item in items:
                if item.node in nodes:
                    item.offer(event)

    @uamethod
    async def condition_refresh(self, _parent: Any, subscription_id: int, item_id: int | None = None) -> Any:
        """Send retained conditions again: ConditionRefresh, and ConditionRefresh2 with an item (OPC 10000-9 5.5.7)."""
        subscription = self.subscriptions.get(subscription_id)
        if subscription is None:
            return ua.StatusCode(_CODES.BadSubscriptionIdInvalid)
        events = subscription.events
        if item_id is not None:
            row = subscription.items.get(item_id)
            if row not in events:
                return ua.StatusCode(_CODES.BadMonitoredItemIdInvalid)
            events = {row: events[row]}
        await self._refresh_event(ua.ObjectIds.RefreshStartEventType, subscription_id)
        for event in list(self._conditions.values()):
            self._offer(event, list(events.values()))
        await self._refresh_event(ua.ObjectIds.RefreshEndEventType, subscription_id)
        return None

    async def _refresh_event(self, kind: int, subscription_id: int) -> None:
        generator = self.standard_events.get(kind)
        if generator is not None:
            await generator.trigger(subscription_id=subscription_id)

    async def delete_subscriptions(self, _numbers: list[int]) -> list[ua.StatusCode]:
        """Do nothing: asyncua's own session, which calls this at its end, has none."""
        return []

    async def create_subscription(self, *_: Any, **__: Any) -> NoReturn:
        """Subscriptions within the server are not supported: what follows changes holds a cursor on the journal."""
        raise NotImplementedError("no subscriptions within the server: use a cursor on the store's journal")

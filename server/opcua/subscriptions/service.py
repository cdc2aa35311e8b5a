"""All subscriptions of the server: who owns them, when they are due, and what asyncua calls of them."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
import heapq
import time
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from asyncua import ua
from asyncua.common.utils import ServiceError

from server import logs
from server.opcua.diagnostics.counters import Tallies
from server.opcua.events.delivery import Delivery
from server.opcua.events.generated import GeneratedEvent
from server.opcua.events.ports import Event
from server.opcua.rights import Rights
from server.opcua.space import PlantAddressSpace
from server.opcua.subscriptions.event_items import EventItem
from server.opcua.subscriptions.feed import Feed
from server.opcua.subscriptions.limits import Limits
from server.opcua.subscriptions.log import QueueLog
from server.opcua.subscriptions.monitoring import Monitoring
from server.opcua.subscriptions.notifiers import Notifiers
from server.opcua.subscriptions.publishing import Publisher, PublishRequest, Sink
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
_EVENTS_FOR = 0.002
"""How long events that come many at once may keep it, in seconds."""


class Subscriptions:
    """In place of asyncua's SubscriptionService. Everything but `run` returns at once."""

    def __init__(
        self, space: PlantAddressSpace, rights: Rights, limits: Limits | None = None, tallies: Tallies | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._tallies = tallies or Tallies()
        self.subscriptions: dict[int, Subscription] = {}
        self.table = ItemTable(len(space.plant.variables))
        self.feed = Feed(space.store, self.table, self, self.limits.poll)
        self._wake = asyncio.Event()
        self.notifiers = Notifiers(space)
        self.delivery = Delivery(self.notifiers.of, self._wake.set)
        self.monitoring = Monitoring(space, rights, self.table, self.feed, self.delivery, self.limits)
        self._publishers: dict[ua.NodeId, Publisher] = {}
        self._timers: list[tuple[float, int]] = []
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
        if self.delivery.busy:
            self.delivery.work(_EVENTS_FOR)
            began = time.monotonic()
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
        if self.delivery.busy:
            return 0.0
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

    def locale_changed(self, session: Any) -> None:
        """Have a session's subscriptions speak its language from now on."""
        publisher = self._publishers.get(session.session_id)
        for subscription in () if publisher is None else publisher.subscriptions.values():
            self.monitoring.change_locale(subscription, session.locale)

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
        subscription.locale = session.locale
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
        if any(subscription.ready for subscription in publisher.subscriptions.values()):
            self.feed.drain(now)  # it is answered at once: with all that was written before
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
            self.monitoring.change_locale(subscription, session.locale)
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

    def offer(self, events: Sequence[Event]) -> None:
        """Queue events where they are subscribed to; returns at once: of many, most are queued a little later."""
        self.delivery.offer(events)

    def offer_to(self, events: Sequence[Event], items: Iterable[EventItem]) -> None:
        """Queue events at these items, where they may be seen there and pass the filter."""
        self.delivery.offer(events, items)

    def mark(self, event: Event, items: Iterable[EventItem]) -> None:
        """Queue the begin or end of a refresh at these items, whatever their filters (OPC 10000-9 5.11)."""
        self.delivery.offer([event], items)

    async def trigger_event(self, event: Any, subscription_id: int | None = None) -> None:
        """Queue an event where it is subscribed to, in one subscription or in all; asyncua's generators call it."""
        items = None
        if subscription_id is not None:
            chosen = self.subscriptions.get(subscription_id)
            items = [] if chosen is None else chosen.events.values()
        self.delivery.offer([GeneratedEvent(event)], items)

    async def delete_subscriptions(self, _numbers: list[int]) -> list[ua.StatusCode]:
        """Do nothing: asyncua's own session, which calls this at its end, has none."""
        return []

    async def create_subscription(self, *_: Any, **__: Any) -> NoReturn:
        """Subscriptions within the server are not supported: what follows changes holds a cursor on the journal."""
        raise NotImplementedError("no subscriptions within the server: use a cursor on the store's journal")

"""ConditionRefresh and ConditionRefresh2: what is retained, once more, between two marks (OPC 10000-9 5.5.7, 5.5.8)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from asyncua import ua

from server.alarms.ports import Snapshot
from server.opcua.conditions.events import events
from server.opcua.conditions.live import Conditions
from server.opcua.events.ports import Event, PlainEvent
from server.opcua.rights import check_variant
from server.ports import CommandError
from server.quality import GOOD

if TYPE_CHECKING:
    from server.opcua.session import PlantSession
    from server.opcua.subscriptions.event_items import EventItem
    from server.opcua.subscriptions.subscription import Subscription

_IDS, _CODES = ua.ObjectIds, ua.StatusCodes
REFRESH, REFRESH_2 = ua.NodeId(_IDS.ConditionType_ConditionRefresh), ua.NodeId(_IDS.ConditionType_ConditionRefresh2)
_SERVER = ua.NodeId(_IDS.Server)
_START = (ua.NodeId(_IDS.RefreshStartEventType), "Refresh of retained conditions begins")
_END = (ua.NodeId(_IDS.RefreshEndEventType), "Refresh of retained conditions ends")
_AT_ONCE = 100
"""Events of a refresh between two turns of the event loop."""


class Target(Protocol):
    """Where refreshed events go."""

    subscriptions: "dict[int, Subscription]"

    def offer_to(self, events: Sequence[Event], items: "Iterable[EventItem]") -> None:
        """Queue events at these items, where they may be seen there and pass the filter."""
        ...

    def mark(self, event: Event, items: "Iterable[EventItem]") -> None:
        """Queue an event at these items whatever their filters."""
        ...


class Refresh:
    """Carries refreshes out, one at a time for each subscription."""

    def __init__(self, conditions: Conditions, target: Target) -> None:
        self._conditions = conditions
        self._target = target
        self._under_way: dict[int, set[tuple[int, bytes]]] = {}
        """By subscription: what has changed since its refresh began, and was told since."""

    @staticmethod
    def concerns(request: ua.CallMethodRequest) -> bool:
        """Whether a call is for a refresh."""
        return request.MethodId in (REFRESH, REFRESH_2)

    def changed(self, snapshots: Sequence[Snapshot]) -> None:
        """Note what was told: a refresh must not tell an older state after it."""
        for seen in self._under_way.values():
            seen.update((it.condition.id, it.branch) for it in snapshots)

    async def call(self, request: ua.CallMethodRequest, session: "PlantSession") -> ua.CallMethodResult:
        """Refresh a subscription of the session, or one of its items."""
        given: list[ua.Variant] = list(request.InputArguments or [])
        try:
            numbers = _numbers(given, 2 if request.MethodId == REFRESH_2 else 1)
            await self._refresh(session, *numbers)
        except CommandError as error:
            statuses = [ua.StatusCode(it) for it in error.argument_statuses]
            return ua.CallMethodResult(ua.StatusCode(error.status), InputArgumentResults=statuses)
        return ua.CallMethodResult(ua.StatusCode(), InputArgumentResults=[ua.StatusCode() for _ in given])

    async def _refresh(self, session: "PlantSession", number: int, item_id: int | None = None) -> None:
        subscription = self._target.subscriptions.get(number)
        if subscription is None:
            raise CommandError(_CODES.BadSubscriptionIdInvalid, "there is no such subscription")
        if subscription.session_id != session.session_id:
            raise CommandError(_CODES.BadUserAccessDenied, "the subscription is another session's")
        find = _finder(subscription, item_id)
        if find() is None:
            raise CommandError(_CODES.BadMonitoredItemIdInvalid, "the subscription has no such item of events")
        if number in self._under_way:
            raise CommandError(_CODES.BadRefreshInProgress, "the subscription is being refreshed")
        self._under_way[number] = set()
        try:
            await self._send(subscription, find, self._under_way[number])
        finally:
            del self._under_way[number]

    async def _send(
        self,
        subscription: "Subscription",
        find: "Callable[[], list[EventItem] | None]",
        told: set[tuple[int, bytes]],
    ) -> None:
        alarms = self._conditions.alarms
        retained: Sequence[Snapshot] = [] if alarms is None else alarms.retained()
        self._target.mark(_mark(*_START), find() or ())
        for first in range(0, len(retained), _AT_ONCE):
            fresh = [it for it in retained[first : first + _AT_ONCE] if (it.condition.id, it.branch) not in told]
            self._target.offer_to(events(self._conditions, fresh), find() or ())
            if first + _AT_ONCE < len(retained):
                await asyncio.sleep(0)
            if subscription.deleted:
                return
        self._target.mark(_mark(*_END), find() or ())


def _finder(subscription: "Subscription", item_id: int | None) -> "Callable[[], list[EventItem] | None]":
    """Return what finds the items to refresh; they may go meanwhile. It returns None for an item that is none."""

    def find() -> "list[EventItem] | None":
        if item_id is None:
            return list(subscription.events.values())
        row = subscription.items.get(item_id)
        item = None if row is None else subscription.events.get(row)
        return None if item is None else [item]

    return find


def _numbers(given: list[ua.Variant], count: int) -> list[int]:
    if len(given) != count:
        few = len(given) < count
        raise CommandError(_CODES.BadArgumentsMissing if few else _CODES.BadTooManyArguments, f"takes {count}")
    statuses: list[int] = []
    for variant in given:
        try:
            check_variant(variant, ua.VariantType.UInt32)
            statuses.append(GOOD)
        except CommandError as error:
            statuses.append(error.status)
    if any(statuses):
        raise CommandError(_CODES.BadInvalidArgument, "ids are UInt32", tuple(statuses))
    values: list[Any] = [variant.Value for variant in given]
    return values


def _mark(type_id: ua.NodeId, message: str) -> PlainEvent:
    return PlainEvent(type_id, _SERVER, "Server", message, severity=1)

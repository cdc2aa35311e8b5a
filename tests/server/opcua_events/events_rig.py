"""What tests of events share: filters in short, and what a subscription delivers, field by field."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from asyncua import Client, ua

OP = ua.FilterOperator
BASE = ua.NodeId(ua.ObjectIds.BaseEventType)
SERVER = ua.NodeId(ua.ObjectIds.Server)


def field(
    path: str, kind: ua.NodeId | int = BASE, attribute: int = ua.AttributeIds.Value, index_range: str | None = None
) -> ua.SimpleAttributeOperand:
    """Return an operand; parts of the path are separated by `/`."""
    names = [ua.QualifiedName(name, 0) for name in path.split("/") if name]
    type_id = ua.NodeId(kind) if isinstance(kind, int) else kind
    return ua.SimpleAttributeOperand(type_id, names, attribute, index_range)


def literal(value: Any, kind: ua.VariantType | None = None) -> ua.LiteralOperand:
    return ua.LiteralOperand(ua.Variant(value, kind))


def element(index: int) -> ua.ElementOperand:
    return ua.ElementOperand(index)


def where(*elements: tuple[Any, ...]) -> ua.ContentFilter:
    """Return a where clause of (operator, operand, ...)."""
    return ua.ContentFilter([ua.ContentFilterElement(operator, list(operands)) for operator, *operands in elements])


def event_filter(
    paths: Sequence[str | ua.SimpleAttributeOperand], clause: ua.ContentFilter | None = None
) -> ua.EventFilter:
    clauses = [field(it) if isinstance(it, str) else it for it in paths]
    return ua.EventFilter(clauses, clause or ua.ContentFilter())


class Seen:
    """The fields of events as they come, one list an event."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self._came = asyncio.Event()

    def event_notification(self, event: Any) -> None:
        self.rows.append([variant.Value for variant in event.event_fields])
        self._came.set()

    async def until(self, enough: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not enough():
                await self._came.wait()
                self._came.clear()

    @property
    def first(self) -> list[Any]:
        """The first field of every event."""
        return [row[0] for row in self.rows]


async def watch(
    client: Client, wanted: ua.EventFilter, node: ua.NodeId = SERVER, *, queue: int = 0, interval: float = 20
) -> Seen:
    """Subscribe to events of a node."""
    seen = Seen()
    subscription = await client.create_subscription(interval, seen)
    await subscription.subscribe_events(client.get_node(node), evfilter=wanted, queuesize=queue)
    return seen


async def refused(client: Client, wanted: ua.EventFilter, node: ua.NodeId = SERVER) -> ua.MonitoredItemCreateResult:
    """Ask for an item; returns the result as it came."""
    subscription = await client.create_subscription(1000, Seen())
    item = ua.MonitoredItemCreateRequest(
        ua.ReadValueId(node, ua.AttributeIds.EventNotifier),
        ua.MonitoringMode.Reporting,
        ua.MonitoringParameters(1, 0.0, wanted, 0, True),
    )
    parameters = ua.CreateMonitoredItemsParameters(subscription.subscription_id, ua.TimestampsToReturn.Both, [item])
    (result,) = await client.uaclient.create_monitored_items(parameters)
    return result

"""Subscriptions without a network: requests go in as bytes, publish responses are decoded by asyncua; time is ours."""

import heapq
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from address_space import Plant, load_plant
from server.opcua.locales import Locale
from server.opcua.pace import completed
from server.opcua.rights import Rights
from server.opcua.space import PlantAddressSpace
from server.opcua.subscriptions.limits import Limits
from server.opcua.subscriptions.requests import SERVICES
from server.opcua.subscriptions.service import Subscriptions
from server.opcua.wire import response_header
from server.security.principal import ANONYMOUS, Principal
from server.store import Store

PLANT = """\
plant: {name: Plant, type: PlantType}
enumerations:
  State: [Stopped, Running]
types:
  PlantType: {description: The plant}
  PressType:
    description: A press
    variables:
      State: {enum: State, description: State}
      Speed: {type: Double, unit: r/min, range: [0, 200], description: Speed}
      Free: {type: Double, description: Without a range}
      Small: {type: Int16, description: Pieces}
      Flag: {type: Boolean, description: On or off}
      Single: {type: Float, description: A Float}
      Secret: {type: Double, read_role: Engineer, initial: 7, description: Not for all}
      Label: {type: String, description: A text}
objects:
  Press[1..3]: {type: PressType}
"""
GOOD = 0
BOTH = ua.TimestampsToReturn.Both
CODES = ua.StatusCodes
REPORTING, SAMPLING, DISABLED = ua.MonitoringMode.Reporting, ua.MonitoringMode.Sampling, ua.MonitoringMode.Disabled


def plant(folder: Path) -> Plant:
    file = folder / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    return load_plant(file)


class FakeSink:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.backlog = 0
        self.message_limit = 1 << 24
        self.aborted = False

    def respond(self, request_id: int, body: bytes) -> None:
        self.sent.append((request_id, body))

    def abort(self) -> None:
        self.aborted = True


@dataclass
class FakeSession:
    """A session, as far as subscriptions know one."""

    number: int
    principal: Principal = ANONYMOUS
    application: str = "urn:test"
    locale: Locale | None = None
    sink: FakeSink = field(default_factory=FakeSink)

    @property
    def session_id(self) -> ua.NodeId:
        return ua.NodeId(self.number, 1)

    @property
    def owner(self) -> tuple[str, str]:
        return self.principal.name, self.application


@dataclass
class Change:
    """One MonitoredItemNotification, decoded."""

    handle: int
    value: Any
    status: int
    data: ua.DataValue


class Rig:
    """The subscriptions of a small plant. Nothing happens but when `cycle` says that intervals have ended."""

    def __init__(self, plant: Plant, limits: Limits | None = None, journal_rows: int = 1 << 16) -> None:
        self.plant = plant
        self.store = Store(plant, journal_rows)
        space = PlantAddressSpace(plant, self.store)
        no_commands: Any = None
        self.space = space
        self.service = Subscriptions(space, Rights(space, no_commands), limits)
        self.session = FakeSession(1)
        self._request = 0
        self.stamp = 1_000

    def id(self, name: str) -> int:
        return self.plant.variable(f"Plant.{name}").id

    def write(self, name: str, value: Any, status: int = 0, stamp: int | None = None) -> None:
        self.stamp += 10
        kind = object if isinstance(value, str) else None
        self.store.write(np.array([self.id(name)]), np.array([value], kind), stamp or self.stamp, status)

    def ask(self, service: str, parameters: Any, session: FakeSession | None = None) -> Any:
        """Ask for a service; returns the decoded response. Raises ServiceError."""
        kind = ua.NodeId(getattr(ua.ObjectIds, f"{service}Request_Encoding_DefaultBinary"))
        response, handler = SERVICES[kind]
        body = parameters if isinstance(parameters, bytes) else struct_to_binary(parameters)
        answer = handler(self.service, session or self.session, body)
        answer = answer if isinstance(answer, bytes) else completed(answer)
        return struct_from_binary(getattr(ua, f"{service}Response"), Buffer(response_header(response, 1) + answer))

    def subscribe(self, session: FakeSession | None = None, **wanted: Any) -> int:
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=100.0, RequestedLifetimeCount=30, RequestedMaxKeepAliveCount=5,
            MaxNotificationsPerPublish=0, PublishingEnabled=True, Priority=0,
        )  # fmt: skip
        return self.ask("CreateSubscription", replace(parameters, **wanted), session).Parameters.SubscriptionId

    def create(
        self, subscription: int, *items: ua.MonitoredItemCreateRequest, stamps: ua.TimestampsToReturn = BOTH,
        session: FakeSession | None = None,
    ) -> list[ua.MonitoredItemCreateResult]:  # fmt: skip
        return self.ask(
            "CreateMonitoredItems", ua.CreateMonitoredItemsParameters(subscription, stamps, list(items)), session
        ).Results

    def modify(self, subscription: int, item: int, **parameters: Any) -> ua.MonitoredItemModifyResult:
        request = ua.MonitoredItemModifyRequest(item, monitoring(**parameters))
        parameters = ua.ModifyMonitoredItemsParameters(subscription, BOTH, [request])
        return self.ask("ModifyMonitoredItems", parameters).Results[0]

    def publish(self, *acknowledged: tuple[int, int], session: FakeSession | None = None, timeout: float = 0.0) -> int:
        """Send a publish request; returns its id."""
        self._request += 1
        on = session or self.session
        self.service.publish(on, on.sink, (self._request, self._request, timeout), list(acknowledged))
        return self._request

    async def cycle(self, count: int = 1) -> None:
        """End a publishing interval of every subscription."""
        for _ in range(count):
            for subscription in self.service.subscriptions.values():
                subscription.due = time.monotonic() - 1e-6
                heapq.heappush(self.service._timers, (subscription.due, subscription.id))
            await self.service._tick()

    def answers(self, session: FakeSession | None = None) -> list[Any]:
        """Take the publish responses sent so far; a ServiceFault comes as its status."""
        on = session or self.session
        taken, on.sink.sent = on.sink.sent, []
        return [decoded(body) for _, body in taken]

    async def messages(self, session: FakeSession | None = None, requests: int = 1) -> list[Any]:
        """Send publish requests, end an interval, and take the responses."""
        for _ in range(requests):
            self.publish(session=session)
        await self.cycle()
        return self.answers(session)

    async def changes(self, session: FakeSession | None = None) -> list[Change]:
        """Return what the next interval reports."""
        return [change for message in await self.messages(session) for change in changes_of(message)]

    async def values(self, session: FakeSession | None = None) -> list[Any]:
        return [change.value for change in await self.changes(session)]


def decoded(body: bytes) -> Any:
    if body[2:4] == b"\x8d\x01":
        return struct_from_binary(ua.ServiceFault, Buffer(body)).ResponseHeader.ServiceResult.value
    return struct_from_binary(ua.PublishResponse, Buffer(body)).Parameters


def changes_of(message: Any) -> list[Change]:
    return [
        Change(item.ClientHandle, item.Value.Value and item.Value.Value.Value, item.Value.StatusCode.value, item.Value)
        for notification in message.NotificationMessage.NotificationData or []
        if isinstance(notification, ua.DataChangeNotification)
        for item in notification.MonitoredItems
    ]


def statuses_of(message: Any) -> list[int]:
    return [
        notification.Status.value
        for notification in message.NotificationMessage.NotificationData or []
        if isinstance(notification, ua.StatusChangeNotification)
    ]


def sequence(message: Any) -> int:
    return message.NotificationMessage.SequenceNumber


def monitoring(
    handle: int = 1,
    sampling: float = 0.0,
    queue: int = 1,
    filter: Any = None,  # noqa: A002
    *,
    discard_oldest: bool = True,
) -> ua.MonitoringParameters:
    return ua.MonitoringParameters(handle, sampling, filter, queue, discard_oldest)


def item(
    path: str = "Press1.Speed", handle: int = 1, mode: ua.MonitoringMode = REPORTING,
    attribute: int = ua.AttributeIds.Value, index_range: str | None = None, encoding: str | None = None,
    **parameters: Any,
) -> ua.MonitoredItemCreateRequest:  # fmt: skip
    value = ua.ReadValueId(ua.NodeId(f"Plant.{path}", 2), attribute, index_range, ua.QualifiedName(encoding, 0))
    return ua.MonitoredItemCreateRequest(value, mode, monitoring(handle, **parameters))


def deadband(width: float, kind: int = 1, trigger: int = 1) -> ua.DataChangeFilter:
    return ua.DataChangeFilter(ua.DataChangeTrigger(trigger), kind, width)


def same(first: Any, second: Any) -> bool:
    """Whether two values are equal, NaN being equal to itself."""
    both = isinstance(first, float) and isinstance(second, float)
    return first == second or (both and math.isnan(first) and math.isnan(second))

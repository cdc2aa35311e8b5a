"""A server of one kind of press with alarms, whose variables the test writes, and what clients see of it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import Client, ua

from server.assembly import Plantree, running
from server.store import now_ticks
from tests.server.opcua.opcua_rig import nid, settings

PLANT = """\
plant: {name: Plant, type: PlantType}
types:
  PlantType: {description: The plant}
  PressType:
    description: A press
    variables:
      Temperature: {type: Double, unit: °C, range: [0, 200], description: Temperature}
      Pressure: {type: Double, unit: bar, range: [0, 200], description: Pressure}
      Speed: {type: Double, unit: r/min, range: [0, 2500], description: Speed}
    alarms:
      Hot: {input: Temperature, high: 80, high_high: 100, severity: 600, confirm: true, message: The press is hot}
      Loose: {input: Pressure, low: 20, severity: 300, message: Pressure is low}
      Racing: {when: "Speed > 500 and Pressure < 2.0", severity: 900, message: The press races}
objects:
  Press1: {type: PressType}
  Press2: {type: PressType}
"""
HOT = "Plant.Press1.Hot"
EVERY_KIND = """\
plant: {name: Plant, type: PlantType}
enumerations:
  State: [Stopped, Running, Tripped]
types:
  PlantType: {description: The plant}
  PressType:
    description: A press
    variables:
      State: {enum: State, description: State}
      Open: {type: Boolean, description: Whether the door is open}
      Temperature: {type: Double, unit: °C, range: [0, 200], description: Temperature}
      Pressure: {type: Double, unit: bar, range: [0, 200], description: Pressure}
      Wanted: {type: Double, unit: bar, range: [0, 200], access: write, initial: 50, description: Wanted pressure}
      Speed: {type: Double, unit: r/min, range: [0, 2500], description: Speed}
    alarms:
      Level: {input: Temperature, low_low: 1, low: 5, high: 80, high_high: 100, deadband: 2, on_delay: 1.5,
              severity: 600, severities: {high_high: 800}, message: Level}
      Any: {input: Temperature, exclusive: false, high: 80, high_high: 100, severity: 600, message: Any}
      Rate: {kind: rate_of_change, input: Temperature, high: 10, severity: 500, message: Rate}
      Deviation: {kind: deviation, input: Pressure, setpoint: Wanted, high: 5, low: -5, severity: 400, message: Far}
      Discrepancy: {kind: discrepancy, input: Pressure, target: Wanted, tolerance: 3, within: 4, severity: 300,
                    message: Discrepancy}
      Door: {kind: off_normal, input: Open, normal: false, severity: 200, confirm: true, message: The door is open}
      Trip: {kind: trip, input: State, tripped: [Tripped], severity: 900, message: Tripped}
      Rule: {when: "Speed > 500 and Pressure < 2.0", severity: 900, message: Rule}
objects:
  Press1: {type: PressType}
"""


@contextlib.asynccontextmanager
async def presses(folder: Path, plant: str = PLANT) -> AsyncGenerator[Plantree]:
    file = folder / "plant.yaml"
    file.write_text(plant, encoding="utf-8")
    async with running(settings(folder, file), gateways={}) as plantree:
        for name in ("Press1", "Press2") if plant is not EVERY_KIND else ():
            set_value(plantree, f"Plant.{name}.Temperature", 20.0)
            set_value(plantree, f"Plant.{name}.Pressure", 50.0)
            set_value(plantree, f"Plant.{name}.Speed", 0.0)
        yield plantree


def set_value(plantree: Plantree, path: str, value: float) -> None:
    variable = plantree.plant.variable(path)
    plantree.store.write(np.array([variable.id]), np.array([value]), now_ticks())


def operand(*path: str, attribute: ua.AttributeIds = ua.AttributeIds.Value) -> ua.SimpleAttributeOperand:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId(ua.ObjectIds.BaseEventType if path else ua.ObjectIds.ConditionType),
        BrowsePath=[ua.QualifiedName(name, 0) for name in path],
        AttributeId=attribute,
    )


FIELDS = (
    "EventId", "EventType", "SourceNode", "SourceName", "Time", "ReceiveTime", "LocalTime", "Message", "Severity",
    "ConditionClassId", "ConditionClassName", "ConditionName", "BranchId", "Retain", "EnabledState",
    "EnabledState/Id", "EnabledState/EffectiveDisplayName", "EnabledState/TransitionTime", "Quality",
    "Quality/SourceTimestamp", "LastSeverity", "Comment", "ClientUserId", "AckedState", "AckedState/Id",
    "ConfirmedState", "ConfirmedState/Id", "ActiveState", "ActiveState/Id", "ActiveState/EffectiveDisplayName",
    "InputNode", "SuppressedState/Id", "OutOfServiceState/Id", "ShelvingState/CurrentState",
    "ShelvingState/CurrentState/Id", "ShelvingState/UnshelveTime", "SuppressedOrShelved", "MaxTimeShelved",
    "LimitState/CurrentState", "LimitState/CurrentState/Id", "HighHighLimit", "HighLimit", "LowLimit",
)  # fmt: skip


class Seen:
    """The events that an item gets, as {field: value}, in order."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._came = asyncio.Event()
        self._taken = 0

    def take(self, fields: list[ua.Variant]) -> None:
        names = [*FIELDS, "ConditionId"]
        self.events.append({name: it.Value for name, it in zip(names, fields, strict=True)})
        self._came.set()

    async def next(self, holds: Callable[[dict[str, Any]], bool] = lambda _: True, seconds: float = 10) -> Any:
        """Return the next event that `holds`; those before it are passed over."""
        async with asyncio.timeout(seconds):
            while True:
                while self._taken < len(self.events):
                    self._taken += 1
                    if holds(self.events[self._taken - 1]):
                        return self.events[self._taken - 1]
                self._came.clear()
                await self._came.wait()


class Watching:
    """A subscription with one item of events, on bare services: asyncua's own object hides most of what is sent."""

    def __init__(self, client: Client, seen: Seen) -> None:
        self.client = client
        self.seen = seen
        self.id = 0
        self.item = 0

    def published(self, result: ua.PublishResult) -> None:
        for data in result.NotificationMessage.NotificationData or []:
            if isinstance(data, ua.EventNotificationList):
                for event in data.Events:
                    self.seen.take(event.EventFields)

    async def refresh(self) -> None:
        """Call ConditionRefresh."""
        await call(
            self.client, ua.NodeId(ua.ObjectIds.ConditionType), ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
            ua.Variant(self.id, ua.VariantType.UInt32),
        )  # fmt: skip


@contextlib.asynccontextmanager
async def watching(client: Client, node: ua.NodeId | None = None, where: Any = None) -> AsyncGenerator[Watching]:
    """Watch the events at a node, the Server unless given."""
    found = Watching(client, Seen())
    parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=20, RequestedLifetimeCount=1000, RequestedMaxKeepAliveCount=20,
        MaxNotificationsPerPublish=0, PublishingEnabled=True, Priority=0,
    )  # fmt: skip
    made = await client.uaclient.create_subscription(parameters, found.published)
    raw = ua.CreateMonitoredItemsParameters(
        SubscriptionId=made.SubscriptionId,
        TimestampsToReturn=ua.TimestampsToReturn.Both,
        ItemsToCreate=[event_item(node or ua.NodeId(ua.ObjectIds.Server), where)],
    )
    (item,) = await client.uaclient.create_monitored_items(raw)
    item.StatusCode.check()
    found.id, found.item = made.SubscriptionId, item.MonitoredItemId
    yield found
    await client.uaclient.delete_subscriptions([made.SubscriptionId])


def event_item(node: ua.NodeId, where: Any) -> ua.MonitoredItemCreateRequest:
    select = [operand(*name.split("/")) for name in FIELDS]
    select.append(operand(attribute=ua.AttributeIds.NodeId))
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.EventNotifier),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=1, SamplingInterval=0, QueueSize=10_000, DiscardOldest=True,
            Filter=ua.EventFilter(SelectClauses=select, WhereClause=where or ua.ContentFilter()),
        ),
    )  # fmt: skip


async def call(client: Client, owner: ua.NodeId, method: ua.NodeId, *given: ua.Variant) -> ua.CallMethodResult:
    """Call a method; returns its result, whatever its status."""
    request = ua.CallMethodRequest(ObjectId=owner, MethodId=method, InputArguments=list(given))
    (result,) = await client.uaclient.call([request])
    return result


async def status_of(client: Client, owner: str, method: str, *given: ua.Variant) -> str:
    """Call the method `method` of the instance at `owner`; returns the StatusCode's name."""
    found = await call(client, nid(owner), nid(f"{owner}.{method}"), *given)
    return found.StatusCode.name


def event_arguments(event_id: bytes, comment: str | None) -> tuple[ua.Variant, ua.Variant]:
    text = ua.LocalizedText(comment) if comment is not None else None
    kind = ua.VariantType.Null if text is None else ua.VariantType.LocalizedText
    return ua.Variant(event_id, ua.VariantType.ByteString), ua.Variant(text, kind)


async def value(client: Client, path: str) -> Any:
    return await client.get_node(nid(path)).read_value()

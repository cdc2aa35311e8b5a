"""A subscription of the raw client: notifications are taken as they come and decoded when the clock has stopped."""

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from asyncua import ua

from bench import wire
from bench.raw_client import RawClient, value_of
from bench.wire import WireError


class Subscription:
    """A subscription with PublishRequests always under way; `answers` yields arrival (ticks) and body, undecoded."""

    def __init__(self, client: RawClient, interval_ms: float, outstanding: int = 10) -> None:
        request = ua.CreateSubscriptionRequest()
        request.Parameters.RequestedPublishingInterval = interval_ms
        request.Parameters.RequestedLifetimeCount = 100_000
        request.Parameters.RequestedMaxKeepAliveCount = 10
        request.Parameters.MaxNotificationsPerPublish = 0
        request.Parameters.PublishingEnabled = True
        created: Any = client.call_service(request, ua.CreateSubscriptionResponse).Parameters
        self.id = int(created.SubscriptionId)
        self.interval_ms = float(created.RevisedPublishingInterval)
        self._client = client
        self._outstanding = outstanding
        self._first = client.prepare(ua.PublishRequest())
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [ua.SubscriptionAcknowledgement(self.id, 0)]
        self._next = client.prepare(request)
        if len(self._next.chunks) != 1 or self._next.chunks[0][-8:] != struct.pack("<II", self.id, 0):
            raise WireError("a PublishRequest does not end as expected")

    def monitor(self, identifiers: Sequence[str], queue: int) -> None:
        """Monitor Values, the client handle being the place in `identifiers`; WireError unless all are Good."""
        for start in range(0, len(identifiers), 1000):
            request = ua.CreateMonitoredItemsRequest()
            request.Parameters.SubscriptionId = self.id
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            for handle, identifier in enumerate(identifiers[start : start + 1000], start):
                monitoring = ua.MonitoringParameters(ClientHandle=handle, SamplingInterval=0.0, QueueSize=queue)
                monitoring.DiscardOldest = True
                item = ua.MonitoredItemCreateRequest(value_of(identifier), ua.MonitoringMode.Reporting, monitoring)
                request.Parameters.ItemsToCreate.append(item)
            response: Any = self._client.call_service(request, ua.CreateMonitoredItemsResponse)
            bad = [item.StatusCode for item in response.Results if not item.StatusCode.is_good()]
            if bad or len(response.Results) != len(request.Parameters.ItemsToCreate):
                raise WireError(f"{len(bad)} items cannot be monitored: {bad[:1]}")

    def monitor_events(self, fields: Sequence[str], queue: int) -> None:
        """Monitor all events of the Server with these fields (`2:Name` in namespace 2); WireError unless it is Good."""
        events = ua.EventFilter()
        base = ua.NodeId(ua.ObjectIds.BaseEventType)
        events.SelectClauses = [
            ua.SimpleAttributeOperand(base, [ua.QualifiedName.from_string(name)], ua.AttributeIds.Value)
            for name in fields
        ]
        monitoring = ua.MonitoringParameters(ClientHandle=1, QueueSize=queue, Filter=events, DiscardOldest=True)
        node = ua.ReadValueId(ua.NodeId(ua.ObjectIds.Server), ua.AttributeIds.EventNotifier)
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = self.id
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.ItemsToCreate = [
            ua.MonitoredItemCreateRequest(node, ua.MonitoringMode.Reporting, monitoring)
        ]
        response: Any = self._client.call_service(request, ua.CreateMonitoredItemsResponse)
        if not response.Results[0].StatusCode.is_good():
            raise WireError(f"events cannot be monitored: {response.Results[0].StatusCode}")

    def answers(self, until: Callable[[], bool], poll: float = 0.5) -> Iterator[tuple[int, bytes]]:
        """Yield every PublishResponse that carries notifications until `until()`, asked at least each `poll` s."""
        for _ in range(self._outstanding):
            self._client.send(self._first)
        self._outstanding = 0  # they stay under way when this is called again
        while not until():
            try:
                _, body = self._client.receive(time.monotonic() + poll)
            except TimeoutError:
                continue
            arrival = wire.now_ticks()
            subscription, sequence, notifications = wire.publish_sequence(body)
            if notifications:
                request = self._next.chunks[0][:-8] + struct.pack("<II", subscription, sequence)
                self._client.send(self._client.prepared(request))
                yield arrival, body
            else:
                self._client.send(self._first)

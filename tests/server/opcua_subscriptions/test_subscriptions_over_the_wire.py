"""Subscriptions of asyncua's client against a whole server: nodes that are not the plant's, events, large messages."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.events import get_filter_from_event_type

from server.assembly import Plantree
from server.opcua.subscriptions.limits import Limits
from tests.server.opcua.opcua_rig import Changes, nid, session, small_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
PRESSES = "  Press[1..1000]: {type: PressType}\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("wire"), PRESSES) as plantree:
        yield plantree


class Events:
    """What a subscription to events delivers."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._came = asyncio.Event()

    def event_notification(self, event: Any) -> None:
        self.events.append(event)
        self._came.set()

    async def until(self, enough: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not enough():
                await self._came.wait()
                self._came.clear()

    @property
    def messages(self) -> list[str]:
        return [event.Message.Text for event in self.events]


async def emit(plantree: Plantree, *messages: str, node: Any = ua.ObjectIds.Server, severity: int = 1) -> None:
    generator = await plantree.opcua._server.get_event_generator(ua.ObjectIds.BaseEventType, node)
    generator.event.Severity = severity
    for message in messages:
        await generator.trigger(message=message)


async def test_asyncuas_own_nodes_and_other_attributes_are_watched(plantree: Plantree) -> None:
    async with session(plantree) as client:
        times, names = Changes(), Changes()
        subscription = await client.create_subscription(20, times)
        await subscription.subscribe_data_change(
            client.get_node(ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime))
        )
        other = await client.create_subscription(20, names)
        await other.subscribe_data_change(client.get_node(nid("Plant.Press1")), ua.AttributeIds.DisplayName)
        await times.until(lambda: len(times.values) >= 3)
        assert times.values == sorted(times.values)
        assert [name.Text for name in names.values] == ["Press1"]


async def test_events_pass_their_filters(plantree: Plantree) -> None:
    async with session(plantree) as client:
        everything, severe = Events(), Events()
        subscription = await client.create_subscription(20, everything)
        await subscription.subscribe_events()
        filtered = await client.create_subscription(20, severe)
        kind = client.get_node(ua.NodeId(ua.ObjectIds.BaseEventType))
        wanted = await get_filter_from_event_type([kind], where_clause_generation=False)
        severity = ua.SimpleAttributeOperand(
            TypeDefinitionId=kind.nodeid,
            BrowsePath=[ua.QualifiedName("Severity", 0)],
            AttributeId=ua.AttributeIds.Value,
        )
        limit = ua.LiteralOperand(ua.Variant(500, ua.VariantType.UInt16))
        element = ua.ContentFilterElement(ua.FilterOperator.GreaterThanOrEqual, [severity, limit])
        wanted.WhereClause = ua.ContentFilter([element])
        await filtered.subscribe_events(evfilter=wanted)
        await emit(plantree, "little", severity=499)
        await emit(plantree, "much", severity=500)
        await everything.until(lambda: len(everything.events) == 2)
        await severe.until(lambda: len(severe.events) == 1)
        assert everything.messages == ["little", "much"]
        assert severe.messages == ["much"]
        assert everything.events[0].SourceNode == ua.NodeId(ua.ObjectIds.Server)


async def test_an_event_of_a_machine_is_seen_there_and_at_the_server_and_not_elsewhere(plantree: Plantree) -> None:
    async with session(plantree) as client:
        seen = {name: Events() for name in ("Plant.Press1", "Plant.Press2", "Plant", "Server")}
        for name, events in seen.items():
            subscription = await client.create_subscription(20, events)
            node = ua.NodeId(ua.ObjectIds.Server) if name == "Server" else nid(name)
            await subscription.subscribe_events(client.get_node(node))
        await emit(plantree, "jam", node=nid("Plant.Press1"))
        await emit(plantree, "end", node=nid("Plant.Press2"))
        await seen["Plant.Press2"].until(lambda: seen["Plant.Press2"].messages == ["end"])
        for name, count in (("Plant.Press1", 1), ("Plant", 2), ("Server", 2)):
            await seen[name].until(lambda events=seen[name], count=count: len(events.events) == count)
        assert seen["Plant.Press1"].messages == ["jam"]
        assert seen["Plant"].messages == seen["Server"].messages == ["jam", "end"]


@pytest.mark.parametrize("oldest", [True, False])
async def test_lost_events_are_told_by_an_overflow_event(plantree: Plantree, oldest: bool) -> None:
    async with session(plantree) as client:
        events = Events()
        subscription = await client.create_subscription(20, events)
        await subscription.set_publishing_mode(False)
        kind = client.get_node(ua.NodeId(ua.ObjectIds.BaseEventType))
        request = ua.MonitoredItemCreateRequest(
            ua.ReadValueId(ua.NodeId(ua.ObjectIds.Server), ua.AttributeIds.EventNotifier),
            ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(
                7, 0.0, await get_filter_from_event_type([kind], where_clause_generation=False), 2, oldest
            ),
        )
        (handle,) = await subscription.create_monitored_items([request])
        assert isinstance(handle, int)
        await emit(plantree, "a", "b", "c", "d")
        await subscription.set_publishing_mode(True)
        await events.until(lambda: len(events.events) == 3)
        overflow = events.events.pop(0 if oldest else -1)
        assert overflow.EventType == ua.NodeId(ua.ObjectIds.EventQueueOverflowEventType)
        assert events.messages == (["c", "d"] if oldest else ["a", "b"])


async def test_a_message_of_several_chunks(plantree: Plantree) -> None:
    machines = [f"Plant.Press{number}" for number in range(1, 1001)]
    names = [f"{machine}.{name}" for machine in machines for name in ("Speed", "Count", "Label")]
    async with session(plantree) as client:
        changes = Changes()
        subscription = await client.create_subscription(50, changes)
        await subscription.subscribe_data_change([client.get_node(nid(name)) for name in names])
        await changes.until(lambda: len(changes.values) == len(names))
        ids = np.array([plantree.plant.variable(name).id for name in names])
        numbers = ids[np.array([not name.endswith("Label") for name in names])]
        plantree.store.write(numbers, np.arange(len(numbers)), 1_000_000)
        await changes.until(lambda: len(changes.values) == len(names) + len(numbers))
        assert sorted(changes.values[len(names) :]) == list(range(len(numbers)))


async def test_nothing_is_left_of_a_closed_session(plantree: Plantree) -> None:
    service = plantree.opcua.internal.subscriptions
    async with session(plantree) as client:
        changes = Changes()
        subscription = await client.create_subscription(20, changes)
        await subscription.subscribe_data_change(client.get_node(nid("Plant.Press1.Speed")))
        await changes.until(lambda: len(changes.values) == 1)
        assert service.table.count == 1
        cursors = len(plantree.store.journal.cursors)
    assert (service.table.count, service.subscriptions) == (0, {})
    assert len(plantree.store.journal.cursors) == cursors - 1


async def test_who_does_not_read_is_bounded_and_then_cut_off(plantree: Plantree) -> None:
    service = plantree.opcua.internal.subscriptions
    before, service.limits = service.limits, Limits(write_buffer=100_000, message_bytes=100_000, stalled=1.0)
    names = [f"Plant.Press{number}.Speed" for number in range(1, 1001)]
    ids = np.array([plantree.plant.variable(name).id for name in names])
    most = 0
    try:
        with contextlib.suppress(ConnectionError, ua.UaError):
            async with session(plantree) as client:
                changes = Changes()
                subscription = await client.create_subscription(10, changes)
                await subscription.subscribe_data_change([client.get_node(nid(name)) for name in names])
                (connection,) = plantree.opcua._binary.clients
                protocol = client.uaclient.protocol
                for end, option in ((protocol, socket.SO_RCVBUF), (connection, socket.SO_SNDBUF)):
                    end.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 4096)
                await changes.until(lambda: len(changes.values) == len(names))
                protocol.transport.pause_reading()
                requests = [
                    asyncio.ensure_future(protocol.send_request(ua.PublishRequest(), timeout=30)) for _ in range(40)
                ]
                async with asyncio.timeout(30):
                    while connection in plantree.opcua._binary.clients:
                        plantree.store.write(ids, np.full(len(ids), time.monotonic()), 1_000_000)
                        most = max(most, connection.processor.backlog + 1)
                        await asyncio.sleep(0.01)  # the time between two changes
                protocol.transport.resume_reading()
                await asyncio.gather(*requests, return_exceptions=True)
    finally:
        service.limits = before
    assert 100_000 < most <= 300_000


async def test_the_server_itself_has_no_subscriptions(plantree: Plantree) -> None:
    with pytest.raises(NotImplementedError, match="cursor"):
        await plantree.opcua._server.create_subscription(100, Changes())

"""Subscriptions: each change of a watched variable arrives, in order, with its quality and its time.

With a sampling interval of 0 each change is a sample; asyncua's client asks for 50 ms where it is not told.
"""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from asyncua import ua
from opcua_rig import Changes, nid, session, small_server

from server.assembly import Plantree
from server.quality import BAD_SENSOR_FAILURE, UNCERTAIN_LAST_USABLE
from server.store import to_ticks

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("subscriptions")) as plantree:
        yield plantree


def ids(plantree: Plantree, *names: str) -> np.ndarray:
    return np.array([plantree.plant.variable(f"Plant.Press1.{name}").id for name in names])


async def test_every_change_arrives_in_order(plantree: Plantree) -> None:
    count = 500
    async with session(plantree) as client:
        changes = Changes()
        subscription = await client.create_subscription(20, changes)
        await subscription.subscribe_data_change(
            client.get_node(nid("Plant.Press1.Count")), queuesize=2 * count, sampling_interval=0
        )
        await changes.until(lambda: len(changes.values) == 1)
        target = ids(plantree, "Count")
        for number in range(count // 2):
            plantree.store.write(target, np.array([number]), 1000 + number)
            await asyncio.sleep(0)
        burst = np.arange(count // 2, count)
        plantree.store.write(np.repeat(target, len(burst)), burst, 1000 + burst)
        await changes.until(lambda: len(changes.values) > count)
        assert changes.values == [None, *range(count)]
        assert [to_ticks(data.SourceTimestamp) for data in changes.data[1:]] == [
            (1000 + number) // 10 * 10 for number in range(count)
        ]


async def test_quality_arrives_with_and_without_a_value(plantree: Plantree) -> None:
    async with session(plantree) as client:
        changes = Changes()
        subscription = await client.create_subscription(20, changes)
        await subscription.subscribe_data_change(
            client.get_node(nid("Plant.Press1.Speed")), queuesize=100, sampling_interval=0
        )
        target = ids(plantree, "Speed")
        plantree.store.write(target, np.array([5.0]), 0)
        plantree.store.set_status(target, UNCERTAIN_LAST_USABLE)
        plantree.store.set_status(target, BAD_SENSOR_FAILURE)
        plantree.store.set_status(target, 0)
        await changes.until(lambda: len(changes.data) >= 5)
        seen = [(data.StatusCode.value, data.Value.Value) for data in changes.data[-4:]]
        assert seen == [(0, 5.0), (UNCERTAIN_LAST_USABLE, 5.0), (BAD_SENSOR_FAILURE, None), (0, 5.0)]


async def test_two_sessions_each_get_all_and_a_deleted_item_gets_nothing(plantree: Plantree) -> None:
    async with session(plantree) as first, session(plantree) as second:
        target, node = ids(plantree, "Count"), nid("Plant.Press1.Count")
        both = [Changes(), Changes()]
        subscriptions = [
            await client.create_subscription(20, changes) for client, changes in zip((first, second), both, strict=True)
        ]
        handles = [await subscription.subscribe_data_change(node_of(client, node), queuesize=10, sampling_interval=0)
                   for subscription, client in zip(subscriptions, (first, second), strict=True)]  # fmt: skip
        plantree.store.write(target, np.array([1]), 0)
        for changes in both:
            await changes.until(lambda changes=changes: changes.values[-1:] == [1])
        await subscriptions[0].unsubscribe(handles[0])
        plantree.store.write(target, np.array([2]), 0)
        await both[1].until(lambda: both[1].values[-1:] == [2])
        assert 2 not in both[0].values
        await subscriptions[1].unsubscribe(handles[1])
        assert not plantree.opcua.internal.subscription_service.table.count, (
            "nobody watches: the journal need not be looked at"
        )


def node_of(client, node: ua.NodeId):
    return client.get_node(node)

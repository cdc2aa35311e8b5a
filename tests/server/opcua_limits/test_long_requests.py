"""Requests that ask for much are answered in turns, with the same bytes as asyncua would."""

import asyncio
import gc
import itertools
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from bench.raw_client import Prepared, RawClient
from server.assembly import Plantree
from tests.server.opcua.opcua_rig import Changes, nid, session, small_server
from tests.server.opcua_limits.limits_rig import raw, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
PRESSES = 1_000
IDS = ua.AttributeIds


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    objects = f"  Press[1..{PRESSES}]: {{type: PressType}}\n"
    async with small_server(tmp_path_factory.mktemp("long"), objects) as plantree:
        yield plantree


def read_request(client: RawClient, items: list[ua.ReadValueId], stamps: int = 3, max_age: float = 0.0) -> Prepared:
    request = ua.ReadRequest()
    request.Parameters.NodesToRead, request.Parameters.MaxAge = items, max_age
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn(stamps)
    return client.prepare(request)


ODD = [
    ua.ReadValueId(node, attribute, index_range, ua.QualifiedName(encoding, 0))
    for node, attribute, index_range, encoding in (
        (nid("Plant.Press1.Label"), IDS.Value, None, None),
        (nid("Plant.Press1.Target"), IDS.Value, None, None),
        (nid("Plant.Press1.Target"), IDS.DisplayName, None, None),
        (nid("Plant.Press1.Secret"), IDS.Value, None, None),
        (nid("Plant.Press1.Label"), IDS.Value, "0:2", None),
        (nid("Plant.Press1.Target"), IDS.Value, None, "Default Binary"),
        (nid("Plant.Press1.Target"), 99, None, None),
        (nid("Plant.Press1.Target.EURange"), IDS.Value, None, "Default Binary"),
        (nid("nothing"), IDS.Value, None, None),
        (ua.NodeId(ua.ObjectIds.Server_NamespaceArray), IDS.Value, "1", None),
        (ua.NodeId(84), IDS.NodeClass, None, None),
        (ua.NodeId(b"opaque", 3), IDS.Value, None, None),
    )
]


@pytest.mark.parametrize("stamps", range(4))
async def test_odd_values_are_answered_as_asyncua_would(plantree: Plantree, stamps: int) -> None:
    async with raw(plantree) as client:
        (live,) = plantree.opcua._binary.clients
        body = await asyncio.to_thread(client.ask, read_request(client, ODD, stamps))
        parameters = ua.ReadParameters(0.0, ua.TimestampsToReturn(stamps), ODD)
        expected = ua.ReadResponse(Results=await live.processor.session.read(parameters))
        now = without_stamps(body), without_stamps(struct_to_binary(expected))
        assert now[0] == now[1]


def without_stamps(body: bytes) -> Any:
    """Return the results of a ReadResponse; server timestamps are of the moment."""
    found = ua.ua_binary.struct_from_binary(ua.ReadResponse, ua.utils.Buffer(bytes(body)))
    assert not found.DiagnosticInfos
    return [(it.Value, it.StatusCode, it.SourceTimestamp, it.ServerTimestamp is None) for it in found.Results]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda body: body[:-1], ua.StatusCodes.BadDecodingError),
        (lambda body: body.replace(b"\x03\x02\x00", b"\x09\x02\x00", 1), ua.StatusCodes.BadDecodingError),
        (lambda body: body[: body.index(b"\x03\x02\x00") - 4] + bytes(4), ua.StatusCodes.BadNothingToDo),
        (lambda body: with_head(body, -1.0, 0), ua.StatusCodes.BadMaxAgeInvalid),
        (lambda body: with_head(body, 0.0, 4), ua.StatusCodes.BadTimestampsToReturnInvalid),
    ],
    ids=["cut off", "no NodeId", "nothing", "max age", "timestamps"],
)
async def test_what_is_no_read_is_refused(plantree: Plantree, change: Callable[[bytes], bytes], status: int) -> None:
    async with raw(plantree) as client:
        prepared = read_request(client, [ua.ReadValueId(nid("Plant.Press1.Label"), IDS.Value)])
        prepared.chunks[0] = change(bytes(prepared.chunks[0]))
        body = await asyncio.to_thread(client.ask, prepared)
        assert struct.unpack_from("<I", body, 16)[0] == status


def with_head(body: bytes, max_age: float, stamps: int) -> bytes:
    at = body.index(b"\x03\x02\x00") - 16
    return body[:at] + struct.pack("<dI", max_age, stamps) + body[at + 12 :]


def names(client: RawClient) -> Prepared:
    return read_request(client, [ua.ReadValueId(nid(f"Plant.Press{n}"), IDS.DisplayName) for n in range(1, PRESSES)])


def items(client: RawClient, subscription: int) -> Prepared:
    request = ua.CreateMonitoredItemsRequest()
    request.Parameters.SubscriptionId = subscription
    request.Parameters.ItemsToCreate = [
        ua.MonitoredItemCreateRequest(
            ua.ReadValueId(nid(f"Plant.Press{n}.Target"), IDS.Value), ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(n, 0.0, None, 1, True),
        )
        for n in range(1, PRESSES + 1)
    ]  # fmt: skip
    return client.prepare(request)


def subscribed(client: RawClient) -> int:
    request = ua.CreateSubscriptionRequest()
    request.Parameters.RequestedPublishingInterval, request.Parameters.RequestedLifetimeCount = 1000.0, 1000
    request.Parameters.RequestedMaxKeepAliveCount = 10
    return int(client.call_service(request, ua.CreateSubscriptionResponse).Parameters.SubscriptionId)


@pytest.mark.parametrize("make", [names, lambda client: items(client, subscribed(client))], ids=["read", "create"])
async def test_others_have_many_turns_meanwhile(plantree: Plantree, make: Callable[[RawClient], Prepared]) -> None:
    async with raw(plantree) as client:
        (live,) = plantree.opcua._binary.clients
        request = await asyncio.to_thread(make, client)
        asking = asyncio.create_task(asyncio.to_thread(client.ask, request))
        turns = 0
        while not asking.done():
            turns += live._busy
            await asyncio.sleep(0)
        assert await asking
        assert turns >= 10, "the loop came round while the request was being answered"


async def test_the_collector_leaves_the_address_space_alone(plantree: Plantree) -> None:
    """Walking it stops everything for hundreds of milliseconds; only what was made since is looked at."""
    assert gc.get_freeze_count() > 100_000
    assert len(gc.get_objects()) < gc.get_freeze_count()


async def test_a_subscription_deleted_while_items_are_made_leaves_nothing(plantree: Plantree) -> None:
    table = plantree.opcua.internal.subscriptions.table
    async with raw(plantree) as client:
        number = await asyncio.to_thread(subscribed, client)
        (live,) = plantree.opcua._binary.clients
        asking = asyncio.create_task(asyncio.to_thread(client.ask, items(client, number)))
        await until(lambda: table.count > 0)
        assert table.count < PRESSES
        plantree.opcua.internal.subscriptions.delete(live.processor.session, [number])
        body = await asking
        assert struct.unpack_from("<I", body, 16)[0] == ua.StatusCodes.BadSubscriptionIdInvalid
        assert table.count == 0


async def test_items_made_in_turns_have_their_first_value_once(plantree: Plantree) -> None:
    async with session(plantree) as client:
        changes = Changes()
        subscription = await client.create_subscription(20, changes)
        nodes = [client.get_node(nid(f"Plant.Press{n}.Target")) for n in range(1, PRESSES + 1)]
        await subscription.subscribe_data_change(nodes, sampling_interval=0)
        await changes.until(lambda: len(changes.values) >= PRESSES)
        assert changes.values == [10.0] * PRESSES
        assert sum(1 for _ in itertools.islice(changes.values, PRESSES)) == PRESSES

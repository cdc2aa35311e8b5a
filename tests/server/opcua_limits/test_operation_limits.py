"""ServerCapabilities say what is enforced, and what they say is enforced: by the fast path and the slow one alike."""

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.ua import uaerrors

from server.assembly import Plantree
from server.opcua import capabilities
from tests.server.opcua.opcua_rig import Changes, nid, session, small_server
from tests.server.opcua_limits.limits_rig import limited, raw

pytestmark = pytest.mark.asyncio(loop_scope="module")
TARGET, LABEL = nid("Plant.Press1.Target"), nid("Plant.Press1.Label")
VALUE = ua.AttributeIds.Value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("limits")) as plantree:
        yield plantree


async def test_what_is_published_is_what_is_enforced(plantree: Plantree) -> None:
    limits, subscriptions = plantree.opcua.limits, plantree.opcua.internal.subscriptions.limits
    expected = {
        f"OperationLimits_{name}": value
        for name, value in capabilities.operation_limits(limits, subscriptions).items()
    } | capabilities.counts(limits, subscriptions)  # fmt: skip
    async with session(plantree) as client:
        for name, value in expected.items():
            node = client.get_node(ua.NodeId(getattr(ua.ObjectIds, f"Server_ServerCapabilities_{name}")))
            found = (await node.read_data_value()).Value
            assert (found.Value, found.VariantType) == (value, ua.VariantType.UInt32), name
    assert expected["MaxSessions"] == plantree.settings.opcua.max_sessions


async def test_every_capability_has_a_value(plantree: Plantree) -> None:
    """But what nobody has issued, and the continuation points of history, which are history's to say."""
    without = {"SoftwareCertificates", "ConformanceUnits", "MaxHistoryContinuationPoints"}
    async with session(plantree) as client:
        names = []
        for node in await client.get_node(ua.NodeId(ua.ObjectIds.Server_ServerCapabilities)).get_properties():
            names.append((await node.read_browse_name()).Name)
            if names[-1] not in without:
                assert await node.read_value() is not None, names[-1]
    assert len(names) >= 18


def reads(count: int, node: ua.NodeId) -> ua.ReadRequest:
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [ua.ReadValueId(node, VALUE)] * count
    return request


def writes(count: int, node: ua.NodeId) -> ua.WriteRequest:
    request = ua.WriteRequest()
    value = ua.DataValue(ua.Variant("x" if node == LABEL else 1.0), StatusCode=None)
    request.Parameters.NodesToWrite = [ua.WriteValue(node, VALUE, Value=value)] * count
    return request


def calls(count: int, _node: ua.NodeId) -> ua.CallRequest:
    request = ua.CallRequest()
    one = ua.CallMethodRequest(nid("Plant.Press1"), nid("Plant.Press1.Aim"), [ua.Variant(5.0)])
    request.Parameters.MethodsToCall = [one] * count
    return request


@pytest.mark.parametrize(
    ("make", "limit"), [(reads, "nodes_per_read"), (writes, "nodes_per_write"), (calls, "calls")]
)  # fmt: skip
@pytest.mark.parametrize("node", [TARGET, LABEL], ids=["fast", "slow"])
@pytest.mark.parametrize("audit", [None, "entry"], ids=["usual header", "unusual header"])
async def test_one_operation_more_is_too_many(
    plantree: Plantree, make: Any, limit: str, node: ua.NodeId, audit: str | None
) -> None:
    async with limited(plantree, **{limit: 3}), session(plantree, "Supervisor") as client:
        for count, status in ((3, 0), (4, ua.StatusCodes.BadTooManyOperations)):
            request = make(count, node)
            request.RequestHeader.AuditEntryId = audit
            assert await service_result(client, request) == status


async def service_result(client: Client, request: Any) -> int:
    try:
        await client.uaclient.protocol.send_request(request)
    except uaerrors.UaStatusCodeError as error:
        return error.code
    return 0


async def test_too_many_operations_are_refused_before_they_are_decoded(plantree: Plantree) -> None:
    """A count of 2 thousand million and no operations: it is the count that is refused."""
    async with raw(plantree) as client:
        prepared = client.read_request(["Plant.Press1.Target"])
        at = prepared.chunks[0].index(b"\x03\x02\x00") - 4  # before the NodeId stands the number of nodes
        prepared.chunks[0] = prepared.chunks[0][:at] + struct.pack("<i", 2**31 - 1)
        body = await asyncio.to_thread(client.ask, prepared)
        assert struct.unpack_from("<I", body, 16)[0] == ua.StatusCodes.BadTooManyOperations


async def test_too_many_items_for_one_call(plantree: Plantree) -> None:
    most = plantree.opcua.internal.subscriptions.limits.items_per_call
    async with session(plantree) as client:
        number = (await client.create_subscription(100, Changes())).subscription_id
        deletion = ua.DeleteMonitoredItemsRequest()
        deletion.Parameters.SubscriptionId = number
        deletion.Parameters.MonitoredItemIds = [1] * (most + 1)
        mode = ua.SetMonitoringModeRequest()
        mode.Parameters.SubscriptionId, mode.Parameters.MonitoredItemIds = number, [1] * (most + 1)
        links = ua.SetTriggeringRequest()
        links.Parameters.SubscriptionId, links.Parameters.LinksToAdd = number, [1] * (most // 2)
        links.Parameters.LinksToRemove = [1] * (most // 2 + 1)
        one = ua.MonitoredItemCreateRequest(ua.ReadValueId(TARGET, VALUE))
        creation = ua.CreateMonitoredItemsRequest()
        creation.Parameters.SubscriptionId, creation.Parameters.ItemsToCreate = number, [one] * (most + 1)
        for request in (deletion, mode, links, creation):
            assert await service_result(client, request) == ua.StatusCodes.BadTooManyOperations
        deletion.Parameters.MonitoredItemIds.pop()
        assert await service_result(client, deletion) == 0


@pytest.mark.parametrize("details", [ua.ReadRawModifiedDetails(), None], ids=["raw", "no details"])
async def test_too_many_nodes_of_history(plantree: Plantree, details: Any) -> None:
    request = ua.HistoryReadRequest()
    request.Parameters.HistoryReadDetails = details
    request.Parameters.NodesToRead = [ua.HistoryReadValueId(NodeId=TARGET)] * 1001
    async with session(plantree) as client:
        assert await service_result(client, request) == ua.StatusCodes.BadTooManyOperations


async def test_strings_are_only_so_long(plantree: Plantree) -> None:
    async with limited(plantree, string_bytes=10), session(plantree, "Supervisor") as client:
        for text, status in (("0123456789", "Good"), ("012345678é", "BadEncodingLimitsExceeded")):
            request = writes(2, LABEL)
            request.Parameters.NodesToWrite[0] = ua.WriteValue(LABEL, VALUE, Value=ua.DataValue(ua.Variant(text)))
            answer = await client.uaclient.write(request.Parameters)
            assert [it.name for it in answer] == [status, "Good"]
        reason = ua.Variant("a very long reason", ua.VariantType.String)
        call = ua.CallMethodRequest(nid("Plant.Press1"), nid("Plant.Press1.EmergencyStop"), [reason])
        (result,) = await client.uaclient.call([call])
        assert [it.name for it in result.InputArgumentResults] == ["BadEncodingLimitsExceeded"]
        assert result.StatusCode.name == "BadInvalidArgument"
        assert not plantree.stops.latched(plantree.plant.machine("Plant.Press1"))


async def test_an_answer_too_large_for_the_client_is_not_sent(plantree: Plantree) -> None:
    for node in (TARGET, LABEL):
        async with session(plantree, "Supervisor") as client:
            (live,) = plantree.opcua._binary.clients
            live.processor.session.max_response_size = 10_000
            assert await service_result(client, reads(2000, node)) == ua.StatusCodes.BadResponseTooLarge
            assert await service_result(client, reads(20, node)) == 0


async def test_diagnostics_may_be_asked_for_and_are_empty(plantree: Plantree) -> None:
    """OPC 10000-4 7.33: a server that has none returns none; the answer is the same but for that."""
    async with session(plantree) as client:
        for node in (TARGET, nid("Plant.Press1.Missing")):
            request = reads(1, node)
            request.RequestHeader.ReturnDiagnostics = 0x3FF
            answer = await client.uaclient.protocol.send_request(request)
            assert answer is not None
            decoded = ua.ua_binary.struct_from_binary(ua.ReadResponse, answer)
            assert not decoded.DiagnosticInfos
            assert decoded.Results[0].StatusCode.is_good() == (node == TARGET)

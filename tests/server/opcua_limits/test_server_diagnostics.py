"""Server.ServerDiagnostics: counts that are true, an object for each session, and who may see which."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.ua import uaerrors

from server.assembly import Plantree
from tests.server.opcua.opcua_rig import PASSWORD, Changes, browse, nid, read, session, small_server
from tests.server.opcua_limits.limits_rig import raw, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
IDS = ua.ObjectIds
SUMMARY = "Server_ServerDiagnostics_ServerDiagnosticsSummary"
SESSIONS = ua.NodeId(IDS.Server_ServerDiagnostics_SessionsDiagnosticsSummary)
ARRAY = ua.NodeId(IDS.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray)
SECURITY = ua.NodeId(IDS.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray)
SUBSCRIPTIONS = ua.NodeId(IDS.Server_ServerDiagnostics_SubscriptionDiagnosticsArray)
FLAG = ua.NodeId(IDS.Server_ServerDiagnostics_EnabledFlag)
TARGET = [(nid("Plant.Press1.Target"), ua.AttributeIds.Value)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("diagnostics")) as plantree:
        yield plantree


async def value(client: Client, node: ua.NodeId) -> Any:
    return await client.get_node(node).read_value()


async def summary(client: Client) -> dict[str, int]:
    """Read the summary, and hold each of its variables against it."""
    found = await value(client, ua.NodeId(getattr(IDS, SUMMARY)))
    fields = {name: getattr(found, name) for name in found.__slots__}
    for name in ("CurrentSessionCount", "CumulatedSessionCount", "CurrentSubscriptionCount", "SessionTimeoutCount"):
        assert await value(client, ua.NodeId(getattr(IDS, f"{SUMMARY}_{name}"))) == fields[name]
    return fields


async def own(plantree: Plantree, client: Client) -> Any:
    """Return the session's own entry of the array."""
    (found,) = [it for it in await value(client, ARRAY) if it.SessionId == session_id(plantree, client)]
    return found


def session_id(plantree: Plantree, client: Client) -> ua.NodeId:
    """Return the SessionId, which asyncua's client does not keep."""
    token = client.uaclient.protocol.authentication_token
    return plantree.opcua.internal.lookup_external_session(token).session_id


async def test_sessions_and_subscriptions_are_counted(plantree: Plantree) -> None:
    async with session(plantree) as client:
        before = await summary(client)
        async with session(plantree) as other:
            await other.create_subscription(100, Changes())
            await other.create_subscription(200, Changes())
            during = await summary(client)
        after = await summary(client)
    assert (before["CurrentSessionCount"], during["CurrentSessionCount"], after["CurrentSessionCount"]) == (1, 2, 1)
    assert during["CumulatedSessionCount"] == after["CumulatedSessionCount"] == before["CumulatedSessionCount"] + 1
    assert (during["CurrentSubscriptionCount"], after["CurrentSubscriptionCount"]) == (2, 0)
    assert after["CumulatedSubscriptionCount"] == before["CumulatedSubscriptionCount"] + 2
    assert during["PublishingIntervalCount"] == 2
    assert after["SessionAbortCount"] == before["SessionAbortCount"], "it was closed in order"


async def test_refusals_and_aborts_are_counted(plantree: Plantree) -> None:
    async with session(plantree) as client:
        before = await summary(client)
        stranger = Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree")
        stranger.set_user("nobody")
        stranger.set_password(PASSWORD)
        with pytest.raises(uaerrors.UaStatusCodeError):
            await stranger.connect()
        after = await summary(client)
        for name in ("SecurityRejectedSessionCount", "RejectedSessionCount", "SecurityRejectedRequestsCount"):
            assert after[name] == before[name] + 1, name
        with pytest.raises(uaerrors.BadMaxAgeInvalid):
            await client.uaclient.read(ua.ReadParameters(MaxAge=-1, NodesToRead=[ua.ReadValueId(FLAG)]))
        assert (await summary(client))["RejectedRequestsCount"] == after["RejectedRequestsCount"] + 1
        async with raw(plantree) as lost:
            lost._socket.close()
        await until(lambda: plantree.opcua.internal.session_count == 1)
        assert (await summary(client))["SessionAbortCount"] == before["SessionAbortCount"] + 1


async def test_a_session_that_asks_for_nothing_ends_and_is_counted(plantree: Plantree) -> None:
    internal = plantree.opcua.internal
    before, longest = internal.tallies.timeouts, internal.max_session_timeout_ms
    internal.max_session_timeout_ms = internal.min_session_timeout_ms = 200
    try:
        async with raw(plantree):
            await until(lambda: internal.tallies.timeouts == before + 1)
            assert internal.session_count == 0
    finally:
        internal.max_session_timeout_ms, internal.min_session_timeout_ms = longest, 5_000


async def test_a_session_is_described_and_its_requests_are_counted(plantree: Plantree) -> None:
    async with session(plantree, "Operator") as client:
        before = await own(plantree, client)
        await read(client, TARGET)  # on the fast path
        await read(client, [(nid("Plant.Press1.Label"), ua.AttributeIds.Value)])  # on the slow one
        await browse(client, [nid("Plant")])
        with pytest.raises(uaerrors.BadNothingToDo):
            await client.uaclient.call([])
        subscription = await client.create_subscription(100, Changes())
        await subscription.subscribe_data_change(client.get_node(nid("Plant.Press1.Target")))
        after = await own(plantree, client)
    assert after.ReadCount.TotalCount == before.ReadCount.TotalCount + 3, "two, and that of the array itself"
    assert after.BrowseCount.TotalCount == before.BrowseCount.TotalCount + 1
    assert (after.CallCount.TotalCount, after.CallCount.ErrorCount) == (1, 1)
    assert after.ReadCount.ErrorCount == 0
    assert after.CreateSubscriptionCount.TotalCount == after.CreateMonitoredItemsCount.TotalCount == 1
    assert after.PublishCount.TotalCount >= 1
    assert (after.CurrentSubscriptionsCount, after.CurrentMonitoredItemsCount) == (1, 1)
    assert after.CurrentPublishRequestsInQueue >= 1
    assert after.TotalRequestCount.TotalCount > before.TotalRequestCount.TotalCount + 5
    assert after.ClientDescription.ApplicationUri == client.application_uri
    assert after.SessionName.startswith(client.description)
    assert after.EndpointUrl.endswith("/plantree")
    assert after.ActualSessionTimeout == client.session_timeout
    assert before.ClientConnectionTime < before.ClientLastContactTime <= after.ClientLastContactTime


async def test_a_session_has_an_object_as_its_type_declares(plantree: Plantree) -> None:
    async with session(plantree, "SecurityAdmin") as client:
        found = (await browse(client, [SESSIONS]))[SESSIONS]
        (entry,) = [it for it in found if it.TypeDefinition == ua.NodeId(IDS.SessionDiagnosticsObjectType)]
        parts = [it for it in (await browse(client, [entry.NodeId]))[entry.NodeId] if it.IsForward][1:]
        assert [it.BrowseName.Name for it in parts] == [
            "SessionDiagnostics", "SessionSecurityDiagnostics", "SubscriptionDiagnosticsArray",
        ]  # fmt: skip
        assert entry.BrowseName.Name.startswith(client.description)
        kinds = (ua.SessionDiagnosticsDataType, ua.SessionSecurityDiagnosticsDataType)
        for part, kind in zip(parts[:2], kinds, strict=True):
            references = (await browse(client, [part.NodeId]))[part.NodeId]
            fields = [it for it in references if it.IsForward and it.NodeClass == ua.NodeClass.Variable]
            assert {it.BrowseName.Name for it in fields} == set(kind.__slots__)
            assert [it.NodeId for it in references if not it.IsForward] == [entry.NodeId]
            values = await read(client, [(it.NodeId, ua.AttributeIds.Value) for it in fields])
            assert all(it.StatusCode.is_good() for it in values)
            types = await read(client, [(it.NodeId, ua.AttributeIds.DataType) for it in fields])
            assert all(it.Value.Value is not None for it in types)
            by_name = {it.BrowseName.Name: found.Value.Value for it, found in zip(fields, values, strict=True)}
            assert by_name["SessionId"] == entry.NodeId
        assert (by_name["ClientUserIdOfSession"], by_name["Encoding"]) == ("SecurityAdmin", "UA Binary")
        assert by_name["AuthenticationMechanism"] == "UserName"
        assert by_name["SecurityPolicyUri"].endswith("#None")
        assert await value(client, parts[2].NodeId) == []
        await client.create_subscription(100, Changes())
        assert len(await value(client, parts[2].NodeId)) == 1
    async with session(plantree) as client:
        assert (await read(client, [(entry.NodeId, ua.AttributeIds.BrowseName)]))[
            0
        ].StatusCode.name == "BadNodeIdUnknown"
        left = [it for it in (await browse(client, [SESSIONS]))[SESSIONS] if it.NodeId == entry.NodeId]
        assert not left


@pytest.mark.parametrize("role", [None, "Operator", "ConfigureAdmin", "SecurityAdmin"])
async def test_what_is_of_security_is_for_the_security_administrator(plantree: Plantree, role: str | None) -> None:
    async with session(plantree, role) as client:
        part = ua.NodeId(f"{session_id(plantree, client).Identifier}.SessionSecurityDiagnostics", 1)
        field = ua.NodeId(f"{part.Identifier}.ClientCertificate", 1)
        nodes = [SECURITY, part, field]
        found = await client.uaclient.read_attributes(nodes, ua.AttributeIds.UserAccessLevel)
        may = role == "SecurityAdmin"
        assert [it.Value.Value & 1 for it in found] == [may] * 3
        request = ua.ReadParameters(NodesToRead=[ua.ReadValueId(it, ua.AttributeIds.Value) for it in nodes[2:]])
        assert (await client.uaclient.read(request))[0].StatusCode.name == ("Good" if may else "BadUserAccessDenied")
        if not may:  # asyncua cannot decode the structure: it takes its field Encoding for a mask
            for node in nodes:
                with pytest.raises(uaerrors.BadUserAccessDenied):
                    await value(client, node)
            subscription = await client.create_subscription(100, Changes())
            with pytest.raises(uaerrors.BadUserAccessDenied):
                await subscription.subscribe_data_change(client.get_node(SECURITY))


async def test_a_subscription_is_described(plantree: Plantree) -> None:
    target = np.array([plantree.plant.variable("Plant.Press1.Count").id])
    async with session(plantree) as client:
        changes = Changes()
        subscription = await client.create_subscription(50, changes)
        node = client.get_node(nid("Plant.Press1.Count"))
        await subscription.subscribe_data_change(node, queuesize=2, sampling_interval=0)
        await changes.until(lambda: len(changes.values) == 1)
        await subscription.set_publishing_mode(False)
        plantree.store.write(np.repeat(target, 5), np.arange(5), np.arange(5) * 10 + 1_000_000)
        await subscription.set_publishing_mode(True)
        await changes.until(lambda: len(changes.values) == 3)
        await subscription.set_monitoring_mode(ua.MonitoringMode.Disabled)
        (found,) = [
            it for it in await value(client, SUBSCRIPTIONS) if it.SubscriptionId == subscription.subscription_id
        ]
        assert found.SessionId == session_id(plantree, client)
    assert (found.EnableCount, found.DisableCount, found.PublishingEnabled) == (1, 1, True)
    assert (found.MonitoredItemCount, found.DisabledMonitoredItemCount) == (1, 1)
    assert found.DataChangeNotificationsCount == found.NotificationsCount == 3
    assert found.MonitoringQueueOverflowCount == 3, "of five two are left"
    assert found.PublishingInterval == 50
    assert found.NextSequenceNumber == 3


async def test_diagnostics_can_be_watched(plantree: Plantree) -> None:
    count = ua.NodeId(getattr(IDS, f"{SUMMARY}_CurrentSessionCount"))
    plantree.opcua.internal.subscriptions.feed._poll = 0.05
    async with session(plantree) as client:
        changes = Changes()
        subscription = await client.create_subscription(50, changes)
        await subscription.subscribe_data_change(client.get_node(count), sampling_interval=0)
        await changes.until(lambda: changes.values == [1])
        async with session(plantree):
            await changes.until(lambda: changes.values[-1] == 2)
        await changes.until(lambda: changes.values[-1] == 1)
    assert not plantree.opcua.internal.subscriptions.feed.polled


async def test_who_may_may_switch_them_off_and_begin_anew(plantree: Plantree) -> None:
    async with session(plantree, "Operator") as operator, session(plantree, "ConfigureAdmin") as administrator:
        with pytest.raises(uaerrors.BadUserAccessDenied):
            await operator.get_node(FLAG).write_value(False)
        with pytest.raises(uaerrors.BadTypeMismatch):
            await administrator.get_node(FLAG).write_value(1, ua.VariantType.Int32)
        shown = ua.NodeId(session_id(plantree, operator).Identifier, 1)
        assert (await read(operator, [(shown, ua.AttributeIds.NodeClass)]))[0].StatusCode.is_good()
        await administrator.get_node(FLAG).write_value(False)
        assert await value(operator, FLAG) is False
        for node in (ARRAY, SUBSCRIPTIONS, ua.NodeId(getattr(IDS, f"{SUMMARY}_CurrentSessionCount"))):
            with pytest.raises(uaerrors.BadNotReadable):
                await value(operator, node)
        assert (await read(operator, [(shown, ua.AttributeIds.NodeClass)]))[0].StatusCode.name == "BadNodeIdUnknown"
        assert not [it for it in (await browse(operator, [SESSIONS]))[SESSIONS] if it.NodeId == shown]
        await administrator.get_node(FLAG).write_value(True)
        found = await own(plantree, operator)
        assert found.TotalRequestCount.TotalCount == 1, "that of this very read"
        assert (await read(operator, [(shown, ua.AttributeIds.NodeClass)]))[0].StatusCode.is_good()
        assert (await summary(operator))["CurrentSessionCount"] == 2
        assert (await summary(operator))["CumulatedSessionCount"] == 0

"""Audit events over the wire: who sees them, and what they say of sessions, writes, calls and refusals."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua

from server.assembly import Plantree
from tests.server.opcua.opcua_rig import nid, session, small_server
from tests.server.opcua_events.events_rig import OP, Seen, event_filter, literal, watch, where

pytestmark = pytest.mark.asyncio(loop_scope="module")

_IDS = ua.ObjectIds
TARGET, PRESS = nid("Plant.Press1.Target"), nid("Plant.Press1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("audit")) as plantree:
        yield plantree


def of_type(name: str, *paths: str) -> ua.EventFilter:
    clause = where((OP.OfType, literal(ua.NodeId(getattr(_IDS, name)))))
    return event_filter(["Message", *paths], clause)


async def audited(client: Any, name: str, *paths: str) -> Seen:
    return await watch(client, of_type(name, *paths))


async def test_auditing_is_said_to_be_on(plantree: Plantree) -> None:
    async with session(plantree) as client:
        assert await client.get_node(ua.NodeId(_IDS.Server_Auditing)).read_value() is True


@pytest.mark.parametrize("role", ["Supervisor", "SecurityAdmin"])
@pytest.mark.parametrize("fast", [True, False])
async def test_a_write_is_told_with_the_value_before(plantree: Plantree, role: str, fast: bool) -> None:
    async with session(plantree, role) as auditor, session(plantree, "Operator") as operator:
        seen = await audited(
            auditor, "AuditWriteUpdateEventType", "SourceNode", "SourceName", "OldValue", "NewValue", "Status",
            "ClientUserId", "AttributeId", "ServerId",
        )  # fmt: skip
        node = operator.get_node(TARGET)
        before = await node.read_value()
        wanted = before + 1
        value = ua.DataValue(ua.Variant(wanted, ua.VariantType.Double))
        if not fast:
            operator.uaclient.protocol._setup_request_header = _with_entry(operator, "slow")
        await node.write_value(value)
        await seen.until(lambda: len(seen.rows) == 1)
        (message, source, name, old, new, status, who, attribute, server) = seen.rows[0]
        assert (source, name, old, new, status, who) == (TARGET, "Attribute/Write", before, wanted, True, "Operator")
        assert attribute == ua.AttributeIds.Value
        assert server == plantree.own.application_uri
        assert "Plant.Press1.Target" in message.Text


def _with_entry(client: Any, entry: str) -> Any:
    protocol = client.uaclient.protocol
    before = protocol._setup_request_header

    def audited_header(header: ua.RequestHeader, *arguments: Any) -> None:
        before(header, *arguments)
        header.AuditEntryId = entry

    return audited_header


async def test_the_clients_audit_entry_is_passed_on(plantree: Plantree) -> None:
    async with session(plantree, "Supervisor") as auditor, session(plantree, "Operator") as operator:
        seen = await audited(auditor, "AuditUpdateMethodEventType", "ClientAuditEntryId", "MethodId", "InputArguments")
        operator.uaclient.protocol._setup_request_header = _with_entry(operator, "order 66")
        await operator.get_node(PRESS).call_method(nid("Plant.Press1.Aim"), ua.Variant(5.0))
        await seen.until(lambda: len(seen.rows) == 1)
        assert seen.rows[0][1:3] == ["order 66", nid("Plant.Press1.Aim")]
        assert [it.Value for it in seen.rows[0][3]] == [5.0]


async def test_refusals_are_told_with_their_status(plantree: Plantree) -> None:
    async with session(plantree, "Supervisor") as auditor, session(plantree, "Observer") as observer:
        writes = await audited(auditor, "AuditWriteUpdateEventType", "Status", "ClientUserId", "SourceNode")
        with pytest.raises(ua.UaStatusCodeError):
            await observer.get_node(TARGET).write_value(1.0)
        with pytest.raises(ua.UaStatusCodeError):
            await observer.get_node(nid("Plant.Press1.Speed")).write_value(1.0)
        await writes.until(lambda: len(writes.rows) == 2)
        assert [row[1:] for row in writes.rows] == [
            [False, "Observer", TARGET],
            [False, "Observer", nid("Plant.Press1.Speed")],
        ]


async def test_sessions_come_and_go_on_the_trail(plantree: Plantree) -> None:
    async with session(plantree, "Supervisor") as auditor:
        seen = await audited(auditor, "AuditSessionEventType", "EventType", "SourceName", "Status", "SessionId")
        channels = await audited(auditor, "AuditOpenSecureChannelEventType", "RequestType", "SecurityPolicyUri")
        async with session(plantree, "Operator"):
            pass
        await seen.until(lambda: len(seen.rows) == 3)
        kinds = [row[1].Identifier for row in seen.rows]
        assert kinds == [
            _IDS.AuditCreateSessionEventType, _IDS.AuditActivateSessionEventType, _IDS.AuditSessionEventType,
        ]  # fmt: skip
        assert [row[2] for row in seen.rows] == [
            "Session/CreateSession", "Session/ActivateSession", "Session/CloseSession",
        ]  # fmt: skip
        assert all(row[3] for row in seen.rows)
        assert len({row[4] for row in seen.rows}) == 1
        await channels.until(lambda: len(channels.rows) >= 1)
        assert channels.rows[0][1:] == [0, "http://opcfoundation.org/UA/SecurityPolicy#None"]


async def test_a_wrong_password_is_told_with_the_name_that_was_tried(plantree: Plantree) -> None:
    async with session(plantree, "Supervisor") as auditor:
        seen = await audited(
            auditor, "AuditActivateSessionEventType", "Status", "ClientUserId", "StatusCodeId", "UserIdentityToken"
        )
        client = _client(plantree)
        client.set_user("mallory")
        client.set_password("guess")
        with pytest.raises(ua.UaStatusCodeError):
            await client.connect()
        await seen.until(lambda: len(seen.rows) == 1)
        _, status, who, code, token = seen.rows[0]
        assert (status, who) == (False, "mallory")
        assert code.value == ua.StatusCodes.BadUserAccessDenied
        assert token.UserName == "mallory"
        assert not token.Password


def _client(plantree: Plantree) -> Client:
    return Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree", timeout=10)


async def test_node_management_is_refused_and_told(plantree: Plantree) -> None:
    async with session(plantree, "Supervisor") as auditor, session(plantree, "Engineer") as engineer:
        seen = await audited(auditor, "AuditNodeManagementEventType", "EventType", "Status", "NodesToDelete")
        doomed = ua.DeleteNodesItem(PRESS, True)
        with pytest.raises(ua.UaStatusCodeError):
            await engineer.uaclient.delete_nodes(ua.DeleteNodesParameters([doomed]))
        await seen.until(lambda: len(seen.rows) == 1)
        assert seen.rows[0][1:3] == [ua.NodeId(_IDS.AuditDeleteNodesEventType), False]
        assert [item.NodeId for item in seen.rows[0][3]] == [PRESS]


async def test_cancel_is_answered_and_told(plantree: Plantree) -> None:
    async with session(plantree, "Supervisor") as auditor, session(plantree, "Operator") as operator:
        seen = await audited(auditor, "AuditCancelEventType", "RequestHandle", "SourceName")
        request = ua.CancelRequest(Parameters=ua.CancelParameters(4711))
        await operator.uaclient.protocol.send_request(request)
        await seen.until(lambda: len(seen.rows) == 1)
        assert seen.rows[0][1:] == [4711, "Session/Cancel"]


async def test_nobody_else_sees_them(plantree: Plantree) -> None:
    async with session(plantree, "Supervisor") as auditor, session(plantree, "Operator") as operator:
        seen = await audited(auditor, "AuditEventType")
        for role in ("Engineer", "Operator", "ConfigureAdmin"):
            async with session(plantree, role) as other:
                unseen = await watch(other, event_filter(["Message"]))
                await operator.get_node(TARGET).write_value(3.0)
                await seen.until(lambda: any("Target" in it.Text for it in seen.first))
                await _mark(plantree, f"after {role}")
                await unseen.until(lambda unseen=unseen: len(unseen.rows) > 0)
                assert [it.Text for it in unseen.first] == [f"after {role}"]


async def _mark(plantree: Plantree, message: str) -> None:
    generator = await plantree.opcua._server.get_event_generator(_IDS.BaseEventType, _IDS.Server)
    await generator.trigger(message=message)


async def test_nothing_is_made_while_nobody_may_see_it(plantree: Plantree) -> None:
    auditor = plantree.opcua.internal.auditor
    async with session(plantree, "Operator") as operator:
        await watch(operator, event_filter(["Message"]))
        assert not auditor.wanted()
        async with session(plantree, "Supervisor") as other:
            await watch(other, event_filter(["Message"]))
            assert auditor.wanted()

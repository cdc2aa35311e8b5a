"""The audit trail read back: HistoryRead of events with filters, both directions, pages, and who may."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua

from server.assembly import Plantree
from tests.server.opcua.opcua_rig import nid, session, small_server
from tests.server.opcua_events.events_rig import OP, SERVER, event_filter, field, literal, watch, where

pytestmark = pytest.mark.asyncio(loop_scope="module")

_IDS = ua.ObjectIds
TARGET = nid("Plant.Press1.Target")
WRITES = where((OP.OfType, literal(ua.NodeId(_IDS.AuditWriteUpdateEventType))))
NEVER = datetime(1601, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("audit_history")) as plantree:
        yield plantree


async def history(
    client: Client, wanted: ua.EventFilter, start: datetime, end: datetime, most: int = 0,
    node: ua.NodeId = SERVER, point: bytes | None = None,
) -> tuple[ua.HistoryReadResult, list[list[Any]]]:  # fmt: skip
    """Read one page; returns the result and the fields of each event."""
    details = ua.ReadEventDetails(most, start, end, wanted)
    read = ua.HistoryReadValueId(node, None, ua.QualifiedName(), point)
    parameters = ua.HistoryReadParameters(details, ua.TimestampsToReturn.Source, False, [read])
    (result,) = await client.uaclient.history_read(parameters)
    data: Any = result.HistoryData
    events = data.Events if isinstance(data, ua.HistoryEvent) else []
    return result, [[variant.Value for variant in event.EventFields] for event in events]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def written(plantree: Plantree) -> datetime:
    """Write 1 to 30, every third by the slow path; returns when that began."""
    async with session(plantree, "Operator") as operator:
        await operator.get_node(TARGET).write_value(0.0)
        began = datetime.now(UTC)
        for number in range(1, 31):
            if number % 3:
                await operator.get_node(TARGET).write_value(float(number))
            else:
                principal = plantree.opcua.internal._external_sessions
                session_ = next(it for it in principal.values() if it.principal.name == "Operator")
                variable = plantree.plant.variable("Plant.Press1.Target")
                await plantree.commands.put(variable, float(number), session_.principal, "test")
    return began


FIELDS = ["NewValue", "OldValue", "ClientUserId", "Time", "EventId", "SourceNode"]


async def test_writes_of_both_ways_are_read_back_in_order(plantree: Plantree, written: datetime) -> None:
    async with session(plantree, "Supervisor") as client:
        wanted = event_filter(FIELDS, WRITES)
        result, rows = await history(client, wanted, written, datetime.now(UTC) + timedelta(seconds=1))
        assert result.StatusCode.value == 0
        assert [row[0] for row in rows] == [float(number) for number in range(1, 31)]
        assert [row[1] for row in rows] == [float(number) for number in range(30)]
        assert {row[2] for row in rows} == {"Operator"}
        assert {row[5] for row in rows} == {TARGET}
        assert len({row[4] for row in rows}) == len(rows)
        _, backward = await history(client, wanted, datetime.now(UTC) + timedelta(seconds=1), written)
        assert backward == rows[::-1]


@pytest.mark.parametrize("backward", [False, True])
async def test_pages_go_on_where_the_last_ended(plantree: Plantree, written: datetime, backward: bool) -> None:
    async with session(plantree, "Supervisor") as client:
        now = datetime.now(UTC) + timedelta(seconds=1)
        start, end = (now, written) if backward else (written, now)
        found: list[float] = []
        point: bytes | None = None
        for _ in range(10):
            result, rows = await history(client, event_filter(FIELDS, WRITES), start, end, 7, point=point)
            assert len(rows) <= 7
            found += [row[0] for row in rows]
            point = result.ContinuationPoint
            if not point:
                break
        assert sorted(found, reverse=backward) == found == [
            float(number) for number in (range(30, 0, -1) if backward else range(1, 31))
        ]  # fmt: skip


async def test_filters_choose_among_stored_events(plantree: Plantree, written: datetime) -> None:
    async with session(plantree, "Supervisor") as client:
        clause = where(
            (OP.And, ua.ElementOperand(1), ua.ElementOperand(2)),
            (OP.OfType, literal(ua.NodeId(_IDS.AuditWriteUpdateEventType))),
            (OP.GreaterThan, field("NewValue"), literal(28.0)),
        )
        now = datetime.now(UTC)
        _, rows = await history(client, event_filter(["NewValue"], clause), written, now)
        assert rows == [[29.0], [30.0]]
        _, last = await history(client, event_filter(["NewValue"], WRITES), NEVER, now, 2)
        assert last == [[30.0], [29.0]]


async def test_what_was_seen_live_has_the_same_event_id_later(plantree: Plantree, written: datetime) -> None:
    async with session(plantree, "Supervisor") as client, session(plantree, "Operator") as operator:
        seen = await watch(client, event_filter(["EventId", "NewValue", "Message"], WRITES))
        began = datetime.now(UTC)
        await operator.get_node(TARGET).write_value(77.0)
        await seen.until(lambda: len(seen.rows) == 1)
        _, rows = await history(client, event_filter(["EventId", "NewValue", "Message"], WRITES), began, NEVER, 1)
        assert rows == seen.rows


async def test_only_auditors_may_read_the_trail(plantree: Plantree, written: datetime) -> None:
    now = datetime.now(UTC) + timedelta(seconds=1)
    async with session(plantree, "Engineer") as engineer:
        result, rows = await history(engineer, event_filter(FIELDS, WRITES), written, now)
        assert (result.StatusCode.value, rows) == (ua.StatusCodes.GoodNoData, [])
    async with session(plantree) as nobody:
        result, _ = await history(nobody, event_filter(FIELDS, WRITES), written, now)
        assert result.StatusCode.value == ua.StatusCodes.BadUserAccessDenied


async def test_what_cannot_be_read_says_why(plantree: Plantree, written: datetime) -> None:
    codes = ua.StatusCodes
    async with session(plantree, "Supervisor") as client:
        wanted, now = event_filter(FIELDS, WRITES), datetime.now(UTC)
        cases = [
            (wanted, NEVER, now, SERVER, codes.BadHistoryOperationInvalid),
            (event_filter([], WRITES), written, now, SERVER, codes.BadEventFilterInvalid),
            (event_filter(["NoSuchField"]), written, now, SERVER, codes.BadEventFilterInvalid),
            (wanted, written, now, TARGET, codes.BadHistoryOperationUnsupported),
            (wanted, written, now, nid("Plant.Nothing"), codes.BadNodeIdUnknown),
        ]
        for filter_, start, end, node, status in cases:
            result, _ = await history(client, filter_, start, end, node=node)
            assert result.StatusCode.value == status
        result, _ = await history(client, wanted, written, now, point=b"no such point")
        assert result.StatusCode.value == codes.BadContinuationPointInvalid


async def test_the_server_says_that_it_has_events_of_the_past(plantree: Plantree) -> None:
    async with session(plantree) as client:
        capability = ua.NodeId(_IDS.HistoryServerCapabilities_AccessHistoryEventsCapability)
        assert await client.get_node(capability).read_value() is True
        notifier = await client.get_node(SERVER).read_attribute(ua.AttributeIds.EventNotifier)
        assert notifier.Value.Value == 5

"""Events over the wire: where they are seen, what is selected, how many come at once, and where some were lost."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua

from server.assembly import Plantree
from server.opcua.events.ports import PlainEvent
from tests.server.opcua.opcua_rig import nid, session, small_server
from tests.server.opcua_events.events_rig import OP, SERVER, Seen, event_filter, field, literal, refused, watch, where

pytestmark = pytest.mark.asyncio(loop_scope="module")

_IDS, CODES = ua.ObjectIds, ua.StatusCodes
KIND = ua.NodeId(_IDS.SystemEventType)
OBJECTS = """\
  Line1: {type: PressType}
  Line2: {type: PressType}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("delivery"), OBJECTS) as plantree:
        yield plantree


def event(message: str, source: ua.NodeId = SERVER, severity: int = 500, **keywords: Any) -> PlainEvent:
    return PlainEvent(KIND, source, str(source.Identifier), message, severity, **keywords)


def offer(plantree: Plantree, *events: Any) -> None:
    plantree.opcua.internal.subscriptions.offer(events)


def texts(seen: Seen) -> list[str]:
    return [it.Text for it in seen.first]


async def test_events_go_up_to_every_notifier_above_their_source(plantree: Plantree) -> None:
    expected = {
        "Plant.Line1": ["Plant.Line1"],
        "Plant.Line2": ["Plant.Line2"],
        "Plant": ["Plant.Line1", "Plant.Line2", "Plant"],
        "Server": ["Plant.Line1", "Plant.Line2", "Plant", "Server"],
    }
    async with session(plantree) as client:
        wanted = event_filter(["Message"])
        nodes = {name: SERVER if name == "Server" else nid(name) for name in expected}
        seen = {name: await watch(client, wanted, node) for name, node in nodes.items()}
        offer(plantree, *(event(name, nodes[name]) for name in expected["Server"]))
        for name, messages in expected.items():
            await seen[name].until(lambda it=seen[name], messages=messages: len(it.rows) >= len(messages))
            assert texts(seen[name]) == messages


async def test_fields_are_selected_by_type_attribute_and_range(plantree: Plantree) -> None:
    fields = {
        ("ConditionName",): ua.Variant("Overspeed", ua.VariantType.String),
        ("InputArguments",): ua.Variant([1.0, 2.0, 3.0], ua.VariantType.Double, is_array=True),
    }
    clauses = [
        "Message",
        field("Severity", KIND),
        field("Severity", _IDS.ConditionType),
        field("ConditionName", index_range="4:8"),
        field("InputArguments", index_range="1:2"),
        field("InputArguments", index_range="7"),
        field("", attribute=ua.AttributeIds.NodeId),
        field("Severity", attribute=ua.AttributeIds.DataType),
        field("Severity", attribute=ua.AttributeIds.NodeId),
        "HighLimit",
    ]
    async with session(plantree) as client:
        seen = await watch(client, event_filter(clauses))
        plain = event("x", fields=fields)
        plain.condition_id = nid("Plant.Line1.Hot")
        offer(plantree, plain)
        await seen.until(lambda: len(seen.rows) == 1)
        row = seen.rows[0]
        assert row[1:5] == [500, None, "speed", [2.0, 3.0]]
        assert row[5].value == CODES.BadIndexRangeNoData
        assert row[6:] == [nid("Plant.Line1.Hot"), ua.NodeId(_IDS.UInt16), None, None]


async def test_a_burst_of_5000_comes_whole_and_in_order_to_10_subscribers(plantree: Plantree) -> None:
    async with session(plantree) as client, session(plantree) as another:
        clause = where((OP.GreaterThan, field("Severity"), literal(100)))
        wanted = event_filter(["Message", "Severity", "Time", "SourceNode"], clause)
        seen = [await watch(client if number % 2 else another, wanted) for number in range(10)]
        offer(plantree, *(event(str(number), nid("Plant.Line1")) for number in range(5000)))
        assert not any(one.rows for one in seen)  # who offers takes no part in the delivery
        for one in seen:
            await one.until(lambda one=one: len(one.rows) == 5000, 40)
            assert texts(one) == [str(number) for number in range(5000)]


@pytest.mark.parametrize(("asked", "revised"), [(0, 10_000), (1, 1_000), (2, 2), (2**32 - 1, 100_000)])
async def test_queues_are_as_large_as_the_standard_has_it(plantree: Plantree, asked: int, revised: int) -> None:
    async with session(plantree) as client:
        subscription = await client.create_subscription(1000, Seen())
        item = ua.MonitoredItemCreateRequest(
            ua.ReadValueId(SERVER, ua.AttributeIds.EventNotifier),
            ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(1, 0.0, event_filter(["Message"]), asked, True),
        )
        parameters = ua.CreateMonitoredItemsParameters(subscription.subscription_id, ua.TimestampsToReturn.Both, [item])
        (result,) = await client.uaclient.create_monitored_items(parameters)
        assert (result.StatusCode.value, result.RevisedQueueSize) == (0, revised)


async def test_an_overflow_stands_where_events_were_lost(plantree: Plantree) -> None:
    async with session(plantree) as client:
        lost = ua.NodeId(_IDS.EventQueueOverflowEventType)
        for oldest, expected in ((True, [lost, "d", "e"]), (False, ["a", "b", lost])):
            seen = Seen()
            subscription = await client.create_subscription(20, seen)
            await subscription.set_publishing_mode(False)
            clause = where((OP.Equals, field("Severity"), literal(777)))  # an overflow comes whatever this says
            item = ua.MonitoredItemCreateRequest(
                ua.ReadValueId(SERVER, ua.AttributeIds.EventNotifier),
                ua.MonitoringMode.Reporting,
                ua.MonitoringParameters(1, 0.0, event_filter(["Message", "EventType"], clause), 2, oldest),
            )
            await subscription.create_monitored_items([item])
            offer(plantree, *(event(name, severity=777) for name in "abcde"))
            await subscription.set_publishing_mode(True)
            await seen.until(lambda seen=seen: len(seen.rows) == 3)
            assert [row[1] if row[1] == lost else row[0].Text for row in seen.rows] == expected
            offer(plantree, event("f", severity=777))
            await seen.until(lambda seen=seen: len(seen.rows) == 4)
            assert seen.rows[3][0].Text == "f"
            await subscription.delete()


async def test_an_item_sees_nothing_of_before_it_was_made(plantree: Plantree) -> None:
    async with session(plantree) as client:
        first = await watch(client, event_filter(["Message"]))
        offer(plantree, *(event(f"early {number}") for number in range(3000)))
        second = await watch(client, event_filter(["Message", "Severity"]))
        offer(plantree, event("late"))
        await second.until(lambda: len(second.rows) > 0)
        assert texts(second) == ["late"]
        await first.until(lambda: len(first.rows) == 3001)


async def test_bad_clauses_are_told_one_by_one(plantree: Plantree) -> None:
    async with session(plantree) as client:
        clause = where((OP.Not, ua.ElementOperand(1)), (OP.InView, literal(SERVER)))
        result = await refused(client, event_filter(["Message", "NoSuchField"], clause))
        assert result.StatusCode.value == CODES.BadEventFilterInvalid
        told: Any = result.FilterResult
        assert [it.value for it in told.SelectClauseResults] == [0, CODES.BadBrowseNameInvalid]
        elements = told.WhereClauseResult.ElementResults
        assert [it.StatusCode.value for it in elements] == [0, CODES.BadFilterOperatorUnsupported]
        good = await refused(client, event_filter(["Message"]))
        assert good.StatusCode.value == 0


async def test_a_changed_filter_holds_from_then_on(plantree: Plantree) -> None:
    async with session(plantree) as client:
        seen = Seen()
        subscription = await client.create_subscription(20, seen)
        found: Any = await subscription.subscribe_events(client.get_node(SERVER), evfilter=event_filter(["Message"]))
        offer(plantree, event("mild", severity=1))
        severe = event_filter(["Message"], where((OP.GreaterThan, field("Severity"), literal(100))))
        handle = next(it.client_handle for it in subscription._monitored_items.values())
        item = ua.MonitoredItemModifyRequest(found, ua.MonitoringParameters(handle, 0.0, severe, 0, True))
        parameters = ua.ModifyMonitoredItemsParameters(subscription.subscription_id, ua.TimestampsToReturn.Both, [item])
        (result,) = await client.uaclient.modify_monitored_items(parameters)
        assert result.StatusCode.value == 0
        offer(plantree, event("mild again", severity=1), event("severe", severity=500))
        await seen.until(lambda: len(seen.rows) == 2)
        assert texts(seen) == ["mild", "severe"]

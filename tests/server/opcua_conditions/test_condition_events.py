"""Events of conditions as a client sees them: every field, refreshes, and what a wrong refresh gets."""

from pathlib import Path
from typing import Any

from asyncua import ua

from tests.server.opcua.opcua_rig import nid, session
from tests.server.opcua_conditions.conditions_rig import (
    HOT,
    call,
    event_arguments,
    presses,
    set_value,
    status_of,
    value,
    watching,
)

_IDS = ua.ObjectIds
_TYPE = ua.NodeId(_IDS.ConditionType)
_REFRESH, _REFRESH_2 = ua.NodeId(_IDS.ConditionType_ConditionRefresh), ua.NodeId(_IDS.ConditionType_ConditionRefresh2)
_START, _END = ua.NodeId(_IDS.RefreshStartEventType), ua.NodeId(_IDS.RefreshEndEventType)


def _of(name: str, **wanted: Any):
    return lambda it: (
        it["ConditionId"] == nid(name) and all(it[key.replace("__", "/")] == value for key, value in wanted.items())
    )


def _number(given: int) -> ua.Variant:
    return ua.Variant(given, ua.VariantType.UInt32)


async def test_an_activation_has_every_field(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client, watching(client) as watch:
        set_value(plantree, "Plant.Press1.Temperature", 90.0)
        event = await watch.seen.next(_of(HOT, ActiveState__Id=True))
        assert len(event["EventId"]) == 16
        assert event["EventType"] == ua.NodeId(_IDS.ExclusiveLevelAlarmType)
        assert event["SourceNode"] == event["InputNode"] == nid("Plant.Press1.Temperature")
        assert event["SourceName"] == "Press1.Temperature"
        assert event["Message"].Text.startswith("The press is hot")
        assert event["Severity"] == 600
        assert event["ConditionClassId"] == ua.NodeId(_IDS.ProcessConditionClassType)
        assert event["ConditionClassName"].Text == "ProcessConditionClassType"
        assert event["ConditionName"] == "Hot"
        assert event["BranchId"] == ua.NodeId()
        assert event["Retain"] is True
        assert (event["EnabledState"].Text, event["EnabledState/Id"]) == ("Enabled", True)
        assert event["EnabledState/EffectiveDisplayName"].Text == "Active, High, Unacknowledged"
        assert (event["ActiveState"].Text, event["ActiveState/EffectiveDisplayName"].Text) == ("Active", "Active, High")
        assert (event["AckedState"].Text, event["AckedState/Id"]) == ("Unacknowledged", False)
        assert event["LimitState/CurrentState"].Text == "High"
        assert event["LimitState/CurrentState/Id"] == ua.NodeId(_IDS.ExclusiveLimitStateMachineType_High)
        assert (event["HighLimit"], event["HighHighLimit"], event["LowLimit"]) == (80.0, 100.0, None)
        assert event["Quality"].is_good()
        assert event["ShelvingState/CurrentState"].Text == "Unshelved"
        assert event["SuppressedOrShelved"] is False
        assert isinstance(event["LocalTime"], ua.TimeZoneDataType)
        assert event["Time"] <= event["ReceiveTime"]


async def test_an_inactive_alarm_has_no_limit_state(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client, watching(client) as watch:
        set_value(plantree, "Plant.Press1.Temperature", 120.0)
        event = await watch.seen.next(_of(HOT, ActiveState__Id=True))
        assert event["LimitState/CurrentState"].Text == "HighHigh"
        set_value(plantree, "Plant.Press1.Temperature", 20.0)
        event = await watch.seen.next(_of(HOT, ActiveState__Id=False))
        assert event["LimitState/CurrentState"] is None
        assert event["Retain"] is True  # nobody has acknowledged it


async def test_a_new_activation_makes_a_branch_of_the_one_before(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client, watching(client) as watch:
        for temperature in (90.0, 20.0, 120.0):
            set_value(plantree, "Plant.Press1.Temperature", temperature)
            await watch.seen.next(_of(HOT, ActiveState__Id=temperature > 80, BranchId=ua.NodeId()))
        branch = next(it for it in watch.seen.events if not it["BranchId"].is_null())
        assert (branch["ConditionId"], branch["AckedState/Id"], branch["Retain"]) == (nid(HOT), False, True)
        await watch.refresh()
        await watch.seen.next(lambda it: it["EventType"] == _START)
        told = [await watch.seen.next() for _ in range(2)]
        assert {it["BranchId"] for it in told} == {ua.NodeId(), branch["BranchId"]}
        given = event_arguments(branch["EventId"], "the one before")
        assert await status_of(client, HOT, "Acknowledge", *given) == "Good"
        acked = await watch.seen.next(lambda it: it["BranchId"] == branch["BranchId"] and it["AckedState/Id"])
        assert (acked["Comment"].Text, acked["ConfirmedState/Id"]) == ("the one before", False)
        given = event_arguments(acked["EventId"], None)
        assert await status_of(client, HOT, "Confirm", *given) == "Good"
        over = await watch.seen.next(lambda it: it["BranchId"] == branch["BranchId"] and it["ConfirmedState/Id"])
        assert over["Retain"] is False
        assert await value(client, f"{HOT}.AckedState.Id") is False  # the trunk is another matter


async def test_a_rule_comes_from_its_machine(tmp_path: Path) -> None:
    async with (
        presses(tmp_path) as plantree,
        session(plantree, "Operator") as client,
        watching(client, nid("Plant.Press1")) as watch,
    ):
        for name in ("Press2", "Press1"):  # the other machine's is not seen here
            set_value(plantree, f"Plant.{name}.Speed", 800.0)
            set_value(plantree, f"Plant.{name}.Pressure", 1.0)
        event = await watch.seen.next(lambda it: it["ConditionName"] == "Racing")
        assert event["EventType"] == ua.NodeId(_IDS.OffNormalAlarmType)
        assert event["SourceNode"] == nid("Plant.Press1")
        assert event["SourceName"] == "Press1"
        assert event["InputNode"] == ua.NodeId()
        assert not [it for it in watch.seen.events if "Press2" in it["SourceName"]]


async def test_a_refresh_tells_what_is_retained(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client:
        async with watching(client) as before:
            set_value(plantree, "Plant.Press1.Temperature", 90.0)
            first = await before.seen.next(_of(HOT, ActiveState__Id=True))
        async with watching(client) as watch:
            assert (await call(client, _TYPE, _REFRESH, _number(watch.id))).StatusCode.is_good()
            await watch.seen.next(lambda it: it["EventType"] == _END)
            events = watch.seen.events
            assert [it["EventType"] for it in (events[0], events[-1])] == [_START, _END]
            again = next(it for it in events if it["ConditionId"] == nid(HOT))
            assert (again["EventId"], again["Time"]) == (first["EventId"], first["Time"])
            assert all(it["Retain"] for it in events[1:-1])


async def test_a_refresh_of_one_item(tmp_path: Path) -> None:
    async with (
        presses(tmp_path) as plantree,
        session(plantree, "Operator") as client,
        watching(client, nid("Plant.Press2")) as watch,
    ):
        set_value(plantree, "Plant.Press1.Temperature", 90.0)
        set_value(plantree, "Plant.Press2.Temperature", 90.0)
        await watch.seen.next(_of("Plant.Press2.Hot", ActiveState__Id=True))
        result = await call(client, _TYPE, _REFRESH_2, _number(watch.id), _number(watch.item))
        assert result.StatusCode.is_good()
        await watch.seen.next(lambda it: it["EventType"] == _START)
        assert (await watch.seen.next())["ConditionId"] == nid("Plant.Press2.Hot")
        assert (await watch.seen.next())["EventType"] == _END


async def test_a_filter_does_not_keep_the_marks_back(tmp_path: Path) -> None:
    where = ua.ContentFilter(
        Elements=[
            ua.ContentFilterElement(
                FilterOperator=ua.FilterOperator.OfType,
                FilterOperands=[
                    ua.LiteralOperand(Value=ua.Variant(ua.NodeId(_IDS.TripAlarmType), ua.VariantType.NodeId))
                ],
            )
        ]
    )
    async with (
        presses(tmp_path) as plantree,
        session(plantree, "Operator") as client,
        watching(client) as before,
        watching(client, where=where) as watch,
    ):
        set_value(plantree, "Plant.Press1.Temperature", 90.0)
        await before.seen.next(_of(HOT, ActiveState__Id=True))
        await watch.refresh()
        await watch.seen.next(lambda it: it["EventType"] == _END)
        assert [it["EventType"] for it in watch.seen.events] == [_START, _END]


async def test_wrong_refreshes_are_refused(tmp_path: Path) -> None:
    async with (
        presses(tmp_path) as plantree,
        session(plantree, "Operator") as client,
        session(plantree, "Engineer") as other,
        watching(client) as watch,
    ):
        codes = [
            (client, _REFRESH, [_number(9_999_999)], "BadSubscriptionIdInvalid"),
            (client, _REFRESH, [], "BadArgumentsMissing"),
            (client, _REFRESH, [_number(watch.id)] * 2, "BadTooManyArguments"),
            (client, _REFRESH, [ua.Variant("1", ua.VariantType.String)], "BadInvalidArgument"),
            (client, _REFRESH_2, [_number(watch.id), _number(9_999_999)], "BadMonitoredItemIdInvalid"),
            (other, _REFRESH, [_number(watch.id)], "BadUserAccessDenied"),
        ]
        for asking, method, given, status in codes:
            assert (await call(asking, _TYPE, method, *given)).StatusCode.name == status
        assert watch.seen.events == []

"""Methods of conditions: on the instance and by the type's MethodId, with Part 9's StatusCodes."""

from pathlib import Path

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
)  # fmt: skip

_IDS = ua.ObjectIds
_ACKNOWLEDGE = ua.NodeId(_IDS.AcknowledgeableConditionType_Acknowledge)


def _duration(milliseconds: float) -> ua.Variant:
    return ua.Variant(milliseconds, ua.VariantType.Double)


def _comment(text: str) -> ua.Variant:
    return ua.Variant(ua.LocalizedText(text), ua.VariantType.LocalizedText)


async def test_acknowledge_comment_confirm(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client, watching(client) as watch:
        set_value(plantree, "Plant.Press1.Temperature", 90.0)
        event = await watch.seen.next(lambda it: it["ConditionId"] == nid(HOT) and it["ActiveState/Id"])
        assert await status_of(client, HOT, "Acknowledge", *event_arguments(event["EventId"], "on my way")) == "Good"
        acked = await watch.seen.next(lambda it: it["AckedState/Id"])
        assert (acked["Comment"].Text, acked["ClientUserId"]) == ("on my way", "Operator")
        assert acked["ConfirmedState/Id"] is False
        again = await status_of(client, HOT, "Acknowledge", *event_arguments(acked["EventId"], None))
        assert again == "BadConditionBranchAlreadyAcked"
        assert await status_of(client, HOT, "AddComment", *event_arguments(acked["EventId"], "a valve")) == "Good"
        commented = await watch.seen.next(lambda it: it["Comment"].Text == "a valve")
        assert await status_of(client, HOT, "Confirm", *event_arguments(commented["EventId"], None)) == "Good"
        confirmed = await watch.seen.next(lambda it: it["ConfirmedState/Id"])
        assert (confirmed["Retain"], confirmed["Comment"].Text) == (True, "a valve")  # it is still active
        set_value(plantree, "Plant.Press1.Temperature", 20.0)
        assert (await watch.seen.next(lambda it: not it["ActiveState/Id"]))["Retain"] is False


async def test_the_types_method_takes_the_condition_id(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client, watching(client) as watch:
        set_value(plantree, "Plant.Press1.Temperature", 90.0)
        event = await watch.seen.next(lambda it: it["ConditionId"] == nid(HOT) and it["ActiveState/Id"])
        given = event_arguments(event["EventId"], "seen")
        assert (await call(client, nid(HOT), _ACKNOWLEDGE, *given)).StatusCode.is_good()
        shelve = ua.NodeId(_IDS.ShelvedStateMachineType_TimedShelve)
        assert (await call(client, nid(HOT), shelve, _duration(60_000))).StatusCode.is_good()
        assert await value(client, f"{HOT}.ShelvingState.CurrentState") == ua.LocalizedText("Timed Shelved", "en")
        unshelve = ua.NodeId(_IDS.AlarmConditionType_ShelvingState_Unshelve)
        assert (await call(client, nid(f"{HOT}.ShelvingState"), unshelve)).StatusCode.is_good()
        of_type = nid("PressType.Hot.Disable")
        assert (await call(client, nid(HOT), of_type)).StatusCode.name == "BadUserAccessDenied"


async def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client:
        given = event_arguments(bytes(16), "x")
        refused = [
            (nid(HOT), _ACKNOWLEDGE, given, "BadEventIdUnknown"),
            (nid(HOT), _ACKNOWLEDGE, given[:1], "BadArgumentsMissing"),
            (nid(HOT), _ACKNOWLEDGE, (*given, given[0]), "BadTooManyArguments"),
            (nid(HOT), _ACKNOWLEDGE, given[::-1], "BadInvalidArgument"),
            (nid("Plant.Press1.Cold"), _ACKNOWLEDGE, given, "BadNodeIdUnknown"),
            (nid("Plant.Press1"), _ACKNOWLEDGE, given, "BadNodeIdInvalid"),
            (ua.NodeId(_IDS.AcknowledgeableConditionType), _ACKNOWLEDGE, given, "BadNodeIdInvalid"),
            (nid(HOT), nid("Plant.Press2.Hot.Acknowledge"), given, "BadMethodInvalid"),
            (nid(HOT), ua.NodeId(_IDS.DialogConditionType_Respond), (), "BadMethodInvalid"),
            (nid(f"{HOT}.ShelvingState"), _ACKNOWLEDGE, given, "BadMethodInvalid"),
        ]
        for owner, method, arguments, status in refused:
            assert (await call(client, owner, method, *arguments)).StatusCode.name == status


async def test_shelving(tmp_path: Path) -> None:
    shelving = f"{HOT}.ShelvingState"
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client:
        assert await status_of(client, shelving, "Unshelve") == "BadConditionNotShelved"
        assert await status_of(client, shelving, "TimedShelve", _duration(1e12)) == "BadShelvingTimeOutOfRange"
        assert await status_of(client, shelving, "TimedShelve2", _duration(60_000), _comment("being cleaned")) == "Good"
        assert 0 < await value(client, f"{shelving}.UnshelveTime") <= 60_000
        assert await value(client, f"{HOT}.SuppressedOrShelved") is True
        assert await status_of(client, shelving, "TimedShelve", _duration(10)) == "BadConditionAlreadyShelved"
        assert await status_of(client, shelving, "Unshelve2", _comment("clean")) == "Good"
        assert await status_of(client, shelving, "OneShotShelve") == "Good"
        state = await value(client, f"{shelving}.CurrentState.Id")
        assert state == ua.NodeId(_IDS.ShelvedStateMachineType_OneShotShelved)
        assert await status_of(client, shelving, "Unshelve") == "Good"


async def test_out_of_service_suppression_and_silence(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client:
        for on, off, state in (
            ("Suppress", "Unsuppress", "SuppressedState"),
            ("RemoveFromService", "PlaceInService", "OutOfServiceState"),
        ):
            for suffix, given in (("", ()), ("2", (_comment("service"),))):
                assert await status_of(client, HOT, f"{on}{suffix}", *given) == "Good"
                assert await value(client, f"{HOT}.{state}.Id") is True
                assert await status_of(client, HOT, f"{off}{suffix}", *given) == "Good"
                assert await value(client, f"{HOT}.{state}.Id") is False


async def test_only_engineers_enable_and_disable(tmp_path: Path) -> None:
    async with (
        presses(tmp_path) as plantree,
        session(plantree, "Operator") as operator,
        session(plantree, "Engineer") as engineer,
    ):
        assert await status_of(operator, HOT, "Disable") == "BadUserAccessDenied"
        assert await status_of(engineer, HOT, "Disable") == "Good"
        assert await status_of(engineer, HOT, "Disable") == "BadConditionAlreadyDisabled"
        assert await value(operator, f"{HOT}.EnabledState") == ua.LocalizedText("Disabled", "en")
        assert await status_of(engineer, HOT, "Enable") == "Good"
        assert await status_of(engineer, HOT, "Enable") == "BadConditionAlreadyEnabled"
        for client, may in ((operator, False), (engineer, True)):
            found = await client.get_node(nid(f"{HOT}.Disable")).read_attribute(ua.AttributeIds.UserExecutable)
            assert found.Value is not None
            assert found.Value.Value is may


async def test_an_observer_acknowledges_nothing(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Observer") as client, watching(client) as watch:
        set_value(plantree, "Plant.Press1.Temperature", 90.0)
        event = await watch.seen.next(lambda it: it["ConditionId"] == nid(HOT) and it["ActiveState/Id"])
        given = event_arguments(event["EventId"], "mine")
        assert await status_of(client, HOT, "Acknowledge", *given) == "BadUserAccessDenied"
        assert await value(client, f"{HOT}.AckedState.Id") is False

"""The list of alarms as `watch alarms` keeps it: events in, rows out."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from rich.console import Console

from gateways.alarm_list import AlarmList, style

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
START, END = ua.NodeId(ua.ObjectIds.RefreshStartEventType), ua.NodeId(ua.ObjectIds.RefreshEndEventType)


def event(name: str, branch: bytes | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "EventType": ua.NodeId(ua.ObjectIds.ExclusiveLevelAlarmType),
        "ConditionId": ua.NodeId(f"Plant.{name}", 2),
        "BranchId": ua.NodeId(branch, 2, ua.NodeIdType.ByteString) if branch else ua.NodeId(),
        "ConditionName": name,
        "SourceName": "Press1.Temperature",
        "Time": NOON,
        "Severity": 500,
        "Message": ua.LocalizedText(f"{name} [it is]", "en"),
        "Retain": True,
        "EnabledState/Id": True,
        "ActiveState/Id": True,
        "ActiveState/EffectiveDisplayName": ua.LocalizedText("Active, High", "en"),
        "AckedState/Id": False,
        "ConfirmedState/Id": True,
        "SuppressedOrShelved": False,
        "Quality": ua.StatusCode(),
    } | {key.replace("__", "/"): value for key, value in changes.items()}


def names(alarms: AlarmList) -> list[str]:
    return [it.text("ConditionName") for it in alarms.ordered()]


def test_what_needs_somebody_comes_first() -> None:
    alarms = AlarmList()
    alarms.take(event("Acknowledged", AckedState__Id=True, Severity=900))
    alarms.take(event("Gone", ActiveState__Id=False, Severity=900))
    alarms.take(event("Mild", Severity=300))
    alarms.take(event("Older", Time=NOON - timedelta(minutes=1)))
    alarms.take(event("Newer"))
    alarms.take(event("Shelved", Severity=1000, SuppressedOrShelved=True))
    assert names(alarms) == ["Newer", "Older", "Mild", "Gone", "Acknowledged", "Shelved"]


def test_what_is_not_retained_goes() -> None:
    alarms = AlarmList()
    alarms.take(event("Hot"))
    alarms.take(event("Hot", branch=b"0123456789abcdef", AckedState__Id=False))
    assert len(alarms.alarms) == 2
    alarms.take(event("Hot", Retain=False))
    assert [it.state for it in alarms.ordered()] == ["Active, High, unacknowledged (earlier)"]


def test_a_refresh_takes_away_what_is_over() -> None:
    alarms = AlarmList()
    for name in ("Over", "Still"):
        alarms.take(event(name))
    alarms.take({"EventType": START})
    alarms.take(event("New"))
    alarms.take(event("Still"))
    assert not alarms.refreshed
    alarms.take({"EventType": END})
    assert alarms.refreshed
    assert sorted(names(alarms)) == ["New", "Still"]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"AckedState__Id": True, "ConfirmedState__Id": False}, "Active, High, unconfirmed"),
        ({"EnabledState__Id": False, "AckedState__Id": True}, "Disabled"),
        ({"SuppressedOrShelved": True, "AckedState__Id": True}, "Active, High, suppressed"),
        (
            {"Quality": ua.StatusCode(ua.StatusCodes.BadNoCommunication), "AckedState__Id": True},
            "Active, High, BadNoCommunication",
        ),
    ],
)
def test_states_in_words(changes: dict[str, Any], state: str) -> None:
    alarms = AlarmList()
    alarm = alarms.take(event("Hot", **changes))
    assert alarm is not None
    assert alarm.state == state


def test_events_that_are_no_conditions_change_nothing() -> None:
    alarms = AlarmList()
    assert alarms.take({"EventType": ua.NodeId(ua.ObjectIds.BaseEventType), "ConditionId": None}) is None
    alarms.take({"EventType": ua.NodeId(ua.ObjectIds.EventQueueOverflowEventType)})
    assert (names(alarms), alarms.overflows) == ([], 1)


def test_the_table_shows_texts_as_they_are_and_says_what_does_not_fit() -> None:
    alarms = AlarmList()
    for number in range(5):
        alarms.take(event(f"Alarm{number}", Comment=ua.LocalizedText("on it", "en"), ClientUserId="anna"))
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(alarms.table("Alarms of opc.tcp://[::1]:4840", most=3))
    shown = console.export_text()
    assert "opc.tcp://[::1]:4840" in shown
    assert "Alarm0 [it is]" in shown
    assert "on it (anna)" in shown
    assert "5 alarms, 5 unacknowledged; 2 more than fit" in shown


def test_severities_have_colours() -> None:
    alarms = AlarmList()
    found = {
        severity: style(alarm)
        for severity in (900, 700, 500, 300, 100)
        if (alarm := alarms.take(event("Hot", Severity=severity))) is not None
    }
    assert len(set(found.values())) == 5
    alarm = alarms.take(event("Hot", ActiveState__Id=False, AckedState__Id=True))
    assert alarm is not None
    assert style(alarm) == "dim"

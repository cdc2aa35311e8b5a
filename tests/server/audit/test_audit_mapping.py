"""Entries of the trail as events: type, source and fields of every kind."""

from typing import Any

import pytest
from asyncua import ua

from address_space import Plant, load_plant
from server.audit import AuditKind, AuditRecord, entry
from server.opcua.events.audit import AuditEvent
from server.store import from_ticks, now_ticks
from tests.server.opcua.opcua_rig import nid, plant_file

_IDS = ua.ObjectIds
HOT = "Plant.Press1.Hot"
ID = b"\x07" * 16


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return load_plant(plant_file(tmp_path_factory.mktemp("plant")))


def shown(
    plant: Plant, action: str, arguments: str = "[]", status: int = 0, kind: str = "", details: str = ""
) -> AuditEvent:
    record = AuditRecord(now_ticks(), "eva", "opcua 1.2.3.4", action, arguments, status, "", kind, details, ID)
    return AuditEvent(entry(record), plant, "urn:server")


def value(event: AuditEvent, *path: str) -> Any:
    found = event.value(path)
    return None if found is None else found.Value


@pytest.mark.parametrize(
    ("action", "arguments", "kind", "fields"),
    [
        (
            f"{HOT}.Acknowledge", '["0a0b", "seen"]', "AuditConditionAcknowledgeEventType",
            {"ConditionEventId": b"\x0a\x0b", "Comment": ua.LocalizedText("seen"), "SourceName": "Method/Acknowledge"},
        ),
        (f"{HOT}.Confirm", '["0a", null]', "AuditConditionConfirmEventType", {"ConditionEventId": b"\x0a"}),
        (f"{HOT}.AddComment", '["0a", "x"]', "AuditConditionCommentEventType", {"Comment": ua.LocalizedText("x")}),
        (f"{HOT}.Disable", "[]", "AuditConditionEnableEventType", {"MethodId": nid(f"{HOT}.Disable")}),
        (f"{HOT}.TimedShelve", "[5000.0, null]", "AuditConditionShelvingEventType", {"ShelvingTime": 5000.0}),
        (f"{HOT}.Suppress", "[null]", "AuditConditionSuppressionEventType", {}),
        (f"{HOT}.Silence", "[null]", "AuditConditionSilenceEventType", {}),
        (f"{HOT}.PlaceInService", "[null]", "AuditConditionOutOfServiceEventType", {}),
    ],
)  # fmt: skip
def test_conditions(plant: Plant, action: str, arguments: str, kind: str, fields: dict[str, Any]) -> None:
    event = shown(plant, action, arguments)
    assert event.type_id == ua.NodeId(getattr(_IDS, kind))
    assert event.source_id == value(event, "SourceNode") == nid(HOT)
    assert {name: value(event, name) for name in fields} == fields
    assert event.private


def test_a_limit_is_a_write(plant: Plant) -> None:
    event = shown(plant, f"{HOT}.SetLimit high_high", "[90.5]")
    assert event.type_id == ua.NodeId(_IDS.AuditWriteUpdateEventType)
    assert (event.source_id, value(event, "NewValue")) == (nid(f"{HOT}.HighHighLimit"), 90.5)


@pytest.mark.parametrize(
    ("arguments", "kind", "fields"),
    [
        ('["update", 1, 3, 10, 20]', "AuditHistoryValueUpdateEventType", {"PerformInsertReplace": 1}),
        ('["delete", 10, 20]', "AuditHistoryRawModifyDeleteEventType", {"StartTime": from_ticks(10)}),
        ('["delete modified", 10, 20]', "AuditHistoryRawModifyDeleteEventType", {"IsDeleteModified": True}),
        ('["delete at", 1, 5, 5]', "AuditHistoryAtTimeDeleteEventType", {}),
    ],
)  # fmt: skip
def test_history(plant: Plant, arguments: str, kind: str, fields: dict[str, Any]) -> None:
    event = shown(plant, "HistoryUpdate Plant.Press1.Speed", arguments)
    assert event.type_id == ua.NodeId(getattr(_IDS, kind))
    assert value(event, "UpdatedNode") == nid("Plant.Press1.Speed")
    assert {name: value(event, name) for name in fields} == fields


def test_values_have_the_type_of_their_variable(plant: Plant) -> None:
    for path, given, kind in (
        ("Plant.Press1.Target", "[5]", ua.VariantType.Double),
        ("Plant.Press1.Label", '["x"]', ua.VariantType.String),
        ("Plant.Press1.Due", "[132000000000000000]", ua.VariantType.DateTime),
        ("Plant.Press1.Count", "[7]", ua.VariantType.Int32),
    ):
        found = shown(plant, path, given, kind=AuditKind.WRITE).value(("NewValue",))
        assert found is not None
        assert found.VariantType is kind


def test_what_every_audit_event_has(plant: Plant) -> None:
    event = shown(plant, "Plant.Press1.Start", status=ua.StatusCodes.BadUserAccessDenied, details='{"entry": "42"}')
    names = ("Status", "ServerId", "ClientAuditEntryId", "ClientUserId", "EventId", "SourceName")
    assert [value(event, name) for name in names] == [False, "urn:server", "42", "eva", ID, "Attribute/Call"]
    assert value(event, "ActionTimeStamp") == value(event, "Time")
    assert (
        value(event, "Message").Text == "Plant.Press1.Start called by eva (opcua 1.2.3.4) refused: BadUserAccessDenied"
    )


@pytest.mark.parametrize("kind", list(AuditKind))
def test_every_kind_is_shown_whatever_its_details(plant: Plant, kind: AuditKind) -> None:
    action = "AddNodes" if kind is AuditKind.NODES else "Plant.Press1.Start"
    assert value(shown(plant, action, kind=kind), "EventId") == ID

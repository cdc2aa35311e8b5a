"""Monitored items: what may be made, what is reported of it, and when (OPC 10000-4 5.12)."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.ua_binary import struct_to_binary

from address_space.model import Role
from server.opcua.subscriptions.limits import Limits
from server.quality import BAD_SENSOR_FAILURE, UNCERTAIN_LAST_USABLE
from server.security.principal import authenticated
from tests.server.opcua_subscriptions.subscriptions_rig import (
    BOTH,
    CODES,
    DISABLED,
    GOOD,
    REPORTING,
    SAMPLING,
    FakeSession,
    Rig,
    deadband,
    item,
    monitoring,
)

ENGINEER = FakeSession(2, authenticated("egon", frozenset({Role.Engineer})))
OTHER_ENCODING = ua.AggregateFilter()


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (item("Press1.Nothing"), CODES.BadNodeIdUnknown),
        (item("Press1", attribute=13), CODES.BadAttributeIdInvalid),
        (item(attribute=99), CODES.BadAttributeIdInvalid),
        (item("Press1.Nothing", attribute=99), CODES.BadNodeIdUnknown),
        (item("Press1.Secret"), CODES.BadUserAccessDenied),
        (item(index_range="x"), CODES.BadIndexRangeInvalid),
        (item(index_range="3:1"), CODES.BadIndexRangeInvalid),
        (item(index_range="0:1"), CODES.BadIndexRangeNoData),
        (item(encoding="Default Binary"), CODES.BadDataEncodingInvalid),
        (item("Press1.Label", encoding="Default Binary"), CODES.BadDataEncodingInvalid),
        (item(filter=ua.AggregateFilter()), CODES.BadMonitoredItemFilterUnsupported),
        (item(filter=ua.EventFilter()), CODES.BadFilterNotAllowed),
        (item(attribute=4, filter=deadband(1)), CODES.BadFilterNotAllowed),
        (item("Press1.Label", filter=deadband(1)), CODES.BadFilterNotAllowed),
        (item("Press1.Flag", filter=deadband(1)), CODES.BadFilterNotAllowed),
        (item("Press1.State", filter=deadband(1)), CODES.BadFilterNotAllowed),
        (item(filter=deadband(-1)), CODES.BadDeadbandFilterInvalid),
        (item(filter=deadband(float("nan"))), CODES.BadDeadbandFilterInvalid),
        (item(filter=deadband(1, kind=7)), CODES.BadDeadbandFilterInvalid),
        (item(filter=deadband(101, kind=2)), CODES.BadDeadbandFilterInvalid),
        (item("Press1.Free", filter=deadband(1, kind=2)), CODES.BadDeadbandFilterInvalid),
        (item(attribute=12), CODES.BadAttributeIdInvalid),
        (item("Press1", attribute=12), CODES.BadEventFilterInvalid),
        (item("Press1", attribute=12, filter=deadband(1)), CODES.BadFilterNotAllowed),
        (item(filter=deadband(0, kind=0)), GOOD),
        (item(attribute=4), GOOD),
        (item("Press1.Label"), GOOD),
    ],
)
async def test_an_item_that_cannot_be_is_refused_alone(rig: Rig, wanted: Any, status: int) -> None:
    subscription = rig.subscribe()
    results = rig.create(subscription, item(), wanted, item())
    assert [it.StatusCode.value for it in results] == [GOOD, status, GOOD]
    assert (results[1].MonitoredItemId != 0) == (status == GOOD)
    assert rig.service.table.count == (3 if status == GOOD else 2)


@pytest.mark.parametrize(
    ("at", "status"), [("mode", CODES.BadMonitoringModeInvalid), ("trigger", CODES.BadMonitoredItemFilterInvalid)]
)
async def test_an_enumeration_value_that_is_none_spoils_no_other_item(rig: Rig, at: str, status: int) -> None:
    subscription = rig.subscribe()
    good, wrong = item(filter=deadband(1)), item(filter=deadband(1))
    body = struct_to_binary(ua.CreateMonitoredItemsParameters(subscription, BOTH, [good, wrong]))
    single = len(body) // 2 - 6
    second = body[12 + single :]
    assert second == struct_to_binary(wrong)
    place = second.index(struct.pack("<i", 2), 20) if at == "mode" else second.index(struct.pack("<IId", 1, 1, 1.0))
    spoilt = second[:place] + struct.pack("<I", 9) + second[place + 4 :]
    response = rig.ask("CreateMonitoredItems", body[: 12 + single] + spoilt)
    assert [it.StatusCode.value for it in response.Results] == [GOOD, status]


def refused(rig: Rig, service: str, parameters: Any, session: FakeSession | None = None) -> int:
    with pytest.raises(ServiceError) as error:
        rig.ask(service, parameters, session)
    return error.value.code


async def test_requests_that_cannot_be_are_refused_as_a_whole(rig: Rig) -> None:
    number = rig.subscribe()
    made = rig.create(number, item())[0].MonitoredItemId
    create = struct_to_binary(ua.CreateMonitoredItemsParameters(number, BOTH, [item()]))
    wrong_stamps = create[:4] + struct.pack("<i", 4) + create[8:]
    assert refused(rig, "CreateMonitoredItems", wrong_stamps) == CODES.BadTimestampsToReturnInvalid
    assert refused(rig, "CreateMonitoredItems", create[:-3]) == CODES.BadDecodingError
    nothing = {
        "CreateMonitoredItems": ua.CreateMonitoredItemsParameters(number, BOTH, []),
        "ModifyMonitoredItems": ua.ModifyMonitoredItemsParameters(number, BOTH, []),
        "DeleteMonitoredItems": ua.DeleteMonitoredItemsParameters(number, []),
        "SetMonitoringMode": ua.SetMonitoringModeParameters(number, REPORTING, []),
        "SetTriggering": ua.SetTriggeringParameters(number, made, [], []),
        "DeleteSubscriptions": ua.DeleteSubscriptionsParameters([]),
        "SetPublishingMode": ua.SetPublishingModeParameters(True, []),
        "TransferSubscriptions": ua.TransferSubscriptionsParameters([], False),
    }
    for service, parameters in nothing.items():
        assert refused(rig, service, parameters) == CODES.BadNothingToDo, service
    mode = struct.pack("<Iii", number, 3, 1) + struct.pack("<I", made)
    assert refused(rig, "SetMonitoringMode", mode) == CODES.BadMonitoringModeInvalid


async def test_a_session_touches_its_own_subscriptions_only(rig: Rig) -> None:
    number = rig.subscribe()
    made = rig.create(number, item())[0].MonitoredItemId
    requests = {
        "CreateMonitoredItems": ua.CreateMonitoredItemsParameters(number, BOTH, [item()]),
        "ModifyMonitoredItems": ua.ModifyMonitoredItemsParameters(
            number, BOTH, [ua.MonitoredItemModifyRequest(made, monitoring())]
        ),
        "DeleteMonitoredItems": ua.DeleteMonitoredItemsParameters(number, [made]),
        "SetMonitoringMode": ua.SetMonitoringModeParameters(number, DISABLED, [made]),
        "SetTriggering": ua.SetTriggeringParameters(number, made, [made], []),
        "ModifySubscription": ua.ModifySubscriptionParameters(number, 100.0, 30, 5, 0, 0),
        "Republish": ua.RepublishParameters(number, 1),
    }
    stranger = FakeSession(9)
    for service, parameters in requests.items():
        assert refused(rig, service, parameters, stranger) == CODES.BadSubscriptionIdInvalid, service
    deleted = rig.ask("DeleteSubscriptions", ua.DeleteSubscriptionsParameters([number]), stranger)
    switched = rig.ask("SetPublishingMode", ua.SetPublishingModeParameters(False, [number]), stranger)
    for found in (deleted.Results, switched.Parameters.Results):
        assert [status.value for status in found] == [CODES.BadSubscriptionIdInvalid]
    assert rig.service.subscriptions[number].enabled
    assert rig.service.table.count == 1


async def test_the_first_notification_is_the_present_value(rig: Rig) -> None:
    rig.write("Press1.Speed", 12.5, stamp=777_000)
    rig.write("Press1.Label", "north")
    number = rig.subscribe()
    rig.create(number, item(handle=5), item("Press1.Label", 6), item("Press1.Small", 7), item("Press1", 8, attribute=4))
    found = {change.handle: change for change in await rig.changes()}
    assert (found[5].value, found[5].status) == (12.5, GOOD)
    assert found[6].value == "north"
    assert (found[7].value, found[7].status) == (None, rig.store.read(rig.id("Press1.Small"))[1])
    assert found[8].value.Text == "Press1"
    assert await rig.changes() == []


@pytest.mark.parametrize("stamps", list(ua.TimestampsToReturn)[:4])
@pytest.mark.parametrize("path", ["Press1.Speed", "Press1.Label"])
async def test_timestamps_come_as_asked_for(rig: Rig, stamps: ua.TimestampsToReturn, path: str) -> None:
    rig.write(path, "x" if "Label" in path else 1.0)
    number = rig.subscribe()
    rig.create(number, item(path), stamps=stamps)
    (change,) = await rig.changes()
    assert change.value == ("x" if "Label" in path else 1.0)
    assert (change.data.SourceTimestamp is not None) == (stamps.name in ("Source", "Both"))
    assert (change.data.ServerTimestamp is not None) == (stamps.name in ("Server", "Both"))


async def test_every_type_comes_as_its_own(rig: Rig) -> None:
    given = {"Speed": 1e300, "Single": 1.5, "Small": -7, "Flag": True, "State": 1, "Label": "ä"}
    for name, value in given.items():
        rig.write(f"Press1.{name}", value)
    number = rig.subscribe()
    rig.create(number, *(item(f"Press1.{name}", handle) for handle, name in enumerate(given)))
    found = {change.handle: change for change in await rig.changes()}
    assert [found[handle].value for handle in range(len(given))] == list(given.values())
    types = [rig.plant.variable(f"Plant.Press1.{name}").declaration.type.name for name in given]
    assert [found[handle].data.Value.VariantType.name for handle in range(len(given))] == types


async def test_a_bad_status_hides_the_value_and_a_hidden_change_is_none(rig: Rig) -> None:
    number = rig.subscribe()
    rig.create(number, item(queue=10))
    await rig.changes()
    rig.write("Press1.Speed", 1.0)
    rig.write("Press1.Speed", 2.0, BAD_SENSOR_FAILURE)
    rig.write("Press1.Speed", 3.0, BAD_SENSOR_FAILURE)
    rig.write("Press1.Speed", 3.0, UNCERTAIN_LAST_USABLE)
    found = [(change.value, change.status) for change in await rig.changes()]
    assert found == [(1.0, GOOD), (None, BAD_SENSOR_FAILURE), (3.0, UNCERTAIN_LAST_USABLE)]


async def test_a_sampling_interval_keeps_the_last_value_of_each_interval(rig: Rig) -> None:
    number = rig.subscribe()
    result = rig.create(number, item(sampling=50.0, queue=10), item(handle=2, sampling=0.0, queue=10))
    assert [it.RevisedSamplingInterval for it in result] == [50.0, 0.0]
    await rig.changes()
    table = rig.service.table
    for value in (1.0, 2.0):
        rig.write("Press1.Speed", value)
    rig.service.feed.drain(float(table.due[0]) - 0.03)
    rig.write("Press1.Speed", 3.0)
    rig.service.feed.drain(float(table.due[0]) + 0.001)
    for value in (4.0, 5.0):
        rig.write("Press1.Speed", value)
    rig.service.feed.drain(float(table.due[0]) + 0.001)
    found = await rig.changes()
    assert [change.value for change in found if change.handle == 1] == [3.0, 5.0]
    assert [change.value for change in found if change.handle == 2] == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("asked", "revised"), [(-1.0, 100.0), (0.0, 0.0), (1.0, 10.0), (1e12, 3.6e6), (float("nan"), 0.0)]
)
async def test_the_sampling_interval_is_revised(rig: Rig, asked: float, revised: float) -> None:
    number = rig.subscribe()
    assert rig.create(number, item(sampling=asked))[0].RevisedSamplingInterval == revised


async def test_queue_sizes_are_revised_to_what_a_subscription_may_hold(limited: Callable[[Limits], Rig]) -> None:
    rig = limited(Limits(queue_size=50, queued_rows=80))
    number = rig.subscribe()
    made = rig.create(number, *(item(handle=n, queue=size) for n, size in enumerate((0, 100, 100, 5))))
    assert [it.RevisedQueueSize for it in made] == [1, 50, 30, 1]
    rig.ask("DeleteMonitoredItems", ua.DeleteMonitoredItemsParameters(number, [made[1].MonitoredItemId]))
    assert rig.create(number, item(queue=60))[0].RevisedQueueSize == 50
    assert rig.modify(number, made[2].MonitoredItemId, queue=2).RevisedQueueSize == 2


async def test_there_may_be_so_many_items_and_no_more(limited: Callable[[Limits], Rig]) -> None:
    rig = limited(Limits(items_per_subscription=2, items=3))
    first, second = rig.subscribe(), rig.subscribe()
    too_many = CODES.BadTooManyMonitoredItems
    assert [it.StatusCode.value for it in rig.create(first, item(), item(), item())] == [GOOD, GOOD, too_many]
    assert [it.StatusCode.value for it in rig.create(second, item(), item("Press1.Label"))] == [GOOD, too_many]


async def test_modes(rig: Rig) -> None:
    number = rig.subscribe()
    made = rig.create(number, item(handle=1, mode=DISABLED), item("Press1.Label", 2, DISABLED), item(handle=3, queue=9))
    ids = [it.MonitoredItemId for it in made]

    def set_mode(mode: ua.MonitoringMode, *items: int) -> list[int]:
        parameters = ua.SetMonitoringModeParameters(number, mode, list(items))
        return [it.value for it in rig.ask("SetMonitoringMode", parameters).Parameters.Results]

    assert [change.handle for change in await rig.changes()] == [3]
    rig.write("Press1.Speed", 1.0)
    rig.write("Press1.Label", "a")
    assert set_mode(SAMPLING, *ids) == [GOOD] * 3
    rig.write("Press1.Speed", 2.0)
    rig.write("Press1.Label", "b")
    assert await rig.changes() == []
    assert set_mode(REPORTING, *ids, 99) == [GOOD] * 3 + [CODES.BadMonitoredItemIdInvalid]
    found = sorted((change.handle, change.value) for change in await rig.changes())
    assert found == [(1, 2.0), (2, "b"), (3, 1.0), (3, 2.0)]
    rig.write("Press1.Speed", 3.0)
    rig.write("Press1.Label", "c")
    rig.service.feed.drain(0.0)
    set_mode(DISABLED, *ids)  # what was queued is gone
    assert await rig.changes() == []
    set_mode(REPORTING, *ids)  # the present value comes anew
    assert sorted((change.handle, change.value) for change in await rig.changes()) == [(1, 3.0), (2, "c"), (3, 3.0)]


@pytest.mark.parametrize("triggering", ["Press1.Speed", "Press1.Label"])
@pytest.mark.parametrize("linked", ["Press2.Speed", "Press2.Label"])
async def test_a_triggering_item_reports_what_is_linked_to_it(rig: Rig, triggering: str, linked: str) -> None:
    values = ["a", "b", "c"] if "Label" in linked else [1.0, 2.0, 3.0]
    number = rig.subscribe()
    made = rig.create(
        number, item(triggering, 1, queue=5), item(linked, 2, SAMPLING, queue=5), item(handle=3, mode=SAMPLING)
    )
    first, second, _ = (it.MonitoredItemId for it in made)
    link = rig.ask("SetTriggering", ua.SetTriggeringParameters(number, first, [second, 99], [second]))
    assert [it.value for it in link.Parameters.AddResults] == [GOOD, CODES.BadMonitoredItemIdInvalid]
    assert [it.value for it in link.Parameters.RemoveResults] == [CODES.BadMonitoredItemIdInvalid]
    rig.write(triggering, "x" if "Label" in triggering else 10.0)
    first_time = await rig.changes()
    assert [change.handle for change in first_time if change.handle == 3] == []
    for value in values[:2]:
        rig.write(linked, value)
    assert await rig.changes() == []
    rig.write(triggering, "y" if "Label" in triggering else 20.0)
    assert [change.value for change in await rig.changes() if change.handle == 2] == values[:2]
    rig.write(linked, values[2])
    assert await rig.changes() == [], "a trigger counts once"
    undo = rig.ask("SetTriggering", ua.SetTriggeringParameters(number, first, [], [second]))
    assert [it.value for it in undo.Parameters.RemoveResults] == [GOOD]
    rig.write(triggering, "z" if "Label" in triggering else 30.0)
    assert [change.handle for change in await rig.changes()] == [1]


async def test_a_trigger_without_anything_queued_is_forgotten(rig: Rig) -> None:
    number = rig.subscribe()
    made = rig.create(number, item(handle=1, mode=SAMPLING), item("Press2.Speed", 2, SAMPLING))
    first, second = (it.MonitoredItemId for it in made)
    rig.ask("SetTriggering", ua.SetTriggeringParameters(number, first, [second], []))
    rig.write("Press1.Speed", 1.0)
    assert [change.handle for change in await rig.changes()] == [2]
    rig.write("Press1.Speed", 2.0)
    await rig.changes()
    rig.write("Press2.Speed", 2.0)
    assert await rig.changes() == []


async def test_modified_items_follow_their_new_parameters(rig: Rig) -> None:
    number = rig.subscribe()
    made = rig.create(number, item(handle=1, filter=deadband(50)), item("Press1.Label", 2))
    await rig.changes()
    rig.write("Press1.Speed", 10.0)
    first, second = (it.MonitoredItemId for it in made)
    await rig.changes()
    assert rig.modify(number, first, handle=11, filter=deadband(1)).StatusCode.value == GOOD
    assert rig.modify(number, second, handle=12, queue=5).RevisedQueueSize == 5
    assert rig.modify(number, 99).StatusCode.value == CODES.BadMonitoredItemIdInvalid
    assert rig.modify(number, second, filter=deadband(1)).StatusCode.value == CODES.BadFilterNotAllowed
    rig.write("Press1.Speed", 12.0)
    for text in ("a", "b"):
        rig.write("Press1.Label", text)
    found = sorted((change.handle, change.value) for change in await rig.changes())
    assert found == [(11, 12.0), (12, "a"), (12, "b")]


async def test_queues_keep_what_fits_when_their_size_changes(rig: Rig) -> None:
    number = rig.subscribe()
    (made,) = rig.create(number, item())
    rig.write("Press1.Speed", 1.0)
    rig.modify(number, made.MonitoredItemId, queue=4)
    for value in (2.0, 3.0, 4.0):
        rig.write("Press1.Speed", value)
    rig.modify(number, made.MonitoredItemId, queue=3)
    found = await rig.changes()
    assert [change.value for change in found] == [2.0, 3.0, 4.0]
    assert [change.status & 0x480 for change in found] == [0x480, 0, 0]
    for value in (5.0, 6.0):
        rig.write("Press1.Speed", value)
    rig.modify(number, made.MonitoredItemId, queue=1)
    assert [(change.value, change.status) for change in await rig.changes()] == [(6.0, GOOD)]


async def test_deleted_items_are_silent_and_their_rows_are_used_again(rig: Rig) -> None:
    number = rig.subscribe()
    made = rig.create(number, item(handle=1), item("Press1.Label", 2), item(handle=3, queue=5))
    rig.write("Press1.Speed", 1.0)
    ids = [it.MonitoredItemId for it in made]
    deleted = rig.ask("DeleteMonitoredItems", ua.DeleteMonitoredItemsParameters(number, [*ids, ids[0]])).Results
    assert [it.value for it in deleted] == [GOOD] * 3 + [CODES.BadMonitoredItemIdInvalid]
    rig.write("Press1.Label", "a")
    await rig.cycle()
    assert await rig.changes() == []
    assert rig.store.journal.cursors == ()
    (again,) = rig.create(number, item(handle=4))
    assert again.MonitoredItemId not in ids
    assert [change.handle for change in await rig.changes()] == [4]


async def test_what_only_an_engineer_may_read_an_engineer_may_watch(rig: Rig) -> None:
    number = rig.subscribe(ENGINEER)
    (made,) = rig.create(number, item("Press1.Secret"), session=ENGINEER)
    assert made.StatusCode.value == GOOD
    assert await rig.values(ENGINEER) == [7.0]


async def test_an_index_range_of_a_string(rig: Rig) -> None:
    rig.write("Press1.Label", "plantree")
    number = rig.subscribe()
    rig.create(number, item("Press1.Label", index_range="0:4", queue=5))
    rig.write("Press1.Label", "planning")
    assert await rig.values() == ["plant", "plann"]

"""Subscriptions as node-opcua asks for them and decodes them: filters, queues, triggers, republish, transfer."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.conftest import Sessions
from tests.interop.node_client import Connection, RefusedError

LOAD = "ns=2;s=Plant.Generator1.LoadSetpoint"  # 0 to 500 kW
OTHER = "ns=2;s=Plant.Generator1.Tariff"
OVERFLOW = 0x480
GOOD = 0
VALUE = 13


class Raw:
    """A session whose publish requests the test sends itself."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.id = 0

    def ask(self, request: str, **parameters: Any) -> Any:
        return self.connection.ask("service", request=request, parameters=parameters)

    def subscribe(self, **options: Any) -> Any:
        wanted = {
            "requestedPublishingInterval": 50,
            "requestedLifetimeCount": 200,
            "requestedMaxKeepAliveCount": 4,
            "publishingEnabled": True,
        }
        made = self.ask("CreateSubscription", **{**wanted, **options})
        self.id = made["subscriptionId"]
        return made

    def create(self, *items: dict[str, Any]) -> list[dict[str, Any]]:
        return self.ask(
            "CreateMonitoredItems", subscriptionId=self.id, timestampsToReturn=2, itemsToCreate=list(items)
        )["results"]

    def publish(self, *acknowledged: int) -> Any:
        acks = [{"subscriptionId": self.id, "sequenceNumber": number} for number in acknowledged]
        return self.ask("Publish", subscriptionAcknowledgements=acks)

    def changes(self) -> list[tuple[int, Any, int]]:
        """Return (client handle, value, status) of the next message: nothing for a keep-alive."""
        return changes_of(self.publish()["notificationMessage"])

    def write(self, value: float, node: str = LOAD) -> None:
        path = node.removeprefix("ns=2;s=")
        assert self.connection.write(path, "Double", float(value)) == "Good"


def changes_of(message: Any) -> list[tuple[int, Any, int]]:
    return [
        (item["clientHandle"], item["value"]["value"], item["value"]["statusCode"])
        for notification in message["notificationData"] or []
        for item in notification.get("monitoredItems") or []
    ]


def item(handle: int, node: str = LOAD, *, mode: int = 2, queue: int = 10, **parameters: Any) -> dict[str, Any]:
    return {
        "itemToMonitor": {"nodeId": node, "attributeId": VALUE},
        "monitoringMode": mode,
        "requestedParameters": {
            "clientHandle": handle,
            "samplingInterval": 0,
            "queueSize": queue,
            "discardOldest": True,
            **parameters,
        },
    }


def deadband(kind: int, width: float) -> dict[str, Any]:
    return {"$type": "DataChangeFilter", "trigger": 1, "deadbandType": kind, "deadbandValue": width}


@pytest.fixture
def raw(fresh: Sessions) -> Iterator[Raw]:
    with fresh("susi") as connection:
        made = Raw(connection)
        made.subscribe()
        made.write(100)
        made.write(1, OTHER)
        yield made


def test_deadbands(raw: Raw) -> None:
    wanted = [item(1, filter=deadband(1, 10)), item(2, filter=deadband(2, 10)), item(3)]  # 10 kW, 10 % of 500 kW
    assert [it["statusCode"] for it in raw.create(*wanted)] == [GOOD] * 3
    assert sorted(raw.changes()) == [(handle, 100, GOOD) for handle in (1, 2, 3)]
    raw.publish()  # to be at the beginning of an interval
    for value in (105, 111, 149, 151, 155):
        raw.write(value)
    found: list[tuple[int, Any, int]] = []
    while [it[1] for it in found if it[0] == 3] != [105, 111, 149, 151, 155]:
        found += raw.changes()
    assert [it[1] for it in found if it[0] == 1] == [111, 149]
    assert [it[1] for it in found if it[0] == 2] == [151]


def test_an_overflow_is_marked_where_it_happened(raw: Raw) -> None:
    raw.ask("SetPublishingMode", publishingEnabled=False, subscriptionIds=[raw.id])
    raw.create(item(1, queue=3), item(2, queue=3, discardOldest=False), item(3, queue=1))
    for value in range(1, 6):
        raw.write(value)
    raw.ask("SetPublishingMode", publishingEnabled=True, subscriptionIds=[raw.id])
    found: list[tuple[int, Any, int]] = []
    while len(found) < 7:
        found += raw.changes()
    assert [it[1:] for it in found if it[0] == 1] == [(3, OVERFLOW), (4, 0), (5, 0)]
    assert [it[1:] for it in found if it[0] == 2] == [(100, 0), (1, 0), (5, OVERFLOW)]
    assert [it[1:] for it in found if it[0] == 3] == [(5, 0)]


def test_a_trigger_reports_what_is_only_sampled(raw: Raw) -> None:
    made = raw.create(item(1), item(2, OTHER, mode=1))
    first, second = (it["monitoredItemId"] for it in made)
    link = raw.ask("SetTriggering", subscriptionId=raw.id, triggeringItemId=first, linksToAdd=[second])
    assert link["addResults"] == [GOOD]
    while raw.changes() == []:
        pass
    raw.write(2, OTHER)
    assert raw.changes() == []  # a keep-alive
    raw.write(77)
    found: list[tuple[int, Any, int]] = []
    while len(found) < 2:
        found += raw.changes()
    assert (1, 77, GOOD) in found
    assert (2, 2, GOOD) in found


def test_a_message_is_sent_again_until_it_is_acknowledged(raw: Raw) -> None:
    raw.create(item(1))
    original = raw.publish()["notificationMessage"]
    again = raw.ask("Republish", subscriptionId=raw.id, retransmitSequenceNumber=original["sequenceNumber"])
    assert again["notificationMessage"] == original
    assert raw.publish(original["sequenceNumber"])["results"] == [GOOD]
    with pytest.raises(RefusedError) as error:
        raw.ask("Republish", subscriptionId=raw.id, retransmitSequenceNumber=original["sequenceNumber"])
    assert error.value.status == "BadMessageNotAvailable"


def test_a_subscription_moves_to_the_same_user_only(raw: Raw, fresh: Sessions) -> None:
    raw.create(item(1))
    assert raw.changes() == [(1, 100, GOOD)]
    with fresh("otto") as stranger, fresh("susi") as same:
        for connection, status in ((stranger, "BadUserAccessDenied"), (same, "Good")):
            other = Raw(connection)
            (moved,) = other.ask("TransferSubscriptions", subscriptionIds=[raw.id], sendInitialValues=True)["results"]
            assert (moved["statusCode"] == GOOD) == (status == "Good")
        other.id = raw.id
        assert other.changes() == [(1, 100, GOOD)]
        (told,) = raw.publish()["notificationMessage"]["notificationData"]
        assert (told["$type"], told["status"]) == ("StatusChangeNotification", 0x002D0000)
        with pytest.raises(RefusedError) as error:
            raw.publish()
        assert error.value.status == "BadNoSubscription"


def test_parameters_change_on_the_way(raw: Raw) -> None:
    (made,) = raw.create(item(1, filter=deadband(1, 50)))
    raw.changes()
    changed = raw.ask(
        "ModifyMonitoredItems", subscriptionId=raw.id, timestampsToReturn=3,
        itemsToModify=[{"monitoredItemId": made["monitoredItemId"], "requestedParameters": {
            "clientHandle": 9, "samplingInterval": 5, "queueSize": 1, "discardOldest": True}}],
    )["results"][0]  # fmt: skip
    assert (changed["statusCode"], changed["revisedSamplingInterval"], changed["revisedQueueSize"]) == (GOOD, 10, 1)
    revised = raw.ask(
        "ModifySubscription", subscriptionId=raw.id, requestedPublishingInterval=1, requestedLifetimeCount=1,
        requestedMaxKeepAliveCount=7, maxNotificationsPerPublish=1, priority=3,
    )  # fmt: skip
    assert (revised["revisedPublishingInterval"], revised["revisedLifetimeCount"]) == (10, 21)
    raw.write(101)
    found: list[tuple[int, Any, int]] = []
    while not found:
        found = raw.changes()
    assert found == [(9, 101, GOOD)]


def test_disabled_publishing_sends_keep_alives_only(raw: Raw) -> None:
    raw.ask("SetPublishingMode", publishingEnabled=False, subscriptionIds=[raw.id])
    raw.create(item(1))
    assert [raw.changes() for _ in range(2)] == [[], []]
    raw.ask("SetPublishingMode", publishingEnabled=True, subscriptionIds=[raw.id])
    found: list[tuple[int, Any, int]] = []
    while not found:
        found = raw.changes()
    assert found == [(1, 100, GOOD)]


def test_modes_are_followed(raw: Raw) -> None:
    (made,) = raw.create(item(1, mode=0))
    for mode, expected in ((1, []), (2, [(1, 100, GOOD)])):
        ids = [made["monitoredItemId"]]
        done = raw.ask("SetMonitoringMode", subscriptionId=raw.id, monitoringMode=mode, monitoredItemIds=ids)
        assert done["results"] == [GOOD]
        assert raw.changes() == expected


def test_node_opcuas_own_subscription_is_kept_alive(fresh: Sessions) -> None:
    with fresh("susi") as connection:
        made = connection.ask("client_subscription", tag="a", interval=50, keepAlive=3, lifetime=20)
        assert (made["keepAlive"], made["lifetime"]) == (3, 20)
        for _ in range(10):  # 30 intervals: longer than the lifetime
            connection.wait_for("events", lambda it: it["what"] == "keepalive", "a keep-alive")
        assert not [it for it in connection.ask("wait", kind="events", after=0, within=0) if it["what"] == "terminated"]

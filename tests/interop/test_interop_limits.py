"""Limits, diagnostics and the finer points of publishing, as node-opcua asks for them and decodes them."""

from typing import Any

import pytest

from tests.interop.conftest import Sessions
from tests.interop.node_client import Connection, RefusedError
from tests.interop.test_interop_subscriptions import GOOD, LOAD, OTHER, VALUE, Raw, changes_of, deadband, item

SESSIONS, SESSION_ARRAY, SECURITY_ARRAY, SUBSCRIPTIONS = "i=3706", "i=3707", "i=3708", "i=2290"
SUMMARY, ENABLED = "i=2275", "i=2294"
BAD_TIMEOUT = 0x800A0000
NOT_ALLOWED, DEADBAND_INVALID, DENIED = 0x80450000, 0x808E0000, 0x801F0000


def read(connection: Connection, *nodes: str) -> list[tuple[Any, int]]:
    """Return value and status of nodes, structures as node-opcua decodes them."""
    wanted = [{"nodeId": node, "attributeId": VALUE} for node in nodes]
    answer = connection.ask("service", request="Read", parameters={"nodesToRead": wanted, "timestampsToReturn": 2})
    return [(it["value"], it["statusCode"]) for it in answer["results"]]


@pytest.fixture
def waited(fresh: Sessions) -> Any:
    """Return a function that returns once some hundred milliseconds have gone by, as a subscription tells."""
    with fresh("otto") as connection:
        clock = Raw(connection)
        clock.subscribe(requestedPublishingInterval=200, requestedMaxKeepAliveCount=1)
        clock.publish()

        def wait(intervals: int = 2) -> None:
            for _ in range(intervals):
                clock.publish()

        yield wait


def test_node_opcua_decodes_all_diagnostics(fresh: Sessions) -> None:
    with fresh("sven") as connection:
        raw = Raw(connection)
        raw.subscribe(priority=7)
        raw.create(item(1), item(2, OTHER))
        (summary, _), (sessions, _), (security, _), (subscriptions, _) = read(
            connection, SUMMARY, SESSION_ARRAY, SECURITY_ARRAY, SUBSCRIPTIONS
        )
        (own,) = [it for it in sessions if it["currentMonitoredItemsCount"] == 2]
        (mine,) = [it for it in security if it["sessionId"] == own["sessionId"]]
        (subscription,) = [it for it in subscriptions if it["subscriptionId"] == raw.id]
        assert summary["currentSessionCount"] == len(sessions) == len(security)
        assert summary["currentSubscriptionCount"] == len(subscriptions)
        assert own["createMonitoredItemsCount"]["totalCount"] == 1
        assert own["clientDescription"]["applicationUri"].startswith("urn:interop:")
        assert (mine["clientUserIdOfSession"], mine["authenticationMechanism"]) == ("sven", "UserName")
        assert mine["encoding"] == "UA Binary"
        assert mine["securityPolicyUri"].endswith("#Basic256Sha256")
        assert mine["securityMode"] == 3
        assert len(mine["clientCertificate"]) > 500
        assert (subscription["sessionId"], subscription["priority"]) == (own["sessionId"], 7)
        assert subscription["monitoredItemCount"] == 2
        walked = connection.ask("browse_in_parts", node=SESSIONS, max=0)["targets"]
        assert own["sessionId"] in walked
        parts = connection.ask("browse_in_parts", node=own["sessionId"], max=0)["targets"]
        assert {it.rpartition(".")[2] for it in parts} >= {
            "SessionDiagnostics", "SessionSecurityDiagnostics", "SubscriptionDiagnosticsArray",
        }  # fmt: skip
        general = next(it for it in parts if it.endswith(".SessionDiagnostics"))
        ((name, status),) = read(connection, f"{general}.SessionName")
        assert (name, status) == (own["sessionName"], GOOD)


def test_security_diagnostics_are_for_the_security_administrator(operator: Connection) -> None:
    assert [status for _, status in read(operator, SECURITY_ARRAY, SESSION_ARRAY)] == [DENIED, GOOD]
    assert operator.ask("write", node=ENABLED, type="Boolean", value=False) == "BadUserAccessDenied"


def test_too_many_operations_are_refused(operator: Connection) -> None:
    ((most, _),) = read(operator, "i=11705")  # MaxNodesPerRead
    one = {"nodeId": LOAD, "attributeId": VALUE}
    answer = operator.ask("service", request="Read", parameters={"nodesToRead": [one] * most})
    assert len(answer["results"]) == most
    with pytest.raises(RefusedError) as caught:
        operator.ask("service", request="Read", parameters={"nodesToRead": [one] * (most + 1)})
    assert caught.value.status == "BadTooManyOperations"


def test_the_higher_priority_is_served_first(fresh: Sessions, waited: Any) -> None:
    with fresh("susi") as connection:
        raw = Raw(connection)
        made = []
        for priority in (1, 200, 50):
            raw.subscribe(priority=priority)
            raw.create(item(priority))
            made.append(raw.id)
        waited()  # all are ready by now, and no publish request is there
        served = [raw.publish()["subscriptionId"] for _ in made]
        assert served == [made[1], made[2], made[0]]


def test_a_subscription_that_nobody_asks_for_ends(fresh: Sessions, waited: Any) -> None:
    with fresh("susi") as connection:
        raw = Raw(connection)
        made = raw.subscribe(requestedPublishingInterval=10, requestedMaxKeepAliveCount=1, requestedLifetimeCount=3)
        assert (made["revisedMaxKeepAliveCount"], made["revisedLifetimeCount"]) == (1, 3)
        waited()
        (told,) = raw.publish()["notificationMessage"]["notificationData"]
        assert (told["$type"], told["status"]) == ("StatusChangeNotification", BAD_TIMEOUT)
        with pytest.raises(RefusedError) as caught:
            raw.create(item(1))
        assert caught.value.status == "BadSubscriptionIdInvalid"


def test_keep_alives_name_the_next_message(fresh: Sessions) -> None:
    with fresh("susi") as connection:
        raw = Raw(connection)
        raw.subscribe(requestedMaxKeepAliveCount=2)
        empty = [raw.publish()["notificationMessage"] for _ in range(3)]
        assert [changes_of(it) for it in empty] == [[], [], []]
        assert {it["sequenceNumber"] for it in empty} == {1}
        raw.create(item(1))
        answers = [raw.publish()]
        while not changes_of(answers[-1]["notificationMessage"]):
            answers.append(raw.publish())
        assert answers[-1]["notificationMessage"]["sequenceNumber"] == 1
        assert answers[-1]["availableSequenceNumbers"] == [1]
        assert raw.publish(1)["notificationMessage"]["sequenceNumber"] == 2


def test_deadbands_that_cannot_be(fresh: Sessions) -> None:
    with fresh("susi") as connection:
        raw = Raw(connection)
        raw.subscribe()
        made = raw.create(
            item(1, filter=deadband(2, 100.1)),
            item(2, filter=deadband(1, -1)),
            item(3, "ns=2;s=Plant.Generator1.State", filter=deadband(1, 1)),
            item(4, "i=2258", filter=deadband(1, 1)),  # CurrentTime
            item(5, filter=deadband(3, 1)),
        )
        invalid, not_allowed = DEADBAND_INVALID, NOT_ALLOWED
        assert [it["statusCode"] for it in made] == [invalid, invalid, not_allowed, not_allowed, invalid]


def test_what_was_lost_on_the_way_is_had_again_in_order(fresh: Sessions) -> None:
    with fresh("susi") as connection:
        raw = Raw(connection)
        raw.subscribe()
        raw.create(item(1, OTHER))
        sent = [raw.publish()["notificationMessage"]]
        for value in (0.11, 0.12, 0.13):  # a tariff, which moves no machine
            raw.write(value, OTHER)
            message = raw.publish()["notificationMessage"]
            while not changes_of(message):
                message = raw.publish()["notificationMessage"]
            sent.append(message)
        numbers = [it["sequenceNumber"] for it in sent]
        assert raw.publish(numbers[0])["availableSequenceNumbers"] == numbers[1:]
        again = [
            raw.ask("Republish", subscriptionId=raw.id, retransmitSequenceNumber=number)["notificationMessage"]
            for number in numbers[1:]
        ]
        assert again == sent[1:]
        assert [changes_of(it)[0][1] for it in again] == [0.11, 0.12, 0.13]
        ((subscriptions, _),) = read(connection, SUBSCRIPTIONS)
        (mine,) = [it for it in subscriptions if it["subscriptionId"] == raw.id]
        assert (mine["republishMessageCount"], mine["unacknowledgedMessageCount"]) == (3, 3)

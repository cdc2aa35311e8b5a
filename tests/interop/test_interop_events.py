"""Events as node-opcua asks for them: where clauses, filter results, audit events live and of the past."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import USERS, credentials
from tests.interop.node_client import Connection, Identity, NodeClient, connect
from tests.process_rig import PlantreeProcess

LOAD = "ns=2;s=Plant.Generator1.LoadSetpoint"  # 0 to 500 kW
SERVER, BASE_EVENT, AUDIT_WRITE = "i=2253", "i=2041", "i=2100"
INT32, STRING = "i=6", "i=12"
EVENT_NOTIFIER, VALUE = 12, 13
GOOD, BAD_EVENT_FILTER_INVALID = 0, 0x8047_0000
BAD_OPERATOR_UNSUPPORTED, BAD_BROWSE_NAME, GOOD_NO_DATA = 0x80C2_0000, 0x8060_0000, 0x00A5_0000
EQUALS, IS_NULL, GREATER, LIKE, NOT, BETWEEN, IN_LIST, AND, CAST, IN_VIEW, OF_TYPE, BITS_AND = (
    0, 1, 2, 6, 7, 8, 9, 10, 12, 13, 14, 16,
)  # fmt: skip

Operand = dict[str, Any]
Element = tuple[Any, ...]
Open = Callable[[str | None], Connection]


@pytest.fixture(scope="module")
def server(
    plantree_process: Callable[..., PlantreeProcess], trusting: Callable[..., PlantreeProcess], small_plant: Path
) -> PlantreeProcess:
    """Return a server of its own: nobody else's writes are on its audit trail."""
    return trusting(plantree_process(plant=small_plant, users=USERS))


@pytest.fixture(scope="module")
def open_(node: NodeClient, server: PlantreeProcess, identity: Identity) -> Iterator[Open]:
    """Return a function from a user's name to a new session."""
    made: list[Connection] = []

    def session(name: str | None) -> Connection:
        made.append(connect(node, server.endpoint, identity, credentials(name)))
        return made[-1]

    yield session
    for connection in made:
        connection.close()


def field(path: str, kind: str = BASE_EVENT, attribute: int = VALUE) -> Operand:
    names = [{"$type": "QualifiedName", "namespaceIndex": 0, "name": name} for name in path.split("/") if name]
    return {
        "$type": "SimpleAttributeOperand",
        "typeDefinitionId": kind,
        "browsePath": names,
        "attributeId": attribute,
        "indexRange": None,
    }


def literal(value: Any, kind: str) -> Operand:
    given = {"$node": value} if kind == "NodeId" else value
    return {"$type": "LiteralOperand", "value": {"dataType": kind, "value": given}}


def element(index: int) -> Operand:
    return {"$type": "ElementOperand", "index": index}


def event_filter(paths: list[str], *elements: Element) -> dict[str, Any]:
    clause = [
        {"$type": "ContentFilterElement", "filterOperator": operator, "filterOperands": list(operands)}
        for operator, *operands in elements
    ]
    return {
        "$type": "EventFilter",
        "selectClauses": [field(path) for path in paths],
        "whereClause": {"$type": "ContentFilter", "elements": clause},
    }


class Watch:
    """A subscription to events whose publish requests the test sends itself."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.id = self.ask(
            "CreateSubscription", requestedPublishingInterval=50, requestedLifetimeCount=200,
            requestedMaxKeepAliveCount=4, publishingEnabled=True,
        )["subscriptionId"]  # fmt: skip

    def ask(self, request: str, **parameters: Any) -> Any:
        return self.connection.ask("service", request=request, parameters=parameters)

    def create(self, handle: int, wanted: dict[str, Any], node: str = SERVER) -> dict[str, Any]:
        item = {
            "itemToMonitor": {"nodeId": node, "attributeId": EVENT_NOTIFIER},
            "monitoringMode": 2,
            "requestedParameters": {
                "clientHandle": handle, "samplingInterval": 0, "queueSize": 0, "discardOldest": True, "filter": wanted,
            },
        }  # fmt: skip
        (result,) = self.ask(
            "CreateMonitoredItems", subscriptionId=self.id, timestampsToReturn=2, itemsToCreate=[item]
        )["results"]
        return result

    def events(self) -> list[tuple[int, list[Any]]]:
        """Return (client handle, fields) of the next message: nothing for a keep-alive."""
        message = self.ask("Publish", subscriptionAcknowledgements=[])["notificationMessage"]
        return [
            (event["clientHandle"], event["eventFields"])
            for notification in message["notificationData"] or []
            for event in notification.get("events") or []
        ]


WRITES: Element = (OF_TYPE, literal(AUDIT_WRITE, "NodeId"))
NEW = field("NewValue")


def test_where_clauses_choose(open_: Open) -> None:
    both = (AND, element(1), element(2))
    written_by = literal("%LoadSetpoint written by [n-p]tto%", "String")
    as_text, as_number = (CAST, element(4), literal(STRING, "NodeId")), (CAST, NEW, literal(INT32, "NodeId"))
    bits = (BITS_AND, field("Severity"), literal(4, "UInt16"))
    clauses: dict[int, tuple[Element, ...]] = {
        1: (WRITES,),
        2: (both, WRITES, (BETWEEN, NEW, literal(100.0, "Double"), literal(200, "Int32"))),
        3: (both, WRITES, (IN_LIST, NEW, literal("50", "String"), literal(250, "UInt16"))),
        4: (both, WRITES, (LIKE, field("Message"), written_by)),
        5: (both, WRITES, (NOT, element(3)), (GREATER, NEW, literal(100, "Byte"))),
        6: (both, WRITES, (EQUALS, element(3), literal("180", "String")), as_text, as_number),
        7: (both, WRITES, (EQUALS, element(3), literal(4, "Int32")), bits),
        8: (both, WRITES, (IS_NULL, field("MethodId"))),
        9: ((EQUALS, field("SourceNode"), literal(LOAD, "NodeId")),),
        10: ((EQUALS, field("SourceNode"), literal("ns=2;s=Plant.Generator1.Tariff", "NodeId")),),
    }
    watch, operator = Watch(open_("susi")), open_("otto")
    for handle, clause in clauses.items():
        assert watch.create(handle, event_filter(["NewValue"], *clause))["statusCode"] == GOOD
    for value in (50.0, 150.0, 250.0, 180.0):
        assert operator.write(LOAD.removeprefix("ns=2;s="), "Double", value) == "Good"
    found: list[tuple[int, list[Any]]] = []
    everything = [50, 150, 250, 180]
    while sum(handle == 9 for handle, _ in found) < 4:
        found += watch.events()
    seen = {number: [fields[0] for handle, fields in found if handle == number] for number in clauses}
    assert seen == {
        1: everything, 2: [150, 180], 3: [50, 250], 4: everything, 5: [50], 6: [180], 7: everything, 8: everything,
        9: everything, 10: [],
    }  # fmt: skip


def test_what_is_wrong_with_a_filter_is_told_clause_by_clause(open_: Open) -> None:
    watch = Watch(open_("olga"))
    wanted = event_filter(["Message", "NoSuchField"], (NOT, element(1)), (IN_VIEW, literal(SERVER, "NodeId")))
    refused = watch.create(1, wanted)
    assert refused["statusCode"] == BAD_EVENT_FILTER_INVALID
    assert refused["filterResult"]["selectClauseResults"] == [GOOD, BAD_BROWSE_NAME]
    results = refused["filterResult"]["whereClauseResult"]["elementResults"]
    assert [it["statusCode"] for it in results] == [GOOD, BAD_OPERATOR_UNSUPPORTED]


def test_audit_events_are_for_supervisors_and_security_admins(open_: Open) -> None:
    operator = open_("otto")
    watches = {name: Watch(open_(name)) for name in ("susi", "sven", "emil", "otto")}
    for watch in watches.values():
        assert watch.create(1, event_filter(["NewValue", "OldValue", "ClientUserId"], WRITES))["statusCode"] == GOOD
    assert operator.write(LOAD.removeprefix("ns=2;s="), "Double", 10.0) == "Good"
    assert operator.write(LOAD.removeprefix("ns=2;s="), "Double", 20.0) == "Good"
    for name in ("susi", "sven"):
        found: list[Any] = []
        while len(found) < 2:
            found += [fields for _, fields in watches[name].events()]
        assert [row[0] for row in found] == [10, 20]
        assert found[1][1:] == [10, "otto"]
    for name in ("emil", "otto"):
        assert watches[name].events() == []  # a keep-alive


def test_the_trail_is_read_back(open_: Open) -> None:
    operator, supervisor, engineer = open_("otto"), open_("susi"), open_("emil")
    for value in (31.0, 32.0, 33.0):
        assert operator.write(LOAD.removeprefix("ns=2;s="), "Double", value) == "Good"
    details = {
        "$type": "ReadEventDetails",
        "numValuesPerNode": 2,
        "startTime": None,
        "endTime": {"$date": "2100-01-01"},
        "filter": event_filter(["NewValue", "ClientUserId"], WRITES),
    }

    def read(connection: Connection, point: Any = None) -> Any:
        (result,) = connection.ask(
            "service",
            request="HistoryRead",
            parameters={
                "historyReadDetails": details,
                "timestampsToReturn": 0,
                "releaseContinuationPoints": False,
                "nodesToRead": [{"nodeId": SERVER, "continuationPoint": point}],
            },
        )["results"]
        return result

    found = read(supervisor)
    rows = [it["eventFields"] for it in found["historyData"]["events"]]
    assert rows == [[33, "otto"], [32, "otto"]]
    assert found["continuationPoint"]
    assert read(engineer)["statusCode"] == GOOD_NO_DATA

"""What host applications ask of the node: rebirth, set-points, and the state of the primary host."""

import json

import pytest

from address_space.model import BuiltinType
from gateways.mqtt.layout import NOTHING, Action
from gateways.mqtt.sparkplug_metrics import BDSEQ, REBIRTH, alias, payload, simple_metric
from gateways.mqtt.sparkplug_read import rebirth_request
from gateways.mqtt.sparkplug_settings import SparkplugSettings
from gateways.mqtt.sparkplug_wire import (
    ALIAS,
    IS_NULL,
    NAME,
    PAYLOAD_METRIC,
    delimited,
    field,
    value_field,
)
from server.store import now_ticks
from tests.gateways.mqtt.sparkplug_rig import Node, kinds, parse

NCMD, DCMD, STATE = "spBv1.0/G1/NCMD/E1", "spBv1.0/G1/DCMD/E1/Generator1", "spBv1.0/STATE/scada"


@pytest.fixture(name="node")
def _node() -> Node:
    node = Node()
    node.connect()
    return node


@pytest.fixture(name="waiting")
def _waiting() -> Node:
    """Connect a node that waits for its primary host."""
    node = Node(primary_host="scada")
    assert node.connect()[1] == []
    return node


def _ask(node: Node, topic: str, body: bytes) -> Action:
    return node.layout.receive(topic, payload(1, delimited(PAYLOAD_METRIC, body), None), now_ticks())


def _state(node: Node, *, online: bool, timestamp: int) -> Action:
    return node.layout.receive(STATE, json.dumps({"online": online, "timestamp": timestamp}).encode(), now_ticks())


def test_commands_are_subscribed_with_qos_1(node: Node) -> None:
    topics = node.layout.subscriptions()
    assert (NCMD, 1) in topics
    variables = {machine.name: machine.variables.values() for machine in node.plant.machines}
    writable = {name for name, found in variables.items() if any(v.declaration.writable for v in found)}
    assert {(f"spBv1.0/G1/DCMD/E1/{name}", 1) for name in writable} == set(topics) - {(NCMD, 1)}
    assert "Generator1" in writable


def test_a_primary_host_is_subscribed_first(waiting: Node) -> None:
    assert waiting.layout.subscriptions()[0] == (STATE, 1)


def test_a_rebirth_request_brings_all_births_with_the_same_bdseq(node: Node) -> None:
    node.write("Line1.LineSpeed", 1.0)
    node.deliver()
    request = rebirth_request(SparkplugSettings(group_id="G1", edge_node_id="E1"), now_ticks())
    assert (request.topic, request.qos, request.retain) == (NCMD, 0, False)
    assert not parse(request).HasField("seq")
    assert node.layout.receive(request.topic, request.payload, now_ticks()) == Action(rebirth=True)
    births = node.layout.birth(now_ticks())
    assert kinds(births)[:2] == ["NBIRTH", "DBIRTH/Generator1"]
    first = parse(births[0])
    assert first.seq == 0
    assert next(metric for metric in first.metrics if metric.name == BDSEQ).long_value == 0
    assert node.state.values[BDSEQ] == 0


def test_a_rebirth_that_is_not_wanted_is_none(node: Node) -> None:
    metric = simple_metric(REBIRTH, BuiltinType.Boolean, 0, 1)
    assert node.layout.receive(NCMD, payload(1, metric, None), now_ticks()) == NOTHING


def test_a_dcmd_writes_a_set_point_by_name_or_alias(node: Node) -> None:
    setpoint = node.variable("Generator1.LoadSetpoint")
    value = value_field(setpoint.declaration.type, 40.0)
    for identified in (delimited(NAME, b"LoadSetpoint"), field(ALIAS, alias(setpoint.id))):
        assert _ask(node, DCMD, identified + value) == Action(puts=((setpoint, 40.0),))


@pytest.mark.parametrize(
    ("topic", "body", "sentence"),
    [
        (DCMD, delimited(NAME, b"Speed") + value_field(BuiltinType.Double, 1.0), "no set-point"),
        (DCMD, delimited(NAME, b"Nothing") + value_field(BuiltinType.Double, 1.0), "no metric Nothing"),
        (DCMD, delimited(NAME, b"LoadSetpoint") + field(IS_NULL, 1), "cannot be set to nothing"),
        (DCMD, delimited(NAME, b"LoadSetpoint") + value_field(BuiltinType.String, "fast"), "is no Double"),
        (DCMD.replace("Generator1", "Generator9"), delimited(NAME, b"x"), "no device Generator9"),
        (NCMD, delimited(NAME, b"EmergencyStopActive") + value_field(BuiltinType.Boolean, 1), "no set-point"),
        ("spBv1.0/G1/DCMD/E2/Generator1", b"", "no topic of a command"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_whole(node: Node, topic: str, body: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        _ask(node, topic, body)


def test_bytes_that_are_no_payload_are_refused(node: Node) -> None:
    with pytest.raises(ValueError, match="payload"):
        node.layout.receive(NCMD, b"\xff\xff", now_ticks())


def test_nothing_is_published_before_the_primary_host_is_online(waiting: Node) -> None:
    assert waiting.layout.paused
    assert _state(waiting, online=False, timestamp=100) == NOTHING
    assert waiting.layout.paused
    assert not waiting.layout.leaving
    assert waiting.layout.birth(now_ticks()) == []
    assert _state(waiting, online=True, timestamp=200) == Action(rebirth=True)
    assert not waiting.layout.paused
    assert kinds(waiting.layout.birth(now_ticks()))[0] == "NBIRTH"


def test_only_the_configured_host_counts(waiting: Node) -> None:
    with pytest.raises(ValueError, match="no topic"):
        waiting.layout.receive("spBv1.0/STATE/other", b'{"online":true,"timestamp":1}', now_ticks())
    assert waiting.layout.paused


def test_an_online_older_than_the_last_state_does_not_count(waiting: Node) -> None:
    _state(waiting, online=False, timestamp=100)
    assert _state(waiting, online=True, timestamp=99) == NOTHING
    assert waiting.layout.paused
    assert _state(waiting, online=True, timestamp=100) == Action(rebirth=True)


def test_the_node_leaves_with_an_ndeath_when_the_primary_host_goes_offline(waiting: Node) -> None:
    _state(waiting, online=True, timestamp=100)
    waiting.layout.birth(now_ticks())
    _state(waiting, online=False, timestamp=100)
    assert waiting.layout.leaving
    assert waiting.layout.paused
    assert kinds(waiting.layout.death(now_ticks())) == ["NDEATH"]
    will, births = waiting.connect()
    assert not waiting.layout.leaving
    assert births == []
    assert parse(will).metrics[0].long_value == 1


def test_an_offline_older_than_the_last_online_is_an_echo(waiting: Node) -> None:
    _state(waiting, online=True, timestamp=100)
    waiting.layout.birth(now_ticks())
    assert _state(waiting, online=False, timestamp=99) == NOTHING
    assert not waiting.layout.leaving
    assert not waiting.layout.paused


def test_a_second_online_changes_nothing(waiting: Node) -> None:
    _state(waiting, online=True, timestamp=100)
    assert _state(waiting, online=True, timestamp=101) == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"online":true}',
        '{"online":1,"timestamp":1}',
        '{"online":true,"timestamp":"1"}',
        '{"online":true,"timestamp":true}',
    ],
)
def test_a_state_that_is_none_is_refused(waiting: Node, text: str) -> None:
    with pytest.raises(ValueError, match="STATE"):
        waiting.layout.receive(STATE, text.encode(), now_ticks())


def test_without_a_primary_host_nothing_waits() -> None:
    node = Node()
    assert not node.layout.paused
    assert kinds(node.connect()[1])[0] == "NBIRTH"

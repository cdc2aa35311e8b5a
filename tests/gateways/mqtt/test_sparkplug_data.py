"""NDATA and DDATA: changes by alias, in chronological order, live and historical."""

import numpy as np
import pytest

from gateways.mqtt.sparkplug_metrics import alias
from gateways.mqtt.sparkplug_read import SparkplugReader, same_sample
from gateways.mqtt.sparkplug_settings import SparkplugSettings
from gateways.mqtt.sparkplug_wire import milliseconds
from gateways.observing import Observation
from server.quality import BAD_NO_COMMUNICATION, BAD_SENSOR_FAILURE
from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND
from tests.gateways.mqtt.mqtt_rig import fill
from tests.gateways.mqtt.sparkplug_rig import Node, kinds, parse, properties, value_of


@pytest.fixture(name="node")
def _node() -> Node:
    """Give every variable a value, and connect."""
    node = Node()
    fill(node.store)
    node.connect()
    return node


def test_only_what_changed_goes_out_by_alias_alone(node: Node) -> None:
    assert node.deliver() == []
    time = now_ticks()
    node.write("Line1.LineSpeed", 12.5, time=time)
    node.write("EmergencyStopActive", value=True)
    messages = node.deliver()
    assert kinds(messages) == ["NDATA", "DDATA/Line1"]
    for message in messages:
        assert (message.qos, message.retain, message.rows) == (0, False, 1)
        payload = parse(message)
        assert payload.timestamp == pytest.approx(milliseconds(now_ticks()), abs=5000)
        (metric,) = payload.metrics
        assert not metric.HasField("name")
        assert not metric.HasField("datatype")
        assert not metric.HasField("is_historical")
    metric = parse(messages[1]).metrics[0]
    assert metric.alias == alias(node.variable("Line1.LineSpeed").id)
    assert metric.timestamp == milliseconds(time)
    assert metric.double_value == 12.5


def test_time_alone_publishes_nothing(node: Node) -> None:
    assert node.layout.tick(now_ticks()) == []


def test_changes_of_a_device_are_one_message_in_the_order_of_their_times(node: Node) -> None:
    now = now_ticks()
    for late, value in ((3, 1.0), (1, 2.0), (2, 3.0)):
        node.write("Line1.LineSpeed", value, time=now - late * TICKS_PER_SECOND)
    node.write("Line1.OEE", 4.0, time=now - TICKS_PER_SECOND * 3 // 2)
    (message,) = node.deliver()
    assert message.rows == 4
    metrics = parse(message).metrics
    assert [metric.timestamp for metric in metrics] == sorted(metric.timestamp for metric in metrics)
    current = [metric for metric in metrics if not metric.is_historical]
    assert [metric.timestamp for metric in current] == sorted(metric.timestamp for metric in current)


def test_a_quality_comes_with_what_is_not_good_and_with_the_first_good_after_it(node: Node) -> None:
    marks = []
    for status in (0, BAD_SENSOR_FAILURE, 0, 0):
        node.write("Line1.LineSpeed", 1.0, status=status)
        (message,) = node.deliver()
        marks.append(properties(parse(message).metrics[0]))
    bad, good = {"Quality": (3, 0), "StatusCode": (7, BAD_SENSOR_FAILURE)}, {"Quality": (3, 192), "StatusCode": (7, 0)}
    assert marks == [{}, bad, good, {}]


def test_a_bad_value_is_null(node: Node) -> None:
    node.write("Line1.LineSpeed", 1.0, status=BAD_SENSOR_FAILURE)
    metric = parse(node.deliver()[0]).metrics[0]
    assert metric.is_null
    assert value_of(metric) is None


def test_what_waited_is_historical(node: Node) -> None:
    node.write("Line1.LineSpeed", 1.0)
    node.write("Line1.LineSpeed", 2.0)
    waited = node.batch()
    node.connect()  # the birth shows 2.0
    (message,) = node.layout.data(waited, historical=True)
    assert [metric.is_historical for metric in parse(message).metrics] == [True, True]


def test_what_comes_between_the_birth_and_the_first_delivery_is_not_historical(node: Node) -> None:
    node.layout.will()
    node.layout.birth(now_ticks())
    node.write("Line1.LineSpeed", 7.0)
    (message,) = node.layout.data(node.batch(), historical=True)  # it was in the outbox before the delivery began
    assert not parse(message).metrics[0].is_historical


def test_a_backlog_never_hides_a_live_value(node: Node) -> None:
    node.write("Line1.LineSpeed", 1.0)
    waited = node.batch()
    node.write("Line1.LineSpeed", 2.0)
    (live,) = node.deliver()
    (late,) = node.layout.data(waited, historical=True)
    assert not parse(live).metrics[0].is_historical
    assert parse(late).metrics[0].is_historical


def test_the_backlog_of_a_dead_device_is_delivered(node: Node) -> None:
    node.write("Line1.LineSpeed", 1.0)
    waited = node.batch()
    node.set_status("Line1", BAD_NO_COMMUNICATION)
    node.deliver()
    messages = node.layout.data(waited, historical=True)
    assert kinds(messages) == ["DBIRTH/Line1", "DDATA/Line1", "DDEATH/Line1"]
    metric = parse(messages[1]).metrics[0]
    assert (metric.is_historical, metric.double_value) == (True, 1.0)


def test_a_reader_sees_every_variable_as_the_store_has_it(node: Node) -> None:
    _, births = node.connect()
    _assert_shown(node, births)


def test_a_reader_sees_every_change_as_the_store_has_it(node: Node) -> None:
    fill(node.store, offset=1, status=0x40900000)
    _assert_shown(node, node.deliver())


def _assert_shown(node: Node, messages: list) -> None:
    reader = SparkplugReader(node.plant, SparkplugSettings(group_id="G1", edge_node_id="E1"))
    samples = [sample for message in messages for sample in reader.observations(message.topic, message.payload)]
    seen = {sample.path: sample for sample in samples}
    assert set(seen) == {variable.path for variable in node.plant.variables}
    for variable in node.plant.variables:
        value, status, time, _ = node.store.read(variable.id)
        truth = Observation(variable.path, value, status, time)
        assert same_sample(variable, truth, seen[variable.path])


def test_a_reader_tells_a_difference_of_value_status_or_time() -> None:
    node = Node()
    variable = node.variable("Line1.LineSpeed")
    truth = Observation(variable.path, 1.0, 0, 10_000_000)
    assert same_sample(variable, truth, truth)
    for other in (
        Observation(variable.path, 1.5, 0, 10_000_000),
        Observation(variable.path, 1.0, 0x40900000, 10_000_000),
        Observation(variable.path, 1.0, 0, 10_010_000),
        Observation(variable.path, None, 0, 10_000_000),
    ):
        assert not same_sample(variable, truth, other)


def test_messages_of_other_nodes_are_not_read() -> None:
    node = Node()
    reader = SparkplugReader(node.plant, SparkplugSettings(group_id="G1", edge_node_id="E1"))
    for message in node.connect()[1]:
        assert reader.observations(message.topic.replace("E1", "E2"), message.payload) == []


def test_a_large_batch_is_whole(node: Node) -> None:
    rng = np.random.default_rng(7)
    doubles = np.array([v.id for v in node.plant.variables if v.declaration.type.name == "Double"])
    ids = doubles[rng.integers(0, len(doubles), 10_000)]
    node.store.write(ids, rng.random(10_000), now_ticks() + np.arange(10_000))
    batch = node.batch()
    messages = node.layout.data(batch, historical=False)
    assert sum(message.rows for message in messages) == 10_000
    values = [metric.double_value for message in messages for metric in parse(message).metrics]
    assert sorted(values) == sorted(node.store.floats(batch).tolist())

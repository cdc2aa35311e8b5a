"""Births and deaths of the node and its devices, as a host application decodes them."""

import json

import pytest
from pydantic import ValidationError

from address_space.model import BuiltinType
from gateways.mqtt.sparkplug_metrics import BDSEQ, REBIRTH
from gateways.mqtt.sparkplug_settings import SparkplugSettings
from gateways.mqtt.sparkplug_wire import milliseconds
from server.quality import BAD_NO_COMMUNICATION, BAD_NOT_CONNECTED, UNCERTAIN_LAST_USABLE
from server.store import now_ticks
from tests.gateways.mqtt.sparkplug_rig import MemoryState, Node, kinds, parse, properties, value_of

BASIC_TYPES = range(1, 15)
"""Sparkplug 3.0 6.4.16."""


@pytest.fixture(name="node")
def _node() -> Node:
    return Node()


def _metric(payload, name: str):
    return next(metric for metric in payload.metrics if metric.name == name)


def _bdseq(message) -> int:
    return _metric(parse(message), BDSEQ).long_value


def test_the_will_is_an_ndeath_with_nothing_but_bdseq(node: Node) -> None:
    will = node.layout.will()
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/G1/NDEATH/E1", 1, False)
    payload = parse(will)
    assert not payload.HasField("seq")
    assert [metric.name for metric in payload.metrics] == [BDSEQ]
    assert payload.metrics[0].datatype == 4
    assert payload.metrics[0].long_value == 0


def test_bdseq_starts_at_zero_counts_each_connection_and_is_that_of_the_will() -> None:
    state = MemoryState()
    for expected in (0, 1, 2):
        node = Node(state=state)  # each time as after a restart
        will, births = node.connect()
        assert _bdseq(will) == expected
        assert _bdseq(births[0]) == expected
        assert state.values[BDSEQ] == expected


def test_bdseq_is_on_the_disk_before_it_is_used(node: Node) -> None:
    seen: list[int] = []
    node.state.set = lambda key, value: seen.append(value)  # type: ignore[method-assign]
    assert _bdseq(node.layout.will()) == seen[-1] == 0


def test_bdseq_turns_over_after_255(node: Node) -> None:
    node.state.values[BDSEQ] = 255
    assert _bdseq(node.layout.will()) == 0


def test_the_births_are_the_first_messages_and_in_order(node: Node) -> None:
    with pytest.raises(RuntimeError, match="birth"):
        node.deliver()
    _, births = node.connect()
    found = kinds(births)
    devices = [kind.removeprefix("DBIRTH/") for kind in found if kind.startswith("DBIRTH/")]
    assert found[: 1 + len(devices)] == ["NBIRTH", *(f"DBIRTH/{device}" for device in devices)]
    assert devices[:5] == ["Generator1", "Line1", "Line2", "Line3", "Energy"]
    assert len(set(devices)) == len({device.lower() for device in devices}) == len(devices)
    assert not any(letter in device for device in devices for letter in "+/#")
    for message in births:
        assert (message.qos, message.retain) == (0, False)
        assert message.topic.split("/")[:2] == ["spBv1.0", "G1"]
        assert message.topic.split("/")[3] == "E1"
        assert len(message.topic.split("/")) == (4 if message is births[0] else 5)


def test_seq_starts_at_zero_and_counts_every_message_to_255_and_on_from_zero(node: Node) -> None:
    _, births = node.connect()
    numbers = [parse(message).seq for message in births]
    for _ in range(300):
        node.write("Line1.LineSpeed", 1.0)
        node.write("EmergencyStopActive", value=True)
        messages = node.deliver()
        assert kinds(messages) == ["NDATA", "DDATA/Line1"]
        numbers += [parse(message).seq for message in messages]
    assert numbers == [number % 256 for number in range(len(numbers))]


def test_every_variable_is_in_a_birth_with_name_alias_datatype_time_and_value(node: Node) -> None:
    _, births = node.connect()
    seen: dict[str, object] = {}
    aliases: list[int] = []
    for message in births:
        payload = parse(message)
        assert payload.timestamp == pytest.approx(milliseconds(now_ticks()), abs=5000)
        device = message.topic.split("/")[4:]
        for metric in payload.metrics:
            assert metric.datatype in BASIC_TYPES
            assert metric.HasField("timestamp")
            assert (value_of(metric) is None) == metric.is_null
            if metric.name != REBIRTH:
                aliases.append(metric.alias)
            seen[".".join(["Plant", *device, metric.name])] = metric
            types = [value.type for value in metric.properties.values]
            assert len(types) == len(metric.properties.keys)
            assert all(kind in BASIC_TYPES for kind in types)
    assert set(seen) == {variable.path for variable in node.plant.variables} | {f"Plant.{BDSEQ}", f"Plant.{REBIRTH}"}
    assert len(set(aliases)) == len(aliases) == len(node.plant.variables) + 1
    assert 0 not in aliases


def test_metric_names_differ_in_more_than_case(node: Node) -> None:
    for message in node.connect()[1]:
        names = [metric.name.lower() for metric in parse(message).metrics]
        assert len(set(names)) == len(names)


def test_the_nbirth_has_a_rebirth_metric_without_alias(node: Node) -> None:
    rebirth = _metric(parse(node.connect()[1][0]), REBIRTH)
    assert (rebirth.datatype, rebirth.boolean_value, rebirth.HasField("boolean_value")) == (11, False, True)
    assert not rebirth.HasField("alias")


def test_births_show_the_present_values_of_every_type(node: Node) -> None:
    time = now_ticks()
    node.write("Line1.LineSpeed", 12.5, time=time)
    node.write("Line1.State", 2)
    node.write("Line1.ProductionCount", 4_000_000_000)
    node.write("Line1.EmergencyStopReason", "grüß")
    node.write("Line1.EmergencyStopActive", value=True)
    payload = parse(next(birth for birth in node.connect()[1] if birth.topic.endswith("DBIRTH/E1/Line1")))
    assert _metric(payload, "LineSpeed").double_value == 12.5
    assert _metric(payload, "LineSpeed").timestamp == milliseconds(time)
    assert _metric(payload, "State").int_value == 2
    assert value_of(_metric(payload, "ProductionCount")) == 4_000_000_000
    assert _metric(payload, "EmergencyStopReason").string_value == "grüß"
    assert _metric(payload, "EmergencyStopActive").boolean_value is True


def test_metrics_of_a_birth_are_in_the_order_of_their_times(node: Node) -> None:
    now = now_ticks()
    for age, name in enumerate(("LineSpeed", "OEE", "State")):
        node.write(f"Line1.{name}", 1.0, time=now - age * 10_000_000)
    for message in node.connect()[1]:
        times = [metric.timestamp for metric in parse(message).metrics]
        assert times == sorted(times)


def test_births_tell_units_ranges_states_and_what_can_be_written(node: Node) -> None:
    _, births = node.connect()
    generator = parse(next(birth for birth in births if birth.topic.endswith("/Generator1")))
    speed = node.variable("Generator1.Speed").declaration
    found = properties(_metric(generator, "Speed"))
    assert speed.range is not None
    assert found["EngUnits"] == (12, "r/min")
    assert found["EngLow"] == (10, speed.range[0])
    assert found["EngHigh"] == (10, speed.range[1])
    assert found["Description"] == (12, speed.description)
    assert found["NodeId"] == (12, "nsu=urn:plantree:plant;s=Plant.Generator1.Speed")
    assert found["ReadOnly"] == (11, True)
    assert properties(_metric(generator, "LoadSetpoint"))["ReadOnly"] == (11, False)
    state = properties(_metric(generator, "State"))["EnumStrings"][1]
    assert json.loads(state) == list(node.plant.enumerations["GeneratorState"].values)


def test_quality_is_one_of_three_codes_and_the_statuscode_stands_beside_it(node: Node) -> None:
    node.write("Line1.LineSpeed", 1.0)
    node.write("Line2.LineSpeed", 1.0, status=UNCERTAIN_LAST_USABLE)
    node.write("Line3.LineSpeed", 1.0, status=BAD_NO_COMMUNICATION)
    _, births = node.connect()
    for line, quality, status in ((1, 192, 0), (2, 500, UNCERTAIN_LAST_USABLE), (3, 0, BAD_NO_COMMUNICATION)):
        payload = parse(next(birth for birth in births if birth.topic.endswith(f"DBIRTH/E1/Line{line}")))
        metric = _metric(payload, "LineSpeed")
        assert properties(metric)["Quality"] == (3, quality)
        assert properties(metric)["StatusCode"] == (7, status)
        assert metric.is_null == (line == 3)


def test_a_device_that_cannot_be_reached_is_born_and_dies_at_once(node: Node) -> None:
    _, births = node.connect()
    assert [kind for kind in kinds(births) if kind.startswith("DDEATH")] == ["DDEATH/Camera2"], "nothing feeds it"
    assert kinds(births)[-1] == "DDEATH/Camera2"
    death = parse(births[-1])
    assert death.HasField("seq")
    assert death.timestamp == pytest.approx(milliseconds(now_ticks()), abs=5000)
    assert not death.metrics


def test_a_device_dies_with_its_source_and_is_born_again_with_it(node: Node) -> None:
    for variable in node.plant.machine("Plant.Line1").variables.values():
        if variable.declaration.type is not BuiltinType.String:
            node.write(f"Line1.{variable.name}", 1)
    node.connect()
    node.set_status("Line1", BAD_NO_COMMUNICATION)
    messages = node.deliver()
    assert kinds(messages) == ["DDATA/Line1", "DDEATH/Line1"]
    assert (messages[1].qos, messages[1].retain) == (0, False)
    assert all(metric.is_null for metric in parse(messages[0]).metrics)
    node.write("Line2.LineSpeed", 1.0)
    assert kinds(node.deliver()) == ["DDATA/Line2"]
    node.set_status("Line1", 0)
    messages = node.deliver()
    assert kinds(messages) == ["DBIRTH/Line1", "DDATA/Line1"]
    node.write("Line1.LineSpeed", 2.0)
    assert kinds(node.deliver()) == ["DDATA/Line1"]


def test_one_value_lost_is_no_death(node: Node) -> None:
    node.write("Line1.State", 1)
    node.connect()
    node.write("Line1.LineSpeed", 1.0, status=BAD_NOT_CONNECTED)
    assert kinds(node.deliver()) == ["DDATA/Line1"]


def test_samples_of_a_dead_device_go_out_between_a_birth_and_a_death(node: Node) -> None:
    node.connect()
    node.write("Camera2.Online", value=True, status=BAD_NOT_CONNECTED)
    messages = node.deliver()
    assert kinds(messages) == ["DBIRTH/Camera2", "DDATA/Camera2", "DDEATH/Camera2"]
    assert sum(message.rows for message in messages) == 1


def test_goodbye_is_an_ndeath_with_the_same_bdseq_and_only_once(node: Node) -> None:
    will, _ = node.connect()
    (death,) = node.layout.death(now_ticks())
    assert death.topic == will.topic
    assert _bdseq(death) == _bdseq(will)
    assert not parse(death).HasField("seq")
    assert node.layout.death(now_ticks()) == []


def test_there_is_no_death_without_a_birth() -> None:
    node = Node(primary_host="scada")
    node.connect()
    assert node.layout.death(now_ticks()) == []


@pytest.mark.parametrize("field", ["group_id", "edge_node_id"])
@pytest.mark.parametrize("wrong", ["", "a/b", "a+", "#"])
def test_ids_have_no_reserved_characters(field: str, wrong: str) -> None:
    with pytest.raises(ValidationError):
        SparkplugSettings(**{field: wrong})


def test_only_mqtt_3_1_1_is_spoken_so_that_a_clean_disconnect_needs_no_will(node: Node) -> None:
    assert node.layout.protocols == ("3.1.1",)

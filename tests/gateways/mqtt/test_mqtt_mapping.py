"""The pure parts: names, objects, times, schemas, settings; no broker."""

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from address_space import load_plant
from gateways.mqtt import MqttSettings, uns
from gateways.mqtt.cli import generate
from gateways.mqtt.endpoint import parse
from gateways.mqtt.factory import FactoryLayout, component_names
from gateways.mqtt.mapping import leaves, object_topics, read_back, snake
from gateways.mqtt.requests import command_schema, setpoint_schema
from gateways.mqtt.state import StateFile
from gateways.mqtt.uns import UnsLayout
from gateways.mqtt.wire import iso, iso_column, matches, parse_iso, status_code, status_name
from server.quality import BAD_NO_COMMUNICATION
from server.store import Store, now_ticks
from tests.gateways.mqtt.mqtt_rig import fill
from tests.server.core_rig import PLANT

ODD = """\
plant: {name: Works, type: WorksType}
enumerations:
  Mode: [Off, AutoRun]
types:
  WorksType: {description: The works}
  GeneratorType:
    description: Another one than ours
    variables:
      Status: {type: String, description: A word}
      Timestamp: {type: Double, description: A number}
      ABTest: {type: Int16, description: A number}
      AB_Test: {type: Int16, description: Another number}
      Mode: {enum: Mode, description: Mode}
  ProductionLineType:
    description: Without what the agreed object needs
    variables:
      LineSpeed: {type: Double, description: Speed}
objects:
  NorthSet: {type: GeneratorType}
  SouthSet: {type: GeneratorType}
  Line9: {type: ProductionLineType}
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VoltageL1", "voltage_l1"), ("CO2", "co2"), ("OEE", "oee"), ("EmergencyStopActive", "emergency_stop_active"),
        ("LastDetectionClass", "last_detection_class"), ("HTTPPort", "http_port"), ("line1_plc", "line1_plc"),
        ("Generator1", "generator1"), ("A-B C", "a_b_c"),
    ],
)  # fmt: skip
def test_snake(name: str, expected: str) -> None:
    assert snake(name) == expected


@pytest.mark.parametrize("text", [ODD, PLANT], ids=["odd", "core"])
def test_any_plant_has_every_variable_once_and_no_key_twice(tmp_path: Path, text: str) -> None:
    (tmp_path / "plant.yaml").write_text(text)
    plant = load_plant(tmp_path / "plant.yaml")
    topics = object_topics(plant, MqttSettings().factory)
    assert sorted(id_ for topic in topics for id_ in topic.home) == list(range(len(plant.variables)))
    assert len({topic.topic for topic in topics}) == len(topics)
    plain = [leaf.variables[0].id for topic in topics for _, leaf in leaves(topic.node) if not leaf.derived]
    assert sorted(plain) == list(range(len(plant.variables)))
    store = Store(plant)
    fill(store)
    layout = FactoryLayout(plant, store, MqttSettings(), StateFile(tmp_path / "s.sqlite").of("factory"))
    by_topic = {message.topic: message.payload for message in layout.birth(now_ticks())}
    for topic in topics:
        for id_, value in read_back(topic, by_topic[topic.topic]).items():
            assert value == store.value(id_), plant.variables[id_].path


def test_a_type_of_the_same_name_without_the_agreed_variables_has_one_key_a_variable(tmp_path: Path) -> None:
    (tmp_path / "plant.yaml").write_text(ODD)
    topics = {
        topic.topic: topic for topic in object_topics(load_plant(tmp_path / "plant.yaml"), MqttSettings().factory)
    }
    assert {"factory/north_set", "factory/south_set", "factory/line9"} < topics.keys()
    assert list(topics["factory/line9"].node) == ["machine_id", "line_speed", "alarm"]
    north = list(topics["factory/north_set"].node)
    assert north == ["generator_id", "status", "timestamp_value", "ab_test", "ab_test_value", "mode", "alarm"]


def _row(store: Store, path: str, value: float, time: int, status: int = 0):
    cursor = store.journal.cursor("row")
    store.write(np.array([store.plant.variable(path).id]), np.array([value]), time, status)
    batch = cursor.read()
    cursor.close()
    return batch


def test_samples_of_one_machine_and_time_share_an_object_and_nothing_is_merged(tmp_path: Path) -> None:
    plant = load_plant()
    store = Store(plant)
    layout = FactoryLayout(plant, store, MqttSettings(), StateFile(tmp_path / "s.sqlite").of("factory"))
    layout.birth(now_ticks())
    cursor = store.journal.cursor("test")
    names = ("Temperature", "Humidity")
    ids = np.array([plant.variable(f"Plant.Environment.{name}").id for name in names])
    base = now_ticks() // 10 * 10
    for step in range(3):
        store.write(ids, np.array([20.0 + step, 40.0 + step]), base + step * 1_000_000)
    messages = layout.data(cursor.read(), historical=False)
    assert [message.rows for message in messages] == [2, 2, 2]
    documents = [json.loads(message.payload) for message in messages]
    assert [(d["temperature"], d["humidity"]) for d in documents] == [(20, 40), (21, 41), (22, 42)]
    assert [parse_iso(d["timestamp"]) for d in documents] == [base, base + 1_000_000, base + 2_000_000]


def test_a_historical_object_shows_what_was_then(tmp_path: Path) -> None:
    """An outage between two set-points: what comes late shows neither what is newer nor less than was known."""
    plant = load_plant()
    store = Store(plant)
    layout = FactoryLayout(plant, store, MqttSettings(), StateFile(tmp_path / "s.sqlite").of("factory"))
    base = now_ticks()
    layout.birth(base)
    for name, value in (("NoiseLevel", 50.0), ("Temperature", 20.0)):
        layout.data(_row(store, f"Plant.Environment.{name}", value, base + 10), historical=False)
    missed = _row(store, "Plant.Environment.Temperature", 21.0, base + 100)
    _row(store, "Plant.Environment.NoiseLevel", 99.0, base + 200)
    layout.birth(base + 300)
    now = json.loads(
        layout.data(_row(store, "Plant.Environment.Temperature", 25.0, base + 310), historical=False)[0].payload
    )
    then = json.loads(layout.data(missed, historical=True)[0].payload)
    assert (now["temperature"], now["noise_level"]) == (25, 99)
    assert (then["temperature"], then["noise_level"]) == (21, 50)


def test_uns_says_what_came_late_and_does_not_retain_it(tmp_path: Path) -> None:
    plant = load_plant()
    store = Store(plant)
    layout = UnsLayout(plant, store, MqttSettings(), StateFile(tmp_path / "s.sqlite").of("uns"))
    batch = _row(store, "Plant.Line1.State", 2, now_ticks())
    (live,), (late,) = layout.data(batch, historical=False), layout.data(batch, historical=True)
    assert (live.topic, live.retain, late.retain, live.rows) == (
        "plantree/site1/production/Line1/State", True, False, 1,
    )  # fmt: skip
    document = json.loads(live.payload)
    assert (document["value"], document["text"], document["unit"], document["quality"]) == (2, "Running", None, "Good")
    assert json.loads(late.payload) == {**document, "historical": True}
    bad = layout.data(_row(store, "Plant.Line1.LineSpeed", 5, now_ticks(), BAD_NO_COMMUNICATION), historical=False)
    document = json.loads(bad[0].payload)
    assert (document["value"], document["quality"]) == (None, "BadNoCommunication")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, -0.0, 0.1])
def test_every_double_is_json(tmp_path: Path, value: float) -> None:
    plant = load_plant()
    store = Store(plant)
    layout = UnsLayout(plant, store, MqttSettings(), StateFile(tmp_path / "s.sqlite").of("uns"))
    (message,) = layout.data(_row(store, "Plant.Line1.LineSpeed", value, now_ticks()), historical=False)
    shown = uns.read_back(plant.variable("Plant.Line1.LineSpeed"), message.payload)[0]
    assert shown == (value if np.isfinite(value) else None)


def test_times_and_statuses_come_back() -> None:
    ticks = now_ticks()
    assert parse_iso(iso(ticks)) == ticks // 10 * 10
    assert iso_column(np.array([ticks, 0, ticks])) == [iso(ticks), iso(0), iso(ticks)]
    for code in (0, 0x40900000, 0x80310000, 0x80310123, 0x00000480):
        assert status_code(status_name(code)) == code


@pytest.mark.parametrize(
    ("wanted", "topic", "expected"),
    [
        ("cmd/#", "cmd/a/b", True), ("cmd/#", "cmd", True), ("cmd/+/b", "cmd/a/b", True), ("cmd/+", "cmd/a/b", False),
        ("#", "$SYS/x", False), ("a/b", "a/b/c", False), ("a/b/c", "a/b", False),
    ],
)  # fmt: skip
def test_topic_filters(wanted: str, topic: str, expected: bool) -> None:
    assert matches(wanted, topic) is expected


def test_every_command_and_setpoint_has_a_valid_schema() -> None:
    plant = load_plant()
    for command in plant.commands.values():
        Draft202012Validator.check_schema(command_schema(command))
    for variable in plant.variables:
        if variable.declaration.writable:
            Draft202012Validator.check_schema(setpoint_schema(variable))


def test_the_topic_list_names_every_variable_and_command() -> None:
    page, plant = generate(), load_plant()
    for variable in plant.variables:
        assert f"`{variable.path}`" in page
        assert f"`{uns.variable_topic(variable, plant, MqttSettings().uns)}`" in page
    for path in plant.commands:
        assert f"`cmd/{path.replace('.', '/')}`" in page
    for component in component_names(plant):
        assert component in page


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "http://x"}, "must be mqtts://host:port"),
        ({"url": "mqtts://"}, "names no host"),
        ({"url": "mqtts://h:99999"}, "no number from 1 to 65535"),
        ({"url": "mqtts://h/path"}, "nothing behind the port"),
        ({"url": "mqtt://broker.example:1883"}, "not encrypted"),
        ({"bridge": {"url": "mqtt://broker.example:1883"}}, "not encrypted"),
        ({"certificate": "a.pem"}, "needs its key"),
        ({"layouts": ["factory", "homie"]}, "'homie' is no layout"),
        ({"commands": {"users": ["cmd/#"]}}, "is not like cmd/Plant/Line1/#=anna"),
        ({"uns": {"site": "a/b"}}, "pattern"),
    ],
)
def test_wrong_settings_are_one_sentence(given: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MqttSettings.model_validate(given)


def test_settings_keep_passwords_to_themselves() -> None:
    settings = MqttSettings.model_validate({"url": "mqtts://anna:password%40x@broker:9000", "layouts": "uns, factory"})
    assert settings.layouts == ["uns", "factory"]
    endpoint = settings.endpoint
    assert endpoint is not None
    assert (endpoint.user, endpoint.password, endpoint.port, str(endpoint)) == (
        "anna", "password@x", 9000, "mqtts://broker:9000",
    )  # fmt: skip
    assert "password@x" not in repr(settings) + repr(endpoint)
    assert MqttSettings.model_validate({"url": "mqtt://localhost"}).endpoint == parse("mqtt://localhost:1883")
    remote = {"url": "mqtt://broker", "allow_plain": True}
    assert str(MqttSettings.model_validate(remote).endpoint) == "mqtt://broker:1883"


def test_state_survives_and_belongs_to_its_layout(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "s.sqlite")
    file.of("sparkplug").set("bdSeq", 7)
    file.of("sparkplug").set("bdSeq", 8)
    file.close()
    file = StateFile(tmp_path / "s.sqlite")
    assert file.of("sparkplug").get("bdSeq") == 8
    assert file.of("uns").get("bdSeq") is None
    file.close()

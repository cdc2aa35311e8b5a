"""Network messages, metadata, status and topics of the PubSub layout."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from gateways.mqtt.layout import NOTHING
from gateways.mqtt.pubsub_read import PubSubReader, observed, same_sample
from gateways.mqtt.pubsub_settings import PubSubSettings
from gateways.observing import Observation
from server.quality import BAD_SENSOR_FAILURE, UNCERTAIN_LAST_USABLE
from server.store import now_ticks
from tests.gateways.mqtt.mqtt_rig import fill
from tests.gateways.mqtt.pubsub_rig import Publisher, document, ticks_of
from tests.gateways.mqtt.sparkplug_rig import MemoryState

PUBLISHER = "opcua/json/{}/plantree"


@pytest.fixture(name="publisher")
def _publisher() -> Publisher:
    publisher = Publisher()
    fill(publisher.store)
    publisher.cursor.read()
    return publisher


def _of(messages, kind: str) -> list[dict]:
    return [found for found in map(document, messages) if found["MessageType"] == kind]


def test_a_connection_begins_with_discovery_the_status_and_key_frames(publisher: Publisher) -> None:
    messages = publisher.birth()
    writers = sum(bool(machine.variables) for machine in publisher.plant.objects)
    kinds = [document(message)["MessageType"] for message in messages]
    assert kinds == ["ua-connection", *["ua-metadata"] * writers, "ua-status", *["ua-data"] * writers]
    assert [message.retain for message in messages] == [kind != "ua-data" for kind in kinds]
    assert all(message.qos == 1 for message in messages)
    assert len({document(message)["MessageId"] for message in messages}) == len(messages)
    assert {document(message)["PublisherId"] for message in messages} == {"plantree"}


def test_topics_are_those_of_the_standard(publisher: Publisher) -> None:
    topics = [message.topic for message in publisher.birth()]
    assert topics[0] == PUBLISHER.format("connection")
    assert PUBLISHER.format("status") in topics
    assert f"{PUBLISHER.format('metadata')}/plant/Line1" in topics
    assert f"{PUBLISHER.format('data')}/plant/Line1" in topics
    assert f"{PUBLISHER.format('data')}/plant/ServerDiagnostics.mqtt" in topics


def test_the_will_is_the_status_error_and_goodbye_is_disabled(publisher: Publisher) -> None:
    will = publisher.layout.will()
    assert will is not None
    assert (will.topic, will.retain, will.qos) == (PUBLISHER.format("status"), True, 1)
    (operational,) = _of(publisher.birth(), "ua-status")
    (goodbye,) = publisher.layout.death(now_ticks())
    states = [status["Status"] for status in (document(will), operational, document(goodbye))]
    assert states == [3, 2, 0]
    assert document(will)["IsCyclic"] is False
    assert "Timestamp" not in document(will)


def test_a_key_frame_has_every_field_and_a_delta_frame_only_what_changed(publisher: Publisher) -> None:
    messages = _of(publisher.birth(), "ua-data")
    assert {message["WriterGroupName"] for message in messages} == {"plant"}
    frames = {message["Messages"][0]["DataSetWriterName"]: message["Messages"] for message in messages}
    (key,) = frames["Line1"]
    assert key["MessageType"] == "ua-keyframe"
    assert list(key["Payload"]) == list(publisher.plant.machine("Plant.Line1").variables)
    publisher.write("Line1.LineSpeed", 12.5)
    (message,) = publisher.deliver()
    assert (message.rows, message.retain) == (1, False)
    assert message.content_type == "application/json"
    (delta,) = document(message)["Messages"]
    assert delta["MessageType"] == "ua-deltaframe"
    assert list(delta["Payload"]) == ["LineSpeed"]
    assert delta["DataSetWriterId"] == key["DataSetWriterId"]
    assert delta["SequenceNumber"] == key["SequenceNumber"] + 1
    assert delta["MetaDataVersion"] == key["MetaDataVersion"]
    assert ticks_of(delta["Timestamp"]) == pytest.approx(now_ticks(), abs=50_000_000)


def test_a_field_that_changed_twice_is_in_two_messages_in_order(publisher: Publisher) -> None:
    for value in (1.0, 2.0, 3.0):
        publisher.write("Line1.LineSpeed", value)
    publisher.write("Line1.OEE", 0.5)
    publisher.write("Line2.LineSpeed", 4.0)
    first, second = publisher.deliver()
    assert (first.rows, second.rows) == (4, 1)
    frames = document(first)["Messages"]
    assert [frame["Payload"]["LineSpeed"]["Value"] for frame in frames] == [1.0, 2.0, 3.0]
    assert [list(frame["Payload"]) for frame in frames] == [["LineSpeed", "OEE"], ["LineSpeed"], ["LineSpeed"]]
    numbers = [frame["SequenceNumber"] for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_key_frames_come_every_n_seconds_spread_over_the_writers() -> None:
    publisher = Publisher(key_frame_count=4)
    fill(publisher.store)
    seen: dict[str, list[int]] = {}
    for second in range(12):
        for message in publisher.layout.tick(now_ticks()):
            seen.setdefault(message.topic, []).append(second)
            assert document(message)["Messages"][0]["MessageType"] == "ua-keyframe"
            assert message.rows == 0
    assert len(seen) == sum(bool(machine.variables) for machine in publisher.plant.objects)
    assert all(np.diff(seconds).tolist() == [4, 4] for seconds in seen.values())
    assert len({seconds[0] for seconds in seen.values()}) == 4


def test_metadata_describes_every_field(publisher: Publisher) -> None:
    for found in _of(publisher.birth(), "ua-metadata"):
        metadata = found["MetaData"]
        name = found["DataSetWriterName"]
        machine = publisher.plant.root if name == "Plant" else publisher.plant.machine(f"Plant.{name}")
        fields = {field["Name"]: field for field in metadata["Fields"]}
        assert list(fields) == list(machine.variables)
        enumerations = {each["DataTypeId"]: each for each in metadata.get("EnumDataTypes", [])}
        for variable in machine.variables.values():
            declaration, field = variable.declaration, fields[variable.name]
            assert field["BuiltInType"] == declaration.type
            assert field["ValueRank"] == -1
            if declaration.enumeration is None:
                assert field["DataType"] == f"i={declaration.type.value}"
                continue
            states = enumerations[field["DataType"]]["EnumDefinition"]["Fields"]
            assert [state["Name"] for state in states] == list(declaration.enumeration.values)
            assert [int(state.get("Value", "0")) for state in states] == list(range(len(states)))
        ids = [field["DataSetFieldId"] for field in metadata["Fields"]]
        assert len(set(ids)) == len(ids)


def test_metadata_has_units_and_ranges(publisher: Publisher) -> None:
    metadata = {m["DataSetWriterName"]: m["MetaData"] for m in _of(publisher.birth(), "ua-metadata")}["Generator1"]
    speed = next(field for field in metadata["Fields"] if field["Name"] == "Speed")
    found = {member["Key"]: member["Value"]["Value"] for member in speed["Properties"]}
    declared = publisher.plant.variable("Plant.Generator1.Speed").declaration
    assert declared.range is not None
    assert found["EngineeringUnits"]["DisplayName"] == {"Text": "r/min"}
    assert (found["EURange"].get("Low", 0.0), found["EURange"]["High"]) == declared.range


def test_ids_and_versions_stay_until_the_metadata_changes() -> None:
    state = MemoryState()
    first = {m["DataSetWriterName"]: m for m in _of(Publisher(state=state).birth(), "ua-metadata")}
    again = {m["DataSetWriterName"]: m for m in _of(Publisher(state=state).birth(), "ua-metadata")}
    assert {name: m["MetaData"] for name, m in first.items()} == {name: m["MetaData"] for name, m in again.items()}
    kept = json.loads(str(state.values["writers"]))
    kept["Plant.Line1"][2] = "another"
    kept["Plant.Line2"][0] = 77
    state.values["writers"] = json.dumps(kept)
    changed = {m["DataSetWriterName"]: m for m in _of(Publisher(state=state).birth(), "ua-metadata")}
    versions = [m["Line1"]["MetaData"]["ConfigurationVersion"]["MajorVersion"] for m in (first, changed)]
    assert versions[1] > versions[0]
    assert changed["Line2"]["DataSetWriterId"] == 77
    assert changed["Line3"] | {"MessageId": 0, "Timestamp": 0} == first["Line3"] | {"MessageId": 0, "Timestamp": 0}


def test_writer_ids_are_unique(publisher: Publisher) -> None:
    ids = [found["DataSetWriterId"] for found in _of(publisher.birth(), "ua-metadata")]
    assert len(set(ids)) == len(ids)
    assert 0 not in ids


@pytest.mark.parametrize(("encoding", "bit"), [("verbose", 0), ("compact", 0x80)])
def test_the_connection_says_how_fields_are_encoded_and_where_they_are(encoding: str, bit: int) -> None:
    publisher = Publisher(encoding=encoding)
    messages = publisher.birth()
    (group,) = document(messages[0])["Connection"]["WriterGroups"]
    topics = {message.topic for message in messages}
    for writer in group["DataSetWriters"]:
        assert writer["MessageSettings"]["DataSetMessageContentMask"] == 0x86F | bit
        assert writer["DataSetFieldContentMask"] == 3
        assert {writer["TransportSettings"][name] for name in ("QueueName", "MetaDataQueueName")} <= topics


@pytest.mark.parametrize("encoding", ["verbose", "compact"])
def test_a_reader_sees_every_variable_as_the_store_has_it(encoding: str) -> None:
    publisher = Publisher(encoding=encoding)
    fill(publisher.store, status=UNCERTAIN_LAST_USABLE)
    publisher.write("Line1.LineSpeed", 1.0, status=BAD_SENSOR_FAILURE)
    key_frames = publisher.birth()
    fill(publisher.store, 1)
    for messages in (key_frames, publisher.deliver()):
        plane = observed(publisher.plant, publisher.settings, [(m.topic, m.payload) for m in messages])
        seen = {sample.path: sample for sample in plane.observations}
        assert set(seen) == {variable.path for variable in publisher.plant.variables}
    for variable in publisher.plant.variables:
        value, status, time, _ = publisher.store.read(variable.id)
        assert same_sample(variable, Observation(variable.path, value, status, time), seen[variable.path])


def test_a_reader_tells_a_difference_of_value_status_or_time(publisher: Publisher) -> None:
    variable = publisher.plant.variable("Plant.Line1.LineSpeed")
    truth = Observation(variable.path, 1.0, 0, 10)
    assert same_sample(variable, truth, truth)
    for change in ({"value": 1.5}, {"status": 0x40900000}, {"source_timestamp": 21}, {"value": None}):
        assert not same_sample(variable, truth, replace(truth, **change))


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"Messages":[{"Payload":{"Nothing":{"Value":1}}}]}'])
def test_a_message_that_makes_no_sense_is_a_value_error(publisher: Publisher, payload: bytes) -> None:
    reader = PubSubReader(publisher.plant, PubSubSettings())
    with pytest.raises(ValueError, match=r"Line1|Expecting"):
        reader.observations(f"{PUBLISHER.format('data')}/plant/Line1", payload)
    assert reader.observations("some/other/topic", payload) == []


def test_nothing_is_taken(publisher: Publisher) -> None:
    assert publisher.layout.subscriptions() == ()
    assert publisher.layout.receive("a", b"", 0) == NOTHING
    assert publisher.deliver() == []


@pytest.mark.parametrize(
    "wrong", [{"publisher_id": "a/b"}, {"prefix": ""}, {"encoding": "binary"}, {"key_frame_count": 0}]
)
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        PubSubSettings(**wrong)

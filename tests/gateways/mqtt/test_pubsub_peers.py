"""The PubSub layout over a real mosquitto, and its JSON read by node-opcua."""

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from address_space.model import BuiltinType
from gateways.mqtt import MqttSettings
from gateways.mqtt.pubsub_read import observed, same_sample
from gateways.observing import Observation
from server.quality import UNCERTAIN_LAST_USABLE
from server.store import now_ticks
from server.store.ticks import UNIX_EPOCH_TICKS
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, needs_mosquitto
from tests.gateways.mqtt.mqtt_rig import default_context, eventually, fill, running
from tests.gateways.mqtt.pubsub_rig import SCRIPT, Publisher, decode_with_node, document

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (SCRIPT.parents[3] / "node_modules" / "node-opcua-json").is_dir(),
    reason="node or node-opcua is not installed: `npm ci` in the root of the checkout",
)
DATA = "opcua/json/data/plantree/plant"


@needs_node
def test_node_opcua_reads_fields_of_the_compact_encoding() -> None:
    publisher = Publisher(encoding="compact")
    fill(publisher.store, 3, UNCERTAIN_LAST_USABLE)
    fields: dict[str, dict] = {}
    for message in publisher.deliver():
        machine = message.topic.rpartition("/")[2]
        for frame in document(message)["Messages"]:
            above = "" if machine == "Plant" else f"{machine}."
            fields |= {f"Plant.{above}{name}": field for name, field in frame["Payload"].items()}
    decoded = decode_with_node([{"kind": "field", "json": field} for field in fields.values()])
    assert len(fields) == len(publisher.plant.variables)
    for path, read in zip(fields, decoded, strict=True):
        variable = publisher.plant.variable(path)
        value, status, time, _ = publisher.store.read(variable.id)
        builtin = variable.declaration.type
        assert read["type"] == builtin
        assert read["status"] == status
        assert read["time"] == (time - UNIX_EPOCH_TICKS) // 10_000  # a Date of JavaScript has milliseconds
        if builtin is BuiltinType.DateTime:
            assert read["value"][:19] == str(np.datetime64((value - UNIX_EPOCH_TICKS) // 10, "us"))[:19]
        elif builtin in (BuiltinType.Int64, BuiltinType.UInt64):
            assert int(read["value"]) == value
        else:
            assert read["value"] == value


@needs_node
def test_node_opcua_reads_the_connection_and_the_metadata() -> None:
    publisher = Publisher()
    messages = [document(message) for message in publisher.birth()]
    connection = {"kind": "connection", "json": messages[0]["Connection"]}
    metadata = [m for m in messages if m["MessageType"] == "ua-metadata"]
    read, *described = decode_with_node([connection, *({"kind": "metadata", "json": m["MetaData"]} for m in metadata)])
    assert read["publisherId"]["value"] == "plantree"
    (group,) = read["writerGroups"]
    assert group["publishingInterval"] == 1000
    assert group["transportSettings"]["requestedDeliveryGuarantee"] == "AtLeastOnce"
    assert [writer["dataSetWriterId"] for writer in group["dataSetWriters"]] == [m["DataSetWriterId"] for m in metadata]
    line = next(writer for writer in group["dataSetWriters"] if writer["name"] == "Line1")
    assert line["transportSettings"]["queueName"] == f"{DATA}/Line1"
    for original, found in zip(metadata, described, strict=True):
        version = original["MetaData"]["ConfigurationVersion"]
        assert found["configurationVersion"]["majorVersion"] == version["MajorVersion"]
        assert [field["name"] for field in found["fields"]] == [f["Name"] for f in original["MetaData"]["Fields"]]
        for field, ours in zip(found["fields"], original["MetaData"]["Fields"], strict=True):
            assert field["builtInType"] == ours["BuiltInType"]
            assert field["valueRank"] == -1


def _settings(broker: Mosquitto) -> MqttSettings:
    given = {"url": broker.url(), "ca": broker.ca, "layouts": ["pubsub"], "commands": {"enabled": False}}
    return MqttSettings.model_validate(given)


@needs_mosquitto
async def test_what_is_observed_is_what_the_store_has(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        settings = _settings(broker)
        with broker.subscriber("opcua/#") as seen:
            async with running(context, settings):
                await eventually(lambda: seen.of(f"{DATA}/ServerDiagnostics.influx"), "the key frames")
                fill(context.store, 1)
                newest = {}

                def arrived() -> bool:
                    plane = observed(context.plant, settings, [(m.topic, m.payload) for m in list(seen.seen)])
                    newest.update({sample.path: sample for sample in plane.observations})
                    return all(
                        same_sample(
                            variable,
                            Observation(variable.path, *context.store.read(variable.id)[:3]),
                            newest.get(variable.path, Observation(variable.path, None, 0, None)),
                        )
                        for variable in context.plant.variables
                    )

                await eventually(arrived, "every variable as the store has it")


@needs_mosquitto
async def test_late_subscribers_find_metadata_and_status_and_a_clean_end_is_disabled(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        status = "opcua/json/status/plantree"
        async with running(context, _settings(broker)):
            with broker.subscriber("opcua/#") as late:
                await eventually(lambda: late.of("opcua/json/metadata/plantree/plant/Line1"), "the metadata")
                await eventually(lambda: late.of("opcua/json/connection/plantree"), "the connection")
                await eventually(lambda: late.of(status), "the status")
                assert all(message.retained for message in late.seen if "/data/" not in message.topic)
                assert json.loads(late.of(status)[0].payload)["Status"] == 2
        with broker.subscriber(status) as after:
            await eventually(lambda: after.of(status), "the status")
        assert json.loads(after.of(status)[0].payload)["Status"] == 0


@needs_mosquitto
async def test_no_change_is_lost_over_an_outage(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        speed = context.plant.variable("Plant.Line1.LineSpeed")
        topic = f"{DATA}/Line1"
        with broker.subscriber(topic, session="kept"):
            pass  # from now on the broker keeps what it misses
        async with running(context, _settings(broker)):
            broker.stop()
            await eventually(lambda: not context.status.connected, "the outage is noticed")
            for value in range(100):
                context.store.write(np.array([speed.id]), np.array([float(value)]), now_ticks())
                await asyncio.sleep(0)
            broker.start()
            with broker.subscriber(topic, session="kept") as seen:

                def values() -> list[float]:
                    frames = [frame for m in list(seen.seen) for frame in json.loads(m.payload)["Messages"]]
                    fields = [frame["Payload"]["LineSpeed"] for frame in frames if "LineSpeed" in frame["Payload"]]
                    return [field["Value"] for field in fields]

                await eventually(lambda: set(map(float, range(100))) <= set(values()), "every change", 30.0)

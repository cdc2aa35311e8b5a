"""The edge node over a real mosquitto, decoded by a Sparkplug library that is not ours."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from address_space.model import BuiltinType
from gateways.mqtt import MqttSettings
from gateways.mqtt.sparkplug_metrics import BDSEQ, REBIRTH, alias
from gateways.mqtt.sparkplug_read import SparkplugReader, observed, rebirth_request, same_sample
from gateways.mqtt.sparkplug_wire import NAME, PAYLOAD_METRIC, delimited, milliseconds, value_field
from gateways.observing import Observation
from server.store import now_ticks
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, Seen, Subscriber, needs_mosquitto
from tests.gateways.mqtt.mqtt_rig import default_context, eventually, fill, running
from tests.gateways.mqtt.sparkplug_peer import decode_all, needs_sparkplug_payload, number

pytestmark = [needs_mosquitto, needs_sparkplug_payload]

STATE = "spBv1.0/STATE/scada"


def _topic(kind: str, device: str = "") -> str:
    return f"spBv1.0/Plantree/{kind}/Plantree{device and '/'}{device}"


def _settings(broker: Mosquitto, **sparkplug: object) -> MqttSettings:
    given = {"url": broker.url(), "ca": broker.ca, "layouts": ["sparkplug"], "sparkplug": sparkplug}
    return MqttSettings.model_validate({**given, "commands": {"enabled": False}})


def _send(broker: Mosquitto, topic: str, payload: bytes, *more: str) -> None:
    """Publish bytes as a host application."""
    command = ["mosquitto_pub", *broker.arguments("operator"), "-t", topic, "-s", *more]
    subprocess.run(command, input=payload, check=True, timeout=20)


def _births(seen: Subscriber) -> list[Seen]:
    return [message for message in list(seen.seen) if "BIRTH/" in message.topic]


def _bdseqs(messages: list[Seen]) -> list[int]:
    found = []
    for decoded in decode_all([message.payload for message in messages]):
        metric = next(metric for metric in decoded["payload"]["metrics"] if metric["name"] == BDSEQ)
        found.append(number(metric["value"]))
    return found


async def test_births_are_read_by_another_library(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        with broker.subscriber("spBv1.0/#") as seen:
            async with running(context, _settings(broker)):
                await eventually(lambda: seen.of(_topic("DBIRTH", "ServerDiagnostics.influx")), "the last birth")
                births = _births(seen)
        decoded = decode_all([birth.payload for birth in births])
        assert births[0].topic == _topic("NBIRTH")
        assert [number(each["payload"]["seq"]) for each in decoded] == list(range(len(births)))
        shown = {}
        for birth, each in zip(births, decoded, strict=True):
            for metric, raw in zip(each["payload"]["metrics"], each["raw"]["metrics"], strict=True):
                shown[".".join(["Plant", *birth.topic.split("/")[4:], metric["name"]])] = metric, raw
        for variable in context.plant.variables:
            metric, raw = shown[variable.path]
            assert number(metric["alias"]) == alias(variable.id)
            assert metric["properties"]["Quality"]["value"] == 192
            builtin, value = variable.declaration.type, context.store.value(variable.id)
            if builtin is BuiltinType.UInt32:  # the package looks in long_value, the specification says uint32
                assert raw["intValue"] == value
            elif builtin in (BuiltinType.UInt64, BuiltinType.Int64, BuiltinType.DateTime):
                assert number(metric["value"]) == (milliseconds(value) if builtin is BuiltinType.DateTime else value)
            else:
                assert metric["value"] == value
        assert shown[f"Plant.{REBIRTH}"][0]["value"] is False


async def test_changes_arrive_by_alias_and_none_is_lost(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        speed = context.plant.variable("Plant.Line1.LineSpeed")
        with broker.subscriber("spBv1.0/#") as seen:
            async with running(context, _settings(broker)):
                for value in range(500):
                    context.store.write(np.array([speed.id]), np.array([float(value)]), now_ticks())
                    if value % 50 == 0:
                        await asyncio.sleep(0)  # lets the gateway have its turn
                await eventually(lambda: 499.0 in _values(seen, alias(speed.id)), "the last change")
            raws = [each["raw"] for each in decode_all([m.payload for m in seen.seen if "NDEATH" not in m.topic])]
        assert set(map(float, range(500))) <= set(_values(seen, alias(speed.id)))
        numbers = [int(raw["seq"]) for raw in raws]
        assert numbers == [number % 256 for number in range(len(numbers))]


def _values(seen: Subscriber, own_alias: int) -> list[float]:
    payloads = [message.payload for message in list(seen.seen) if "/DDATA/" in message.topic]
    raws = [each["raw"] for each in decode_all(payloads)] if payloads else []
    metrics = [metric for raw in raws for metric in raw["metrics"] if int(metric["alias"]) == own_alias]
    return [metric["doubleValue"] for metric in metrics]


async def test_a_rebirth_by_ncmd_and_a_set_point_by_dcmd(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        acted: list[object] = []
        context.commands.put_many = _recorder(acted)  # type: ignore[method-assign]
        settings = _settings(broker)
        with broker.subscriber("spBv1.0/#") as seen:
            async with running(context, settings):
                await eventually(lambda: seen.of(_topic("NBIRTH")), "the birth")
                request = rebirth_request(settings.sparkplug, now_ticks())
                _send(broker, request.topic, request.payload)
                fill(context.store, 1)  # data at the same time
                last = _topic("DBIRTH", "ServerDiagnostics.influx")
                await eventually(lambda: len(seen.of(last)) == 2, "the second births")
                setpoint = context.plant.variable("Plant.Generator1.LoadSetpoint")
                body = delimited(NAME, b"LoadSetpoint") + value_field(setpoint.declaration.type, 42.0)
                _send(broker, _topic("DCMD", "Generator1"), delimited(PAYLOAD_METRIC, body))
                await eventually(lambda: acted, "the set-point")
        assert acted == [("Plant.Generator1.LoadSetpoint", 42.0)]
        first, second = seen.of(_topic("NBIRTH"))
        topics = [message.topic for message in seen.seen]
        again = topics[seen.seen.index(second) :]
        assert all("BIRTH/" in topic for topic in again[: again.index(last)])  # no data in between
        assert _bdseqs([first]) == _bdseqs([second]) == [0]


def _recorder(acted: list[object]):
    async def put_many(puts, principal, origin):
        acted.extend((put.variable.path, put.value) for put in puts)
        return [None] * len(puts)

    return put_many


async def test_a_goodbye_is_an_ndeath_and_the_session_is_clean(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker", extra="log_type notice") as broker, default_context(tmp_path) as context:
        with broker.subscriber("spBv1.0/#") as seen:
            async with running(context, _settings(broker)):
                await eventually(lambda: seen.of(_topic("NBIRTH")), "the birth")
            await eventually(lambda: seen.of(_topic("NDEATH")), "the death")
        assert len(seen.of(_topic("NDEATH"))) == 1  # not the Will besides
        connected = re.search(r"as plantree-sparkplug \((p\d), (c\d), k\d+", broker.log_text())
        assert connected is not None
        assert connected.groups() == ("p2", "c1")  # mosquitto's p2 is MQTT 3.1.1


async def test_the_will_has_the_bdseq_of_the_birth_and_a_restart_counts_on(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        settings = _settings(broker)
        text = json.dumps({**settings.model_dump(mode="json"), "url": broker.url()})
        command = [sys.executable, "-m", "tests.gateways.mqtt.sparkplug_child", str(tmp_path), text]
        with broker.subscriber("spBv1.0/#") as seen:
            for life in (0, 1):
                child = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE)
                try:
                    await eventually(lambda life=life: len(seen.of(_topic("NBIRTH"))) > life, "the birth", 30.0)
                finally:
                    child.kill()
                    await child.wait()
                await eventually(lambda life=life: len(seen.of(_topic("NDEATH"))) > life, "the Will")
        assert _bdseqs(seen.of(_topic("NBIRTH"))) == [0, 1]
        assert _bdseqs(seen.of(_topic("NDEATH"))) == [0, 1]


async def test_what_waited_through_an_outage_is_historical(tmp_path: Path) -> None:
    keeping = Mosquitto(tmp_path / "broker", extra="queue_qos0_messages true")
    with keeping as broker, default_context(tmp_path) as context:
        speed = context.plant.variable("Plant.Line1.LineSpeed")
        with broker.subscriber("spBv1.0/#", session="kept"):
            pass  # from now on the broker keeps what it misses
        async with running(context, _settings(broker)):
            broker.stop()
            await eventually(lambda: not context.status.connected, "the outage is noticed")
            for value in (1000.0, 1001.0, 1002.0):
                context.store.write(np.array([speed.id]), np.array([value]), now_ticks())
                await asyncio.sleep(0)
            broker.start()
            with broker.subscriber("spBv1.0/#", session="kept") as seen:
                await eventually(lambda: {1000.0, 1001.0} <= set(_values(seen, alias(speed.id))), "the backlog", 30.0)
        payloads = [message.payload for message in seen.seen if message.topic == _topic("DDATA", "Line1")]
        metrics = [metric for each in decode_all(payloads) for metric in each["raw"]["metrics"]]
        late = {m["doubleValue"]: m.get("isHistorical", False) for m in metrics if int(m["alias"]) == alias(speed.id)}
        assert late[1000.0] is late[1001.0] is True


async def test_a_primary_host_that_goes_offline_ends_the_session(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        settings = _settings(broker, primary_host="scada")
        with broker.subscriber("spBv1.0/#") as seen:
            async with running(context, settings):
                assert not _births(seen)
                _send(broker, STATE, b'{"online":true,"timestamp":100}', "-r", "-q", "1")
                await eventually(lambda: seen.of(_topic("DBIRTH", "Line1")), "the birth")
                _send(broker, STATE, b'{"online":false,"timestamp":50}', "-q", "1")  # an echo
                _send(broker, STATE, b'{"online":false,"timestamp":200}', "-r", "-q", "1")
                await eventually(lambda: seen.of(_topic("NDEATH")), "the death")
                births = len(_births(seen))
                _send(broker, STATE, b'{"online":true,"timestamp":300}', "-r", "-q", "1")
                await eventually(lambda: len(seen.of(_topic("NBIRTH"))) == 2, "the second birth", 30.0)
        assert births < len(_births(seen))
        assert _bdseqs(seen.of(_topic("NBIRTH"))) == [0, 1]
        assert _bdseqs(seen.of(_topic("NDEATH")))[0] == 0
        kinds = [message.topic for message in seen.seen if "STATE" not in message.topic]
        death = kinds.index(_topic("NDEATH"))
        assert kinds[death + 1] == _topic("NBIRTH")  # nothing between


async def test_what_is_observed_is_what_the_store_has(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        settings = _settings(broker)
        with broker.subscriber("spBv1.0/#") as seen:
            async with running(context, settings):
                await eventually(lambda: seen.of(_topic("DBIRTH", "ServerDiagnostics.influx")), "the last birth")
                fill(context.store, 1)
                last = context.plant.variables[-1].path
                reader = SparkplugReader(context.plant, settings.sparkplug)
                path_of = lambda message: [s.path for s in reader.observations(message.topic, message.payload)]  # noqa: E731
                await eventually(lambda: sum(last in path_of(message) for message in seen.seen) > 2, "the changes")
        plane = observed(context.plant, settings, [(message.topic, message.payload) for message in seen.seen])
        newest = {sample.path: sample for sample in plane.observations}
        for variable in context.plant.variables:
            value, status, time, _ = context.store.read(variable.id)
            assert same_sample(variable, Observation(variable.path, value, status, time), newest[variable.path])

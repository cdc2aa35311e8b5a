"""Commands and set-points from mosquitto_pub, in MQTT 5 and 3.1.1, refused ones included."""

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from gateways.mqtt import MqttSettings
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, Subscriber, needs_mosquitto
from tests.gateways.mqtt.mqtt_rig import eventually, make_context, running
from tests.server.core_rig import Core

pytestmark = needs_mosquitto
RIGHTS = ["cmd/Plant/Press1/#=olga", "set/Plant/Press1/#=olga", "cmd/Plant/Press2/#=nobody"]


class Rig:
    def __init__(self, broker: Mosquitto, core: Core, answers: Subscriber) -> None:
        self.broker, self.core, self.answers = broker, core, answers

    async def ask(self, topic: str, payload: str, correlation: str = "c1", **more: Any) -> dict[str, Any]:
        """Ask as MQTT 5 does and return the answer."""
        before = len(self.answers.seen)
        properties = ["-D", "publish", "response-topic", "answers/me", "-D", "publish", "correlation-data", correlation]
        await self.send(topic, payload, *properties, **more)
        await eventually(lambda: len(self.answers.seen) > before, "an answer")
        return json.loads(self.answers.seen[-1].payload)

    async def send(self, topic: str, payload: str, *more: str, **given: Any) -> None:
        done: subprocess.CompletedProcess[str] = await asyncio.to_thread(
            self.broker.publish, topic, payload, *more, **given
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    core = Core(tmp_path)
    with Mosquitto(tmp_path / "broker") as broker, broker.subscriber("answers/#") as answers:
        settings = MqttSettings.model_validate(
            {"url": broker.url(), "ca": broker.ca, "layouts": ["uns"], "commands": {"users": RIGHTS}}
        )
        async with running(make_context(tmp_path, core), settings):
            yield Rig(broker, core, answers)
    core.close()


GOOD = {"status": "Good", "code": 0, "message": "", "outputs": {}}


async def test_a_command_is_executed_as_the_user_of_its_topic_and_answered(rig: Rig) -> None:
    assert await rig.ask("cmd/Plant/Press1/Start", "") == GOOD
    assert rig.core.source.told == [("execute", "Plant.Press1", "Start")]
    assert rig.core.audit()[-1][:3] == ("olga", "mqtt", "Plant.Press1.Start")


async def test_the_correlation_data_comes_back(rig: Rig) -> None:
    from gateways.mqtt.connection import Connection, Incoming, Options
    from gateways.mqtt.endpoint import parse
    from gateways.mqtt.tls import client_context

    seen: list[Incoming] = []
    tls = client_context(rig.broker.ca)
    peer = Connection(Options(parse(rig.broker.url("reader")), "peer", tls=tls), None, seen.append)
    await peer.open()
    await peer.subscribe([("answers/me", 1)])
    await rig.ask("cmd/Plant/Press1/Start", "", "\u00fc 42")
    await eventually(lambda: seen, "the answer")
    assert seen[0].correlation == "ü 42".encode()
    await peer.close()


async def test_arguments_go_by_name_and_are_checked_by_schema(rig: Rig) -> None:
    assert (await rig.ask("cmd/Plant/Press1/Aim", '{"arguments": {"Speed": 40}}'))["status"] == "Good"
    assert rig.core.source.told == [("put", "Plant.Press1.Target", 40.0)]
    for number, (payload, status, words) in enumerate(
        [
            ('{"arguments": {"Speed": 51}}', "BadInvalidArgument", "51 is greater than the maximum of 50"),
            ('{"arguments": {"Speed": "fast"}}', "BadInvalidArgument", "'fast' is not of type 'number'"),
            ('{"arguments": {}}', "BadArgumentsMissing", "'Speed' is a required property"),
            ("{}", "BadArgumentsMissing", "'arguments' is a required property"),
            ('{"arguments": {"Speed": 1, "Way": 2}}', "BadInvalidArgument", "'Way' was unexpected"),
            ('{"arguments": {"Speed": NaN}}', "BadDecodingError", "NaN is no JSON"),
            ("Speed=1", "BadDecodingError", "not JSON"),
            ("[40]", "BadDecodingError", "not a JSON object"),
        ]
    ):
        answer = await rig.ask("cmd/Plant/Press1/Aim", payload, f"bad {number}")
        assert answer["status"] == status
        assert answer["code"] & 0x80000000
        assert words in answer["message"]
    assert rig.core.source.told == [("put", "Plant.Press1.Target", 40.0)]


async def test_without_a_user_a_topic_may_stop_and_nothing_else(rig: Rig) -> None:
    assert (await rig.ask("cmd/Plant/Press3/Start", "", "1"))["status"] == "BadUserAccessDenied"
    answer = await rig.ask("cmd/Plant/Press3/EmergencyStop", '{"arguments": {"Reason": "smoke"}}', "2")
    assert answer == GOOD
    assert rig.core.latched("Press3")
    assert rig.core.value("Press3.EmergencyStopReason") == "smoke"
    assert rig.core.value("Press3.EmergencyStopBy") == "mqtt"
    assert rig.core.other.stopped == {"Plant.Press3"}


async def test_an_empty_message_stops_the_whole_plant(rig: Rig) -> None:
    await rig.send("cmd/Plant/EmergencyStop", "")
    await eventually(lambda: rig.core.latched(""), "the latch of the plant")
    assert rig.core.source.stopped == {"Plant.Press1", "Plant.Press2"}
    answer = await rig.ask("cmd/Plant/Press1/Start", "")
    assert answer["status"] == "BadInvalidState"


async def test_a_stop_does_not_wait_for_a_command_that_is_not_confirmed(rig: Rig) -> None:
    rig.core.source.deaf = True
    rig.core.source.before = None
    starting = asyncio.create_task(rig.ask("cmd/Plant/Press1/Start", "", "slow"))
    await eventually(lambda: rig.core.source.told, "the start is under way")
    await rig.send("cmd/Plant/Press2/EmergencyStop", "")
    await eventually(lambda: rig.core.latched("Press2"), "the stop")
    assert (await starting)["status"] in ("BadTimeout", "Good")


async def test_a_user_who_is_gone_has_no_rights_but_to_stop(rig: Rig) -> None:
    answer = await rig.ask("cmd/Plant/Press2/Start", "", "1")
    assert answer["status"] == "BadUserAccessDenied"
    assert "no such user" in answer["message"]
    assert await rig.ask("cmd/Plant/Press2/EmergencyStop", "", "2") == GOOD
    assert rig.core.latched("Press2")


async def test_what_does_not_exist(rig: Rig) -> None:
    assert (await rig.ask("cmd/Plant/Press9/Start", "", "1"))["status"] == "BadMethodInvalid"
    assert (await rig.ask("set/Plant/Press1/Nothing", '{"value": 1}', "2"))["status"] == "BadNotFound"
    assert (await rig.ask("set/Plant/Press1/Speed", '{"value": 1}', "3"))["status"] == "BadNotWritable"


async def test_the_same_request_is_done_once_and_answered_twice(rig: Rig) -> None:
    assert await rig.ask("cmd/Plant/Press1/Start", "", "same") == GOOD
    assert await rig.ask("cmd/Plant/Press1/Start", "", "same") == GOOD
    assert len(rig.core.source.told) == 1
    assert await rig.ask("cmd/Plant/Press1/Start", "", "another") == GOOD
    assert len(rig.core.source.told) == 2


async def test_mqtt_3_1_1_names_its_reply_topic_in_the_payload(rig: Rig) -> None:
    payload = json.dumps({"arguments": {"Speed": 30}, "reply_to": "answers/old", "id": 17})
    for _ in range(2):
        before = len(rig.answers.seen)
        await rig.send("cmd/Plant/Press1/Aim", payload, version="3.1.1")
        await eventually(lambda before=before: len(rig.answers.seen) > before, "an answer")
        assert json.loads(rig.answers.of("answers/old")[-1].payload) == {**GOOD, "id": 17}
    assert rig.core.source.told == [("put", "Plant.Press1.Target", 30.0)]


async def test_setpoints(rig: Rig) -> None:
    assert await rig.ask("set/Plant/Press1/Target", '{"value": 55.5}', "1") == GOOD
    assert await rig.ask("set/Plant/Press1/Mode", '{"value": "Running"}', "2") == GOOD
    assert await rig.ask("set/Plant/Press1/Due", '{"value": "2030-01-02T03:04:05+00:00"}', "3") == GOOD
    assert (rig.core.value("Press1.Target"), rig.core.value("Press1.Mode")) == (55.5, 1)
    assert rig.core.audit()[-1][:3] == ("olga", "mqtt", "Plant.Press1.Due")
    for number, (name, payload, status) in enumerate(
        [
            ("Target", '{"value": 101}', "BadOutOfRange"),
            ("Target", '{"value": "much"}', "BadTypeMismatch"),
            ("Mode", '{"value": "Dancing"}', "BadOutOfRange"),
            ("Due", '{"value": "soon"}', "BadTypeMismatch"),
            ("Batch", '{"value": 3}', "BadUserAccessDenied"),
            ("Target", '{"wert": 1}', "BadInvalidArgument"),
        ]
    ):
        assert (await rig.ask(f"set/Plant/Press1/{name}", payload, f"bad {number}"))["status"] == status, payload
    assert rig.core.value("Press1.Target") == 55.5


async def test_a_retained_command_is_not_executed(tmp_path: Path) -> None:
    core = Core(tmp_path)
    with Mosquitto(tmp_path / "broker") as broker:
        assert broker.publish("cmd/Plant/Press1/EmergencyStop", "", "-r").returncode == 0  # an empty one is not kept
        assert broker.publish("cmd/Plant/Press1/EmergencyStop", "{}", "-r").returncode == 0
        settings = MqttSettings.model_validate({"url": broker.url(), "ca": broker.ca, "layouts": ["uns"]})
        async with running(make_context(tmp_path, core), settings):
            assert broker.publish("cmd/Plant/Press2/EmergencyStop", "{}").returncode == 0
            await eventually(lambda: core.latched("Press2"), "the one that is not retained")
            assert not core.latched("Press1")
    core.close()


async def test_an_answer_is_never_a_command_nor_a_sample(rig: Rig) -> None:
    for topic in ("cmd/Plant/Press1/EmergencyStop", "plantree/site1/production/Press1/Speed", "status/PLC1", "$SYS/x"):
        await rig.send("cmd/Plant/Press1/Aim", json.dumps({"arguments": {"Speed": 5}, "reply_to": topic, "id": topic}))
    await eventually(lambda: len(rig.core.source.told) == 4, "all are executed")
    assert await rig.ask("cmd/Plant/Press1/Start", "") == GOOD
    assert not rig.core.latched("Press1")
    assert len(rig.answers.seen) == 1

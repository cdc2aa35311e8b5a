"""Conditions over MQTT: transitions on `alarm/#`, and what operators answer on `cmd/#`."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from address_space import load_plant
from gateways.mqtt import MqttSettings
from server.alarms import Alarms, Snapshot
from server.evidence import Detection, Evidence, EvidenceRegister
from server.store import Store, now_ticks
from sources.vision.evidence import Archive, EvidenceStore
from sources.vision.settings import EvidenceSettings
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, Subscriber, needs_mosquitto
from tests.gateways.mqtt.mqtt_rig import context_of, eventually, running

pytestmark = needs_mosquitto
PLANT = """\
plant: {name: Plant, type: PlantType}
types:
  PlantType: {description: The plant}
  PressType:
    description: A press
    variables:
      Temperature: {type: Double, unit: °C, range: [0, 200], description: Temperature}
      Fire: {type: Boolean, description: Fire is seen}
    alarms:
      Hot: {input: Temperature, high: 80, severity: 600, confirm: true, message: The press is hot}
      Seen: {kind: vision, input: Fire, severity: 950, message: Fire is seen}
sources:
  fake: {kind: physics}
objects:
  Press1: {type: PressType, source: fake}
"""
TOPIC = "alarm/Plant/Press1/Hot"
USERS = ["cmd/Plant/Press1/Hot/AddComment=otto", "cmd/Plant/Press1/#=olga"]


class Press:
    """A plant with an engine and a gateway; the gateway may be run again."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        file = folder / "press.yaml"
        file.write_text(PLANT, encoding="utf-8")
        self.plant = load_plant(file)
        self.store = Store(self.plant)
        self.evidence = EvidenceRegister()
        self.evidence.base_url = "https://plant.example"
        self.alarms = Alarms(self.plant, self.store, folder / "alarms.sqlite", evidence=self.evidence)
        (self.hot,) = (it for it in self.plant.conditions if it.path == "Plant.Press1.Hot")
        self.context = replace(context_of(folder, self.plant, self.store, None), alarms=self.alarms)
        self.context.data_dir.mkdir(exist_ok=True)
        self.settings = MqttSettings.model_validate(
            {"url": broker.url(), "ca": broker.ca, "layouts": ["uns"], "commands": {"users": USERS}}
        )
        self.told: list[Snapshot] = []
        self.alarms.listeners.append(lambda found: self.told.extend(it for it in found if it.condition is self.hot))

    async def heat(self, *values: float) -> None:
        id_ = self.plant.variable("Plant.Press1.Temperature").id
        for value in values:
            self.store.write(np.array([id_]), np.array([value]), now_ticks())
            wanted = value > 80
            await eventually(lambda wanted=wanted: self.alarms.state(self.hot).active is wanted, "it is evaluated")


@contextlib.asynccontextmanager
async def press(folder: Path, broker: Mosquitto) -> AsyncGenerator[Press]:
    found = Press(folder, broker)
    engine = asyncio.create_task(found.alarms.run())
    try:
        yield found
    finally:
        engine.cancel()
        await asyncio.wait([engine])
        found.alarms.close()


def documents(seen: Subscriber) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in seen.of(TOPIC)]


async def test_every_transition_is_published_and_the_state_is_retained(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, broker.subscriber("alarm/#") as seen:
        async with press(tmp_path, broker) as it, running(it.context, it.settings):
            await it.heat(20, 90, 20, 95)
            await eventually(lambda: len(documents(seen)) == 4, "three transitions and a branch")
        assert [(one["event"], one["active"], bool(one["branch"])) for one in documents(seen)] == [
            ("active", True, False), ("inactive", False, False), ("branch", False, True), ("active", True, False),
        ]  # fmt: skip
        last = documents(seen)[-1]
        assert (last["severity"], last["source"], last["message"]) == (600, "Plant.Press1", "The press is hot")
        assert last["event_id"] == it.told[-1].event_id.hex()
        with broker.subscriber("alarm/#") as later:
            await eventually(lambda: documents(later), "the retained state")
            assert documents(later) == [last]


async def test_what_a_camera_saw_is_told_with_its_picture(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, broker.subscriber("alarm/#") as seen:
        async with press(tmp_path, broker) as it, running(it.context, it.settings):
            fire, taken = it.plant.variable("Plant.Press1.Fire"), now_ticks()
            saw = Detection("fire", 0.875, (0.125, 0.25, 0.5, 0.75), "fire")
            nothing = "", "", "", ""
            evidence = Evidence(
                "20260101T000000000Z-x", "Plant.Press1", "Fire", saw, taken, "fire v1", "ab" * 32, 41.5, *nothing
            )
            evidence = EvidenceStore(tmp_path / "vision", EvidenceSettings(min_free=0)).store(evidence, b"boxes", b"")
            it.evidence.add(Archive(tmp_path / "vision"))
            it.evidence.offer(fire, evidence)
            it.store.write(np.array([fire.id]), np.array([True]), taken)
            topic = "alarm/Plant/Press1/Seen"
            await eventually(lambda: seen.of(topic), "the alarm")
            document = json.loads(seen.of(topic)[-1].payload)
            await it.heat(20, 90)
            await eventually(lambda: documents(seen), "another alarm")
            asked = json.dumps({"arguments": {"EventId": document["event_id"], "Comment": "a red jacket"}})
            await asyncio.to_thread(broker.publish, "cmd/Plant/Press1/Seen/ReportFalseAlarm", asked)
            await eventually(lambda: json.loads(seen.of(topic)[-1].payload)["comment"], "it was none")
            assert (tmp_path / "vision" / "false_alarms" / f"{evidence.id}.jpg").read_bytes() == b"boxes"
    assert (document["event"], document["active"]) == ("active", True)
    assert document["frame_time"] == document["timestamp"]
    told = {
        "object_class": "fire", "confidence": 0.875, "bounding_box": [0.125, 0.25, 0.5, 0.75], "model": "fire v1",
        "model_sha256": "ab" * 32, "snapshot": "https://plant.example/snapshots/20260101T000000000Z-x.jpg",
        "snapshot_sha256": hashlib.sha256(b"boxes").hexdigest(),
    }  # fmt: skip
    assert {name: document[name] for name in told} == told
    assert not told.keys() & documents(seen)[-1].keys(), "only cameras have pictures"


async def test_what_was_told_without_a_broker_comes_later(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    with broker:
        async with press(tmp_path, broker) as it:
            async with running(it.context, it.settings):
                await it.heat(20, 90)
                await eventually(lambda: it.context.status.connected, "it is connected")
            before = len(it.told)
            await it.heat(20, 90)
            assert len(it.told) > before
        async with press(tmp_path, broker) as again:
            with broker.subscriber("alarm/#") as seen:
                async with running(again.context, again.settings):
                    await again.heat(20)
                    wanted = {one.event_id.hex() for one in [*it.told[before:], *again.told]}
                    await eventually(lambda: {one["event_id"] for one in documents(seen)} >= wanted, "all are there")


async def test_an_operator_acknowledges_confirms_and_shelves(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, broker.subscriber("answers/#") as answers:
        async with press(tmp_path, broker) as it, running(it.context, it.settings):

            async def ask(method: str, **arguments: Any) -> str:
                before = len(answers.seen)
                payload = json.dumps({"arguments": arguments, "reply_to": "answers/me", "id": f"{method} {before}"})
                topic = f"cmd/Plant/Press1/Hot/{method}"
                done = await asyncio.to_thread(broker.publish, topic, payload)
                assert done.returncode == 0, done.stderr
                await eventually(lambda: len(answers.seen) > before, "an answer")
                return str(json.loads(answers.seen[-1].payload)["status"])

            await it.heat(20, 90)
            event = it.told[-1].event_id.hex()
            assert await ask("Acknowledge") == "BadArgumentsMissing"
            assert await ask("Acknowledge", EventId="z" * 32) == "BadInvalidArgument"
            assert await ask("Acknowledge", EventId="0" * 32) == "BadEventIdUnknown"
            assert await ask("AddComment", EventId=event, Comment="I may not") == "BadUserAccessDenied"
            assert await ask("Acknowledge", EventId=event, Comment="seen") == "Good"
            state = it.alarms.state(it.hot)
            assert (state.acked, state.confirmed, state.comment, state.client_user) == (True, False, "seen", "olga")
            assert await ask("Confirm", EventId=state.event_id.hex()) == "Good"
            assert it.alarms.state(it.hot).confirmed
            assert await ask("TimedShelve", ShelvingTime=60_000) == "Good"
            assert it.alarms.state(it.hot).shelving == 1
            assert await ask("Unshelve") == "Good"
            assert await ask("OneShotShelve", Comment="until it is over") == "Good"
            assert it.alarms.state(it.hot).shelving == 2
            assert await ask("Explode") == "BadMethodInvalid"
            assert await ask("ReportFalseAlarm", EventId=event) == "BadMethodInvalid", "it is no camera's"

"""What a layout may ask of its connection: pause, leave, publish, act; and all layouts at once."""

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateways.delivery import Lanes
from gateways.mqtt import MqttSettings
from gateways.mqtt.connection import Options
from gateways.mqtt.endpoint import parse
from gateways.mqtt.layout import NOTHING, Action, Message
from gateways.mqtt.layouts import CLASSES
from gateways.mqtt.session import Session
from gateways.mqtt.tls import client_context
from gateways.settings import OutboxSettings
from server.store import now_ticks
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, needs_mosquitto
from tests.gateways.mqtt.mqtt_rig import default_context, eventually, fill, running

pytestmark = needs_mosquitto


class Obedient:
    """A layout that does what it is told by messages on `told`."""

    name = "obedient"
    protocols = ("5",)

    def __init__(self) -> None:
        self.paused, self.leaving = True, False
        self.happened: list[Any] = []

    def will(self) -> Message | None:
        self.happened.append("will")
        return Message("end", b"killed")

    def subscriptions(self) -> list[tuple[str, int]]:
        return [("told", 1)]

    def birth(self, now: int) -> list[Message]:
        self.leaving = False
        return [Message("born", b"")]

    def death(self, now: int) -> list[Message]:
        return [Message("end", b"goodbye")]

    def tick(self, now: int) -> list[Message]:
        return []

    def data(self, batch: Any, *, historical: bool) -> list[Message]:
        self.happened.append(("data", len(batch), historical))
        return [Message("data", b"%d" % len(batch), rows=len(batch))]

    def receive(self, topic: str, payload: bytes, now: int) -> Action:
        if payload == b"go":
            self.paused = False
            return Action(rebirth=True)
        if payload == b"leave":
            self.leaving = True
            return Action(publish=(Message("leaving", b""),))
        if payload == b"act":
            return Action(commands=(("Plant.Line1.Start", ()),))
        if payload == b"nonsense":
            raise ValueError("that makes no sense")
        return NOTHING


async def test_pause_leave_and_act(tmp_path: Path) -> None:
    with (
        Mosquitto(
            tmp_path / "broker", acl="user plantree\ntopic readwrite #\nuser operator\ntopic readwrite #\n"
        ) as broker,
        default_context(tmp_path) as context,
        broker.subscriber("born", "end", "data", "leaving", user="operator") as seen,
    ):
        layout, acted = Obedient(), []

        async def act(topic: str, action: Action) -> None:
            acted.append((topic, action.commands))

        options = Options(parse(broker.url()), "obedient", "5", client_context(broker.ca))
        lanes = Lanes(context, OutboxSettings())
        session = Session(layout, lambda: options, context.status, act, lanes)
        task = asyncio.create_task(session.run())
        await eventually(lambda: seen.of("born"), "the first birth")
        await eventually(lambda: context.status.queue_depth >= len(context.store), "samples wait")
        broker.publish("told", "nonsense")
        broker.publish("told", "act")
        await eventually(lambda: acted == [("told", (("Plant.Line1.Start", ()),))], "the command")
        assert not seen.of("data")
        broker.publish("told", "go")
        await eventually(lambda: context.status.queue_depth == 0, "delivery")
        assert len(seen.of("born")) == 2
        assert all(historical for word, _, historical in layout.happened[1:])
        broker.publish("told", "leave")
        await eventually(lambda: layout.happened.count("will") == 2, "another connection")
        await eventually(lambda: len(seen.of("born")) == 3, "the third birth")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await eventually(lambda: len(seen.of("end")) == 2, "the goodbyes")
        assert [message.payload for message in seen.of("end")] == [b"goodbye", b"goodbye"]
        assert len(seen.of("leaving")) == 1


async def test_what_the_broker_refuses_is_dropped_and_told(tmp_path: Path) -> None:
    acl = "user plantree\ntopic deny plantree/site1/production/Environment/#\ntopic readwrite #\n"
    with Mosquitto(tmp_path / "broker", acl=acl) as broker, default_context(tmp_path) as context:
        settings = MqttSettings.model_validate({"url": broker.url(), "ca": broker.ca, "layouts": ["uns"]})
        async with running(context, settings):
            count, refused = len(context.store), len(context.plant.machine("Plant.Environment").variables)
            await eventually(lambda: context.status.dropped + context.status.delivered >= count, "all are settled")
            assert (context.status.delivered, context.status.dropped) == (count - refused, refused)
            assert "Not authorized" in context.status.last_error


async def test_a_broker_that_hangs_up_on_refusals_is_told_with_the_refusal(tmp_path: Path) -> None:
    acl = "user plantree\ntopic readwrite plantree/site1/production/_state\ntopic read cmd/#\ntopic read set/#\n"
    with Mosquitto(tmp_path / "broker", acl=acl, queued=0) as broker, default_context(tmp_path) as context:
        settings = MqttSettings.model_validate({"url": broker.url(), "ca": broker.ca, "layouts": ["uns"]})
        async with running(context, settings, connected=False):
            await eventually(
                lambda: "after the broker had refused plantree/" in context.status.last_error, "the reason"
            )
            assert context.status.delivered == 0


@pytest.mark.skipif(any(find_spec(module) is None for module, _ in CLASSES.values()), reason="a layout is missing")
async def test_all_layouts_at_once(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "broker") as broker,
        default_context(tmp_path) as context,
        broker.subscriber("#", user="plantree") as seen,
    ):
        given = {"url": broker.url(), "ca": broker.ca, "layouts": list(CLASSES)}
        async with running(context, MqttSettings.model_validate(given)):
            fill(context.store, 1)
            context.store.write(np.array([0]), np.array([1]), now_ticks())
            wanted = 2 * len(context.store) * len(CLASSES)
            await eventually(lambda: context.status.delivered >= wanted, "four times every sample")
            assert context.status.dropped == 0
            firsts = {message.topic.split("/")[0] for message in list(seen.seen)}
            assert {"factory", "status", "plantree", "opcua", "spBv1.0"} <= firsts

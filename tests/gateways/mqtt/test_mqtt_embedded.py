"""The embedded broker with mosquitto's clients: TLS, Plantree's users, who may do what."""

import asyncio
import json
import signal
import socket
from pathlib import Path

import pytest

from gateways.mqtt import MqttSettings
from server.errors import StartError
from server.ports import GatewayContext
from tests.gateways.mqtt import mosquitto_rig
from tests.gateways.mqtt.mosquitto_rig import Subscriber, needs_mosquitto
from tests.gateways.mqtt.mqtt_rig import default_context, eventually, make_context, running
from tests.process_rig import free_port
from tests.server.core_rig import Core

pytestmark = needs_mosquitto


def settings(port: int, *layouts: str) -> MqttSettings:
    return MqttSettings.model_validate(
        {"layouts": list(layouts), "embedded": {"port": port}, "factory": {"heartbeat": 1}}
    )


def arguments(context: GatewayContext, port: int, user: str = "otto", password: str | None = None) -> list[str]:
    known = password or f"{user}'s password"
    return ["-h", "127.0.0.1", "-p", str(port), "--cafile", str(context.certificate_file), "-u", user, "-P", known]


async def test_users_of_plantree_see_every_variable(tmp_path: Path) -> None:
    port = free_port()
    with default_context(tmp_path) as context:
        async with running(context, settings(port, "factory", "uns")):  # noqa: SIM117
            async with Subscriber(arguments(context, port), ["#"]) as seen:
                path = "plantree/site1/production"
                wanted = {f"{path}/{v.path.removeprefix('Plant.').replace('.', '/')}" for v in context.plant.variables}
                await eventually(lambda: wanted <= {m.topic for m in list(seen.seen)}, "every variable, retained")
                await eventually(lambda: seen.of("status/PLC1"), "the states")
                assert json.loads(seen.of("status/PLC1")[0].payload)["state"] == "online"
                await eventually(lambda: seen.of("factory/line3"), "an object", 20)


async def test_who_is_not_let_in(tmp_path: Path) -> None:
    port = free_port()
    with default_context(tmp_path) as context:
        async with running(context, settings(port, "uns")):
            for given in (
                arguments(context, port, "otto", "wrong"),
                arguments(context, port, "nobody"),
                arguments(context, port, "plantree-gateway", "guess"),
                arguments(context, port)[:6],
            ):
                done = await asyncio.to_thread(mosquitto_rig.publish, given, "cmd/Plant/EmergencyStop", "{}")
                assert done.returncode != 0
                assert "ot authori" in done.stderr or "Bad user name" in done.stderr, done.stderr
            plain = [
                word for word in arguments(context, port) if word not in ("--cafile", str(context.certificate_file))
            ]
            done = await asyncio.to_thread(mosquitto_rig.publish, plain, "cmd/Plant/EmergencyStop", "{}")
            assert done.returncode != 0
            assert context.store.value(context.plant.variable("Plant.EmergencyStopActive").id) is not True


async def test_an_operator_commands_anybody_stops_nobody_forges(tmp_path: Path) -> None:
    port, core = free_port(), Core(tmp_path)
    context = make_context(tmp_path, core)
    given = settings(port, "uns").model_copy(
        update={"commands": settings(port).commands.model_copy(update={"users": ["cmd/Plant/#=olga"]})}
    )

    async def send(user: str, topic: str, payload: str, *more: str) -> None:
        done = await asyncio.to_thread(mosquitto_rig.publish, arguments(context, port, user), topic, payload, *more)
        assert done.returncode == 0, done.stderr

    async with running(context, given), Subscriber(arguments(context, port), ["answers/#", "plantree/#"]) as seen:
        await send("otto", "cmd/Plant/Press2/Start", "{}")  # an Observer
        await send("otto", "plantree/site1/production/Press1/Speed", '{"value": 1e9}', "-r")
        will = ["--will-topic", "cmd/Plant/Press2/Start", "--will-payload", "{}"]
        done = await asyncio.to_thread(mosquitto_rig.publish, arguments(context, port, "otto"), "x", "y", *will)
        assert done.returncode != 0
        asked = json.dumps({"reply_to": "answers/1", "id": 1})
        await send("olga", "cmd/Plant/Press1/Start", asked)
        await eventually(lambda: seen.of("answers/1"), "the answer")
        assert json.loads(seen.of("answers/1")[0].payload)["status"] == "Good"
        assert core.source.told == [("execute", "Plant.Press1", "Start")]
        await send("otto", "cmd/Plant/Press2/EmergencyStop", "{}")
        await eventually(lambda: core.latched("Press2"), "the stop of an Observer")
        assert not any(b"1e9" in message.payload for message in seen.seen)
    core.close()


async def test_a_taken_port_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken, default_context(tmp_path) as context:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            StartError, match=rf"cannot listen on 127.0.0.1:{port} .*: set mqtt.embedded.port to a free"
        ):
            async with running(context, settings(port, "uns")):
                pass


async def test_a_broker_that_dies_ends_the_gateway_which_can_run_again(tmp_path: Path) -> None:
    port = free_port()
    with default_context(tmp_path) as context:
        async with running(context, settings(port, "uns")) as gateway:
            import psutil

            children = psutil.Process().children()
            (broker,) = [child for child in children if "gateways.mqtt.broker_process" in child.cmdline()]
            broker.send_signal(signal.SIGKILL)
            with pytest.raises(StartError, match=r"the embedded MQTT broker has ended with exit code -9"):
                await asyncio.wait_for(asyncio.shield(gateway), 10)
        async with running(context, settings(port, "uns")):
            assert context.status.connected

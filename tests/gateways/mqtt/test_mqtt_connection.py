"""Connections to a real broker: TLS, credentials, Will, outages."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateways.mqtt import MqttSettings
from gateways.mqtt.connection import Connection, MqttError, Options
from gateways.mqtt.endpoint import parse
from gateways.mqtt.layout import Message
from gateways.mqtt.tls import client_context
from server.store import now_ticks
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, needs_mosquitto, write_authority, write_certificate
from tests.gateways.mqtt.mqtt_rig import default_context, eventually, running
from tests.process_rig import CHECKOUT, free_port, wait_until

pytestmark = needs_mosquitto


def options(broker: Mosquitto, user: str = "plantree", **more: object) -> Options:
    given = {"client_id": "test", "tls": client_context(broker.ca) if broker.tls else None, **more}
    return Options(parse(broker.url(user)), **given)  # pyright: ignore[reportArgumentType]


def settings(broker: Mosquitto, *layouts: str, **more: object) -> MqttSettings:
    given = {"url": broker.url(), "ca": broker.ca, "layouts": list(layouts), **more}
    return MqttSettings.model_validate(given)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("tls", [True, False])
async def test_publishes_in_order_and_waits_for_every_acknowledgement(tmp_path: Path, protocol: str, tls: bool) -> None:
    with Mosquitto(tmp_path, tls=tls) as broker, broker.subscriber("many/#") as seen:
        connection = Connection(options(broker, protocol=protocol))
        await connection.open()
        messages = [Message(f"many/{number % 7}", b"%d" % number) for number in range(2500)]
        assert await connection.publish(messages) == []
        await connection.close()
        await eventually(lambda: len(seen.seen) == 2500, "all messages")
        assert [int(message.payload) for message in seen.seen] == list(range(2500))


async def test_a_broker_with_another_ca_is_refused(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        write_authority(tmp_path, "other")
        connection = Connection(options(broker, tls=client_context(tmp_path / "other.pem")))
        with pytest.raises(MqttError, match=r"certificate is refused: (unable to get|self).*"):
            await connection.open()


async def test_a_broker_with_another_name_is_refused(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        endpoint = parse(broker.url().replace("127.0.0.1", "localhost"))
        connection = Connection(Options(endpoint, "test", tls=client_context(broker.ca)))
        with pytest.raises(MqttError, match=r"certificate is refused: .*localhost"):
            await connection.open()


async def test_client_certificate(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker", client_certificates=True) as broker:
        with pytest.raises(MqttError):
            await Connection(options(broker)).open()
        files = write_certificate(tmp_path, "client", broker.authority)
        connection = Connection(options(broker, tls=client_context(broker.ca, *files)))
        await connection.open()
        await connection.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_wrong_password_is_said_to_be_one(tmp_path: Path, protocol: str) -> None:
    with Mosquitto(tmp_path) as broker:
        broker.users["plantree"] = "wrong"
        with pytest.raises(MqttError, match=r"refuses the connection: Not authorized"):
            await Connection(options(broker, protocol=protocol)).open()


async def test_nobody_there(tmp_path: Path) -> None:
    connection = Connection(Options(parse(f"mqtt://127.0.0.1:{free_port()}"), "test"))
    with pytest.raises(MqttError, match=r"mqtt://127.0.0.1:\d+ cannot be reached: .*refused"):
        await connection.open()


async def test_what_the_acl_forbids_comes_back_as_refused(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        connection = Connection(options(broker, "reader"))
        await connection.open()
        ((message, reason),) = await connection.publish([Message("factory/line1", b"{}", rows=3)])
        assert (message.rows, reason) == (3, "Not authorized")
        await connection.close()


@pytest.mark.parametrize("qos", [0, 1])
async def test_messages_under_way_fail_with_the_connection(tmp_path: Path, qos: int) -> None:
    """With QoS 0, too: that a message was written says nothing."""
    with Mosquitto(tmp_path) as broker:
        connection = Connection(options(broker))
        await connection.open()
        assert await connection.publish([Message("a", b"0", qos)]) == []
        assert broker.process is not None
        broker.process.send_signal(signal.SIGSTOP)  # it takes bytes and answers nothing
        publishing = asyncio.create_task(connection.publish([Message("a", b"1", qos)]))
        done, _ = await asyncio.wait([publishing], timeout=0.3)
        assert not done
        broker.process.kill()
        with pytest.raises(MqttError, match=r"."):
            await publishing
        connection.abort()


def start_child(folder: Path, wanted: MqttSettings) -> "subprocess.Popen[str]":
    given = wanted.model_dump(mode="json")
    given["url"] = wanted.url.get_secret_value()
    given["bridge"].pop("url")
    command = [sys.executable, "-m", "tests.gateways.mqtt.gateway_child", str(folder), json.dumps(given)]
    return subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end_child(child: "subprocess.Popen[str]") -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        assert pipe is not None
        pipe.close()


def test_every_component_is_offline_after_a_kill(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, broker.subscriber("status/#", "plantree/#") as seen:
        child = start_child(tmp_path, settings(broker, "factory", "uns"))
        topics = {f"status/{name}" for name in ("Plantree", "PLC1", "PLC2", "PLC3", "Generator1", "Camera1", "Camera2")}
        topics.add("plantree/site1/production/_state")

        def all_are(state: str) -> bool:
            newest = {m.topic: json.loads(m.payload).get("state") for m in list(seen.seen) if m.topic in topics}
            return newest == dict.fromkeys(topics, state)

        try:
            wait_until(lambda: all_are("online"), "everything is online", 20)
        finally:
            end_child(child)
        wait_until(lambda: all_are("offline"), "the Wills")


def test_what_was_taken_in_an_outage_survives_a_kill(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        wanted = settings(broker, "uns")
        topic = "plantree/site1/production/Energy/PowerConsumption"
        with broker.subscriber(topic, session="keeper"):
            pass  # a session that the broker keeps messages for
        broker.stop()
        child = start_child(tmp_path, wanted)
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            for number in range(5000, 5005):
                child.stdin.write(f"{number}\n")
                child.stdin.flush()
                assert child.stdout.readline() == f"taken {number}\n"
        finally:
            end_child(child)
        broker.start()
        child = start_child(tmp_path, wanted)
        try:
            with broker.subscriber(topic, session="keeper") as seen:

                def late() -> list[float]:
                    documents = [json.loads(message.payload) for message in list(seen.seen)]
                    return [d["value"] for d in documents if d.get("historical") and d["value"] >= 5000]

                wait_until(lambda: 5004 in late(), "the backlog", 20)
                assert list(dict.fromkeys(late())) == [5000, 5001, 5002, 5003, 5004]
        finally:
            end_child(child)


async def test_a_broker_that_restarts_mid_stream_loses_nothing(tmp_path: Path) -> None:
    """Values 0, 1, 2, … at some 200/s; the broker is killed and comes back: each of them was delivered."""
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        variable = context.plant.variable("Plant.Energy.PowerConsumption")
        topic = "plantree/site1/production/Energy/PowerConsumption"
        written = 0
        stop = asyncio.Event()

        async def change() -> None:
            nonlocal written
            while not stop.is_set():
                written += 1
                context.store.write(np.array([variable.id]), np.array([float(written)]), now_ticks())
                await asyncio.sleep(0.005)

        def values(seen: list) -> set[float]:
            return {json.loads(message.payload)["value"] for message in seen}

        async with running(context, settings(broker, "uns")):
            changing = asyncio.create_task(change())
            with broker.subscriber(topic) as before:
                await eventually(lambda: len(before.seen) > 100, "a stream")
                # Until its messages are acknowledged to us the broker has not written them anywhere.
                broker.stop(signal.SIGTERM)
            await eventually(lambda: not context.status.connected, "the loss is seen")
            at_loss = written
            await eventually(lambda: written > at_loss + 50, "changes while it is away")
            broker.start()
            with broker.subscriber(topic) as after:
                await eventually(lambda: context.status.connected, "the connection is back")
                stop.set()
                await changing
                await eventually(lambda: context.status.queue_depth == 0, "the outbox is empty")
                wanted = set(map(float, range(int(max(values(before.seen))) + 1, written + 1)))
                await eventually(lambda: wanted <= values(after.seen) | values(before.seen), "every value", 10)
        assert context.status.dropped == 0

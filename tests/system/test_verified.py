"""`python -m server verify` beside every gateway with real peers, while the plant is moving."""

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from address_space import Plant, load_plant
from gateways.mqtt.settings import UnsSettings
from gateways.mqtt.uns import variable_topic
from server.store import from_ticks, now_ticks
from server.store.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from tests.gateways.influx.victoria_rig import Victoria, needs_victoria
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, needs_mosquitto
from tests.process_rig import PlantreeProcess, free_port, wait_until

pytestmark = [needs_mosquitto, needs_victoria, pytest.mark.timeout(300)]

LAYOUTS = ["factory", "uns", "pubsub", "sparkplug"]
PLANES = {f"modbus {order}" for order in ("ABCD", "CDAB", "BADC", "DCBA")}
PLANES |= {f"mqtt {layout}" for layout in LAYOUTS} | {"victoriametrics"}
LINE = re.compile(r"│ ((?:modbus |mqtt |victoria)\S+) +│ +(\S+) +│ +(\S+) +│ +(\S+) +│ +(\S+) +│")
LOOK_S, SHORT_S = 4.0, 2.0
WRONG = 123_456.0
MOVING = "Plant.Generator1.Speed"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victoria]:
    with Victoria(tmp_path_factory.mktemp("victoria")) as running:
        yield running


@pytest.fixture(scope="module")
def server(
    broker: Mosquitto, victoria: Victoria, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PlantreeProcess]:
    env = {
        "PLANTREE_MODBUS__ENABLED": "true",
        "PLANTREE_MODBUS__PORT": str(free_port()),
        "PLANTREE_MQTT__ENABLED": "true",
        "PLANTREE_MQTT__URL": broker.url(),
        "PLANTREE_MQTT__CA": str(broker.ca),
        "PLANTREE_MQTT__LAYOUTS": ",".join(LAYOUTS),
        "PLANTREE_MQTT__FACTORY__HEARTBEAT": "2",
        "PLANTREE_MQTT__PUBSUB__KEY_FRAME_COUNT": "2",
        "PLANTREE_INFLUX__ENABLED": "true",
        "PLANTREE_INFLUX__URL": victoria.url,
    }
    with PlantreeProcess(tmp_path_factory.mktemp("verified"), env) as process:
        process.env["PLANTREE_PASSWORD"] = process.add_users({"vera": "Observer"})["vera"]
        wait_until(lambda: connected(process), "the gateways are connected", 60)
        yield process


def connected(server: PlantreeProcess) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    names = ("modbus", "mqtt", "influx")
    return all(f'plantree_gateway_connected{{gateway="{name}"}} 1.0' in text for name in names)


def verify(server: PlantreeProcess, seconds: float, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "server", "verify", "--user", "vera", "--seconds", str(seconds), *arguments]
    env = {**server.env, "COLUMNS": "200"}
    return subprocess.run(command, cwd=server.folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def table(text: str) -> dict[str, list[int]]:
    """Return what the table says: variables, samples, differ, missing of each plane."""
    return {name: [int(number.replace(",", "")) for number in numbers] for name, *numbers in LINE.findall(text)}


def test_every_plane_shows_what_opc_ua_shows_while_the_plant_is_moving(
    server: PlantreeProcess, measured: Callable[[str], None]
) -> None:
    done = verify(server, LOOK_S)
    assert done.returncode == 0, done.stdout + done.stderr
    found = table(done.stdout)
    assert set(found) == PLANES
    everything = len(load_plant().variables)
    for plane, (variables, samples, differ, missing) in found.items():
        measured(f"verify, {plane}: {variables} variables, {samples:,} samples, {differ} differ, {missing} missing")
        assert (variables, differ, missing) == (everything, 0, 0), plane
        assert samples > everything  # it was moving


def test_a_wrong_sample_in_the_broker_or_the_database_is_told(
    server: PlantreeProcess, broker: Mosquitto, victoria: Victoria
) -> None:
    plant = load_plant()
    topic = variable_topic(plant.variable(MOVING), plant, UnsSettings())
    ended = threading.Event()

    def meddle() -> None:
        """Say something wrong, again and again, so that some of it is within the look."""
        while not ended.wait(0.5):
            now = now_ticks()
            broker.publish(topic, wrong_message(now), user="plantree")
            victoria.post("/api/v2/write", wrong_line(plant, now))

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        done = verify(server, SHORT_S, "--only", "mqtt", "--only", "influx")
    finally:
        ended.set()
        meddler.join(60)
    assert done.returncode == 1, done.stdout + done.stderr
    differ = {plane: numbers[2] for plane, numbers in table(done.stdout).items()}
    assert {plane for plane, count in differ.items() if count} == {"mqtt uns", "victoriametrics"}, done.stdout
    assert f"mqtt uns: {MOVING}: shows {WRONG:.0f}" in done.stdout
    assert f"victoriametrics: {MOVING}: shows {WRONG:.0f}" in done.stdout


def test_a_gateway_that_cannot_be_looked_at_is_no_difference(server: PlantreeProcess) -> None:
    elsewhere = f"http://127.0.0.1:{free_port()}"
    env = server.env
    server.env = {**env, "PLANTREE_INFLUX__URL": elsewhere}
    try:
        done = verify(server, 0.0, "--only", "influx")
    finally:
        server.env = env
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(f"error: the time-series database cannot be asked: {elsewhere}")


def wrong_message(ticks: int) -> str:
    stamp = from_ticks(ticks).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps({"value": WRONG, "unit": "rpm", "quality": "Good", "timestamp": stamp})


def wrong_line(plant: Plant, ticks: int) -> bytes:
    owner = plant.owner(plant.variable(MOVING)).type.name
    tags = f"name={MOVING.rpartition('.')[2]},node={MOVING},site={plant.name},type={owner}"
    nanoseconds = (ticks - UNIX_EPOCH_TICKS) * (10**9 // TICKS_PER_SECOND)
    return f"opcua,{tags} status=0i,good=1i,value={WRONG} {nanoseconds}\n".encode()

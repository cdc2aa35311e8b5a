"""`python -m server verify` against a whole server, while the plant is moving."""

import re
import urllib.request
from pathlib import Path

import pytest

from server.composition import available
from tests.process_rig import PlantreeProcess, calm_plant, free_port, wait_until

GATEWAYS = ["modbus", "mqtt", "web"]


@pytest.fixture
def server(tmp_path: Path):
    ports = {f"PLANTREE_{name}__PORT": str(free_port()) for name in ("MODBUS", "MQTT__EMBEDDED", "WEB")}
    wanted = {f"PLANTREE_{name.upper()}__ENABLED": str(name in GATEWAYS).lower() for name in available()}
    mqtt = {"PLANTREE_MQTT__LAYOUTS": "factory,uns,pubsub,sparkplug", "PLANTREE_MQTT__FACTORY__HEARTBEAT": "2"}
    frames = {"PLANTREE_MQTT__PUBSUB__KEY_FRAME_COUNT": "2"}
    plant = calm_plant(tmp_path / "plant.yaml")
    with PlantreeProcess(tmp_path, {**ports, **wanted, **mqtt, **frames}, plant) as process:
        # An Operator: the embedded broker lets nobody else publish, and Sparkplug's births must be asked for.
        process.env["PLANTREE_PASSWORD"] = process.add_users({"otto": "Operator"})["otto"]
        yield process


def connected(server: PlantreeProcess) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return all(f'plantree_gateway_connected{{gateway="{name}"}} 1.0' in text for name in GATEWAYS)


@pytest.mark.timeout(120)
def test_every_plane_shows_what_opc_ua_shows(server: PlantreeProcess) -> None:
    wait_until(lambda: connected(server), "the gateways are connected", 30)
    done = server.cli("verify", "--user", "otto", "--seconds", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    planes = set(re.findall(r"│ ((?:modbus|mqtt|web) \S+)", done.stdout))
    layouts = {f"mqtt {layout}" for layout in ("factory", "uns", "pubsub", "sparkplug")}
    assert planes == {f"modbus {order}" for order in ("ABCD", "CDAB", "BADC", "DCBA")} | layouts | {
        "web REST", "web live",
    }  # fmt: skip


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    process = PlantreeProcess(tmp_path, env={"PLANTREE_PASSWORD": "x", "PLANTREE_MODBUS__ENABLED": "true"})
    done = process.cli("verify", "--user", "otto")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1

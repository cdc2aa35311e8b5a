"""`python -m server verify` against a whole server, while the plant is moving."""

import re
from pathlib import Path

import pytest

from server.composition import available
from tests.process_rig import PlantreeProcess, free_port

GATEWAYS = ["modbus", "mqtt"]


@pytest.fixture
def server(tmp_path: Path):  # noqa: ANN201
    ports = {"PLANTREE_MODBUS__PORT": str(free_port()), "PLANTREE_MQTT__EMBEDDED__PORT": str(free_port())}
    wanted = {f"PLANTREE_{name.upper()}__ENABLED": str(name in GATEWAYS).lower() for name in available()}
    layouts = {"PLANTREE_MQTT__LAYOUTS": "factory,uns,pubsub,sparkplug"}
    process = PlantreeProcess(tmp_path, env={**ports, **wanted, **layouts})
    process.add_users({"olga": "Observer"})
    with process:
        yield process


@pytest.mark.timeout(120)
def test_every_plane_shows_what_opc_ua_shows(server: PlantreeProcess) -> None:
    server.env["PLANTREE_PASSWORD"] = "the password of olga"
    server.env["PLANTREE_PASSWORD"] = server.add_users({"otto": "Observer"})["otto"]
    done = server.cli("verify", "--user", "otto", "--seconds", "4")
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    planes = re.findall(r"│ ((?:modbus|mqtt) \S+)", done.stdout)
    expected = {f"modbus {order}" for order in ("ABCD", "CDAB", "BADC", "DCBA")}
    assert expected < set(planes)
    assert {"mqtt factory", "mqtt uns", "mqtt pubsub", "mqtt sparkplug"} <= set(planes)

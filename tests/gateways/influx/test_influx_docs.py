"""docs/influx.md: its example is what the gateway writes, and its commands run as they stand there."""

import asyncio
import contextlib
import json
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from address_space import load_plant
from gateways.influx import mapping
from server.store import Batch, to_ticks
from tests.gateways.influx.influx_rig import Rig
from tests.gateways.influx.influxd_rig import influxd, needs_influxd, v2_front
from tests.gateways.influx.victoria_rig import needs_victoria
from tests.process_rig import PlantreeProcess, free_port, wait_until

TEXT = (Path(__file__).parents[3] / "docs" / "influx.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [command for block in BLOCKS for command in block.splitlines()]
PYTHON = ".venv/bin/python"
NOT_HERE = ("influx setup", "influxdb3 ", "export PLANTREE_INFLUX__URL=", f"{PYTHON} -m server influx setup")
"""These need InfluxDB 2 or 3, for which there is no package."""


def starting(*beginnings: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(beginnings)]


VICTORIA = starting(
    "victoria-metrics", "vmalert", "PLANTREE_INFLUX__URL=http://127.0.0.1:8428", "curl -sG http://127.0.0.1:8428"
)
INFLUXQL = starting("curl -sG http://127.0.0.1:8086")


def test_every_command_is_run_or_known_not_to_be() -> None:
    assert sorted(VICTORIA + INFLUXQL + starting(*NOT_HERE)) == sorted(COMMANDS)
    assert len(VICTORIA) == 8
    assert len(INFLUXQL) == 2


def test_the_example_is_what_the_gateway_writes() -> None:
    plant = load_plant()
    ids = np.array([plant.variable("Plant.Generator1.Speed").id])
    time = np.array([to_ticks(datetime(2026, 1, 1, tzinfo=UTC))])
    batch = Batch(ids, np.array([1500.5]).view(np.uint64), np.zeros(1, np.uint32), time, {})
    (line,) = re.findall(r"^    (opcua,.*)$", TEXT, re.MULTILINE)
    assert mapping.Mapping(plant, "influxdb").lines(batch).body.decode() == line


def test_every_tag_and_field_has_its_row() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == {*mapping.TAGS, *mapping.FIELDS}


@contextlib.contextmanager
def background(command: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server for the time of a `with` block."""
    with (folder / "servers.log").open("ab") as log:
        process = subprocess.Popen(shlex.split(command), cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def elsewhere(command: str, ports: Mapping[str, int]) -> str:
    """Return a command with ports that are free."""
    for documented, free in ports.items():
        command = command.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{free}")
    return command


def answer(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as got:  # noqa: S310  on loopback
            return got.read().decode()
    except OSError:
        return ""


def run(command: str, folder: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, command + done.stdout + done.stderr
    return done.stdout


@needs_victoria
def test_with_victoriametrics(tmp_path: Path) -> None:
    ports = {port: free_port() for port in ("8428", "8429", "8880")}
    samples, rollups, vmalert = (elsewhere(command, ports) for command in starting("victoria-metrics", "vmalert"))
    serve, setup = (elsewhere(command, ports) for command in starting("PLANTREE_INFLUX__URL=http://127.0.0.1:8428"))
    health = [f"http://127.0.0.1:{ports[port]}/health" for port in ("8428", "8429")]
    with background(samples, tmp_path), background(rollups, tmp_path):
        wait_until(lambda: all(answer(url) for url in health), "both answer", 20)
        url, _, rest = serve.partition(" ")
        assert rest == f"{PYTHON} -m server"
        name, _, value = url.partition("=")
        server = PlantreeProcess(tmp_path / "plantree", {name: value, "PLANTREE_INFLUX__ENABLED": "true"})
        server.folder.mkdir()
        with server:
            said = run(setup.replace(PYTHON, sys.executable), tmp_path, server.env)
            assert "8 recording rules are right" in said
            with background(vmalert, tmp_path):
                rules = f"http://127.0.0.1:{ports['8880']}/api/v1/rules"
                wait_until(lambda: answer(rules).count('"name":"opcua_value_') == 8, "vmalert has the rules", 20)
            for query in starting("curl -sG http://127.0.0.1:8428"):
                command = elsewhere(query, ports)
                if "export" in command:
                    wait_until(lambda command=command: '"text":"' in run(command, tmp_path), query, 20)
                else:
                    found = wait_until(lambda command=command: json.loads(run(command, tmp_path))["data"], query)
                    assert found["resultType"] == "vector"
            speed = elsewhere(starting("curl -sG http://127.0.0.1:8428")[0], ports)
            wait_until(lambda: len(json.loads(run(speed, tmp_path))["data"]["result"]) == 1, "the speed is found", 20)


@needs_influxd
async def test_with_influxql(tmp_path: Path) -> None:
    with influxd(tmp_path) as server:
        server.ask('CREATE DATABASE "plantree"')
        plant = load_plant()
        async with v2_front(server) as url:
            rig = Rig(tmp_path, url, plant, database="influxdb")
            speed = plant.variable("Plant.Generator1.Speed").id
            rig.store.write(np.array([speed]), np.array([1500.5]), to_ticks(datetime.now(UTC)))
            async with rig.running():
                await rig.delivered()
        for query in INFLUXQL:
            text = await asyncio.to_thread(run, elsewhere(query, {"8086": server.port}), tmp_path)
            (result,) = json.loads(text)["results"]
            assert 1500.5 in [value for row in result["series"][0]["values"] for value in row], query

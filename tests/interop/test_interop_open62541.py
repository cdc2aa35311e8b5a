"""Subscriptions as open62541's client asks for them and decodes them, on an encrypted channel.

Its package o6 is proprietary and for the bench and this suite only; without a licence file a process that imports it
ends after ten minutes, and each test here takes seconds. `python -m bench.peers.environment` installs it.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.channel import make_identity
from bench.peers import environment
from tests.process_rig import CHECKOUT, PASSWORD, PlantreeProcess

pytestmark = pytest.mark.skipif(
    not environment.installed(), reason="o6 is not installed: run `python -m bench.peers.environment`"
)

CLIENT = Path(__file__).with_name("open62541_client.py")
LOAD = "ns=2;s=Plant.Generator1.LoadSetpoint"  # 0 to 500 kW
OTHER = "ns=2;s=Plant.Generator1.Tariff"
OVERFLOW = 0x480
ABSOLUTE, PERCENT = 1, 2


class Client:
    """open62541's client in a process of its own."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(environment.PYTHON), str(CLIENT)],
                cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip

    def ask(self, op: str, **parameters: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"op": op, **parameters}) + "\n")
        stdin.flush()
        for line in stdout:
            if line.startswith("answer "):  # o6 prints a banner
                answer = json.loads(line.removeprefix("answer "))
                assert "error" not in answer, f"{op}: {answer['error']}\n{self.log.read_text()[-2000:]}"
                return answer["result"]
        raise AssertionError(f"the client has ended:\n{self.log.read_text()[-2000:]}")

    def wait(self, count: int, within: float = 10.0) -> list[tuple[str, float, int]]:
        found = [tuple(it) for it in self.ask("wait", count=count, within=within)]
        assert len(found) >= count, found
        return found

    def write(self, *values: float, node: str = LOAD) -> None:
        assert set(self.ask("write", node=node, values=list(values))) == {"GOOD"}

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture(scope="module")
def trusted_server(
    plantree_process: Callable[..., PlantreeProcess], small_plant: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PlantreeProcess, Path]:
    """Return a server and the folder of a client application that it trusts."""
    server = plantree_process(plant=small_plant, users={"susi": "Supervisor"})
    identity = make_identity(tmp_path_factory.mktemp("open62541"))
    shutil.copy(identity.certificate, server.certs / "trusted" / "open62541.der")
    return server, identity.folder


@pytest.fixture
def client(trusted_server: tuple[PlantreeProcess, Path], tmp_path: Path) -> Iterator[Client]:
    server, pki = trusted_server
    made = Client(tmp_path / "open62541.log")
    try:
        own = str(server.certs / "own" / "certificate.der")
        password = PASSWORD.format(name="susi")
        made.ask("connect", endpoint=server.endpoint, pki=str(pki), server=own, user="susi", password=password)
        made.write(100)
        made.write(1, node=OTHER)
        assert made.ask("subscribe", interval=50) == 50
        yield made
        made.ask("disconnect")
    finally:
        made.close()


def of(key: str, found: list[tuple[str, float, int]]) -> list[tuple[float, int]]:
    return [(value, status) for name, value, status in found if name == key]


def test_values_written_are_read_and_notified(client: Client) -> None:
    client.ask("monitor", key="a", node=LOAD, queue=10)
    assert client.wait(1) == [("a", 100, 0)]
    client.write(120.5)
    assert client.ask("read", node=LOAD) == 120.5
    assert client.wait(2)[1] == ("a", 120.5, 0)


def test_deadbands_hold_back_small_changes(client: Client) -> None:
    client.ask("monitor", key="absolute", node=LOAD, queue=10, deadband=[ABSOLUTE, 10])
    client.ask("monitor", key="percent", node=LOAD, queue=10, deadband=[PERCENT, 10])  # of 500 kW
    client.ask("monitor", key="all", node=LOAD, queue=10)
    client.wait(3)
    client.write(105, 111, 149, 151, 155)
    found = client.wait(3 + 5 + 2 + 1)
    assert [value for value, _ in of("all", found)] == [100, 105, 111, 149, 151, 155]
    assert [value for value, _ in of("absolute", found)] == [100, 111, 149]
    assert [value for value, _ in of("percent", found)] == [100, 151]


def test_an_overflow_is_marked_where_it_happened(client: Client) -> None:
    client.ask("publishing", enabled=False)
    assert client.ask("monitor", key="oldest", node=LOAD, queue=3) == 3
    client.ask("monitor", key="newest", node=LOAD, queue=3, oldest=False)
    client.ask("monitor", key="one", node=LOAD, queue=1)
    client.write(1, 2, 3, 4, 5)
    client.ask("publishing", enabled=True)
    found = client.wait(7)
    assert of("oldest", found) == [(3, OVERFLOW), (4, 0), (5, 0)]
    assert of("newest", found) == [(100, 0), (1, 0), (5, OVERFLOW)]
    assert of("one", found) == [(5, 0)]


def test_a_trigger_reports_what_is_only_sampled(client: Client) -> None:
    client.ask("monitor", key="trigger", node=LOAD, queue=10)
    client.ask("monitor", key="sampled", node=OTHER, queue=10, sampling=True)
    client.ask("trigger", item="trigger", linked="sampled")
    assert client.wait(1)[0] == ("trigger", 100, 0)
    client.write(2, node=OTHER)
    client.write(77)
    found = client.wait(3)
    assert of("trigger", found)[-1] == (77, 0)
    assert of("sampled", found)[-1] == (2, 0)

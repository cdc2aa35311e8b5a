"""Every command in the README is run."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.process_rig import CHECKOUT, PASSWORD, answers_healthz, free_port, wait_until

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
SERVERS = ("make run", ".venv/bin/python -m server --plant my-plant.yaml")
IN_CI = ("make test", "make check")
WITH_SERVER = tuple(
    command
    for command in COMMANDS
    if any(name in command for name in ("server verify", "server watch", "export audit", "mosquitto_sub"))
)
"""Commands that ask the running plant something."""


def test_readme_names_the_two_commands() -> None:
    assert COMMANDS[:2] == ["make run", "make test"]


def test_ci_runs_the_readmes_test_command() -> None:
    ci = (CHECKOUT / ".ci" / "run").read_text().splitlines()
    assert all(command in ci for command in IN_CI)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like the checkout, so that what the commands write does not land in it."""
    folder = tmp_path_factory.mktemp("newcomer")
    for entry in (
        "address_space", "server", "sources", "gateways", "grafana", "bench", "docs", "Makefile", "requirements.lock",
    ):  # fmt: skip
        (folder / entry).symlink_to(CHECKOUT / entry)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (binaries / "python").chmod(0o755)
    (folder / "certs" / "rejected").mkdir(parents=True)
    (folder / "certs" / "rejected" / "UaExpert@desk.der").write_bytes(_certificate("UaExpert@desk"))
    return folder


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PLANTREE_")}
    return own | {
        "PLANTREE_OPCUA__HOST": "127.0.0.1",
        "PLANTREE_OPCUA__PORT": str(free_port()),
        "PLANTREE_HTTP__PORT": str(free_port()),
        "PLANTREE_MODBUS__PORT": str(free_port()),
        "PLANTREE_MQTT__EMBEDDED__PORT": str(free_port()),
    }


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in (*SERVERS, *WITH_SERVER, *IN_CI, "make bench")])
def test_command(command: str, newcomer: Path, environment: dict[str, str]) -> None:
    password = PASSWORD.format(name="anna") if "users add" in command else ""
    done = subprocess.run(
        shlex.split(command), cwd=newcomer, env=environment, input=password, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_commands_left_what_they_promise(newcomer: Path) -> None:
    assert (newcomer / "certs" / "trusted" / "UaExpert@desk.der").exists()
    assert "Plant.Generator1.Speed" in (newcomer / "plant.xml").read_text(encoding="utf-8")
    assert (newcomer / "my-plant.yaml").exists()
    assert "Plant.Generator1.Speed" in (newcomer / "map.csv").read_text(encoding="utf-8")
    assert "factory/generator" in (newcomer / "topics.md").read_text(encoding="utf-8")


def test_make_bench_is_there(environment: dict[str, str]) -> None:
    shown = subprocess.run(
        ["make", "-n", "bench"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    assert "-m bench" in shown.stdout
    helped = subprocess.run([sys.executable, "-m", "bench", "--help"], cwd=CHECKOUT, capture_output=True, check=False)
    assert helped.returncode == 0


@pytest.mark.timeout(150)
@pytest.mark.parametrize("command", SERVERS)
def test_server_command(command: str, newcomer: Path, environment: dict[str, str]) -> None:
    (newcomer / ".venv" / ".run-stamp").touch()  # make: the packages are installed
    (newcomer / "my-plant.yaml").write_text((CHECKOUT / "address_space" / "plant.yaml").read_text())
    port = int(environment["PLANTREE_HTTP__PORT"])
    with _started(command, newcomer, environment) as server:
        wait_until(lambda: _healthy(server, port), f"{command} answers /healthz", 30)
        for question in WITH_SERVER if command == SERVERS[0] else ():
            _ask(question, newcomer, environment)


def _ask(question: str, folder: Path, environment: dict[str, str]) -> None:
    """Ask the running plant, as the user whom the README has added; its ports are those of the test."""
    password = PASSWORD.format(name="anna")
    command = question.replace("8883", environment["PLANTREE_MQTT__EMBEDDED__PORT"]).replace("$PASSWORD", password)
    own = environment | {"PLANTREE_PASSWORD": password}

    def answered() -> bool:
        done = subprocess.run(
            shlex.split(command), cwd=folder, env=own, capture_output=True, text=True, timeout=50, check=False
        )
        said.append(done.stdout + done.stderr)
        return done.returncode == 0 and bool(done.stdout or done.stderr)

    said: list[str] = []
    try:
        wait_until(answered, question, 40)  # the gateways come up a little after the server
    except AssertionError as error:
        raise AssertionError(f"{error}: {said[-1]}") from None


@contextlib.contextmanager
def _started(command: str, folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        shlex.split(command), cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def _healthy(server: subprocess.Popen[bytes], port: int) -> bool:
    assert server.poll() is None, "the server has ended"
    return answers_healthz(port)


def _certificate(name: str) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)

"""A real server process for tests: `python -m server` in a folder of its own, on free ports."""

import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from argon2 import PasswordHasher

from server.composition import available
from server.security.cli import USERS_FILE
from server.security.users import Users

CHECKOUT = Path(__file__).resolve().parent.parent
START_S = 45.0
STOP_S = 10.0
PASSWORD = "correct horse {name}"  # of the users that add_users makes


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(holds: Callable[[], Any], what: str, within: float = 30.0) -> Any:
    """Return what `holds` returns once that is true; AssertionError naming `what` after `within` seconds."""
    deadline = time.monotonic() + within
    while not (result := holds()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.02)  # between two looks at a thing outside this process
    return result


def answers_healthz(port: int) -> bool:
    """Whether http://127.0.0.1:PORT/healthz answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def calm_plant(file: Path, without: Collection[str] = ()) -> Path:
    """Write the default plant with physics at twice a second in place of ten times, which takes a fifth of a core.

    Its camera does not wait until a busy machine has nothing else to do. `without` names objects and sources that are
    left out.
    """
    plant = yaml.safe_load((CHECKOUT / "address_space" / "plant.yaml").read_text(encoding="utf-8"))
    for kind in ("objects", "sources"):
        plant[kind] = {name: it for name, it in plant[kind].items() if name not in without}
    for thing in plant["objects"].values():
        if thing.get("source") in without:
            del thing["source"]
    plant["sources"]["physics"]["period"] = 0.5
    if "vision" in plant["sources"]:
        plant["sources"]["vision"]["priority"] = "normal"
    file.write_text(yaml.safe_dump(plant, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return file


class _Remembering(PasswordHasher):
    """Hashes as servers do, but the same password once: users of many servers have the same."""

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        return super().hash(password, salt=salt) if salt else _hashed(password)


@functools.cache
def _hashed(password: str | bytes) -> str:
    return PasswordHasher().hash(password)


class PlantreeProcess:
    """`python -m server` with data, certificates and log in `folder`; a context manager that ends it by its pid.

    `env` adds PLANTREE_ variables, `plant` names a plant file, `arguments` follow `python -m server`. The caller's
    own PLANTREE_ variables, .env and plantree.yaml have no say. A second `start` is a restart on the same data.
    """

    def __init__(
        self, folder: Path, env: Mapping[str, str] | None = None, plant: Path | None = None,
        arguments: Sequence[str | Path] = (),
    ) -> None:  # fmt: skip
        self.folder = folder
        self.data, self.certs, self.log_file = folder / "data", folder / "certs", folder / "server.log"
        self.port, self.http_port = free_port(), free_port()
        self.arguments = arguments
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("PLANTREE_")}
        self.env |= {
            "PYTHONPATH": str(CHECKOUT),
            "PLANTREE_DATA_DIR": str(self.data),
            "PLANTREE_CERTS_DIR": str(self.certs),
            "PLANTREE_OPCUA__HOST": "127.0.0.1",
            "PLANTREE_OPCUA__PORT": str(self.port),
            "PLANTREE_HTTP__PORT": str(self.http_port),
            "PLANTREE_LOG__FORMAT": "json",
            # Gateways have ports of their own: a test that wants one says so in `env`.
            **{f"PLANTREE_{name.upper()}__ENABLED": "false" for name in available()},
            **({"PLANTREE_PLANT": str(plant)} if plant else {}),
            **(env or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The endpoint URL."""
        return f"opc.tcp://127.0.0.1:{self.port}/plantree"

    def start(self) -> Self:
        """Start; returns once /healthz answers 200, at once when it runs already."""
        if self.process is not None and self.process.poll() is None:
            return self
        command = [sys.executable, "-m", "server", *map(str, self.arguments)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log)
        wait_until(self.healthy, "the server is ready", START_S)
        return self

    def healthy(self) -> bool:
        """Whether /healthz answers 200; AssertionError with the log when the process has ended."""
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"the server has ended:\n{self.log_file.read_text()}")
        return answers_healthz(self.http_port)

    def stop(self, number: signal.Signals = signal.SIGTERM, within: float = STOP_S) -> int:
        """End it with a signal; returns the exit code, that of before when it has ended already."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def end(self) -> None:
        """End it if it runs."""
        if self.process is not None:
            self.stop()

    def cli(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `python -m server ARGUMENTS` with the settings of this server, to its end."""
        command = [sys.executable, "-m", "server", *map(str, arguments)]
        return subprocess.run(
            command, cwd=self.folder, env=self.env, input=stdin, capture_output=True, text=True, timeout=55, check=False
        )

    def add_users(self, roles: Mapping[str, str]) -> dict[str, str]:
        """Add users {name: role}, as `users add` does in a process for each; returns {name: password}."""
        passwords = {name: PASSWORD.format(name=name) for name in roles}
        users = Users(Path(self.env["PLANTREE_DATA_DIR"]) / USERS_FILE, hasher=_Remembering())
        try:
            for name, role in roles.items():
                users.add(name, passwords[name], [role])
        finally:
            users.close()
        return passwords

    def log(self) -> list[dict[str, Any]]:
        """Every line logged so far, as the object that it is."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

"""The servers as processes: pinned to a core of their own, steered, measured, and ended by pid whatever happens."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench import plants
from bench.channel import Identity, make_identity
from bench.errors import BenchError
from bench.peers import environment as peers_environment
from bench.plants import Layout
from bench.raw_client import RawClient
from bench.wire import WireError

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
USER = ("bench", "bench-password")
_ROLES = ("Operator", "Engineer", "Supervisor")
NAMES = {"plantree": "Plantree", "asyncua": "asyncua", "node": "node-opcua", "o6": "open62541 (o6)"}
ALL = ",".join(NAMES)


def cores() -> tuple[set[int], set[int]]:
    """Return the core of the server and that of the client; the same set twice where there is only one."""
    available = sorted(os.sched_getaffinity(os.getpid()))
    return ({available[-1]}, {available[0]}) if len(available) > 1 else ({available[0]}, {available[0]})


SERVER_CORES, CLIENT_CORES = cores()


def pin_client() -> None:
    """Keep this process on the client's core, and let SIGTERM end it as Ctrl-C does: its servers with it."""
    os.sched_setaffinity(0, CLIENT_CORES)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A server process. `end` is sure: standard input closed, then SIGTERM, then SIGKILL, each to this pid alone."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._errors = log.open("wb")
        self.started = time.perf_counter()
        os.sched_setaffinity(0, SERVER_CORES)  # a child inherits it, all its threads with it
        try:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        finally:
            os.sched_setaffinity(0, CLIENT_CORES)
            self._errors.close()
        self._info = psutil.Process(self._process.pid)

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def resident(self) -> float:
        """Return the resident memory in MB (10^6 bytes)."""
        return self._info.memory_info().rss / 1e6

    def cpu_seconds(self) -> float:
        """Return the processor time used so far."""
        times = self._info.cpu_times()
        return times.user + times.system

    def steer(self, **wanted: Any) -> dict[str, Any]:
        """Send a line of JSON and return the answer."""
        pipe, answers = self._process.stdin, self._process.stdout
        if pipe is None or answers is None:
            raise BenchError("the server has no pipe")
        pipe.write(json.dumps(wanted) + "\n")
        pipe.flush()
        for line in answers:
            if line.startswith("{"):  # node-opcua also prints warnings there
                return json.loads(line)
        raise BenchError("the server ended")

    def wait(self, ask: Callable[[], object], limit: float, pause: float = 0.02) -> None:
        """Ask until it answers, `pause` s after each OSError or BenchError; raises BenchError after `limit` s."""
        while self.running and time.perf_counter() < self.started + limit:
            try:
                ask()
            except (OSError, BenchError):
                time.sleep(pause)  # until another process listens
            else:
                return
        last = self.log.read_text(encoding="utf-8", errors="replace")[-500:]
        raise BenchError(f"{'not up' if self.running else 'ended'} within {limit:g} s: {last}")

    def end(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        for patience, stop in ((3.0, self._process.terminate), (3.0, self._process.kill), (10.0, lambda: None)):
            try:
                self._process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                stop()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Server:
    """One server of one kind with a layout, ready for clients; `secure` lets the peers offer encrypted channels too."""

    def __init__(
        self, kind: str, layout: Layout, folder: Path, plant: Path | None = None, *, secure: bool = False
    ) -> None:
        self.kind = kind
        self.layout = layout
        self.port = free_port()
        self.path = "/plantree" if kind == "plantree" else ""
        self.user = USER if kind == "plantree" else None
        self.identity = Identity(folder / "identity")
        self._first = layout.machine_paths()[-1] + f".Setpoint{layout.setpoints}"
        command = _command(kind, layout, self.port, folder, plant)
        if secure and kind != "plantree":
            command += ["--pki", str(self.identity.folder)]
        self.process = Process(command, folder / f"{kind}.log", _environment(kind))

    def connect(self, timeout: float = 60.0, *, user: bool = True, secure: bool = False) -> RawClient:
        """Open a session; `secure`: Basic256Sha256, SignAndEncrypt."""
        identity = self.identity if secure else None
        return RawClient(self.port, self.path, self.user if user else None, timeout, identity)

    def wait_ready(self, limit: float) -> float:
        """Wait until a session reads the last variable as Good; returns the seconds since the process was started."""
        deadline = self.process.started + limit
        while time.perf_counter() < deadline:
            if not self.process.running:
                last = self.process.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
                raise BenchError(f"{NAMES[self.kind]} ended while starting: {' '.join(last)}")
            try:
                with self.connect(timeout=max(deadline - time.perf_counter(), 0.1), user=False) as client:
                    client.pump(client.read_request([self._first]), lambda _: None, 0, 1)
                    return time.perf_counter() - self.process.started
            except (OSError, WireError):
                time.sleep(0.01)
        raise TimeoutError(f"{NAMES[self.kind]} was not up within {limit:g} s")


@contextlib.contextmanager
def serving(
    kind: str, layout: Layout, folder: Path, plant: Path | None = None, *, secure: bool = False
) -> Iterator[Server]:
    """Run a server for the time of a `with` block."""
    server = Server(kind, layout, folder, plant, secure=secure)
    try:
        yield server
    finally:
        server.process.end()


def fetch(url: str) -> bytes:
    """Return what one of our own processes answers over HTTP with 200; raises OSError."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  of our own process
        return answer.read()


def environment(folder: Path) -> dict[str, str]:
    """Return the settings that give a server its folders."""
    return {"PLANTREE_DATA_DIR": str(folder / "data"), "PLANTREE_CERTS_DIR": str(folder / "certs")}


def prepare(folder: Path) -> None:
    """Make the bench's user and certificate, and start the server once, so that it has a certificate too."""
    command = [sys.executable, "-m", "server", "users", "add", USER[0], "--replace"]
    command += [part for role in _ROLES for part in ("--role", role)]
    subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment(folder)},
        input=USER[1],
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with serving("plantree", Layout(1, 1, 1), folder) as server:
        server.wait_ready(60)
    identity = make_identity(folder / "identity")
    shutil.copy(identity.certificate, folder / "certs" / "trusted" / "bench.der")


def check_installed(kinds: Sequence[str]) -> None:
    """Install what can be; BenchError when a server that is to be measured is not there."""
    if "node" in kinds and node_version() == "":
        raise BenchError(
            "node-opcua is not installed: run `npm ci`, or leave it out with --servers plantree,asyncua,o6"
        )
    if "o6" in kinds:
        peers_environment.install()


def node_version() -> str:
    """Return the versions of node-opcua and node, empty where one is missing."""
    node = shutil.which("node")
    if node is None:
        return ""
    script = 'process.stdout.write(require("node-opcua/package.json").version + ", node " + process.versions.node)'
    answer = subprocess.run([node, "-e", script], cwd=PEERS, capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else ""


def _environment(kind: str) -> dict[str, str]:
    return {"NODE_ENV": "production"} if kind == "node" else {}


def _command(kind: str, layout: Layout, port: int, folder: Path, plant: Path | None) -> list[str]:
    if kind == "plantree":
        file = plant or plants.write(plants.machines_plant(layout), folder / f"plant-{layout.variables}.yaml")
        arguments = ["--plant", str(file), "--data", str(folder), "--port", str(port)]
        return [sys.executable, "-m", "bench.peers.plantree_server", *arguments]
    sizes = {"machines": layout.machines, "values": layout.values, "setpoints": layout.setpoints, "port": port}
    arguments = [text for name, size in sizes.items() for text in (f"--{name}", str(size))]
    if kind == "o6":
        return [str(peers_environment.PYTHON), "-m", "bench.peers.o6_server", *arguments]
    if kind == "asyncua":
        return [sys.executable, "-m", "bench.peers.asyncua_server", *arguments]
    node = shutil.which("node")
    if node is None:
        raise BenchError("node is not installed")
    return [node, str(PEERS / "node_server.cjs"), *arguments, "--data", str(folder / "node-pki")]

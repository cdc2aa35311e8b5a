"""A VictoriaMetrics of a test's own: on loopback, on a free port; stopped, killed and started at will."""

import base64
import contextlib
import http.client
import json
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.process_rig import free_port, wait_until

COMMAND = "victoria-metrics"
START_S = 20.0

needs_victoria = pytest.mark.skipif(
    shutil.which(COMMAND) is None, reason="VictoriaMetrics is not installed (Debian package victoria-metrics)"
)


class Victoria:
    """`victoria-metrics` with its data in `folder`; a context manager that ends it by its pid. `flags` follow."""

    def __init__(self, folder: Path, *flags: str, port: int | None = None, health_needs_user: bool = False) -> None:
        self.folder = folder
        self.flags = flags
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.user: tuple[str, str] | None = None
        """What the rig's own requests sign in with."""
        self._well = {http.client.OK, http.client.UNAUTHORIZED} if health_needs_user else {http.client.OK}

    def start(self) -> Self:
        """Start; returns once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            COMMAND, f"-storageDataPath={self.folder / 'data'}", f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y", "-memory.allowedBytes=256MB", "-loggerLevel=ERROR", *self.flags,
        ]  # fmt: skip
        with (self.folder / "victoria.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, "VictoriaMetrics answers", START_S)
        return self

    def stop(self) -> None:
        """End it as its service manager would: what it confirmed is on the disk."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def kill(self) -> None:
        """End it at once; what it confirmed in the last seconds may be gone with it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def get(self, path: str, **query: str) -> str:
        """Return what a GET answers."""
        return self._ask("GET", f"{path}?{urllib.parse.urlencode(query)}", None)

    def post(self, path: str, body: bytes) -> str:
        """Return what a POST answers."""
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: bytes | None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {}
        if self.user is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(self.user).encode()).decode()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status < http.client.BAD_REQUEST, f"{answer.status} {text}"
        return text

    def export(
        self, selector: str, start: float = 0, end: float = 4e9
    ) -> list[tuple[dict[str, str], list[tuple[int, float]]]]:
        """Return every series of a selector: its labels, and its samples as (ms since 1970, value), each once.

        It keeps what is written twice twice; delivery is at least once.
        """
        self.get("/internal/force_flush")
        text = self.get("/api/v1/export", **{"match[]": selector, "start": str(start), "end": str(end)})
        found = [json.loads(line) for line in text.splitlines()]
        return [
            (one["metric"], list(dict.fromkeys(zip(one["timestamps"], one["values"], strict=True)))) for one in found
        ]

    def samples(self, selector: str) -> set[tuple[str, int]]:
        """Return (node, ms) of every sample of a selector, each once."""
        return {(labels["node"], at) for labels, found in self.export(selector) for at, _ in found}

    def query(self, expression: str, time: float) -> list[dict[str, Any]]:
        """Ask PromQL at a time (s since 1970); returns the vector."""
        self.get("/internal/force_flush")
        answer = json.loads(self.get("/api/v1/query", query=expression, time=str(time), nocache="1"))
        return answer["data"]["result"]

    def counter(self, name: str) -> float:
        """Return one of its own metrics, with its labels as it writes them."""
        for line in self.get("/metrics").splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"VictoriaMetrics shows no {name}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "victoria.log").read_text()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status in self._well
        except OSError:
            return False
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextlib.contextmanager
def victoria(folder: Path, *flags: str) -> Iterator[Victoria]:
    """Run one for the time of a `with` block."""
    with Victoria(folder, *flags) as server:
        yield server


def environment(server: Victoria, **settings: str) -> Mapping[str, str]:
    """Return the settings that make a Plantree server write to it."""
    named = {f"PLANTREE_INFLUX__{name.upper()}": value for name, value in settings.items()}
    return {"PLANTREE_INFLUX__ENABLED": "true", "PLANTREE_INFLUX__URL": server.url, **named}

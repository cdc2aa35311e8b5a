"""A real InfluxDB 1.x (Debian) with a front that offers it at the address of the v2 write API.

It parses lines with the same code as InfluxDB 1.8 and 2 (`models.ParsePoints`) and answers refusals with their texts.
The front changes paths only: /api/v2/write?bucket=B is /write?db=B; every byte of bodies and answers is InfluxDB's.
"""

import contextlib
import http.client
import json
import shutil
import subprocess
import urllib.parse
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.process_rig import free_port, wait_until

COMMAND = "influxd"
CONFIGURATION = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{http}"
log-enabled = false
[monitor]
store-enabled = false
"""


def is_version_1() -> bool:
    """Whether there is an `influxd` of version 1."""
    path = shutil.which(COMMAND)
    if path is None:
        return False
    done = subprocess.run([path, "version"], capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.startswith("InfluxDB v1.") or done.stdout.startswith("InfluxDB 1.")


needs_influxd = pytest.mark.skipif(not is_version_1(), reason="InfluxDB 1.x is not installed (Debian package influxdb)")


class Influxd:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, statement: str, database: str = "") -> list[dict[str, Any]]:
        """Run InfluxQL; returns the series of its first statement, times in ns."""
        query = urllib.parse.urlencode({"q": statement, "db": database, "epoch": "ns"})
        answer = json.loads(self.request("POST", f"/query?{query}", b"")[1])
        result = answer["results"][0]
        assert "error" not in result, result
        return result.get("series", [])

    def rows(self, statement: str, database: str) -> list[dict[str, Any]]:
        """Run InfluxQL; returns rows as {column: value}."""
        found = self.ask(statement, database)
        return [dict(zip(one["columns"], values, strict=True)) for one in found for values in one["values"]]

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.request("GET", "/ping")[0] == http.client.NO_CONTENT
        except OSError:
            return False


@contextlib.contextmanager
def influxd(folder: Path) -> Iterator[Influxd]:
    """Run one for the time of a `with` block."""
    server = Influxd(free_port())
    file = folder / "influxdb.conf"
    file.write_text(CONFIGURATION.format(folder=folder, http=server.port, rpc=free_port()), encoding="utf-8")
    with (folder / "influxd.log").open("wb") as log:
        process = subprocess.Popen([COMMAND, "-config", str(file)], stdout=log, stderr=log)
    try:
        wait_until(server.answers, "InfluxDB answers", 20)
        yield server
    finally:
        process.terminate()
        process.wait(20)


@contextlib.asynccontextmanager
async def v2_front(server: Influxd) -> AsyncGenerator[str]:
    """Offer a server at the v2 write API; yields the URL. Other paths go through as they are."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:

        async def forward(request: web.Request) -> web.Response:
            path, query = request.path, dict(request.query)
            if path == "/api/v2/write":
                path, query = "/write", {"db": query["bucket"], "precision": query["precision"]}
            body = await request.read()
            headers = {name: value for name, value in request.headers.items() if name == "Content-Encoding"}
            async with session.request(request.method, path, params=query, data=body, headers=headers) as answer:
                kept = {name: answer.headers[name] for name in ("Content-Type",) if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

        app = web.Application(client_max_size=1 << 25)
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app, handler_cancellation=True, auto_decompress=False)
        await runner.setup()
        port = free_port()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()

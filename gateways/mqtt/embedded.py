"""The embedded broker as the gateway sees it: a child process that serves MQTT 3.1.1 over TLS to Plantree's users."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from address_space.model import Role
from gateways.mqtt.endpoint import Endpoint
from gateways.mqtt.settings import EmbeddedSettings
from server import logs
from server.errors import StartError
from server.ports import GatewayContext, Identities

log = logs.get(__name__)

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_USER = "plantree-gateway"
_START_S = 15.0
_STOP_S = 2.0


@contextlib.asynccontextmanager
async def embedded_broker(
    context: GatewayContext, settings: EmbeddedSettings
) -> AsyncGenerator[tuple[Endpoint, "asyncio.Task[None]"]]:
    """Run the broker; gives where it is with our credential, and a task that ends when it dies.

    Raises StartError with a sentence, when the port is taken above all.
    """
    port = settings.port or _free_port(settings.host)
    _check_free(settings.host, port)
    password = secrets.token_urlsafe(24)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLANTREE_")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_CHECKOUT), environment.get("PYTHONPATH"))))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateways.mqtt.broker_process",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment,
        start_new_session=True,  # Ctrl-C is for us: the broker ends after the last goodbye
    )  # fmt: skip
    watch: asyncio.Task[None] | None = None
    try:
        wanted = {
            "host": settings.host,
            "port": port,
            "certificate": str(context.certificate_file.resolve()),
            "key": str(context.private_key_file.resolve()),
            "user": _USER,
            "password": password,
        }
        await _say(process, wanted)
        await _ready(process, f"{settings.host}:{port}")
        log.info("embedded MQTT broker", endpoint=f"mqtts://{settings.host}:{port}", protocol="MQTT 3.1.1")
        watch = asyncio.create_task(_watch(process, context.identities))
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "") else settings.host  # noqa: S104  where to connect to
        yield Endpoint(host, port, tls=True, user=_USER, password=password), watch
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        await _end(process)


async def _say(process: asyncio.subprocess.Process, document: object) -> None:
    assert process.stdin is not None  # noqa: S101  it is a pipe
    process.stdin.write(json.dumps(document).encode() + b"\n")
    await process.stdin.drain()


async def _ready(process: asyncio.subprocess.Process, where: str) -> None:
    assert process.stdout is not None  # noqa: S101  it is a pipe
    try:
        async with asyncio.timeout(_START_S):
            line = await process.stdout.readline()
    except TimeoutError:
        raise StartError(f"the embedded MQTT broker did not start on {where} within {_START_S:g} s") from None
    if not line:
        raise StartError(f"the embedded MQTT broker ended while it started on {where}")
    document = json.loads(line)
    if "error" in document:
        raise StartError(f"the embedded MQTT broker cannot serve on {where}: {document['error']}")


async def _watch(process: asyncio.subprocess.Process, identities: Identities) -> None:
    """Answer the broker's questions until it ends; raises StartError then."""
    assert process.stdout is not None  # noqa: S101  it is a pipe
    async with asyncio.TaskGroup() as answering:
        while line := await process.stdout.readline():
            answering.create_task(_answer(process, identities, json.loads(line)))
    raise StartError(f"the embedded MQTT broker has ended with exit code {await process.wait()}")


async def _answer(process: asyncio.subprocess.Process, identities: Identities, question: dict[str, str]) -> None:
    principal = await identities.authenticate(question["user"], question["password"], question["peer"])
    roles = None if principal is None else [role.value for role in Role if principal.has(role)]
    await _say(process, {"id": question["id"], "roles": roles})


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its standard input, which ends it; kill it when that does not."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _check_free(host: str, port: int) -> None:
    """Raise StartError when somebody else listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = (
                f"the embedded MQTT broker cannot listen on {host}:{port} ({error.strerror}): set mqtt.embedded.port "
                "to a free port, or mqtt.url to the broker that is to be used"
            )
            raise StartError(message) from error


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])

"""What REST and the live stream of pages show of the tree, seen as a client sees it: for `python -m server verify`."""

import asyncio
import math
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from address_space.model import BuiltinType, Plant, Variable
from gateways.observing import Observation, ObserveError, Plane
from gateways.web.mapping import parse_time
from gateways.web.settings import WebSettings, address
from server.store.ticks import UNIX_EPOCH_TICKS

_TICKS_A_MS = 10_000
_POLL_S = 0.5
_TIMEOUT = aiohttp.ClientTimeout(total=30)


async def observe(
    plant: Plant, settings: WebSettings, seconds: float, *, user: tuple[str, str], certificate: Path
) -> list[Plane]:
    """Read every value by REST, and follow the live stream, for some seconds.

    `user` is a name with its password, `certificate` the server's (PEM), for https. Raises ObserveError.
    """
    url = address(settings).rstrip("/")
    try:
        connector = aiohttp.TCPConnector(ssl=_tls(certificate) if settings.tls else False)
        async with aiohttp.ClientSession(url, connector=connector, timeout=_TIMEOUT) as client:
            id_ = await _log_in(client, *user)
            try:
                rest, live = await asyncio.gather(_poll(client, plant, seconds), _follow(client, plant, seconds))
            finally:
                with suppress(aiohttp.ClientError):
                    await client.delete(f"/api/v1/tokens/{id_}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ObserveError(f"the REST interface at {url} cannot be read: {error or 'no answer in time'}") from error
    return [
        Plane(
            "web REST",
            "values exact (no number, no time: null; Bad values hidden), StatusCode exact, time to the µs",
            rest,
            _same,
        ),
        Plane(
            "web live", "values exact (DateTimes to the ms), StatusCode exact, time to the ms", live, _same_to_the_ms
        ),
    ]


async def _log_in(client: aiohttp.ClientSession, user: str, password: str) -> str:
    """Have all that follows carry a token; returns its id."""
    form = {"user": user, "password": password, "note": "verify", "days": 0.1}
    async with client.post("/api/v1/tokens", json=form) as answer:
        made: dict[str, Any] = await answer.json(content_type=None)
        if answer.status != 201:
            raise ObserveError(f"REST lets {user} not in: {made.get('detail', answer.status)}")
    client.headers["Authorization"] = f"Bearer {made['token']}"
    return str(made["id"])


async def _poll(client: aiohttp.ClientSession, plant: Plant, seconds: float) -> list[Observation]:
    seen: list[Observation] = []
    end = asyncio.get_running_loop().time() + seconds
    while True:
        async with client.get("/api/v1/values") as answer:
            answer.raise_for_status()
            seen += [_of_rest(plant, form) for form in (await answer.json())["values"]]
        if asyncio.get_running_loop().time() >= end:
            return seen
        await asyncio.sleep(_POLL_S)


async def _follow(client: aiohttp.ClientSession, plant: Plant, seconds: float) -> list[Observation]:
    seen: list[Observation] = []
    async with client.ws_connect("/live", max_msg_size=0) as socket:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for message in socket:
                    rows: dict[str, list[Any]] = message.json()["v"]
                    seen += [_of_live(plant, path, *row) for path, row in rows.items()]
    return seen


def _of_rest(plant: Plant, form: dict[str, Any]) -> Observation:
    value, variable = form["value"], plant.find(form["path"])
    if variable is not None and variable.declaration.type is BuiltinType.DateTime and isinstance(value, str):
        value = parse_time(value)
    stamp = form["source_timestamp"]
    return Observation(form["path"], value, form["status_code"], None if stamp is None else parse_time(stamp))


def _of_live(plant: Plant, path: str, value: Any, status: int, stamp: int) -> Observation:
    variable = plant.find(path)
    if variable is not None and variable.declaration.type is BuiltinType.DateTime and value is not None:
        value = _ticks(value)
    return Observation(path, value, status, _ticks(stamp))


def _same(variable: Variable, truth: Observation, seen: Observation) -> bool:
    """OPC UA clients show whole microseconds, and so does REST."""
    return _alike(variable, truth, seen, ticks=10)


def _same_to_the_ms(variable: Variable, truth: Observation, seen: Observation) -> bool:
    return _alike(variable, truth, seen, ticks=_TICKS_A_MS)


def _alike(variable: Variable, truth: Observation, seen: Observation, ticks: int) -> bool:
    if truth.status != seen.status or (truth.source_timestamp or 0) // ticks != (seen.source_timestamp or 0) // ticks:
        return False
    expected = truth.value
    if expected is None or (isinstance(expected, float) and not math.isfinite(expected)):
        return seen.value is None
    if variable.declaration.type is BuiltinType.DateTime:
        if expected == 0 or seen.value is None:
            return expected == 0 and seen.value is None
        return int(expected) // ticks == int(seen.value) // ticks
    return bool(expected == seen.value)


def _ticks(unix_ms: int) -> int:
    return unix_ms * _TICKS_A_MS + UNIX_EPOCH_TICKS


def _tls(certificate: Path) -> ssl.SSLContext:
    """Return a context that trusts the server's certificate and nothing else, whatever host names are in it."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context

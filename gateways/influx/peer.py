"""The connection to a database: influxdb-client's v2 write API, with what refusals mean."""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from gateways.influx.answers import Refusal, refusal
from gateways.influx.settings import Database, InfluxSettings
from server.settings import SettingsError, is_loopback

_GZIP_LEVEL = 1
"""Measured: 11 to 1 at 2.9 million lines/s; level 9, influxdb-client's own, 14 to 1 at 0.56."""


class PeerError(Exception):
    """The database cannot be reached or will not take anything now; `retry_after` in seconds where it asks for that."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(Exception):
    """The database answered, and refused what it was sent."""

    def __init__(self, refused: Refusal) -> None:
        super().__init__(refused.reason)
        self.refused = refused


class Peer:
    """A database that answers."""

    def __init__(self, client: InfluxDBClientAsync, settings: InfluxSettings) -> None:
        self._client: Any = client
        self._settings = settings
        self._write: Any = WriteService(client.api_client)
        remote = not is_loopback(urlsplit(settings.url).hostname or "")
        self._gzip = settings.gzip == "on" or (settings.gzip == "auto" and remote)
        self.unanswered = 0
        """Writes that have no answer, yet or for ever: of each the database may have got a part."""

    async def write(self, body: bytes) -> None:
        """Send lines; returns once the database has confirmed all of them; raises RefusedError, PeerError."""
        encoding = "identity"
        if self._gzip:
            body, encoding = await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL), "gzip"
        settings = self._settings
        self.unanswered += 1
        try:
            await self._call(
                self._write.post_write_async(
                    org=settings.org, bucket=settings.bucket, body=body, precision="ns",
                    content_encoding=encoding, content_type="text/plain; charset=utf-8",
                )
            )  # fmt: skip
        except RefusedError:
            self.unanswered -= 1
            raise
        self.unanswered -= 1

    async def get(self, path: str) -> str:
        """Return what a GET answers; raises RefusedError, PeerError."""
        session: aiohttp.ClientSession = self._client.api_client.rest_client.pool_manager
        return await self._call(self._get(session, path))

    async def _get(self, session: aiohttp.ClientSession, path: str) -> str:
        headers = cast("dict[str, str]", self._client.api_client.default_headers)
        async with session.get(self._settings.url + path, headers=headers) as response:
            text = await response.text(errors="replace")
        if response.status >= 400:
            raise RefusedError(refusal(response.status, text, response.headers))
        return text

    async def database(self) -> Database:
        """Ask which database it is: VictoriaMetrics says so in its metrics."""
        if self._settings.database != "auto":
            return self._settings.database
        try:
            text = await self.get("/metrics")
        except RefusedError as error:
            if error.refused.status in (401, 403):
                raise PeerError(f"the database does not let us in: {error}") from error
            if error.refused.status >= 500 or error.refused.status == 429:
                raise PeerError(str(error), error.refused.retry_after) from error
            return "influxdb"  # one that shows no metrics
        return "victoriametrics" if "vm_app_version" in text else "influxdb"

    async def _call(self, request: Any) -> Any:
        try:
            return await request
        except ApiException as error:
            raise RefusedError(refusal(error.status or 0, _body(error), _headers(error))) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PeerError(f"{self._settings.url}: {_sentence(error)}") from error


@contextlib.asynccontextmanager
async def connect(settings: InfluxSettings) -> AsyncGenerator[Peer]:
    """Open a client for the time of a `with` block; nothing is sent yet."""
    token = settings.token.get_secret_value()
    client = InfluxDBClientAsync(
        settings.url,
        token=f"{settings.username}:{token}" if settings.username else token,
        org=settings.org,
        timeout=cast("Any", aiohttp.ClientTimeout(total=settings.timeout)),
        auth_basic=bool(settings.username),
        ssl_context=tls(settings),
    )
    try:
        yield Peer(client, settings)
    finally:
        await client.close()


def tls(settings: InfluxSettings) -> ssl.SSLContext:
    """Return what certificates are checked against; raises SettingsError when the file cannot be read."""
    try:
        return ssl.create_default_context(cafile=settings.ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"influx.ca: {settings.ca} cannot be read as PEM certificates: {error}") from error


def _body(error: ApiException) -> str:
    body: Any = error.body
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or error.reason or "")


def _headers(error: ApiException) -> Mapping[str, str]:
    headers: Any = error.headers
    return cast("Mapping[str, str]", headers or {})


def _sentence(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(error).split()) or type(error).__name__

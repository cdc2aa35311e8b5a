"""The HTTP server: /healthz for who starts and watches the server, /metrics for Prometheus; others add routes."""

import enum
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from server.errors import StartError
from server.metrics import Metrics
from server.settings import AUTO, HttpSettings

_ANY = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to
_NO_STORE = {"Cache-Control": "no-store"}


class Phase(enum.StrEnum):
    """What /healthz says in `status`."""

    Starting = "starting"
    Ok = "ok"
    Stopping = "stopping"


class Health:
    """Whether clients may connect, and if not, why."""

    def __init__(self) -> None:
        self.phase = Phase.Starting
        self.reasons: tuple[str, ...] = ()

    def starting(self, *reasons: str) -> None:
        """Say what the start waits for."""
        self.phase, self.reasons = Phase.Starting, reasons

    def ready(self) -> None:
        """Clients may connect from now on."""
        self.phase, self.reasons = Phase.Ok, ()

    def stopping(self, *reasons: str) -> None:
        """Clients should go elsewhere."""
        self.phase, self.reasons = Phase.Stopping, reasons


class Http:
    """The server on `settings.host` and `settings.port`; routes may be added to `app` before start().

    `details` adds keys to the answer of /healthz: what is worth seeing, though it does not decide the status.
    """

    def __init__(
        self, settings: HttpSettings, metrics: Metrics, details: Callable[[], Mapping[str, Any]] | None = None
    ) -> None:
        self.health = Health()
        self.app = web.Application()
        self.app.router.add_get("/healthz", self._healthz)
        self.app.router.add_get("/metrics", self._metrics_page)
        self.port = settings.port
        self._settings = settings
        self._metrics = metrics
        self._details = details
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; `port` is then the one taken. Raises StartError when the address cannot be had."""
        host, port = self._settings.host, self._settings.port
        runner = web.AppRunner(self.app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise StartError(
                f"HTTP cannot listen on {host}, port {port} (settings http.host, http.port): {reason}"
            ) from error
        self._runner = runner
        self.port = int(runner.addresses[0][1])

    @property
    def base_url(self) -> str:
        """Where others reach it, without a slash at the end; known once it listens."""
        if self._settings.public_url != AUTO:
            return self._settings.public_url.rstrip("/")
        host = self._settings.host
        if host in _ANY:
            host = socket.gethostname()
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def stop(self) -> None:
        """Stop listening and close every connection; requests under way have a second to end."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, _request: web.Request) -> web.Response:
        body: dict[str, Any] = {"status": self.health.phase}
        if self.health.reasons:
            body["reasons"] = list(self.health.reasons)
        if self._details is not None:
            body.update(self._details())
        status = 200 if self.health.phase is Phase.Ok else 503
        return web.json_response(body, status=status, headers=_NO_STORE)

    async def _metrics_page(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, **_NO_STORE})

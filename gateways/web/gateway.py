"""The operator page and the REST interface, served by uvicorn in the server's own event loop."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Generator

import uvicorn

from gateways.web.actions import Actions
from gateways.web.app import make_app
from gateways.web.frames import Protocol
from gateways.web.live import Live
from gateways.web.logins import Logins
from gateways.web.ports import Web
from gateways.web.reading import Reading
from gateways.web.sessions import Sessions
from gateways.web.settings import WebSettings, address
from gateways.web.tokens import Tokens
from server import logs
from server.errors import StartError
from server.ports import GatewayContext

log = logs.get(__name__)

_SHUTDOWN_S = 1
"""How long requests under way may take to end."""
_CONNECTIONS_BESIDE_PAGES = 500
_MOST_SOCKET_BYTES = 65_536
"""Of one message that a page sends."""
_MOST_HEADER_BYTES = 131_072


class WebGateway:
    """The gateway; logins end with it, tokens do not."""

    def __init__(self, context: GatewayContext, settings: WebSettings) -> None:
        self._context = context
        self._settings = settings
        self.port = settings.port
        """The TCP port that it listens on, once it does."""
        self.web = Web(
            context=context,
            settings=settings,
            sessions=Sessions(context.identities, settings, Logins(context.record)),
            tokens=Tokens(context.data_dir / "tokens.sqlite"),
            live=Live(context, settings.max_pages),
            actions=Actions(context),
            reading=Reading(context),
        )

    @property
    def url(self) -> str:
        """Where the operator page is."""
        return address(self._settings, self.port)

    async def run(self) -> None:
        """Serve until cancelled; raises StartError when the port cannot be had, sqlite3.Error without tokens."""
        await asyncio.to_thread(self.web.tokens.open)
        app = await asyncio.to_thread(make_app, self.web)  # half a second of imports and descriptions
        listener = await self._listener()
        self.port = int(listener.getsockname()[1])
        server = _Server(self._config(app))
        web = self.web
        beside = (
            web.live.run(),
            web.sessions.look_after(),
            web.tokens.look_after(web.sessions.known, web.sessions.logins),
        )
        tasks = [asyncio.create_task(it) for it in (server.serve([listener]), *beside)]
        try:
            status = self._context.status
            status.connected, status.last_error = True, ""
            log.info("operator page", url=self.url, api=f"{self.url}api/v1/openapi.json")
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
            raise RuntimeError("the HTTP server ended by itself")
        finally:
            await asyncio.gather(web.sessions.end_all(), _end(server, *tasks))
            listener.close()

    async def _listener(self) -> socket.socket:
        """Bind the port, so that one in use is told in one sentence."""
        host, port = self._settings.host, self._settings.port
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, kind, protocol, _, address = found[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.setblocking(False)
            except OSError:
                listener.close()
                raise
        except OSError as error:
            is_number = error.errno is not None and error.errno > 0  # those of getaddrinfo are not
            reason = os.strerror(error.errno or 0) if is_number else str(error.strerror or error)
            message = f"the operator page cannot listen on {host}, port {port} (settings web.host, web.port): {reason}"
            raise StartError(message) from error
        return listener

    def _config(self, app: object) -> uvicorn.Config:
        own = self._context
        return uvicorn.Config(
            app,  # type: ignore[arg-type]
            lifespan="off",
            http="h11",
            ws=Protocol,
            ws_max_size=_MOST_SOCKET_BYTES,
            ws_per_message_deflate=False,  # compressing for every page anew costs more than the bytes
            log_config=None,
            log_level="warning",
            access_log=False,
            h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
            server_header=False,
            proxy_headers=False,  # who is asking is who is connected
            limit_concurrency=self._settings.max_pages + _CONNECTIONS_BESIDE_PAGES,
            timeout_graceful_shutdown=_SHUTDOWN_S,
            ssl_certfile=own.certificate_file if self._settings.tls else None,
            ssl_keyfile=own.private_key_file if self._settings.tls else None,
        )


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: signals are the whole server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _end(server: _Server, serving: "asyncio.Task[None]", *beside: "asyncio.Task[None]") -> None:
    """Stop listening, let requests end for a second, then close every connection."""
    for task in beside:
        task.cancel()
    server.should_exit = True
    await asyncio.gather(serving, *beside, return_exceptions=True)
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    left = list(server.server_state.tasks)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)

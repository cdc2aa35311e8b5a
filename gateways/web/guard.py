"""What every request passes first: who asks, from which page, how often, and how much; and headers of every answer."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response

from gateways.web.ports import CSRF_HEADER, SCOPE_CALLER, SCOPE_SESSION, SCOPE_WEB, SignedOut, Web
from gateways.web.problems import problem
from gateways.web.sessions import Buckets, Sessions, WebSession
from gateways.web.tokens import Token, Tokens
from server.security.database import UsersError
from server.security.principal import Principal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/api/"
OPEN = ("/login", "/static/", "/favicon.ico")
"""What anybody may get."""
OPEN_API = ("/api/v1/tokens", "/api/v1/openapi.json")
"""Of the REST interface: what asks for a password itself, and the description."""
MOST_BYTES = 1 << 20
"""Of a request's body."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_COMMANDS, _STOP = "/api/v1/commands/", ".EmergencyStop"
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class TokenCaller:
    """Who acts by a token of the REST interface."""

    def __init__(self, token: Token, tokens: Tokens, sessions: Sessions, secret: str, peer: str) -> None:
        self.token = token
        self.peer = peer
        self._secret = secret
        self._tokens = tokens
        self._known = sessions.known

    @property
    def principal(self) -> Principal:
        """Who it is, with the roles of now; raises SignedOut."""
        token = self._tokens.find(self._secret)
        found = None if token is None else self._known.still(token.name, token.stamp)
        if found is None:
            raise SignedOut(self.token.name)
        return found

    @property
    def origin(self) -> str:
        """What the audit trail shows."""
        return f"rest {self.peer}"


class Guard:
    """ASGI middleware around everything."""

    def __init__(self, app: App, web: Web, tokens: Tokens) -> None:
        self._app = app
        self._web = web
        self._tokens = tokens
        self._sessions: Sessions = web.sessions
        self._strangers = Buckets(web.settings.logins_per_minute)
        """By address: how many unknown tokens of it are put onto the audit trail."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        caller, refusal = None, None
        try:
            caller = self._caller(connection)
        except UsersError as error:
            refusal = problem(503, f"users cannot be read: {error}")
        if caller is None and refusal is None and _bearer(connection) is not None:
            await self._audit_stranger(peer_of(connection))
        scope[SCOPE_WEB] = self._web
        scope[SCOPE_CALLER] = caller
        scope[SCOPE_SESSION] = caller if isinstance(caller, WebSession) else None
        refusal = refusal or self._refusal(scope, connection.headers, caller)
        if scope["type"] == "websocket":
            if refusal is not None:
                await _refuse_socket(refusal, receive, send)
                return
            await self._app(scope, receive, send)
            return
        send = _with_headers(send, scope["path"])
        if refusal is not None:
            await refusal(scope, receive, send)  # type: ignore[arg-type]
            return
        await self._app(scope, _bounded(receive), send)

    async def _audit_stranger(self, peer: str) -> None:
        """Record a token that there is not; so often from one address, not as often as somebody may try."""
        if not self._strangers.take(peer):
            await self._sessions.logins.unknown_token(f"rest {peer}")

    def _caller(self, connection: HTTPConnection) -> WebSession | TokenCaller | None:
        secret = _bearer(connection)
        if secret is not None:
            token = self._tokens.find(secret)
            if token is None:
                return None
            caller = TokenCaller(token, self._tokens, self._sessions, secret, peer_of(connection))
            return caller if self._sessions.known.still(token.name, token.stamp) is not None else None
        cookie = connection.cookies.get(self._sessions.cookie)
        return None if cookie is None else self._sessions.find(cookie)

    def _refusal(self, scope: Scope, headers: Headers, caller: WebSession | TokenCaller | None) -> Response | None:
        """Return the answer to a request that must not pass."""
        path, method = scope["path"], scope.get("method", "GET")
        by_script = isinstance(caller, TokenCaller)
        changes = scope["type"] == "websocket" or method not in _SAFE
        if changes and not by_script and not _same_origin(headers, needed=scope["type"] == "websocket"):
            return problem(403, "the request comes from a page of another server")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MOST_BYTES:
            return problem(413, f"a request has at most {MOST_BYTES} bytes")
        if caller is None:
            return self._refuse_stranger(path, method, scope)
        csrf = headers.get(CSRF_HEADER, "")
        is_change = changes and scope["type"] == "http" and path != "/login"
        if is_change and isinstance(caller, WebSession) and not caller.is_csrf(csrf):
            return problem(403, f"what changes something needs the header {CSRF_HEADER} with the session's token")
        is_stop = method == "POST" and path.startswith(_COMMANDS) and path.endswith(_STOP)
        if path.startswith(API) and not is_stop:  # nothing holds up a stop
            key = caller.token.id if isinstance(caller, TokenCaller) else caller.csrf
            wait = self._sessions.requests.take(key)
            if wait:
                return problem(429, "too many requests", {"Retry-After": str(int(wait) + 1)})
        return None

    def _refuse_stranger(self, path: str, method: str, scope: Scope) -> Response | None:
        if path.startswith(OPEN) or (path in OPEN_API and (method == "POST" or path == OPEN_API[1])):
            return None
        if path.startswith(API) or scope["type"] == "websocket" or method not in _SAFE:
            return problem(401, "log in, or send a token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
        query = scope.get("query_string", b"").decode("latin-1")
        wanted = quote(path + (f"?{query}" if query else ""), safe="/")
        return RedirectResponse("/login" if path == "/" else f"/login?next={wanted}", 303)


def peer_of(connection: HTTPConnection) -> str:
    """Return the address that a request comes from."""
    return connection.client.host if connection.client is not None else "local"


def _bearer(connection: HTTPConnection) -> str | None:
    """Return the token that a request comes with (RFC 6750 2.1)."""
    kind, _, secret = connection.headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else None


def _same_origin(headers: Headers, *, needed: bool) -> bool:
    """Whether a browser says that the request is from a page of ours; `needed`: and does say where it is from.

    Behind a proxy the scheme may differ, so host and port decide.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return not needed
    site = urlsplit(origin).netloc.lower()
    return bool(site) and site == headers.get("host", "").lower()


def _with_headers(send: Send, path: str) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if not path.startswith("/static/"):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MOST_BYTES:
            raise HTTPException(413, f"a request has at most {MOST_BYTES} bytes")
        return message

    return receiving


async def _refuse_socket(refusal: Response, receive: Receive, send: Send) -> None:
    """Answer a WebSocket's opening as what it is: an HTTP request (ASGI extension websocket.http.response)."""
    await receive()
    headers = [(name, value) for name, value in refusal.raw_headers if name != b"content-length"]
    await send({"type": "websocket.http.response.start", "status": refusal.status_code, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": bytes(refusal.body)})

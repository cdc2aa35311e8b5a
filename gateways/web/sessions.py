"""Who is logged in by cookie: sessions in memory, which end with the server; and how often something may be tried."""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from gateways.web.ports import SignedOut
from gateways.web.settings import WebSettings
from server import logs
from server.ports import Identities
from server.security.database import UsersError
from server.security.principal import Principal

log = logs.get(__name__)

_FRESH_S = 2.0
"""How long what the users' database has said of a name is believed."""
_MOST_SESSIONS = 10_000
_MOST_BUCKETS = 10_000


class Known:
    """Who a name is now, asked at most every two seconds: a user removed or given other roles is so everywhere."""

    def __init__(self, identities: Identities, clock: Callable[[], float] = time.monotonic) -> None:
        self._identities = identities
        self._clock = clock
        self._found: OrderedDict[str, tuple[float, Principal | None]] = OrderedDict()

    def __call__(self, name: str) -> Principal | None:
        """Return the user; None when there is none any more. Raises UsersError for one not known before."""
        now = self._clock()
        found = self._found.get(name)
        if found is None or now - found[0] > _FRESH_S:
            try:
                found = self._found[name] = (now, self._identities.named(name))
            except UsersError as error:
                if found is None:
                    raise
                # A stop must not fail because the disk does: who it was a moment ago, it still is.
                log.error("users cannot be read", user=name, error=str(error))
            while len(self._found) > _MOST_SESSIONS:
                self._found.popitem(last=False)
        return found[1]

    def forget(self, name: str) -> None:
        """Ask anew the next time."""
        self._found.pop(name, None)


class Buckets:
    """A token bucket a key: `per_minute` on average, as many at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Return 0 where it is allowed, else in how many seconds to try again."""
        now = self._clock()
        left, then = self._left.pop(key, (self._most, now))
        left = min(self._most, left + (now - then) * self._most / 60)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now)
        while len(self._left) > _MOST_BUCKETS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._most


class WebSession:
    """A login by cookie; `gateways.web.ports.Session` says what its parts are for."""

    def __init__(self, name: str, peer: str, language: str, sessions: "Sessions") -> None:
        self.name = name
        self.peer = peer
        self.language = language
        self.csrf = secrets.token_urlsafe(24)
        self._sessions = sessions
        self._ended = False
        self._began = self._seen = sessions.now()

    @property
    def alive(self) -> bool:
        """Whether it still holds."""
        if self._ended or self._sessions.known(self.name) is None:
            return False
        now, settings = self._sessions.now(), self._sessions.settings
        return now - self._seen <= settings.session_timeout and now - self._began <= settings.session_lifetime

    @property
    def principal(self) -> Principal:
        """Who it is, with the roles of now; raises SignedOut."""
        found = self._sessions.known(self.name) if self.alive else None
        if found is None:
            raise SignedOut(self.name)
        return found

    @property
    def origin(self) -> str:
        """What the audit trail shows."""
        return f"web {self.peer}"

    @property
    def left(self) -> float:
        """In how many seconds it ends, when it is used until then."""
        return max(0.0, self._began + self._sessions.settings.session_lifetime - self._sessions.now())

    def touch(self) -> None:
        """Say that it is in use."""
        self._seen = self._sessions.now()

    def end(self) -> None:
        """End it."""
        self._ended = True

    def is_csrf(self, given: str) -> bool:
        """Whether this is its CSRF token."""
        return hmac.compare_digest(self.csrf.encode(), given.encode("utf-8", "replace"))


class Sessions:
    """All logins by cookie. What a cookie holds is kept as its hash: who reads memory cannot use it."""

    def __init__(
        self, identities: Identities, settings: WebSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self.now = clock
        self.known = Known(identities, clock)
        self.attempts = Buckets(settings.logins_per_minute, clock)
        """By address."""
        self.requests = Buckets(settings.requests_per_minute, clock)
        """By login or token."""
        self._identities = identities
        self._open: OrderedDict[bytes, WebSession] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def cookie(self) -> str:
        """The cookie's name; with TLS browsers see to it that nobody else sets it (RFC 6265bis 4.1.3.2)."""
        return "__Host-plantree" if self.settings.tls else "plantree"

    async def log_in(self, name: str, password: str, peer: str, language: str) -> tuple[str, WebSession] | None:
        """Return what the cookie holds, and the session; None for a wrong name or password."""
        principal = await self.check(name, password, peer)
        if principal is None:
            return None
        self._forget_ended()
        secret = secrets.token_urlsafe(32)
        session = WebSession(principal.name, peer, language, self)
        self._open[_hash(secret)] = session
        while len(self._open) > _MOST_SESSIONS:
            self._open.popitem(last=False)[1].end()
        return secret, session

    async def check(self, name: str, password: str, peer: str) -> Principal | None:
        """Return who has this password; None for nobody, and for a user who cannot be asked for again by name."""
        principal = await self._identities.authenticate(name, password, peer)
        if principal is None:
            return None
        self.known.forget(principal.name)
        return self.known(principal.name)

    def find(self, secret: str) -> WebSession | None:
        """Return the session of a cookie, None when it has ended."""
        key = _hash(secret)
        session = self._open.get(key)
        if session is None:
            return None
        if not session.alive:
            del self._open[key]
            session.end()
            return None
        session.touch()
        return session

    def end_all(self) -> None:
        """End all of them."""
        for session in self._open.values():
            session.end()
        self._open.clear()

    def _forget_ended(self) -> None:
        for key in [key for key, session in self._open.items() if not session.alive]:
            self._open.pop(key).end()


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()

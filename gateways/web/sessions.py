"""Who is logged in by cookie: sessions in memory, which end with the server; and how often something may be tried."""

import asyncio
import hashlib
import hmac
import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from gateways.web.logins import Logins, Why
from gateways.web.ports import SignedOut
from gateways.web.settings import WebSettings
from server import logs
from server.ports import Identities
from server.security.database import UsersError
from server.security.principal import Principal

log = logs.get(__name__)

_FRESH_S = 2.0
"""How long what the users' database has said of a name is believed."""
_LOOK_S = 1.0
"""How often logins are looked at, whether they have ended."""
_MOST_SESSIONS = 10_000
_MOST_BUCKETS = 10_000


class Standing(NamedTuple):
    """Who somebody is, and what is another text once the password or the roles have changed."""

    principal: Principal
    stamp: str


class Known:
    """Who a name is now, asked at most every two seconds: what another process changes in the users is seen."""

    def __init__(self, identities: Identities, clock: Callable[[], float] = time.monotonic) -> None:
        self._identities = identities
        self._clock = clock
        self._found: OrderedDict[str, tuple[float, Standing | None]] = OrderedDict()

    def __call__(self, name: str) -> Standing | None:
        """Return the user; None when there is none any more. Raises UsersError for one not known before."""
        now = self._clock()
        found = self._found.get(name)
        if found is None or now - found[0] > _FRESH_S:
            try:
                given = self._identities.standing(name)
                found = self._found[name] = (now, None if given is None else Standing(*given))
            except UsersError as error:
                if found is None:
                    raise
                # A stop must not fail because the disk does: who it was a moment ago, it still is.
                log.error("users cannot be read", user=name, error=str(error))
            while len(self._found) > _MOST_SESSIONS:
                self._found.popitem(last=False)
        return found[1]

    def still(self, name: str, stamp: str) -> Principal | None:
        """Return the user; None when password or roles are no longer those of the stamp."""
        found = self(name)
        return found.principal if found is not None and found.stamp == stamp else None

    def anew(self, name: str) -> Standing | None:
        """Ask now."""
        self._found.pop(name, None)
        return self(name)


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

    def __init__(self, holder: Standing, peer: str, language: str, sessions: "Sessions") -> None:
        self.name = holder.principal.name
        self.peer = peer
        self.language = language
        self.csrf = secrets.token_urlsafe(24)
        self.id = f"ns=1;g={uuid.uuid4()}"
        """The SessionId that audit events show."""
        self._stamp = holder.stamp
        self._sessions = sessions
        self._ended = False
        self._began = self._seen = sessions.now()

    @property
    def alive(self) -> bool:
        """Whether it still holds."""
        return not self._ended and not self.is_over and self._sessions.known.still(self.name, self._stamp) is not None

    @property
    def is_over(self) -> bool:
        """Whether it has not been used for too long, or has lasted too long."""
        now, settings = self._sessions.now(), self._sessions.settings
        return now - self._seen > settings.session_timeout or now - self._began > settings.session_lifetime

    @property
    def principal(self) -> Principal:
        """Who it is; raises SignedOut."""
        found = self._sessions.known.still(self.name, self._stamp) if self.alive else None
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
        self,
        identities: Identities,
        settings: WebSettings,
        logins: Logins | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.logins = logins or Logins(None)
        self.now = clock
        self.known = Known(identities, clock)
        self.attempts = Buckets(settings.logins_per_minute, clock)
        """By address."""
        self.held_up = Buckets(1, clock)
        """By address: how many attempts that were one too many are put onto the audit trail."""
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

    async def open(self, holder: Standing, peer: str, language: str) -> tuple[str, WebSession]:
        """Return what the cookie holds, and the session of somebody whose password was checked."""
        secret = secrets.token_urlsafe(32)
        session = WebSession(holder, peer, language, self)
        self._open[_hash(secret)] = session
        while len(self._open) > _MOST_SESSIONS:
            await self.close(next(iter(self._open.values())), "Terminated")
        await self.logins.opened(holder.principal, session.origin, session.id)
        return secret, session

    async def check(self, name: str, password: str, peer: str) -> Standing | None:
        """Return who has this password; None for nobody, and for a user who cannot be asked for again by name."""
        for _ in range(2):  # the password may change while it is checked
            before = self.known.anew(name)
            if await self._identities.authenticate(name, password, peer) is None:
                return None
            found = self.known.anew(name)
            if found == before:
                return found
        return None

    async def close(self, session: WebSession, why: Why) -> None:
        """End a login, and record why."""
        session.end()
        for key in [key for key, it in self._open.items() if it is session]:
            del self._open[key]
            await self.logins.closed(Principal(session.name, frozenset()), session.origin, session.id, why)

    async def look_after(self) -> None:
        """End logins that nobody uses any more, and those whose user has changed; until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for session in list(self._open.values()):
                try:
                    if not session.alive:
                        await self.close(session, "Timeout" if session.is_over else "Terminated")
                except UsersError as error:
                    log.error("users cannot be read", user=session.name, error=str(error))

    def find(self, secret: str) -> WebSession | None:
        """Return the session of a cookie, None when it has ended."""
        session = self._open.get(_hash(secret))
        if session is None:
            return None
        if not session.alive:
            return None
        session.touch()
        return session

    async def end_all(self) -> None:
        """End all of them: the server stops."""
        for session in list(self._open.values()):
            await self.close(session, "Terminated")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()

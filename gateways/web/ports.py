"""What the pages and the REST interface share: who is logged in, what they may reach, and how the two are joined.

`gateways.web.pages.mount(app)` adds every page, GET /login and /static to the FastAPI app; what is here is in the scope
of every request, so that a process may run several servers.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateways.web.settings import WebSettings
from server.ports import GatewayContext
from server.security.principal import Principal

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from gateways.web.actions import Actions
    from gateways.web.live import Live
    from gateways.web.reading import Reading
    from gateways.web.sessions import Sessions
    from gateways.web.tokens import Tokens

SCOPE_WEB, SCOPE_SESSION, SCOPE_CALLER = "plantree.web", "plantree.session", "plantree.caller"
CSRF_HEADER = "X-CSRF-Token"
LANGUAGES = ("en", "de")


class SignedOut(Exception):  # noqa: N818 - it reads as what happened
    """The login has ended: logged out, too long ago, or the user was removed."""


class Session(Protocol):
    """A login by cookie."""

    csrf: str
    """Goes with everything that changes something, in the header X-CSRF-Token."""
    language: str
    """`en` or `de`; a page may set it."""
    peer: str
    """The address that it was opened from."""

    @property
    def alive(self) -> bool:
        """Whether it still holds."""
        ...

    @property
    def principal(self) -> Principal:
        """Who it is, with the roles of now; raises SignedOut. Ask again for each thing that is done."""
        ...

    @property
    def origin(self) -> str:
        """What the audit trail shows: `web 10.0.0.7`."""
        ...


@dataclass(frozen=True, slots=True)
class Web:
    """What a page or a REST call reaches."""

    context: GatewayContext
    settings: WebSettings
    sessions: "Sessions"
    tokens: "Tokens"
    live: "Live"
    actions: "Actions"
    """Everything that changes the plant."""
    reading: "Reading"
    """Values, history, alarms and audit as plain JSON forms, by the rights of a principal."""


def web_of(request: "HTTPConnection") -> Web:
    """Return what this request reaches."""
    found: Web = request.scope[SCOPE_WEB]
    return found


def current(request: "HTTPConnection") -> "Session | None":
    """Return who is logged in by cookie; None for nobody. Pages without a login are redirected to /login before."""
    found: Session | None = request.scope.get(SCOPE_SESSION)
    return found if found is not None and found.alive else None


def language_of(request: "HTTPConnection") -> str:
    """Return `en` or `de`: of the session, else what the browser prefers."""
    session = current(request)
    return session.language if session is not None else preferred(request.headers.get("accept-language", ""))


def preferred(header: str) -> str:
    """Return the first of our languages in an Accept-Language header, by its weights (RFC 9110 12.5.4)."""
    weights: dict[str, float] = {}
    for part in header.split(","):
        name, _, weight = part.strip().partition(";q=")
        language = name.strip().lower().partition("-")[0]
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and value > weights.get(language, 0.0):
            weights[language] = value
    return max(weights, key=lambda it: weights[it], default=LANGUAGES[0])

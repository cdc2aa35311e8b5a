"""Logging in and out with a cookie, for pages; tokens are in gateways.web.api.tokens."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateways.web.api.common import Form, answer
from gateways.web.guard import peer_of
from gateways.web.ports import LANGUAGES, SCOPE_SESSION, preferred, web_of
from gateways.web.problems import problem
from gateways.web.sessions import WebSession
from server.security.principal import Principal

router = APIRouter(include_in_schema=False)

WRONG = "wrong name or password"


class Credentials(Form):
    """Who logs in."""

    user: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=1024)
    language: str = Field(default="", max_length=8)


async def checked(request: Request, user: str, password: str) -> Principal:
    """Return who has this password; raises HTTPException 401, and 429 for too many attempts of an address."""
    web = web_of(request)
    _allow(request)
    principal = await web.sessions.check(user, password, peer_of(request))
    if principal is None:
        raise HTTPException(401, WRONG)
    return principal


@router.post("/login")
async def log_in(request: Request, body: Credentials) -> Response:
    """Open a session; the cookie is no script's to read, and goes to no other site (SameSite=Strict)."""
    web = web_of(request)
    _allow(request)
    language = body.language if body.language in LANGUAGES else preferred(request.headers.get("accept-language", ""))
    found = await web.sessions.log_in(body.user, body.password, peer_of(request), language)
    if found is None:
        return problem(401, WRONG)
    before: WebSession | None = request.scope[SCOPE_SESSION]
    if before is not None:
        before.end()
    secret, session = found
    response = answer(session_form(session))
    response.set_cookie(
        web.sessions.cookie, secret, max_age=int(web.settings.session_lifetime), path="/", httponly=True,
        secure=web.settings.tls, samesite="strict",
    )  # fmt: skip
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session."""
    session: WebSession | None = request.scope[SCOPE_SESSION]
    if session is not None:
        session.end()
    sessions = web_of(request).sessions
    response = Response(status_code=204, headers={"Clear-Site-Data": '"cache", "storage"'})
    response.delete_cookie(sessions.cookie, path="/", httponly=True, secure=sessions.settings.tls, samesite="strict")
    return response


def session_form(session: WebSession) -> dict[str, Any]:
    """Return what a page knows of its session."""
    principal = session.principal
    return {
        "name": principal.name,
        "roles": sorted(principal.roles),
        "csrf": session.csrf,
        "language": session.language,
        "expires_in": session.left,
    }


def _allow(request: Request) -> None:
    wait = web_of(request).sessions.attempts.take(peer_of(request))
    if wait:
        raise HTTPException(429, "too many attempts to log in from this address", {"Retry-After": str(int(wait) + 1)})

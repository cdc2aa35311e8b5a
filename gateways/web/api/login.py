"""Logging in and out with a cookie, for pages; tokens are in gateways.web.api.tokens."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateways.web.api.common import Form, answer
from gateways.web.guard import peer_of
from gateways.web.ports import LANGUAGES, SCOPE_SESSION, preferred, web_of
from gateways.web.sessions import Standing, WebSession

router = APIRouter(include_in_schema=False)

WRONG = "wrong name or password"
TOO_OFTEN = "too many attempts to log in from this address"


class Credentials(Form):
    """Who logs in."""

    user: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=1024)
    language: str = Field(default="", max_length=8)


async def checked(request: Request, user: str, password: str, plane: str) -> Standing:
    """Return who has this password; raises HTTPException 401, and 429 for too many attempts of an address."""
    sessions, peer = web_of(request).sessions, peer_of(request)
    wait = sessions.attempts.take(peer)
    if wait:
        if not sessions.held_up.take(peer):
            await sessions.logins.refused(user, f"{plane} {peer}", TOO_OFTEN)
        raise HTTPException(429, TOO_OFTEN, {"Retry-After": str(int(wait) + 1)})
    found = await sessions.check(user, password, peer)
    if found is None:
        await sessions.logins.refused(user, f"{plane} {peer}", WRONG)
        raise HTTPException(401, WRONG)
    return found


@router.post("/login")
async def log_in(request: Request, body: Credentials) -> Response:
    """Open a session; the cookie is no script's to read, and goes to no other site (SameSite=Strict)."""
    sessions = web_of(request).sessions
    found = await checked(request, body.user, body.password, "web")
    language = body.language if body.language in LANGUAGES else preferred(request.headers.get("accept-language", ""))
    before: WebSession | None = request.scope[SCOPE_SESSION]
    if before is not None:
        await sessions.close(before, "CloseSession")
    secret, session = await sessions.open(found, peer_of(request), language)
    response = answer(session_form(session))
    response.set_cookie(
        sessions.cookie, secret, max_age=int(sessions.settings.session_lifetime), path="/", httponly=True,
        secure=sessions.settings.tls, samesite="strict",
    )  # fmt: skip
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session."""
    session: WebSession | None = request.scope[SCOPE_SESSION]
    sessions = web_of(request).sessions
    if session is not None:
        await sessions.close(session, "CloseSession")
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

"""Tokens: made with a user's password or by who is logged in, listed and revoked by their user."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from address_space.model import Role
from gateways.web.api.common import Answer, Form, TheCaller, TheWeb, answer, documented
from gateways.web.api.login import checked
from gateways.web.guard import peer_of
from gateways.web.tokens import Token, TooManyTokens

router = APIRouter(tags=["tokens"])

_DAY_S = 86_400.0
Id = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]


class NewToken(Form):
    """Whose token, and for how long."""

    user: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=1024, json_schema_extra={"format": "password"})
    note: str = Field(default="", max_length=200, description="What it is for.")
    days: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="The longest by default.")


class TokenInfo(Answer):
    """A token without its secret."""

    id: str
    user: str
    note: str
    created: str
    expires: str


class MadeToken(TokenInfo):
    """A token with its secret, which is shown once."""

    token: str


class TokenList(Answer):
    """A user's tokens."""

    tokens: list[TokenInfo]


@router.post("/tokens", status_code=201, responses=documented(MadeToken, 409, 503, status=201))
async def make_token(body: NewToken, web: TheWeb, request: Request) -> Response:
    """Make a token for `Authorization: Bearer …`, with a user's name and password."""
    holder = await checked(request, body.user, body.password, "rest")
    most = web.settings.token_days
    days = most if body.days is None else min(body.days, most)
    try:
        secret, token = await web.tokens.add(holder, body.note, days * _DAY_S)
    except TooManyTokens:
        raise HTTPException(409, f"{holder.principal.name} has too many tokens: revoke one first") from None
    await web.sessions.logins.opened(holder.principal, f"rest {peer_of(request)}", token.session)
    return answer({**_form(token), "token": secret}, 201)


@router.get("/tokens", responses=documented(TokenList))
async def list_tokens(web: TheWeb, caller: TheCaller) -> Response:
    """Return your tokens."""
    return answer({"tokens": [_form(it) for it in web.tokens.of(caller.principal.name)]})


@router.delete(
    "/tokens/{id}", status_code=204, response_class=Response, responses=documented(None, 404, 503, status=204)
)
async def revoke_token(id: Id, web: TheWeb, caller: TheCaller) -> Response:  # noqa: A002
    """Revoke a token: yours, or as a SecurityAdmin anybody's."""
    token, principal = web.tokens.by_id(id), caller.principal
    if token is None or (token.name != principal.name and not principal.has(Role.SecurityAdmin)):
        raise HTTPException(404, f"there is no token {id}")
    await web.tokens.revoke(token)
    await web.sessions.logins.closed(principal, caller.origin, token.session, "CloseSession")
    return Response(status_code=204)


def _form(token: Token) -> dict[str, Any]:
    created, expires = (datetime.fromtimestamp(it, UTC).isoformat() for it in (token.created, token.expires))
    return {"id": token.id, "user": token.name, "note": token.note, "created": created, "expires": expires}

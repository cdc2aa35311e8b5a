"""Who is asking: the session of a page, or a token."""

from typing import Literal

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateways.web.api.common import Answer, Form, TheCaller, TheWeb, answer, documented
from gateways.web.api.login import session_form
from gateways.web.sessions import WebSession

router = APIRouter(tags=["session"])


class Session(Answer):
    """Who is asking; `csrf` and `language` are those of a page's session."""

    name: str
    roles: list[str]
    csrf: str | None = None
    language: str | None = None
    expires_in: float | None = None


class Wishes(Form):
    """What a page may choose."""

    language: Literal["en", "de"]


@router.get("/session", responses=documented(Session))
async def read_session(_web: TheWeb, caller: TheCaller) -> Response:
    """Return your name and roles."""
    if isinstance(caller, WebSession):
        return answer(session_form(caller))
    principal = caller.principal
    return answer({"name": principal.name, "roles": sorted(principal.roles)})


@router.put("/session", responses=documented(Session, 409))
async def change_session(body: Wishes, _web: TheWeb, caller: TheCaller) -> Response:
    """Choose the language of the pages; a token has none."""
    if not isinstance(caller, WebSession):
        raise HTTPException(409, "a token shows no pages")
    caller.language = body.language
    return answer(session_form(caller))

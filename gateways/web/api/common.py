"""What the routers share: who asks, how times are given, and how answers are made and described."""

from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateways.web.guard import TokenCaller
from gateways.web.mapping import parse_time
from gateways.web.ports import SCOPE_CALLER, Web, web_of
from gateways.web.problems import CONTENT_TYPE
from gateways.web.sessions import WebSession
from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND

_HOUR = 3600 * TICKS_PER_SECOND
_PROBLEMS = {
    400: "The request cannot be understood",
    401: "Nobody is logged in",
    403: "Not allowed",
    404: "There is no such thing",
    405: "There is no such method here",
    409: "The state does not allow it",
    413: "The request is too large",
    422: "Something given is wrong; nothing was changed",
    429: "Too many requests",
    500: "A defect of the server",
    501: "Not supported here",
    502: "What it concerns does not answer",
    503: "Not possible now",
    504: "No confirmation in time",
}
_ALWAYS = (400, 401, 403, 413, 422, 429, 500)


class Form(BaseModel):
    """What a client sends: no more than is known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """What the server sends."""


async def _web(request: Request) -> Web:
    return web_of(request)


async def _caller(request: Request) -> WebSession | TokenCaller:
    found: WebSession | TokenCaller | None = request.scope[SCOPE_CALLER]
    if found is None:
        raise HTTPException(401, "log in, or send a token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
    return found


async def no_unknown_query(request: Request) -> None:
    """Refuse parameters that the operation has not: one that is misspelled must not be as if it were not there."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    if unknown := sorted(set(request.query_params) - known):
        message = f"there is no such parameter; there are {', '.join(sorted(known)) or 'none'}"
        raise RequestValidationError([{"loc": ("query", name), "msg": message, "type": "extra"} for name in unknown])


TheWeb = Annotated[Web, Depends(_web)]
TheCaller = Annotated[WebSession | TokenCaller, Depends(_caller)]

Start = Annotated[
    str | None, Query(description="From this time on, in ISO 8601; an hour before `end` by default.", max_length=64)
]
End = Annotated[str | None, Query(description="Before this time, in ISO 8601; now by default.", max_length=64)]


def span(start: str | None, end: str | None) -> tuple[int, int]:
    """Return ticks of a start and an end; RequestValidationError says which of them is wrong."""
    until = now_ticks() if end is None else _time("end", end)
    since = until - _HOUR if start is None else _time("start", start)
    if since >= until:
        raise RequestValidationError([{"loc": ("query", "start"), "msg": "must be before end", "type": "value_error"}])
    return since, until


def _time(name: str, text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise RequestValidationError([{"loc": ("query", name), "msg": str(error), "type": "value_error"}]) from None


def answer(form: Any, status: int = 200) -> Response:
    """Return an answer in JSON; a non-number is null."""
    return Response(orjson.dumps(form), status, media_type="application/json")


def documented(model: type[BaseModel] | None, *problems: int, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of an operation's answers: `model`, and problems beside those that any has."""
    described: dict[int | str, dict[str, Any]] = {
        code: {
            "description": _PROBLEMS[code],
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for code in sorted({*_ALWAYS, *problems})
    }
    described[status] = {"description": "Done"} if model is None else {"description": "Done", "model": model}
    return described

"""Errors as problem+json (RFC 9457), whatever went wrong: one form for a script to read."""

import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from asyncua.ua.status_codes import StatusCodes
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateways.web.mapping import status_name
from gateways.web.ports import SignedOut
from server import logs, quality
from server.history import HistoryError, UnreachableError, UnsupportedError
from server.ports import CommandError
from server.security.database import UsersError

log = logs.get(__name__)

CONTENT_TYPE = "application/problem+json"

_HTTP: dict[int, HTTPStatus] = {
    quality.BAD_USER_ACCESS_DENIED: HTTPStatus.FORBIDDEN,
    quality.BAD_NOT_WRITABLE: HTTPStatus.FORBIDDEN,
    quality.BAD_NOT_FOUND: HTTPStatus.NOT_FOUND,
    quality.BAD_METHOD_INVALID: HTTPStatus.NOT_FOUND,
    StatusCodes.BadNodeIdUnknown: HTTPStatus.NOT_FOUND,
    StatusCodes.BadNodeIdInvalid: HTTPStatus.NOT_FOUND,
    quality.BAD_OUT_OF_RANGE: HTTPStatus.UNPROCESSABLE_ENTITY,
    quality.BAD_TYPE_MISMATCH: HTTPStatus.UNPROCESSABLE_ENTITY,
    quality.BAD_INVALID_ARGUMENT: HTTPStatus.UNPROCESSABLE_ENTITY,
    quality.BAD_ARGUMENTS_MISSING: HTTPStatus.UNPROCESSABLE_ENTITY,
    quality.BAD_TOO_MANY_ARGUMENTS: HTTPStatus.UNPROCESSABLE_ENTITY,
    StatusCodes.BadShelvingTimeOutOfRange: HTTPStatus.UNPROCESSABLE_ENTITY,
    StatusCodes.BadEventIdUnknown: HTTPStatus.CONFLICT,
    quality.BAD_INVALID_STATE: HTTPStatus.CONFLICT,
    quality.BAD_NOT_SUPPORTED: HTTPStatus.NOT_IMPLEMENTED,
    quality.BAD_NO_COMMUNICATION: HTTPStatus.BAD_GATEWAY,
    quality.BAD_NOT_CONNECTED: HTTPStatus.BAD_GATEWAY,
    quality.BAD_DEVICE_FAILURE: HTTPStatus.BAD_GATEWAY,
    quality.BAD_RESOURCE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    quality.BAD_SHUTDOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    quality.BAD_TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
}
"""What a StatusCode is in HTTP; of conditions, all others say that the state does not allow it."""


def http_status(code: int) -> HTTPStatus:
    """Return the HTTP status of a StatusCode."""
    if code in _HTTP:
        return _HTTP[code]
    return HTTPStatus.CONFLICT if status_name(code).startswith("BadCondition") else HTTPStatus.INTERNAL_SERVER_ERROR


def problem(
    status: int, detail: str, headers: dict[str, str] | None = None, *, more: Mapping[str, Any] | None = None
) -> Response:
    """Return an answer that says what went wrong."""
    form = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        **(more or {}),
    }
    return Response(orjson.dumps(form), int(status), {"Cache-Control": "no-store", **(headers or {})}, CONTENT_TYPE)


def of_command(error: CommandError) -> Response:
    """Return what a command's or a write's failure is in HTTP."""
    more = {"status_code": error.status, "status_name": status_name(error.status)}
    return problem(http_status(error.status), str(error), more=more)


async def on_http(_request: Request, error: Exception) -> Response:
    """Answer what FastAPI and our own routes raise."""
    assert isinstance(error, HTTPException)  # noqa: S101
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


async def on_command(_request: Request, error: Exception) -> Response:
    """Answer CommandError."""
    assert isinstance(error, CommandError)  # noqa: S101
    return of_command(error)


async def on_invalid(_request: Request, error: Exception) -> Response:
    """Answer input of the wrong form: every mistake, and where it is."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = [
        {"where": ".".join(str(part) for part in fault["loc"]), "message": str(fault["msg"])}
        for fault in error.errors()
    ]
    first = faults[0] if faults else {"where": "", "message": "the request cannot be understood"}
    return problem(422, f"{first['where']}: {first['message']}", more={"errors": faults})


async def on_history(_request: Request, error: Exception) -> Response:
    """Answer HistoryError."""
    status = HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, UnsupportedError):
        status = HTTPStatus.NOT_IMPLEMENTED
    elif isinstance(error, UnreachableError):
        status = HTTPStatus.BAD_GATEWAY
    return problem(status, str(error))


async def on_signed_out(_request: Request, _error: Exception) -> Response:
    """Answer what a login that has ended still asks for."""
    return problem(401, "the login has ended", {"WWW-Authenticate": "Bearer"})


async def on_disk(_request: Request, error: Exception) -> Response:
    """Answer what the disk refuses."""
    log.error("not kept", error=str(error))
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, f"it cannot be kept, or read: {error}")


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer a defect of our own: the log has it, the answer does not."""
    log.error("request broke", method=request.method, path=request.url.path, exc_info=error)
    return problem(500, "the server could not answer; its log says why")


HANDLERS: dict[Any, Any] = {
    HTTPException: on_http,
    RequestValidationError: on_invalid,
    CommandError: on_command,
    HistoryError: on_history,
    SignedOut: on_signed_out,
    sqlite3.Error: on_disk,
    UsersError: on_disk,
    Exception: on_unexpected,
}

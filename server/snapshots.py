"""Pictures of vision alarms over HTTP, for the users and roles of the server."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from address_space.model import Plant, Role
from server import logs
from server.evidence import READ_ROLE, ROUTE, Evidence, EvidenceRegister
from server.security.database import UsersError
from server.security.principal import Principal

log = logs.get(__name__)

_SUFFIX, _CLEAN = ".jpg", ".clean"
_KNOWN_FOR_S = 30.0
_MOST_KNOWN = 64
_ASK = {"WWW-Authenticate": 'Basic realm="Plantree", charset="UTF-8"'}
_PRIVATE = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
"""A browser may keep a picture, but asks each time: it may be gone, and so may the right to see it."""


class Authenticates(Protocol):
    """Who knows the users."""

    async def authenticate(self, name: str, password: str, peer: str) -> Principal | None:
        """Return the user with this password, None when there is none; throttled by name and peer."""
        ...


class Snapshots:
    """Answers `/snapshots/ID.jpg` and `/snapshots/ID.clean.jpg`.

    401 without the password of a user, 403 without the role, 404 for what never was, 410 for what retention took:
    `told` finds the evidence of alarms of the past.
    """

    def __init__(
        self,
        plant: Plant,
        register: EvidenceRegister,
        users: Authenticates,
        told: Callable[[str], Awaitable[Evidence | None]],
    ) -> None:
        self._plant = plant
        self._register = register
        self._told = told
        self._door = _Door(users)

    def attach(self, app: web.Application) -> None:
        """Add the route, before the server listens."""
        app.router.add_get(f"{ROUTE}/{{name}}", self._get)

    async def _get(self, request: web.Request) -> web.Response:
        try:
            principal = await self._door.principal(request)
        except UsersError as error:
            log.warning("users cannot be asked", error=str(error))
            return _refused(503, "the users cannot be asked now")
        if principal is None:
            return web.Response(status=401, text="the password of a user is needed\n", headers={**_ASK, **_PRIVATE})
        if not principal.has(READ_ROLE):
            return _refused(403, f"pictures take the role {READ_ROLE.value}")
        name = request.match_info["name"]
        if not name.endswith(_SUFFIX):
            return _refused(404, "there is no such picture")
        stem = name.removesuffix(_SUFFIX)
        wanted = [(stem, False)]
        if stem.endswith(_CLEAN):
            wanted.append((stem.removesuffix(_CLEAN), True))
        for id_, clean in wanted:
            evidence = await asyncio.to_thread(self._register.find, id_)
            if evidence is not None:
                return await self._show(request, principal, evidence, clean=clean)
        for id_, _ in wanted:
            gone = await self._told(id_)
            if gone is not None:
                allowed = principal.has(self._role(gone))
                return _gone() if allowed else _refused(403, "this picture is not for everybody")
        return _refused(404, "there is no such picture")

    async def _show(
        self, request: web.Request, principal: Principal, evidence: Evidence, *, clean: bool
    ) -> web.Response:
        if not principal.has(self._role(evidence)):
            return _refused(403, "this picture is not for everybody")
        try:
            data = await asyncio.to_thread(self._register.read, evidence, clean=clean)
        except FileNotFoundError:
            return _gone()
        except (OSError, ValueError) as error:
            log.error("a picture cannot be shown", evidence=evidence.id, error=str(error))
            return _refused(500, "the picture cannot be read, or is not as it was stored")
        tag = f'"{evidence.clean_sha256 if clean else evidence.snapshot_sha256}"'
        headers = {**_PRIVATE, "ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=data, content_type="image/jpeg", headers=headers)

    def _role(self, evidence: Evidence) -> Role:
        """Return the role that the variable of the rule takes; of one that the plant has no more, the least."""
        variable = self._plant.find(f"{evidence.camera}.{evidence.rule}")
        return Role.Anonymous if variable is None else variable.declaration.read_role


class _Door:
    """Checks passwords; who had the right one need not wait for the check of the next picture of a page."""

    def __init__(self, users: Authenticates) -> None:
        self._users = users
        self._salt = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    async def principal(self, request: web.Request) -> Principal | None:
        """Return who asks, None for nobody that is known; raises UsersError."""
        given = _credentials(request.headers.get("Authorization", ""))
        if given is None:
            return None
        key = hashlib.sha256(self._salt + "\0".join(given).encode("utf-8", "replace")).digest()
        known = self._known.get(key)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        principal = await self._users.authenticate(*given, request.remote or "")
        self._known.pop(key, None)
        if principal is not None:
            self._known[key] = principal, time.monotonic() + _KNOWN_FOR_S
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return principal


def _credentials(header: str) -> tuple[str, str] | None:
    """Return name and password of an Authorization header (RFC 7617), None where it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (name, password) if colon else None


def _refused(status: int, why: str) -> web.Response:
    return web.Response(status=status, text=f"{why}\n", headers=_PRIVATE)


def _gone() -> web.Response:
    return _refused(410, "the picture is no longer kept")

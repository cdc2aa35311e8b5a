"""Logins and their ends on the audit trail, as sessions of OPC UA are (OPC 10000-4 6.5.3, OPC 10000-5 6.4.7, 6.4.9)."""

from typing import Any, Literal

from asyncua.ua.status_codes import StatusCodes

from server import quality
from server.audit import AuditKind
from server.ports import CommandError, Recorder
from server.security.principal import ANONYMOUS, Principal

Why = Literal["CloseSession", "Timeout", "Terminated"]
"""Logged out or revoked; not used for too long, or too old; ended because the user has changed, or by the server."""


class Logins:
    """Records who came in, who was refused, and how it ended; `session` is the SessionId that events show."""

    def __init__(self, record: Recorder | None) -> None:
        self._record = record

    async def opened(self, principal: Principal, origin: str, session: str) -> None:
        """Record a login with name and password."""
        details = {"session": session, "mechanism": "UserName", "user": principal.name}
        await self._keep(principal, origin, None, AuditKind.ACTIVATE_SESSION, details)

    async def refused(self, name: str, origin: str, why: str) -> None:
        """Record a login that was refused."""
        fault = CommandError(quality.BAD_USER_ACCESS_DENIED, why)
        details = {"mechanism": "UserName", "user": name}
        await self._keep(Principal(name, frozenset()), origin, fault, AuditKind.ACTIVATE_SESSION, details)

    async def unknown_token(self, origin: str) -> None:
        """Record a token that there is not, or no more."""
        fault = CommandError(StatusCodes.BadIdentityTokenInvalid, "there is no such token (any more)")
        await self._keep(ANONYMOUS, origin, fault, AuditKind.ACTIVATE_SESSION, {})

    async def closed(self, who: Principal, origin: str, session: str, why: Why) -> None:
        """Record the end of a login."""
        await self._keep(who, origin, None, AuditKind.CLOSE_SESSION, {"session": session, "why": why})

    async def _keep(
        self, who: Principal, origin: str, fault: CommandError | None, kind: AuditKind, details: dict[str, Any]
    ) -> None:
        action = "CloseSession" if kind is AuditKind.CLOSE_SESSION else "ActivateSession"
        if self._record is not None:
            await self._record(who, origin, action, [], fault, kind, details)

"""Ends the sessions of users who are not who they were: removed, with another password, other roles, no certificate."""

import asyncio
from typing import TYPE_CHECKING

from server import logs
from server.security.database import UsersError
from server.security.principal import Principal
from server.security.users import Users

if TYPE_CHECKING:
    from server.opcua.internal_server import PlantInternalServer

log = logs.get(__name__)

_EVERY_S = 2.0

Standing = tuple[Principal, str] | None
Way = tuple[str, bytes]
"""A user's name and the certificate (DER) that was shown; empty for a password."""


class Departures:
    """Looks at the users of all sessions every two seconds, as they may be changed by another process."""

    def __init__(self, internal: "PlantInternalServer", users: Users) -> None:
        self._internal = internal
        self._users = users

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """End the sessions whose user is not who it was when it was let in."""
        acting = {session: session.principal for session in self._internal.user_sessions}
        if not acting:
            return
        ways = {session: (principal.name, session.user_certificate) for session, principal in acting.items()}
        try:
            known = await asyncio.to_thread(self._standings, set(ways.values()))
        except UsersError as error:  # who they were a moment ago, they still are
            log.error("users cannot be read", error=str(error))
            return
        for session, principal in acting.items():
            if session.principal is not principal or not session.is_activated():
                continue  # it has turned to somebody else, or ended, meanwhile
            if known[ways[session]] != (principal, session.stamp):
                log.info("session ended: its user was changed or removed", user=principal.name, origin=session.origin)
                await session.close_session(True)

    def _standings(self, ways: set[Way]) -> dict[Way, Standing]:
        return {way: self._standing(*way) for way in ways}

    def _standing(self, name: str, certificate: bytes) -> Standing:
        if certificate and not self._users.is_certificate_of(certificate, name):
            return None
        return self._users.standing(name)

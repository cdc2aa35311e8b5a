"""Ends the sessions of users who were removed, or got another password or other roles, here or by another process."""

import asyncio
from typing import TYPE_CHECKING

from server import logs
from server.opcua.session import PlantSession
from server.security.database import UsersError
from server.security.principal import Principal
from server.security.users import Users

if TYPE_CHECKING:
    from server.opcua.internal_server import PlantInternalServer

log = logs.get(__name__)

_EVERY_S = 2.0

Standing = tuple[Principal, str] | None


class Departures:
    """Looks at the users of all sessions every two seconds."""

    def __init__(self, internal: "PlantInternalServer", users: Users) -> None:
        self._internal = internal
        self._users = users
        self._stamps: dict[PlantSession, tuple[Principal, str]] = {}
        """Who each session acted for when it was last looked at, and what told the user's state."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """End the sessions whose user is not who it was."""
        acting = {session: session.principal for session in self._internal.user_sessions}
        try:
            known = await asyncio.to_thread(self._standings, {principal.name for principal in acting.values()})
        except UsersError as error:  # who they were a moment ago, they still are
            log.error("users cannot be read", error=str(error))
            return
        before, self._stamps = self._stamps, {}
        for session, principal in acting.items():
            if session.principal is not principal or not session.is_activated():
                continue  # it has turned to somebody else, or ended, meanwhile
            now = known[principal.name]
            was = before.get(session, now)
            if now is None or now[0] != principal or (was is not None and was[0] == principal and was != now):
                log.info("session ended: its user was changed or removed", user=principal.name, origin=session.origin)
                await session.close_session(True)
            else:
                self._stamps[session] = now

    def _standings(self, names: set[str]) -> dict[str, Standing]:
        return {name: self._users.standing(name) for name in names}

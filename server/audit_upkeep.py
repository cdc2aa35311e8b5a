"""Keeps the audit trail within its bounds."""

import asyncio
import sqlite3

from server import logs
from server.settings import AuditSettings
from server.state import State
from server.store import now_ticks

log = logs.get(__name__)

_EVERY_S = 600.0
_TICKS_A_DAY = 86_400 * 10_000_000


class AuditUpkeep:
    """Removes what is too old, or too much, from the audit trail."""

    def __init__(self, state: State, settings: AuditSettings) -> None:
        self._state = state
        self._settings = settings

    async def run(self) -> None:
        """Look after the trail until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.prune()

    async def prune(self) -> None:
        """Remove now what is to go."""
        before = now_ticks() - int(self._settings.retention_days * _TICKS_A_DAY)
        try:
            await self._state.prune_audit(before, self._settings.max_records)
        except sqlite3.Error as error:
            log.error("the audit trail cannot be shortened", error=str(error))

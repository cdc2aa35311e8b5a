"""The events of alarms as the database keeps them, what was told a moment ago included."""

import asyncio
import contextlib
import sqlite3

from address_space.model import Condition, Plant
from server.alarms.database import AlarmDatabase
from server.alarms.ports import Snapshot
from server.evidence import Evidence


class Past:
    """What AlarmPort says of the past; the engine has the rest."""

    _plant: Plant
    _database: AlarmDatabase

    async def history(self, start: int, end: int, limit: int = 0) -> list[Snapshot]:
        """Return events with start <= time < end (ticks), oldest first, at most `limit` (0: all)."""
        await self._flushed()
        return await asyncio.to_thread(self._database.events, self._plant, start, end, limit)

    async def past_evidence(self, id_: str) -> Evidence | None:
        """Return the evidence of an alarm of the past, as far back as events are kept; None where there was none."""
        await self._flushed()
        return await asyncio.to_thread(self._database.evidence, id_)

    async def event_with(self, id_: str) -> Snapshot | None:
        """Return the event that an alarm was raised with, by the evidence of it; None where it is not kept."""
        await self._flushed()
        return await asyncio.to_thread(self._database.event_with, self._plant, id_)

    async def _past(self, condition: Condition, event_id: bytes) -> Snapshot | None:
        """Return an event of a condition that is dealt with, as far back as events are kept."""
        await self._flushed()
        return await asyncio.to_thread(self._database.event, self._plant, condition.path, event_id)

    async def _flushed(self) -> None:
        """Wait for what was told to be on the disk; with a full disk, what is there has to do: that was logged."""
        with contextlib.suppress(sqlite3.Error):
            await asyncio.wrap_future(self._database.flushed())

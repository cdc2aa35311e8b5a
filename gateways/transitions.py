"""Transitions of conditions to a peer that must lose none: the alarm engine keeps them on the disk, and is asked."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NoReturn

from server import logs
from server.alarms.ports import AlarmPort, Snapshot
from server.security.files import write_atomic
from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND

log = logs.get(__name__)

Send = Callable[[Sequence[Snapshot]], Awaitable[None]]

FILE = "transitions.json"
_END = 2**63 - 1
_PAGE = 1000
_REMEMBERED = 10_000
"""EventIds that were delivered, so that no restart delivers many twice."""
_BACK = 600 * TICKS_PER_SECOND
"""After a kill, one that was told this much later than its time is still found."""


class Transitions:
    """What the engine has told since this gateway was first made, less what was delivered.

    `listen` at once, so that nothing is told before; `deliver` once a peer is there. At least once: what a peer
    confirmed in the moment of a kill comes again. What the engine forgets (`alarms.retention_days`) before the peer
    is back is lost.
    """

    def __init__(self, alarms: AlarmPort, folder: Path) -> None:
        self._alarms = alarms
        self._file = folder / FILE
        self._from: int | None = None
        """Time of the oldest that may wait (ticks); None when nothing waits."""
        self._told = asyncio.Event()
        self._delivered: dict[bytes, int] = {}
        """Time by EventId, as delivered."""
        self._load()

    def listen(self) -> None:
        """Be told from now on."""
        self._alarms.listeners.append(self._note)

    async def deliver(self, send: Send) -> NoReturn:
        """Send what waits and what comes, in the order in which it was told, until `send` raises; that is raised."""
        while True:
            await self._told.wait()
            self._told.clear()
            while self._from is not None:
                await self._round(self._from, send)

    async def save(self) -> None:
        """Remember on the disk what was delivered."""
        newest = max(self._delivered.values(), default=now_ticks())
        position = min(newest - _BACK, _END if self._from is None else self._from)
        kept = {event_id.hex(): time for event_id, time in self._delivered.items() if time >= position}
        try:
            await asyncio.to_thread(_write, self._file, json.dumps({"time": position, "delivered": kept}))
        except OSError as error:  # a full disk: they are delivered, and at worst again after a restart
            log.warning("what was delivered cannot be noted", file=str(self._file), error=str(error))

    def _note(self, snapshots: Sequence[Snapshot]) -> None:
        self._wait_for(min(snapshot.time for snapshot in snapshots))

    def _wait_for(self, time: int) -> None:
        self._from = time if self._from is None else min(self._from, time)
        self._told.set()

    async def _round(self, start: int, send: Send) -> None:
        """Deliver a page; what is told meanwhile is noted anew."""
        self._from = None
        try:
            new, last = await self._page(start)
            if new:
                await send(new)
        except BaseException:
            self._wait_for(start)
            raise
        self._delivered |= {snapshot.event_id: snapshot.time for snapshot in new}
        while len(self._delivered) > _REMEMBERED:
            del self._delivered[next(iter(self._delivered))]
        if last is not None:
            self._wait_for(last)
        if new:
            await self.save()

    async def _page(self, start: int) -> tuple[list[Snapshot], int | None]:
        """Return what was not delivered, as it was told, and where the next page starts; None where there is none."""
        limit = _PAGE
        while True:
            found = await self._alarms.history(start, _END, limit)
            whole = len(found) < limit
            new = [snapshot for snapshot in found if snapshot.event_id not in self._delivered]
            if whole or found[-1].time > start:
                new.sort(key=lambda snapshot: snapshot.receive_time)
                return new, None if whole else found[-1].time
            limit *= 4  # that many have the same time

    def _load(self) -> None:
        if not self._file.exists():
            self._wait_for(now_ticks() - _BACK)
            _write(self._file, json.dumps({"time": self._from, "delivered": {}}))
            return
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            self._delivered = {bytes.fromhex(event_id): int(time) for event_id, time in kept["delivered"].items()}
            self._wait_for(int(kept["time"]))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            log.warning(
                "which transitions were delivered is not known: all are", file=str(self._file), error=str(error)
            )
            self._wait_for(0)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, text.encode(), 0o600)

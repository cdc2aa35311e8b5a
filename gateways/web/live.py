"""Live values for every open page: one journal cursor, one encoding, at most one update a variable and 250 ms."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from address_space.model import BuiltinType, Plant, Role, Variable
from gateways.web.actions import Caller
from gateways.web.frames import text_frame
from gateways.web.mapping import columns
from gateways.web.ports import SignedOut
from server import logs
from server.alarms.ports import Snapshot
from server.ports import GatewayContext
from server.security.principal import Principal
from server.store import Cursor
from server.store.ticks import UNIX_EPOCH_TICKS

log = logs.get(__name__)

PERIOD_S = 0.25
BEAT_S = 1.0
"""A frame at least this often: without one a page knows that its values are old."""
MOST_WAITING = 1 << 20
"""Bytes that may wait for a page before it gets no more; what changes meanwhile is remembered, not queued."""
PATIENCE_S = 10.0
"""How long a page may take nothing before it is cut off."""
SIGNED_OUT, TOO_SLOW, TOO_MANY = 4401, 4408, 1013

Mask = NDArray[np.bool_]


class Socket(Protocol):
    """A connection that takes whole frames."""

    @property
    def is_open(self) -> bool:
        """Whether frames may still be written."""
        ...

    @property
    def waiting(self) -> int:
        """Bytes that the network has not taken yet."""
        ...

    def write(self, frame: bytes) -> None:
        """Write a frame without waiting."""
        ...

    def cut_off(self) -> None:
        """Close at once."""
        ...


class Audience:
    """Pages that are shown the same variables, and what is encoded for them: once for all of them."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.pages: set[Page] = set()
        self.whole: bytes | None = None
        """All values, as encoded since the last tick."""


class Page:
    """One open page; `missed` is what has changed since it took no more, None while it keeps up."""

    def __init__(self, socket: Socket, caller: Caller, audience: Audience) -> None:
        self.socket = socket
        self.caller = caller
        self.principal = caller.principal
        self.audience = audience
        self.missed: Mask | None = None
        self.left = 0
        """Bytes that waited when it was last looked at."""
        self.moved = time.monotonic()
        """When it last took something, or owed nothing."""
        self.ended = asyncio.get_running_loop().create_future()
        """Resolved with a close code when the server ends it."""

    def holds(self) -> bool:
        """Whether who opened it still may see what it shows."""
        try:
            return self.caller.principal == self.principal
        except SignedOut:
            return False

    def end(self, code: int) -> None:
        """Have the page closed."""
        if not self.ended.done():
            self.ended.set_result(code)


class Live:
    """Broadcasts what changes; a slow page misses what it cannot take, not what is newest."""

    def __init__(self, context: GatewayContext, most_pages: int) -> None:
        self._context = context
        self._store = context.store
        self._most_pages = most_pages
        self._audiences: dict[bytes, Audience] = {}
        self._somebody = asyncio.Event()
        self._cursor: Cursor | None = None
        """Open while a page is."""
        self._alarms = 0
        self._shown_alarms = 0
        self._paths = [it.path for it in context.plant.variables]
        types = [it.declaration.type for it in context.plant.variables]
        self._is_time = np.array([it is BuiltinType.DateTime for it in types], np.bool_)
        self.cut_off = 0
        """Pages that were too slow, since the start."""

    @property
    def pages(self) -> int:
        """How many are open."""
        return sum(len(it.pages) for it in self._audiences.values())

    def mask(self, principal: Principal, variables: Sequence[Variable] | None = None) -> Mask:
        """Return which variables a principal is shown, of `variables` (None: all)."""
        readable = readable_by(self._context.plant, principal)
        if variables is not None:
            chosen = np.zeros(len(readable), np.bool_)
            chosen[[it.id for it in variables]] = True
            readable &= chosen
        return readable

    @contextlib.asynccontextmanager
    async def watching(self, socket: Socket, caller: Caller, mask: Mask) -> AsyncGenerator[Page | None]:
        """Show a page values for the time of a `with` block; None when there are too many pages."""
        if self.pages >= self._most_pages:
            yield None
            return
        audience = self._audiences.setdefault(mask.tobytes(), Audience(mask))
        page = Page(socket, caller, audience)
        if self._cursor is None:
            self._cursor = self._store.journal.cursor("web pages")
        if audience.whole is None:
            audience.whole = self._frame(np.flatnonzero(mask), first=True)
        socket.write(audience.whole)
        audience.pages.add(page)
        self._somebody.set()
        try:
            yield page
        finally:
            audience.pages.discard(page)
            if not audience.pages:
                self._audiences.pop(mask.tobytes(), None)

    async def run(self) -> None:
        """Broadcast until cancelled; with no page open, nothing is done."""
        alarms = self._context.alarms
        if alarms is not None:
            alarms.listeners.append(self._on_alarms)
        try:
            while True:
                await self._somebody.wait()
                await self._broadcast()
                self._somebody.clear()
        finally:
            if alarms is not None:
                alarms.listeners.remove(self._on_alarms)
            self._close_cursor()

    async def _broadcast(self) -> None:
        """Broadcast while there is a page."""
        beaten = 0.0
        while self._audiences:
            await asyncio.sleep(PERIOD_S)
            changed, now = self._changed(), time.monotonic()
            beat = now - beaten >= BEAT_S or self._alarms != self._shown_alarms
            beaten = now if beat else beaten
            self._shown_alarms = self._alarms
            for audience in list(self._audiences.values()):
                audience.whole = None
                self._tell(audience, changed & audience.mask, beat=beat)
        self._close_cursor()

    def _changed(self) -> Mask:
        """Return what has changed since it was asked last; everything where the journal has gone over what it was."""
        changed = np.zeros(len(self._store), np.bool_)
        if self._cursor is not None:
            lost = self._cursor.lost
            changed[self._cursor.read(max_rows=self._store.journal.rows).ids] = True
            changed |= self._cursor.lost != lost
        return changed

    def _close_cursor(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def _tell(self, audience: Audience, changed: Mask, *, beat: bool) -> None:
        ids = np.flatnonzero(changed)
        if len(ids) or beat:
            self._send(audience, changed, ids)
        else:
            for page in audience.pages:
                self._look_after(page)

    def _send(self, audience: Audience, changed: Mask, ids: NDArray[np.intp]) -> None:
        """Write one frame to every page that keeps up; the others remember what they miss."""
        frame: bytes | None = None
        for page in audience.pages:
            self._look_after(page)
            if page.missed is not None:
                page.missed |= changed
            elif page.socket.is_open:
                frame = frame or self._frame(ids)
                page.socket.write(frame)

    def _look_after(self, page: Page) -> None:
        """End a page whose login has ended or which takes nothing; bring one up to date that takes again."""
        if not page.socket.is_open:
            return
        now, waiting = time.monotonic(), page.socket.waiting
        if waiting < page.left or waiting == 0:
            page.moved = now
        page.left = waiting
        if not page.holds():
            page.end(SIGNED_OUT)
        elif now - page.moved > PATIENCE_S:
            self.cut_off += 1
            log.warning("page cut off: it takes nothing", origin=page.caller.origin, waiting=waiting)
            page.end(TOO_SLOW)
            page.socket.cut_off()
        elif page.missed is None and waiting > MOST_WAITING:
            page.missed = np.zeros(len(self._store), np.bool_)
        elif page.missed is not None and waiting == 0:
            ids = np.flatnonzero(page.missed)
            page.missed = None
            page.socket.write(self._frame(ids))

    def _frame(self, ids: NDArray[np.intp], *, first: bool = False) -> bytes:
        """Return the present values of variables as a frame."""
        values, statuses, sources = columns(self._store, ids.astype(np.int64))
        for place in np.flatnonzero(self._is_time[ids]).tolist():
            values[place] = _unix_ms(values[place]) if values[place] else None  # 0 is no time
        names = [self._paths[id_] for id_ in ids.tolist()]
        rows = zip(names, values, statuses, sources, strict=True)
        form: dict[str, Any] = {
            "t": time.time_ns() // 1_000_000,
            "v": {name: (value, status, _unix_ms(source)) for name, value, status, source in rows},
            "a": self._alarms,
        }
        if first:
            form["first"] = True
        return text_frame(orjson.dumps(form))

    def _on_alarms(self, _snapshots: Sequence[Snapshot]) -> None:
        self._alarms += 1


def readable_by(plant: Plant, principal: Principal) -> Mask:
    """Return which variables a principal may read, shape (variables,)."""
    roles = [it.declaration.read_role for it in plant.variables]
    allowed: dict[Role, bool] = {role: principal.has(role) for role in set(roles)}
    return np.array([allowed[role] for role in roles], np.bool_)


def _unix_ms(ticks: int) -> int:
    return (ticks - UNIX_EPOCH_TICKS) // 10_000

"""Slows password guessing down: a growing delay for each (user name, peer) after failures."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

DELAYS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
LONGEST_DELAY = 10.0

_Result = TypeVar("_Result")


class TooManyAttempts(Exception):  # noqa: N818 - it reads as what happened
    """The attempt waited its longest behind others of the same name and peer, and was not checked."""


def delay_after(failures: int) -> float:
    """Seconds to wait after `failures` failed attempts in a row: 0, 0.5, 1, 2, 4, 8, then 10."""
    return DELAYS[failures] if failures < len(DELAYS) else LONGEST_DELAY


@dataclass(slots=True)
class _Entry:
    failures: int = 0
    free_at: float = 0.0
    last: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Throttle:
    """Checks the attempts of one (name, peer) one after another, each no sooner than its delay allows.

    An attempt behind others for more than `longest_wait` seconds is given up. Failures are forgotten at a
    success, `forget_after` seconds after the last attempt, or when `size` other pairs came since.
    """

    def __init__(
        self,
        *,
        size: int = 10_000,
        longest_wait: float = 30.0,
        forget_after: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._size = size
        self._longest_wait = longest_wait
        self._forget_after = forget_after
        self._clock = clock
        self._sleep = sleep
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def run(self, name: str, peer: str, check: Callable[[], Awaitable[_Result | None]]) -> _Result | None:
        """Run `check` when its turn has come; None from it is a failure. Raises TooManyAttempts."""
        arrived = self._clock()
        entry = self._entry(name, peer, arrived)
        async with entry.turn:
            now = self._clock()
            wait = max(0.0, entry.free_at - now)
            if now + wait - arrived > self._longest_wait:
                raise TooManyAttempts
            if wait > 0:
                await self._sleep(wait)
            try:
                result = await check()
            except asyncio.CancelledError:
                # A client that hangs up before the answer must not get its guess for free.
                self._failed(entry)
                raise
            if result is None:
                self._failed(entry)
            else:
                entry.failures = 0
                entry.free_at = 0.0
                self._entries.pop((name, peer), None)
            return result

    def _entry(self, name: str, peer: str, now: float) -> _Entry:
        key = (name, peer)
        entry = self._entries.get(key)
        if entry is None or (now - entry.last > self._forget_after and not entry.turn.locked()):
            entry = self._entries[key] = _Entry()
        entry.last = now
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return entry

    def _failed(self, entry: _Entry) -> None:
        entry.failures += 1
        entry.last = self._clock()
        entry.free_at = entry.last + delay_after(entry.failures)

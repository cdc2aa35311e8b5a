"""Long work in short turns: what one request asks for must not keep the event loop from everybody else."""

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work that yields between its steps and returns a T."""
AT_ONCE = 64
"""Steps that take microseconds each, between two yields."""


class Pace:
    """`if pace.over: await pace.rest()` between two steps: nobody waits longer than `turn` seconds and a step."""

    __slots__ = ("_end", "_turn")

    def __init__(self, turn: float) -> None:
        self._turn = turn
        self._end = time.perf_counter() + turn

    @property
    def over(self) -> bool:
        """Whether it is the others' turn."""
        return time.perf_counter() >= self._end

    async def rest(self) -> None:
        """Let the others have it."""
        await asyncio.sleep(0)
        self._end = time.perf_counter() + self._turn


async def paced(steps: Steps[T], turn: float) -> T:
    """Do the work in turns of so many seconds; returns its result."""
    pace = Pace(turn)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        if pace.over:
            await pace.rest()


def completed(steps: Steps[T]) -> T:
    """Do the work at one go; returns its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value

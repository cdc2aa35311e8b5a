"""Plays a recording into the store: in real time, faster, or row by row on command."""

import asyncio
from typing import Any, Final

import numpy as np

from address_space.model import Machine, Variable
from server import logs, quality
from server.ports import CommandError, SourceContext
from server.store import now_ticks
from sources.replay.recording import Loader, Recording
from sources.replay.settings import Settings, read_settings
from sources.replay.stamps import TICKS_PER_SECOND
from sources.replay.timeline import Timeline

TICK: Final = 0.01
"""Least time between two writes in seconds: all rows that are due by then go into one."""
MAX_SAMPLES: Final = 65_536
"""Samples in one write: what a cursor reads at once, so that consumers keep up with any speed."""

log = logs.get(__name__)


class ReplaySource:
    """One recording for all machines of the source; raises PlantError when settings, file or columns are wrong.

    A stop, by command or emergency, pauses the whole recording; Start resumes it where it was, or from the first row
    once it is finished. The pause is no part of the recording: later stamps are moved by its length.
    """

    def __init__(self, context: SourceContext) -> None:
        self._name = context.name
        self._store = context.store
        self._settings: Settings = read_settings(context.plant, context.name, context.options)
        self._loader = Loader(context.plant, context.name, context.machines, self._settings)
        self.recording: Recording | None = None
        """The rows, once `run` has read them."""
        self._timeline: Timeline | None = None
        self._played = 0
        self._base: int | None = None
        self._elapsed = 0.0
        self._since: float | None = None
        self._halted_at = 0
        self._paused = False
        self._emergencies: set[str] = set()
        self._wake = asyncio.Event()

    @property
    def rows(self) -> int:
        """Rows of the recording; 0 until it is read."""
        return self.recording.rows if self.recording else 0

    @property
    def position(self) -> int:
        """Rows played of this pass."""
        return self._played % self.rows if self.rows and not self.finished else self._played

    @property
    def finished(self) -> bool:
        """True once the last row is played; never with `loop`."""
        return bool(self.rows) and not self._settings.loop and self._played >= self.rows

    @property
    def paused(self) -> bool:
        """True from a stop until Start."""
        return self._paused

    async def run(self) -> None:
        """Read the recording at the first call, then play it until cancelled; a new call goes on where it was."""
        if self.recording is None or self._timeline is None:
            recording = await asyncio.to_thread(self._loader.load)
            self._timeline = Timeline(recording.stamps)
            self.recording = recording
            log.info(
                "recording read",
                source=self._name,
                file=str(self._loader.path),
                rows=recording.rows,
                bad_rows=recording.bad_rows,
                cut_short=recording.cut_short,
                missing=recording.missing,
            )
        if self._settings.mode == "stepped":
            await asyncio.get_running_loop().create_future()
        try:
            while True:
                await self._play_due(self._timeline)
        finally:
            self._halt()

    async def put(self, variable: Variable, value: Any) -> None:
        """Refuse: a recording takes no set-points."""
        raise CommandError(quality.BAD_NOT_WRITABLE, f"{variable.path} is replayed from a recording")

    async def execute(self, machine: Machine, command: str, arguments: tuple[Any, ...]) -> None:
        """Carry out Start (resume), Stop (pause), and in stepped mode Step(rows = 1); raises CommandError."""
        if command == "Start":
            self._start(machine)
        elif command == "Stop":
            self._pause()
        elif command == "Step" and self._settings.mode == "stepped":
            await self._step(arguments)
        else:
            raise CommandError(quality.BAD_NOT_SUPPORTED, f"{machine.path}: a recording has no command {command}")

    async def emergency_stop(self, machine: Machine, active: bool) -> None:
        """Pause (True); after the release (False) the recording stays paused until Start."""
        if active:
            self._emergencies.add(machine.path)
            self._pause()
        else:
            self._emergencies.discard(machine.path)

    async def _play_due(self, timeline: Timeline) -> None:
        """Write the rows that are due, then sleep until the next one is."""
        if self._paused or self.finished:
            self._halt()
            self._wake.clear()
            await self._wake.wait()
            return
        loop, factor = asyncio.get_running_loop(), self._settings.factor
        now = loop.time()
        if self._since is None:
            self._since = now
            self._base = now_ticks() + (0 if self._base is None else self._base - self._halted_at)
        elapsed = self._elapsed + now - self._since
        due = timeline.count(int(elapsed * factor * TICKS_PER_SECOND), loop=self._settings.loop)
        behind = self._play(due - self._played)
        if self.finished:
            return
        pause = timeline.due(self._played) / TICKS_PER_SECOND / factor - elapsed
        await asyncio.sleep(0 if behind else max(pause, TICK if due else 0))

    def _play(self, count: int) -> bool:
        """Write at most `count` rows, of one pass, in one call; return whether some of them are still to be written."""
        recording, timeline = self.recording, self._timeline
        if recording is None or timeline is None or count <= 0:
            return False
        if self._base is None:
            self._base = now_ticks()
        row = self._played % recording.rows
        most = max(1, MAX_SAMPLES // len(recording.ids))
        last = min(row + count, row + most, recording.rows)
        ids, values, statuses = recording.samples(row, last)
        stamps = self._stamps(timeline, self._played, self._played + last - row, self._base)
        self._store.write(ids, values, np.repeat(stamps, len(recording.ids)), statuses)
        self._played += last - row
        if self.finished and self._settings.on_end == "stop":
            self._store.set_status(recording.ids, quality.BAD_NO_COMMUNICATION)
        return last - row < count

    def _stamps(self, timeline: Timeline, first: int, last: int, base: int) -> Any:
        settings = self._settings
        if settings.mode == "stepped" and settings.timestamps == "played":
            return np.full(last - first, now_ticks(), np.int64)
        return timeline.stamps(first, last, settings.timestamps, base, settings.factor)

    async def _step(self, arguments: tuple[Any, ...]) -> None:
        count = arguments[0] if arguments else 1
        if len(arguments) > 1 or isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise CommandError(quality.BAD_INVALID_ARGUMENT, "Step takes a number of rows, 1 or more")
        if self.recording is None:
            raise CommandError(quality.BAD_INVALID_STATE, f"the recording of {self._name} is not read yet")
        if self.finished:
            raise CommandError(quality.BAD_INVALID_STATE, f"the recording of {self._name} is at its end")
        while count > 0 and not self.finished:
            if self._paused:
                raise CommandError(quality.BAD_INVALID_STATE, f"the recording of {self._name} is stopped")
            before = self._played
            self._play(count)
            count -= self._played - before
            await asyncio.sleep(0)

    def _start(self, machine: Machine) -> None:
        if self._emergencies:
            stopped = ", ".join(sorted(self._emergencies))
            raise CommandError(quality.BAD_INVALID_STATE, f"{machine.path}: emergency stop of {stopped} is active")
        if self.finished:
            self._played, self._base, self._elapsed, self._since = 0, None, 0.0, None
        self._paused = False
        self._wake.set()

    def _pause(self) -> None:
        self._paused = True
        self._halt()

    def _halt(self) -> None:
        """Stop the recording's clock where it is."""
        if self._since is not None:
            self._elapsed += asyncio.get_running_loop().time() - self._since
            self._since = None
            self._halted_at = now_ticks()

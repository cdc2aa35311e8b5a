"""One camera's pictures, read in a thread of their own: the newest is kept, what is not taken in time is dropped."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from server import logs
from sources.vision.inputs import EndError, Frame, Input, LostError, open_input
from sources.vision.settings import Backoff, InputSettings

_WINDOW = 5.0  # s that the rate of pictures is taken over
_LONGEST_LAG = 1.0  # s that a file may be behind its rate before what is lost stays lost

log = logs.get(__name__)


def delay(backoff: Backoff, failures: int, chance: float) -> float:
    """Return the wait in s after the nth failure in a row, doubling, less up to half of it by `chance` in [0, 1)."""
    full = min(backoff.maximum, backoff.minimum * 2 ** min(failures - 1, 32))
    return full * (1 - 0.5 * chance)


class Capture:
    """Reads a camera until `stop`; `fresh` is set with every picture. Lost inputs are opened again with backoff.

    `arrived` and `dropped` count pictures since the start, `error` says why there is none (empty while there are).
    """

    def __init__(self, name: str, settings: InputSettings, folder: Path, fresh: threading.Event) -> None:
        self.arrived = 0
        self.dropped = 0
        self.connected = False
        self.ended = False
        self.error = ""
        self._name, self._settings, self._folder, self._fresh = name, settings, folder, fresh
        self._lock = threading.Lock()
        self._newest: Frame | None = None
        self._times: deque[float] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"capture {name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; a read that hangs is not waited for."""
        self._stop.set()

    def take(self) -> Frame | None:
        """Return the newest picture once, None until there is a newer one."""
        with self._lock:
            frame, self._newest = self._newest, None
            return frame

    def rate(self, now: float) -> float:
        """Return pictures a second over the last seconds before `now` (monotonic)."""
        with self._lock:
            times = [moment for moment in self._times if moment > now - _WINDOW]
        if len(times) < 2:
            return 0.0
        # The time since the last one counts once it is longer than the others': a stopped camera's rate falls to 0.
        mean = (times[-1] - times[0]) / (len(times) - 1)
        return (len(times) - 1) / max(times[-1] - times[0] + max(0.0, now - times[-1] - 2 * mean), 1e-6)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            before = self.arrived
            try:
                self._read_all()
            except EndError as error:
                self._lost(str(error))
                self.ended = True
                log.info("camera's file is at its end", camera=self._name)
                return
            except LostError as error:
                self._lost(str(error))
            failures = 1 if self.arrived > before else failures + 1
            wait = delay(self._settings.backoff, failures, random.random())  # noqa: S311  jitter is no secret
            if failures == 1:
                log.warning("camera lost", camera=self._name, error=self.error, retry_in=round(wait, 2))
            self._stop.wait(wait)

    def _lost(self, error: str) -> None:
        self.connected, self.error = False, error
        self._fresh.set()

    def _read_all(self) -> None:
        opened = open_input(self._settings, self._folder)
        log.info("camera opened", camera=self._name, input=self._settings.shown)
        try:
            pace = Pace(opened.rate, self._stop.wait)
            least = 1 / self._settings.fps if self._settings.fps and opened.rate is None else 0.0
            self._pump(opened, pace, least)
        finally:
            opened.close()

    def _pump(self, opened: Input, pace: "Pace", least: float) -> None:
        """Read until stopped; a live input's pictures that come sooner than `least` s after another are passed over."""
        due = 0.0
        while not self._stop.is_set():
            pace.wait()
            frame = opened.read()
            if frame.at < due:
                continue
            due = max(due + least, frame.at)
            self.keep(frame)

    def keep(self, frame: Frame) -> None:
        """Hold a picture until it is taken, or a newer one comes."""
        with self._lock:
            self.arrived += 1
            if self._newest is not None:
                self.dropped += 1
            self._newest = frame
            self._times.append(frame.at)
            while self._times[0] < frame.at - _WINDOW:
                self._times.popleft()
        self.connected, self.error = True, ""
        self._fresh.set()


class Pace:
    """Holds a file to its rate; `wait` takes seconds, `clock` gives them."""

    def __init__(
        self, rate: float | None, wait: Callable[[float], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._step = 1 / rate if rate else 0.0
        self._wait, self._clock = wait, clock
        self._due = clock()

    def wait(self) -> None:
        """Wait until the next picture is due."""
        if not self._step:
            return
        now = self._clock()
        if now < self._due:
            self._wait(self._due - now)
        elif now - self._due > _LONGEST_LAG:
            self._due = now
        self._due += self._step

"""Keeps the server's long-running parts going: what fails is restarted with backoff, and never stops the server."""

import asyncio
import enum
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from server import logs
from server.errors import StartError

StartPolicy = Literal["error", "retry", "ignore"]

log = logs.get(__name__)


class TaskState(enum.StrEnum):
    """What a supervised task is doing."""

    Running = "Running"
    Restarting = "Restarting"  # waits for its next attempt
    Stopped = "Stopped"  # by stop()
    Failed = "Failed"  # given up: it could not start, and its policy is `error` or `ignore`


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """A task's state, `since` when it is in it, how often it was restarted, and the last error's sentence."""

    name: str
    state: TaskState
    since: datetime
    restarts: int = 0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between restarts, in seconds: doubled from `initial` to `maximum`, each shortened by up to `jitter` of it.

    A run of `healthy_after` seconds or more counts as a success: the next delay is `initial` again.
    """

    initial: float = 1.0
    maximum: float = 30.0
    jitter: float = 0.5
    healthy_after: float = 60.0

    def delay(self, failures: int, chance: float) -> float:
        """Return the delay after the `failures`-th failure in a row (from 1); `chance` is in [0, 1)."""
        # 2**63 is beyond any maximum; the cap keeps the float finite.
        full = min(self.maximum, self.initial * 2 ** min(failures - 1, 63))
        return full * (1 - self.jitter * chance)


class Supervisor:
    """Runs named coroutines until stop(); `sleep`, `clock` (monotonic, s) and `chance` are for tests."""

    def __init__(
        self,
        backoff: Backoff | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._clock = clock
        self._chance = chance
        self._statuses: dict[str, TaskStatus] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._failure: StartError | None = None
        self._failed = asyncio.Event()

    @property
    def tasks(self) -> Mapping[str, TaskStatus]:
        """The status of every task by name, as of now."""
        return dict(self._statuses)

    def add(self, name: str, run: Callable[[], Awaitable[None]], policy: StartPolicy = "retry") -> None:
        """Start `run()` now, and again whenever it raises or returns.

        `policy` is about the first run, if it ends before it was `healthy_after` seconds old: `error` makes
        wait_failed() raise, `retry` keeps trying, `ignore` gives the task up. Later failures are always retried.
        Raises ValueError for a name that is taken, RuntimeError after stop().
        """
        if self._stopping:
            raise RuntimeError(f"cannot add {name}: the supervisor is stopping")
        if name in self._statuses:
            raise ValueError(f"there is a task {name} already")
        self._statuses[name] = TaskStatus(name, TaskState.Running, datetime.now(UTC))
        self._tasks[name] = task = asyncio.create_task(self._keep(name, run, policy), name=name)
        task.add_done_callback(self._ended)

    async def wait_failed(self) -> None:
        """Wait until a task whose policy is `error` could not start, then raise StartError."""
        await self._failed.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self, timeout: float = 5.0) -> list[str]:  # noqa: ASYNC109  a bound on the whole, not on one await
        """Cancel every task and wait at most `timeout` seconds; return the names of those that would not end."""
        self._stopping = True
        for task in self._tasks.values():
            task.cancel()
        pending = await self._wait(timeout * 0.9)
        if pending:  # once more, for one that swallowed its first cancellation
            for task in pending:
                task.cancel()
            pending = await self._wait(timeout * 0.1)
        stuck = sorted(task.get_name() for task in pending)
        if stuck:
            log.error("tasks did not stop", tasks=stuck, timeout=timeout)
        return stuck

    async def _wait(self, timeout: float) -> set[asyncio.Task[None]]:  # noqa: ASYNC109
        running = [task for task in self._tasks.values() if not task.done()]
        return (await asyncio.wait(running, timeout=timeout))[1] if running else set()

    def _set(self, name: str, state: TaskState) -> None:
        self._statuses[name] = replace(self._statuses[name], state=state, since=datetime.now(UTC))

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]], policy: StartPolicy) -> None:
        failures = 0
        first = True
        while True:
            self._set(name, TaskState.Running)
            log.debug("task started", task=name)
            began = self._clock()
            error = await self._attempt(run)
            if self._stopping:
                if error is not None:
                    log.error("task failed while stopping", task=name, error=describe(error), exc_info=error)
                return
            healthy = self._clock() - began >= self._backoff.healthy_after
            failures = 1 if healthy else failures + 1
            self._note(name, error)
            if first and not healthy and policy != "retry":
                self._give_up(name, policy)
                return
            first = False
            delay = self._backoff.delay(failures, self._chance())
            self._set(name, TaskState.Restarting)
            log.warning("task restarts", task=name, error=describe(error), delay=round(delay, 3))
            await self._sleep(delay)
            self._statuses[name] = replace(self._statuses[name], restarts=self._statuses[name].restarts + 1)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Note the end of a task: a done-callback, for a task cancelled before its first step runs no `finally`."""
        name = task.get_name()
        if self._statuses[name].state is not TaskState.Failed:
            self._set(name, TaskState.Stopped)
            log.debug("task stopped", task=name)

    async def _attempt(self, run: Callable[[], Awaitable[None]]) -> BaseException | None:
        """Run once; return what it raised, None when it returned. Only our own cancellation passes through."""
        try:
            await run()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._stopping or (task is not None and task.cancelling()):
                raise
            return error  # leaked from inside the run: a failure like any other
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a part raises is its failure, told by the caller
            return error
        return None

    def _note(self, name: str, error: BaseException | None) -> None:
        """Keep the error; log its traceback when it is another one than last time."""
        sentence = describe(error)
        if error is not None and sentence != self._statuses[name].last_error:
            log.error("task failed", task=name, error=sentence, exc_info=error)
        self._statuses[name] = replace(self._statuses[name], last_error=sentence)

    def _give_up(self, name: str, policy: StartPolicy) -> None:
        self._set(name, TaskState.Failed)
        sentence = self._statuses[name].last_error
        if policy == "error":
            self._failure = self._failure or StartError(f"{name} could not start: {sentence}")
            self._failed.set()
        log.error("task given up", task=name, error=sentence, policy=policy)


def describe(error: BaseException | None) -> str:
    """Say an error in one line; of a group, its members."""
    if error is None:
        return "returned without being asked to stop"
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(member) for member in error.exceptions)  # pyright: ignore[reportUnknownArgumentType]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

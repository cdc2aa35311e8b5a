import asyncio
import contextlib
import logging

import pytest

from server.errors import StartError
from server.supervision import Backoff, Supervisor, TaskState, describe


class Time:
    """A clock that only sleeping and `pass_by` move; it keeps every delay it was asked for."""

    def __init__(self):
        self.now = 0.0
        self.delays = []

    async def sleep(self, delay):
        self.delays.append(delay)
        self.now += delay
        await asyncio.sleep(0)

    def pass_by(self, seconds):
        self.now += seconds

    def supervisor(self, chance=0.0, **backoff):
        return Supervisor(Backoff(**backoff), sleep=self.sleep, clock=lambda: self.now, chance=lambda: chance)


@contextlib.asynccontextmanager
async def stopped_at_end(supervisor):
    """Stop at the end, and leave no task but the test's own."""
    before = asyncio.all_tasks()
    try:
        yield supervisor
    finally:
        assert await supervisor.stop() == []
        assert asyncio.all_tasks() <= before


async def until(condition):
    """Let the loop run until `condition()`."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  a status is a snapshot: there is no event to wait for
            await asyncio.sleep(0)


async def forever():
    await asyncio.Event().wait()


def failing_then(times, last=forever, error=OSError, healthy=0.0, clock=None):
    """Build a run that raises `times` times, each after `healthy` seconds, then does `last`."""
    runs = []

    async def run():
        runs.append(len(runs))
        if len(runs) > times:
            await last()
        if clock is not None:
            clock.pass_by(healthy)
        raise error(f"failure {len(runs)}")

    run.runs = runs
    return run


async def test_a_task_that_raises_is_restarted_with_doubled_delays_up_to_the_maximum():
    clock = Time()
    async with stopped_at_end(clock.supervisor(initial=1.0, maximum=30.0)) as supervisor:
        run = failing_then(7)
        supervisor.add("x", run)
        assert supervisor.tasks["x"].state is TaskState.Running
        await until(lambda: len(run.runs) == 8)
        status = supervisor.tasks["x"]
        assert clock.delays == [1, 2, 4, 8, 16, 30, 30]
        assert (status.state, status.restarts, status.last_error) == (TaskState.Running, 7, "OSError: failure 7")
    assert supervisor.tasks["x"].state is TaskState.Stopped
    assert supervisor.tasks["x"].since > status.since


async def test_jitter_shortens_delays():
    clock = Time()
    async with stopped_at_end(clock.supervisor(chance=0.5, initial=1.0, jitter=0.5)) as supervisor:
        run = failing_then(2)
        supervisor.add("x", run)
        await until(lambda: len(run.runs) == 3)
        assert clock.delays == [0.75, 1.5]


def test_delays_stay_finite():
    assert Backoff(maximum=30.0).delay(100_000, 0.0) == 30.0


async def test_a_healthy_run_resets_the_backoff():
    clock = Time()
    async with stopped_at_end(clock.supervisor(healthy_after=60.0)) as supervisor:
        fails, lasts = failing_then(3), failing_then(1, clock=clock, healthy=60.0)

        async def run():
            await (lasts() if len(fails.runs) == 2 and not lasts.runs else fails())

        supervisor.add("x", run)
        await until(lambda: supervisor.tasks["x"].restarts == 4)
        assert clock.delays == [1, 2, 1, 2]


async def test_a_task_that_returns_is_restarted():
    clock = Time()
    async with stopped_at_end(clock.supervisor()) as supervisor:
        runs = []

        async def run():
            runs.append(1)
            if len(runs) == 2:
                await forever()

        supervisor.add("x", run)
        await until(lambda: len(runs) == 2)
        assert supervisor.tasks["x"].last_error == "returned without being asked to stop"


async def test_a_task_waits_in_state_restarting():
    asked = asyncio.Event()

    async def sleep(_delay):
        asked.set()
        await forever()

    async with stopped_at_end(Supervisor(sleep=sleep)) as supervisor:
        supervisor.add("x", failing_then(1))
        await asked.wait()
        assert supervisor.tasks["x"].state is TaskState.Restarting


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, MemoryError])
async def test_nothing_a_task_raises_ends_the_others(error):
    clock = Time()
    async with stopped_at_end(clock.supervisor()) as supervisor:
        run, other = failing_then(1, error=error), failing_then(0)
        supervisor.add("other", other)
        supervisor.add("x", run)
        await until(lambda: len(run.runs) == 2)
        assert supervisor.tasks["other"].restarts == 0
        assert supervisor.tasks["other"].state is TaskState.Running


async def test_policy_error_tells_the_server():
    clock = Time()
    async with stopped_at_end(clock.supervisor()) as supervisor:
        run = failing_then(1)
        supervisor.add("plc", run, "error")
        with pytest.raises(StartError, match=r"^plc could not start: OSError: failure 1$"):
            await supervisor.wait_failed()
        assert supervisor.tasks["plc"].state is TaskState.Failed
    assert (supervisor.tasks["plc"].state, len(run.runs), clock.delays) == (TaskState.Failed, 1, [])


async def test_policy_ignore_gives_the_task_up():
    clock = Time()
    async with stopped_at_end(clock.supervisor()) as supervisor:
        run = failing_then(1)
        supervisor.add("plc", run, "ignore")
        await until(lambda: supervisor.tasks["plc"].state is TaskState.Failed)
        assert supervisor.tasks["plc"].last_error == "OSError: failure 1"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(supervisor.wait_failed(), 0)
    assert len(run.runs) == 1


@pytest.mark.parametrize("policy", ["error", "ignore"])
async def test_the_policy_is_about_the_first_start_only(policy):
    clock = Time()
    async with stopped_at_end(clock.supervisor(healthy_after=60.0)) as supervisor:
        healthy, fails = failing_then(1, clock=clock, healthy=60.0), failing_then(2)

        async def run():
            await (fails() if healthy.runs else healthy())

        supervisor.add("x", run, policy)
        await until(lambda: len(fails.runs) == 3)
        assert clock.delays == [1, 2, 4]
        assert supervisor.tasks["x"].state is TaskState.Running


async def test_stop_lets_tasks_clean_up_and_ends_one_that_swallows_its_cancellation_once():
    cleaned = []

    async def tidy():
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            cleaned.append(1)

    async def swallows():
        with contextlib.suppress(asyncio.CancelledError):
            await forever()

    async with stopped_at_end(Supervisor()) as supervisor:
        supervisor.add("tidy", tidy)
        supervisor.add("swallows", swallows)
        supervisor.add("backing off", failing_then(100))
        await until(lambda: supervisor.tasks["backing off"].state is TaskState.Restarting)
    assert cleaned == [1]
    assert {status.state for status in supervisor.tasks.values()} == {TaskState.Stopped}


async def test_stop_before_the_first_step_leaves_nothing():
    supervisor = Supervisor()
    run = failing_then(0)
    async with stopped_at_end(supervisor):
        supervisor.add("x", run)
    assert (supervisor.tasks["x"].state, run.runs) == (TaskState.Stopped, [])


async def test_a_loop_that_ends_without_stop_ends_the_tasks_too():
    supervisor = Supervisor()
    run = failing_then(0)
    supervisor.add("x", run)
    await until(lambda: run.runs == [0])
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "x"]
    task.cancel()  # as asyncio.run does at its end
    await asyncio.wait([task])
    assert (supervisor.tasks["x"].state, run.runs) == (TaskState.Stopped, [0])


async def test_stop_is_bounded_and_names_what_would_not_end(caplog):
    release = asyncio.Event()

    async def stubborn():
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    supervisor = Supervisor()
    supervisor.add("stubborn", stubborn)
    supervisor.add("fine", forever)
    await asyncio.sleep(0)
    assert await supervisor.stop(timeout=0.02) == ["stubborn"]
    assert supervisor.tasks["stubborn"].state is TaskState.Running
    assert any(record.msg["event"] == "tasks did not stop" for record in caplog.records)
    release.set()
    assert await supervisor.stop() == []


async def test_an_error_while_stopping_is_logged(caplog):
    async def run():
        try:
            await forever()
        finally:
            raise OSError("the peer is gone")

    async with stopped_at_end(Supervisor()) as supervisor:
        supervisor.add("x", run)
        await asyncio.sleep(0)
    assert [record.msg["error"] for record in caplog.records if record.levelno == logging.ERROR] == [
        "OSError: the peer is gone"
    ]


async def test_a_traceback_is_logged_once_for_each_error(caplog):
    clock = Time()

    async def run():
        raise OSError("same" if len(clock.delays) < 3 else "other")

    async with stopped_at_end(clock.supervisor()) as supervisor:
        supervisor.add("x", run)
        await until(lambda: len(clock.delays) == 5)
    failed = [record.msg["error"] for record in caplog.records if record.msg["event"] == "task failed"]
    assert failed == ["OSError: same", "OSError: other"]


async def test_names_are_unique_and_nothing_is_added_after_stop():
    supervisor = Supervisor()
    async with stopped_at_end(supervisor):
        supervisor.add("x", forever)
        with pytest.raises(ValueError, match="already"):
            supervisor.add("x", forever)
    with pytest.raises(RuntimeError, match="stopping"):
        supervisor.add("y", forever)


def test_an_error_is_described_in_one_line():
    group = ExceptionGroup("several", [OSError("a\n b"), ExceptionGroup("inner", [KeyError()])])
    assert describe(group) == "OSError: a b; KeyError"

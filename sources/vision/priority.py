"""What the vision process gets of the processor: it must not keep the server waiting."""

import contextlib
import os
import sys
from pathlib import Path

from sources.vision.settings import Priority

_LOWEST = 19


def stand_behind(pid: int, priority: Priority, nice: int) -> str:
    """Let a process, with all the threads that it has by now and will have, stand behind others; return how, in words.

    On Linux the policy is each thread's own, inherited by those that it starts. One under SCHED_IDLE is put aside at
    once when any other wakes up, and has a share of 3 to the 1,024 of another that wants the same core all the time.
    """
    if priority == "normal":
        return "like the server"
    try:
        return _lower(pid, priority, nice)
    except OSError as error:  # a container or its host may forbid it: cameras are worth more than that
        return f"like the server: it may not be lower here: {error}"


def let_end(pid: int) -> None:
    """Let a process that is to end stand with everybody else, where that is allowed: even to be killed takes its time.

    On a machine that is busy all the time, one under SCHED_IDLE would take seconds for it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            for thread in _threads(pid):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _threads(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]


def _lower(pid: int, priority: Priority, nice: int) -> str:
    if sys.platform == "linux":
        policy, how = (os.SCHED_IDLE, "SCHED_IDLE") if priority == "idle" else (os.SCHED_BATCH, f"batch, nice {nice}")
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # a thread, or all of it, has ended
            for thread in _threads(pid):
                os.sched_setscheduler(thread, policy, os.sched_param(0))
                if priority == "batch":
                    os.setpriority(os.PRIO_PROCESS, thread, nice)
        return how
    if sys.platform == "win32":
        return "like the server: nothing lower is known for this platform"
    level = _LOWEST if priority == "idle" else nice
    os.setpriority(os.PRIO_PROCESS, pid, level)
    return f"nice {level}"

"""Keeps the cores awake: to wake one that sleeps takes a virtual machine a good part of what an answer takes.

With one request under way, server and client sleep in turn, and what is measured is how soon the machine wakes them. A
process of the lowest class (SCHED_IDLE, which gives way at once) on each core keeps them from sleeping, for all servers
alike, as `idle=poll` does where one may set it.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from bench.processes import CLIENT_CORES, SERVER_CORES

_SPIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    pass
"""


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keep the cores of server and client from sleeping, where the system has SCHED_IDLE."""
    if not hasattr(os, "SCHED_IDLE"):
        yield
        return
    command = [sys.executable, "-S", "-c", _SPIN]
    spinning = [subprocess.Popen([*command, str(core)]) for core in SERVER_CORES | CLIENT_CORES]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()

"""The simulated PLC: alone, read by mbpoll; and behind a source, as the default plant has it."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from address_space import load_plant
from server.quality import GOOD
from sources.physics.line import LineState
from tests.sources.modbus_plc.rig import ORDERS, ROOT, Rig, eventually, wire

SIMULATOR = ("-m", "sources.modbus_plc.simulator")
BUTTON_COIL = 100
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode(), flush=True)
sys.stdin.read()
"""


class Simulator:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def mbpoll(self, *arguments: str) -> list[str]:
        """Read with another master; the values in the order of their addresses."""
        program = shutil.which("mbpoll")
        if program is None:
            pytest.fail("mbpoll is not installed, these tests need it: apt-get install mbpoll")
        process = await asyncio.create_subprocess_exec(
            program,
            *("-m", "tcp", "-p", str(self.port), "-a", "1", "-0", "-1", "-q", "-o", "5", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        return re.findall(r"^\[\d+\]:\s+(\S+)", output, re.MULTILINE)

    async def read(self, kind: str, address: int, count: int = 1) -> list[str]:
        return await self.mbpoll("-t", kind, "-B", "-r", str(address), "-c", str(count), "127.0.0.1")

    async def write(self, kind: str, address: int, value: float) -> None:
        await self.mbpoll("-t", kind, "-B", "-r", str(address), "127.0.0.1", str(value))

    async def state(self) -> LineState:
        return LineState(int((await self.read("3", 0))[0]))

    async def until(self, state: LineState, limit: float = 10.0) -> None:
        deadline = time.monotonic() + limit
        while (now := await self.state()) != state:
            assert time.monotonic() < deadline, f"it is {now.name}, not {state.name}"


@contextlib.asynccontextmanager
async def simulator(*arguments: str) -> AsyncIterator[Simulator]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(*SIMULATOR, "--port", "0", "--seed", "1", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
    assert match, line
    try:
        yield Simulator(process, int(match[1]))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_another_master_starts_and_stops_the_line() -> None:
    async with simulator() as plc:
        assert await plc.state() is LineState.Stopped
        assert await plc.read("4:float", 0) == ["100"]  # SpeedSetpoint
        await plc.write("4:float", 0, 12.0)
        assert await plc.read("4:float", 0) == ["12"]
        await plc.write("0", 0, 1)  # Start
        await plc.until(LineState.Running)
        assert await plc.read("0", 0, 2) == ["0", "0"], "a command is taken, its coil cleared"
        assert float((await plc.read("3:float", 6))[0]) == pytest.approx(12, abs=1)  # LineSpeed
        assert float((await plc.read("3", 1))[0]) == pytest.approx(2200, abs=100)  # Temperature, 0.01 °C
        await plc.write("0", 1, 1)  # Stop
        await plc.until(LineState.Stopped)


async def test_the_emergency_stop_is_latched_in_the_plc() -> None:
    async with simulator("--autostart") as plc:
        await plc.until(LineState.Starting)
        await plc.write("0", 2, 1)
        await plc.until(LineState.EmergencyStopped)
        await plc.write("0", 2, 0)  # not the way to release it
        await plc.write("0", 0, 1)  # Start: refused
        assert await plc.state() is LineState.EmergencyStopped
        assert await plc.read("0", 0, 4) == ["0", "0", "1", "0"]
        await plc.write("0", 3, 1)  # reset
        await plc.until(LineState.Stopped)
        assert await plc.read("0", 2) == ["0"]
        await plc.write("0", 0, 1)
        await plc.until(LineState.Starting)


async def test_the_button_stops_the_line_and_a_reset_needs_it_released() -> None:
    async with simulator("--autostart") as plc:
        await plc.until(LineState.Starting)
        await plc.write("0", BUTTON_COIL, 1)
        await plc.until(LineState.EmergencyStopped)
        assert await plc.read("1", 0) == ["1"]  # EmergencyStopButton
        await plc.write("0", 3, 1)
        assert await plc.state() is LineState.EmergencyStopped
        await plc.write("0", BUTTON_COIL, 0)
        assert await plc.state() is LineState.EmergencyStopped, "released, it is still latched"
        assert await plc.read("1", 0) == ["0"]
        await plc.write("0", 3, 1)
        await plc.until(LineState.Stopped)


@pytest.mark.parametrize("order", ORDERS)
async def test_the_word_order_is_that_of_the_command_line(order: str) -> None:
    async with simulator("--word-order", order) as plc:
        words = [int(word, 16) for word in await plc.read("4:hex", 0, 2)]
        assert words == wire("float32", order, 100.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_with_a_signal(number: signal.Signals) -> None:
    async with simulator() as plc:
        with socket.create_connection(("127.0.0.1", plc.port)):  # a master that stays connected
            plc.process.send_signal(number)
            async with asyncio.timeout(20):
                assert await plc.process.wait() == 0


async def test_it_ends_with_its_parent() -> None:
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, *SIMULATOR, "--port", "0", stdin=pipe, stdout=pipe, cwd=ROOT
    )
    assert parent.stdout is not None
    pid, text = (await parent.stdout.readline()).decode().split(maxsplit=1)
    assert "listening on" in text
    parent.kill()
    await parent.communicate()
    await eventually(lambda: not alive(int(pid)), limit=2)


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--map", "/nowhere.yaml"], 2, "/nowhere.yaml"),
        (["--map-name", "Other"], 2, "Other"),
        (["--port", "{taken}"], 1, "Could not start listen"),
    ],
)
async def test_what_it_cannot_do_it_says(arguments: list[str], code: int, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        filled = [argument.format(taken=taken.getsockname()[1]) for argument in arguments]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, *SIMULATOR, "--port", "0", *filled, stderr=pipe, stdin=asyncio.subprocess.DEVNULL, cwd=ROOT
        )
        _, error = await process.communicate()
    assert process.returncode == code
    assert message in error.decode()
    assert "Traceback" not in error.decode()


# ---------------------------------------------------------------- behind a source


@pytest.fixture
async def line() -> AsyncIterator[Rig]:
    rig = Rig(load_plant(), "line1_plc", simulate=True, backoff={"minimum": 0.05, "maximum": 0.2})
    async with rig.running():
        await rig.until(lambda: rig.status("OEE") == rig.status("State") == GOOD)
        yield rig


def in_state(rig: Rig, state: LineState) -> Any:
    return lambda: rig.value("State") == state


async def test_a_line_of_the_default_plant_starts_runs_and_stops(line: Rig) -> None:
    assert line.value("State") == LineState.Stopped
    assert all(line.status(name) == GOOD for name in line.machine.variables if name in line.source.plan.points)
    await line.source.put(line.machine.variables["SpeedSetpoint"], 60.0)
    await line.source.execute(line.machine, "Start", ())
    await line.until(in_state(line, LineState.Starting), limit=1)
    await line.until(in_state(line, LineState.Running), limit=15)
    assert line.value("SpeedSetpoint") == 60.0
    assert line.value("LineSpeed") == pytest.approx(60, rel=0.05)
    assert line.value("CycleTime") == pytest.approx(1, rel=0.05)
    made = line.value("ProductionCount")
    await line.until(lambda: line.value("ProductionCount") > made)
    await line.source.execute(line.machine, "Stop", ())
    await line.until(in_state(line, LineState.Stopped))


async def test_the_emergency_stop_shows_within_100_ms(line: Rig) -> None:
    latencies: list[float] = []
    for _ in range(5):
        await line.source.execute(line.machine, "Start", ())
        await line.until(in_state(line, LineState.Starting))
        began = time.monotonic()
        await line.source.emergency_stop(line.machine, True)
        await line.until(in_state(line, LineState.EmergencyStopped))
        latencies.append(time.monotonic() - began)
        await line.source.emergency_stop(line.machine, False)
        await line.until(in_state(line, LineState.Stopped))
    assert statistics.median(latencies) < 0.1, latencies


async def test_a_latched_line_does_not_start(line: Rig) -> None:
    await line.source.emergency_stop(line.machine, True)
    await line.until(in_state(line, LineState.EmergencyStopped))
    await line.source.execute(line.machine, "Start", ())
    await line.until_polled("State")
    assert line.value("State") == LineState.EmergencyStopped
    await line.source.emergency_stop(line.machine, False)
    await line.until(in_state(line, LineState.Stopped))
    await line.until_polled("State")
    assert line.value("State") == LineState.Stopped, "released, it does not start by itself"


async def test_a_simulator_that_dies_is_started_again_and_stopped_again(line: Rig) -> None:
    assert line.source.simulated is not None
    first = line.source.simulated.pid
    assert first is not None
    await line.source.emergency_stop(line.machine, True)
    os.kill(first, signal.SIGKILL)
    await line.until_polled("State")
    assert line.source.simulated.pid not in {None, first}
    await line.until(in_state(line, LineState.EmergencyStopped), limit=1)  # it comes up latched


async def test_the_simulator_ends_with_the_source() -> None:
    rig = Rig(load_plant(), "line2_plc")
    assert rig.source.simulated is not None
    async with rig.running():
        await rig.until(lambda: rig.status("State") == GOOD)
        pid = rig.source.simulated.pid
        assert pid is not None
    assert rig.source.simulated.pid is None
    assert not psutil.pid_exists(pid)


def test_two_lines_are_not_alike() -> None:
    plant = load_plant()
    seeds = {tuple(Rig(plant, f"line{i}_plc").source.simulated.arguments) for i in (1, 2, 3)}  # type: ignore[union-attr]
    assert len(seeds) == 3

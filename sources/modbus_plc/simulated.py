"""The simulated PLC as a process of its own, started when it is needed and ended with its source."""

import asyncio
import re
import sys
from pathlib import Path

from server import logs
from sources.modbus_plc.settings import RegisterMap, Settings, Simulate

ROOT = Path(__file__).parents[2]
START_TIME = 15.0  # s that the process may take until it listens
STOP_TIME = 2.0  # s after SIGTERM until it is killed

log = logs.get(__name__)


class SimulatedPlc:
    """One simulator process. It ends by itself when this process dies: its standard input closes."""

    def __init__(self, settings: Settings, simulate: Simulate, default_seed: int) -> None:
        self._map = settings.model_dump_json(include=set(RegisterMap.model_fields))
        self.arguments = ["--host", settings.host, "--port", str(settings.port), "--map", "-"]
        self.arguments += ["--button", str(simulate.button)]
        self.arguments += ["--seed", str(default_seed if simulate.seed is None else simulate.seed)]
        self.arguments += ["--autostart"] if simulate.autostart else []
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0

    @property
    def pid(self) -> int | None:
        """The process, None when it does not run."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def port(self) -> int:
        """Return the TCP port that it listens on, started if it does not run; raises OSError."""
        if self.pid is None:
            await self._start()
        return self._port

    async def _start(self) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sources.modbus_plc.simulator",
            *self.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C in a terminal is for the server, which then ends this
        )
        try:
            self._port = await self._introduce(process)
        except BaseException:
            await self.stop()
            raise
        log.info("PLC simulator started", pid=process.pid, port=self._port)

    async def _introduce(self, process: asyncio.subprocess.Process) -> int:
        """Give the process its register map and return the port that it names; raises OSError."""
        assert process.stdin is not None  # noqa: S101  both are pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(self._map.encode() + b"\n")
        async with asyncio.timeout(START_TIME):
            line = (await process.stdout.readline()).decode()
        match = re.fullmatch(r"listening on .*:(\d+)\n", line)
        if match is None:
            raise ConnectionError(f"the PLC simulator did not start: it said {line!r}")
        return int(match[1])

    async def stop(self) -> None:
        """End the process and wait for its end."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_TIME):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

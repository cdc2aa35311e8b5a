"""A small plant with a source made for tests: what the server's core is driven with, no network in sight."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from address_space import Plant, Role, Variable, load_plant
from address_space.model import Machine
from server.commands import Commands
from server.emergency_stop import EmergencyStops
from server.ports import CommandError
from server.security.principal import Principal, authenticated
from server.state import State
from server.store import Store, now_ticks

PLANT = """\
plant: {name: Plant, type: PlantType}
enumerations:
  State: [Stopped, Running, EmergencyStopped]
types:
  PlantType: {description: The plant, emergency_stop: {reset_role: Supervisor}}
  PressType:
    description: A press
    variables:
      State: {enum: State, description: State}
      Speed: {type: Double, unit: 1/min, range: [0, 100], description: Speed}
      Count: {type: UInt16, description: Pieces}
      Button: {type: Boolean, description: The button}
      Target: {type: Double, unit: 1/min, range: [0, 100], access: write, initial: 10, description: Wanted speed}
      Batch: {type: Int16, access: write, role: Engineer, description: Batch size}
      Note: {type: String, access: write, description: A text}
      Mode: {enum: State, access: write, description: A state}
      Due: {type: DateTime, access: write, description: A time}
      Double: {type: Double, unit: 1/min, range: [0, 200], computed: 2 * Speed, description: Computed}
      Small: {type: Byte, computed: Speed * 10, description: Computed into a byte}
      Ratio: {type: Double, unit: "1", range: [0, 1], computed: Speed / Target, description: Computed from two}
    commands:
      Start: {description: Start, confirms: {State: [Running]}, within: 0.15}
      Stop: {description: Stop}
      Aim:
        description: Set the target
        sets: Target
        arguments: {Speed: {type: Double, range: [0, 50], description: New target}}
      Test:
        description: Try it
        role: Engineer
        arguments:
          Level: {type: Double, range: [0, 1], description: How much}
          Way: {type: String, choices: [up, down], description: Which way}
    emergency_stop: {state: State, stopped: EmergencyStopped, standstill: Speed < 1, button: Button}
sources:
  fake: {kind: physics}
  other: {kind: physics}
objects:
  Press1: {type: PressType, source: fake}
  Press2: {type: PressType, source: fake}
  Press3: {type: PressType, source: other}
  Lonely: {type: PressType}
"""
OPERATOR = authenticated("olga", frozenset({Role.Operator}))
ENGINEER = authenticated("egon", frozenset({Role.Engineer}))
SUPERVISOR = authenticated("sara", frozenset({Role.Supervisor}))
USER = authenticated("ulf", frozenset())
ORIGIN = "test 127.0.0.1"


class PressSource:
    """A Source that does as it is told at once, keeps what it was told, and can be made to fail."""

    def __init__(self, plant: Plant, store: Store) -> None:
        self.plant, self.store = plant, store
        self.told: list[tuple[Any, ...]] = []
        self.stopped: set[str] = set()
        self.error: Exception | None = None
        self.deaf = False  # takes a command and does nothing
        self.before: Callable[[tuple[Any, ...]], Any] | None = None  # awaited before anything is done

    async def run(self) -> None:
        """There is nothing to feed."""

    async def put(self, variable: Variable, value: Any) -> None:
        await self._take(("put", variable.path, value))

    async def execute(self, machine: Machine, command: str, arguments: tuple[Any, ...]) -> None:
        await self._take(("execute", machine.path, command, *arguments))
        if command in ("Start", "Stop") and not self.deaf:
            self._show(machine, 1 if command == "Start" else 0, 50.0 if command == "Start" else 0.0)

    async def emergency_stop(self, machine: Machine, active: bool) -> None:
        await self._take(("emergency_stop", machine.path, active))
        if active:
            self.stopped.add(machine.path)
            self._show(machine, 2, 0.0)
        else:
            self.stopped.discard(machine.path)
            self._show(machine, 0, 0.0)

    async def _take(self, told: tuple[Any, ...]) -> None:
        if self.before is not None:
            await self.before(told)
        if self.error is not None:
            raise self.error
        self.told.append(told)

    def _show(self, machine: Machine, state: int, speed: float) -> None:
        ids = np.array([machine.variables["State"].id, machine.variables["Speed"].id])
        self.store.write(ids, np.array([state, speed]), now_ticks())


class Core:
    """The server's core over a data folder; another one over the same folder is the same server restarted."""

    def __init__(self, folder: Path) -> None:
        file = folder / "plant.yaml"
        if not file.exists():
            file.write_text(PLANT, encoding="utf-8")
        self.folder = folder
        self.plant = load_plant(file)
        self.store = Store(self.plant, 4096)
        self.source, self.other = PressSource(self.plant, self.store), PressSource(self.plant, self.store)
        sources = {"fake": self.source, "other": self.other}
        self.state = State(folder / "state.sqlite")
        self.commands = Commands(self.plant, self.store, self.state, sources)
        self.stops = EmergencyStops(self.plant, self.store, self.state, self.commands, sources)
        self.press = self.plant.machine("Plant.Press1")
        for machine in self.plant.machines:
            if machine.source is not None and "Speed" in machine.variables:
                self.set(f"{machine.name}.Speed", 0.0)
                self.set(f"{machine.name}.Button", False)
                self.set(f"{machine.name}.State", 0)

    def close(self) -> None:
        self.state.close()

    async def restarted(self) -> "Core":
        self.close()
        core = Core(self.folder)
        await core.commands.restore()
        core.stops.restore()
        return core

    def id(self, path: str) -> int:
        return self.plant.variable(f"Plant.{path}").id

    def value(self, path: str) -> Any:
        return self.store.value(self.id(path))

    def status(self, path: str) -> int:
        return self.store.read(self.id(path))[1]

    def set(self, path: str, value: Any, status: int = 0, stamp: int | None = None) -> None:
        self.store.write(np.array([self.id(path)]), np.array([value]), stamp or now_ticks(), status)

    async def do(self, path: str, *arguments: Any, by: Principal = SUPERVISOR) -> tuple[Any, ...]:
        return await self.commands.execute(f"Plant.{path}", arguments, by, ORIGIN)

    async def refused(self, path: str, *arguments: Any, by: Principal = SUPERVISOR) -> int:
        """Do what must be refused; returns the StatusCode."""
        with pytest.raises(CommandError, match=r".") as caught:
            await self.do(path, *arguments, by=by)
        return caught.value.status

    async def put(self, path: str, value: Any, by: Principal = SUPERVISOR) -> None:
        await self.commands.put(self.plant.variable(f"Plant.{path}"), value, by, ORIGIN)

    async def put_refused(self, path: str, value: Any, by: Principal = SUPERVISOR) -> int:
        with pytest.raises(CommandError, match=r".") as caught:
            await self.put(path, value, by)
        return caught.value.status

    def latched(self, name: str) -> bool:
        return bool(self.value(f"{name}.EmergencyStopActive" if name else "EmergencyStopActive"))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read the database as another program would."""
        database = sqlite3.connect(self.folder / "state.sqlite")
        try:
            return database.execute(sql).fetchall()
        finally:
            database.close()

    def audit(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT who, origin, action, arguments, status FROM audit ORDER BY id")

    def break_disk(self, broken: bool = True) -> None:
        """Let SQLite refuse every write, as on a disk that has turned read-only."""
        self.state._database.execute(f"PRAGMA query_only = {int(broken)}")

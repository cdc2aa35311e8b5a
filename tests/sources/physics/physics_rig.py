"""Drives the pure models, and a physics source on a small plant of its own, without waiting for real time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from address_space import Plant, load_plant
from server.ports import SourceContext
from server.store import Store
from sources.physics import generator, line
from sources.physics.genset import RADIANS
from sources.physics.source import PhysicsSource


class Genset:
    """Generator sets, all given the same inputs, stepped at 0.1 s."""

    def __init__(self, n: int = 1, seed: int = 1) -> None:
        self.n, self.rng = n, np.random.default_rng(seed)
        self.state = generator.initial(n, self.rng)
        self.held: dict[str, Any] = {"load_setpoint": 0.0, "speed_setpoint": 1500.0, "ambient": 25.0}

    def inputs(self, **given: Any) -> generator.Inputs:
        columns: dict[str, Any] = {"start": False, "stop": False, "emergency_stop": False}
        columns |= {"oil_leak": 0.0, "overload": 0.0, "refuel_at": 0.0} | self.held | given
        return generator.Inputs(**{name: np.full(self.n, value) for name, value in columns.items()})

    def pulse(self, **commands: Any) -> None:
        self.state = generator.step(self.state, self.inputs(**commands), 0.1)

    def run(self, seconds: float, each: Callable[[], None] = lambda: None, **held: Any) -> "Genset":
        self.held |= held
        for _ in range(round(seconds / 0.1)):
            self.pulse()
            each()
        return self

    def running(self, load: float) -> "Genset":
        """Start, load and let it settle."""
        self.pulse(start=True)
        return self.run(20, load_setpoint=load)

    @property
    def mode(self) -> generator.GeneratorState:
        return generator.GeneratorState(int(self.state.mode[0]))

    @property
    def speed(self) -> float:
        return float(self.state.omega[0]) / RADIANS

    def reads(self) -> dict[str, Any]:
        return {name: column[0] for name, column in generator.outputs(self.state, self.rng).items()}


class Lines:
    """Production lines, all given the same inputs."""

    def __init__(self, n: int = 1, seed: int = 1) -> None:
        self.n, self.rng = n, np.random.default_rng(seed)
        self.state = line.initial(n, self.rng)
        self.held: dict[str, Any] = {"speed_setpoint": 100.0, "ambient": 22.0, "emergency_stop": False}

    def pulse(self, dt: float = 0.1, **commands: Any) -> None:
        columns = {"start": False, "stop": False, "fault": False} | self.held | commands
        inputs = line.Inputs(**{name: np.full(self.n, value) for name, value in columns.items()})
        self.state = line.step(self.state, inputs, dt)

    def run(self, seconds: float, dt: float = 0.1, **held: Any) -> "Lines":
        self.held |= held
        for _ in range(round(seconds / dt)):
            self.pulse(dt)
        return self

    def running(self) -> "Lines":
        self.pulse(start=True)
        return self.run(30)

    @property
    def mode(self) -> line.LineState:
        return line.LineState(int(self.state.mode[0]))

    def reads(self) -> dict[str, Any]:
        return {name: column[0] for name, column in line.outputs(self.state, self.rng).items()}


PLANT = """
plant: {name: Plant, namespace: "urn:test:physics", type: PlantType, description: A plant to test with}
enumerations:
  GeneratorState: [Stopped, Starting, Running, Stopping, Tripped, EmergencyStopped]
  LineState: [Stopped, Starting, Running, Stopping, Faulted, EmergencyStopped]
types:
  PlantType: {description: The plant}
  GeneratorType:
    description: A generator
    variables:
      State: {enum: GeneratorState, description: State}
      Speed: {type: Double, unit: r/min, range: [0, 2500], description: Speed}
      ActivePower: {type: Double, unit: kW, range: [0, 1000], description: Power}
      OilPressure: {type: Double, unit: bar, range: [0, 10], description: Oil pressure}
      RoomHumidity: {type: Double, unit: "%%", range: [0, 100], description: Nothing that the model knows}
      LoadSetpoint: {type: Double, unit: kW, range: [0, 900], access: write, initial: 200, description: Load}
      SpeedSetpoint: {type: Double, unit: r/min, range: [0, 2500], access: write, initial: 1500, description: Speed}
      Tariff: {type: Double, unit: EUR/kWh, range: [0, 10], access: write, initial: 0.2, description: Price}
  ProductionLineType:
    description: A line
    variables:
      State: {enum: LineState, description: State}
      ProductionCount: {type: UInt64, unit: piece, range: [0, 1000000], description: Pieces}
      Power: {type: Double, unit: kW, range: [0, 200], description: Power}
      SpeedSetpoint: {type: Double, unit: 1/min, range: [0, 150], access: write, initial: 120, description: Speed}
  EnergyMeterType:
    description: The mains
    variables:
      PowerConsumption: {type: Double, unit: kW, range: [0, 2000], description: Power}
  EnvironmentType:
    description: The hall
    variables:
      Temperature: {type: Double, unit: °C, range: [-40, 80], description: Temperature}
  OddType:
    description: Without physics
    variables:
      Speed: {type: Double, unit: r/min, range: [0, 2500], description: Speed}
sources:
  physics: {kind: physics, seed: 7, hour: 9%(options)s}
objects:
%(objects)s
"""
MACHINES = {
    "Generator1": "GeneratorType",
    "Generator2": "GeneratorType",
    "Line1": "ProductionLineType",
    "Line2": "ProductionLineType",
    "Energy": "EnergyMeterType",
    "Environment": "EnvironmentType",
}


class Rig:
    """A physics source with its plant and store."""

    def __init__(self, folder: Path, options: str = "", machines: dict[str, str] = MACHINES) -> None:
        objects = "\n".join(f"  {name}: {{type: {kind}, source: physics}}" for name, kind in machines.items())
        file = folder / "plant.yaml"
        file.write_text(PLANT % {"objects": objects, "options": options and ", " + options}, encoding="utf-8")
        self.plant: Plant = load_plant(file)
        self.store = Store(self.plant)
        own = tuple(machine for machine in self.plant.machines if machine.source == "physics")
        declared = self.plant.sources["physics"].options
        self.source = PhysicsSource(SourceContext("physics", self.plant, own, self.store, declared))

    def value(self, path: str) -> Any:
        return self.store.value(self.plant.variable(f"Plant.{path}").id)

    def status(self, path: str) -> int:
        return int(self.store.statuses(np.array([self.plant.variable(f"Plant.{path}").id]))[0])

    def stamp(self, path: str) -> int:
        return int(self.store.source_timestamps(np.array([self.plant.variable(f"Plant.{path}").id]))[0])

    def advance(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            self.source.advance(0.1)

    async def do(self, machine: str, command: str, *arguments: Any) -> None:
        await self.source.execute(self.plant.machine(f"Plant.{machine}"), command, arguments)

    async def stop_now(self, machine: str, active: bool) -> None:
        await self.source.emergency_stop(self.plant.machine(f"Plant.{machine}"), active)

    async def put(self, path: str, value: Any) -> None:
        await self.source.put(self.plant.variable(f"Plant.{path}"), value)

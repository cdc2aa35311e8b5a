"""The physics source: steps the models in real time and writes what their sensors show, one write a model."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import Machine, Variable
from server.ports import CommandError, SourceContext
from server.quality import BAD_NOT_FOUND, BAD_NOT_WRITABLE, BAD_TYPE_MISMATCH
from server.store import now_ticks
from sources.physics.environment import fan_power
from sources.physics.groups import GROUPS, Around, EnvironmentGroup, Group
from sources.physics.settings import ModelName, read_settings

LONGEST_LAG = 1.0  # s of real time that a late step makes up for; what is beyond is lost, not rushed
LONGEST_STEP = 1.0  # s of simulated time in one step of the models


@dataclass(frozen=True)
class _Feed:
    """One model's machines, and where its readings (variables, machines), ravelled, go in the store."""

    group: Group
    machines: tuple[Machine, ...]
    ids: NDArray[np.int64]
    places: NDArray[np.int64]
    setpoints: tuple["_Setpoint", ...]


@dataclass
class _Setpoint:
    """A set-point of a model: which of its machines have it, under which ids, and what the store had last."""

    name: str
    indices: NDArray[np.int64]
    ids: NDArray[np.int64]
    seen: NDArray[np.float64]


@dataclass(frozen=True)
class _Place:
    """A machine's place in its group."""

    group: Group
    index: int


class PhysicsSource:
    """Simulated machines (the `Source` port)."""

    def __init__(self, context: SourceContext) -> None:
        """Group the machines; raises PlantError for options or machines that cannot be."""
        self._context, self._store = context, context.store
        self.settings = read_settings(context.plant, context.name, context.options)
        if self.settings.hour is None:
            now = datetime.now(UTC)
            self.settings = self.settings.model_copy(update={"hour": now.hour + now.minute / 60.0})
        self._feeds = [self._feed(name, machines) for name, machines in self._by_model().items()]
        self._places = {
            machine.path: _Place(feed.group, index)
            for feed in self._feeds
            for index, machine in enumerate(feed.machines)
        }
        self._line_ids = self._lines()
        self._start_up()

    async def run(self) -> None:
        """Step at the period until cancelled."""
        loop = asyncio.get_running_loop()
        last = due = loop.time()
        while True:
            now = loop.time()
            self.advance(min(now - last, LONGEST_LAG) if now > last else self.settings.period)
            last = now
            due = max(due + self.settings.period, loop.time())
            await asyncio.sleep(due - loop.time())

    def advance(self, elapsed: float) -> None:
        """Advance by `elapsed` real seconds and write the outcome under one source timestamp."""
        simulated = elapsed * self.settings.time_scale
        steps = max(1, ceil(simulated / LONGEST_STEP - 1e-9))
        powers = np.nan_to_num(self._store.values(self._line_ids), nan=0.0)
        for feed in self._feeds:
            self._take_setpoints(feed)
        for _ in range(steps):
            around = self._around(powers)
            for feed in self._feeds:
                feed.group.advance(simulated / steps, around)
        stamp = now_ticks()
        for feed in self._feeds:
            values, statuses = feed.group.read()
            self._store.write(feed.ids, values.ravel()[feed.places], stamp, statuses.ravel()[feed.places])

    async def put(self, variable: Variable, value: Any) -> None:
        """Take a set-point for the next step; what the models do not use is accepted; raises CommandError."""
        place = self._place(self._context.plant.owner(variable))
        if not variable.declaration.writable:
            raise CommandError(BAD_NOT_WRITABLE, f"{variable.path} is no set-point")
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise CommandError(BAD_TYPE_MISMATCH, f"{variable.path} takes a number, not {value!r}")
        if variable.name in place.group.setpoints:
            place.group.put(place.index, variable.name, float(value))

    def takes(self, variable: Variable) -> tuple[float, float] | None:
        """Return the range of a number that the models take from the store with the next step (`StoreFed`)."""
        if not variable.declaration.type.is_numeric:
            return None
        place = self._places.get(self._context.plant.owner(variable).path)
        if place is None:
            return None
        low, high, *_ = place.group.setpoints.get(variable.name, (-inf, inf))
        return low, high

    async def execute(self, machine: Machine, command: str, arguments: tuple[Any, ...]) -> None:
        """Carry out Start, Stop, SetLoad, InjectFault or ClearFaults; raises CommandError."""
        place = self._place(machine)
        if command == "SetLoad" and "LoadSetpoint" in machine.variables and arguments:
            setpoint = machine.variables["LoadSetpoint"]
            await self.put(setpoint, arguments[0])
            self._store.write(np.array([setpoint.id]), np.array([arguments[0]]), now_ticks())
        else:
            place.group.execute(place.index, command, arguments)

    async def emergency_stop(self, machine: Machine, active: bool) -> None:
        """Stop at once and show it at once, or release to Stopped; idempotent; raises CommandError."""
        place = self._place(machine)
        place.group.emergency_stop(place.index, active)
        self._show_state(machine, place)

    def _by_model(self) -> dict[ModelName, list[Machine]]:
        """Return the machines by model, the models in their order of stepping; raises PlantError."""
        name, plant = self._context.name, self._context.plant
        for machine_type in self.settings.models:
            if machine_type not in plant.types:
                raise plant.error(("sources", name, "models", machine_type), "is no type of this plant")
        found: dict[ModelName, list[Machine]] = {model: [] for model in GROUPS}
        for machine in self._context.machines:
            model = self.settings.model_of(machine.type.name)
            if model is None:
                message = (
                    f"has no physics for {machine.type.name}, the type of {machine.path}: say which under `models`"
                )
                raise plant.error(("sources", name, "models"), message)
            found[model].append(machine)
        return {model: machines for model, machines in found.items() if machines}

    def _feed(self, model: ModelName, machines: list[Machine]) -> _Feed:
        group = GROUPS[model](len(machines), self.settings)
        ids: list[int] = []
        places: list[int] = []
        for row, name in enumerate(group.sensors.variables):
            for index, machine in enumerate(machines):
                variable = machine.variables.get(name)
                if variable is not None and not variable.declaration.writable:
                    ids.append(variable.id)
                    places.append(row * len(machines) + index)
        setpoints: list[_Setpoint] = []
        for name in group.setpoints:
            held = [(i, m.variables[name].id) for i, m in enumerate(machines) if name in m.variables]
            pairs = np.array(held, np.int64).reshape(-1, 2)
            setpoints.append(_Setpoint(name, pairs[:, 0], pairs[:, 1], np.full(len(pairs), np.nan)))
        return _Feed(group, tuple(machines), np.array(ids, np.int64), np.array(places, np.int64), tuple(setpoints))

    def _lines(self) -> NDArray[np.int64]:
        """Return the ids of the Power of the lines that load mains and hall; raises PlantError."""
        plant, inputs = self._context.plant, self.settings.inputs
        if inputs is None:
            lines: Iterable[Machine] = (m for m in plant.machines if m.type.name == "ProductionLineType")
        else:
            lines = [self._named(plant.machines, entry, ("inputs", i)) for i, entry in enumerate(inputs)]
            for i, machine in enumerate(lines):
                if "Power" not in machine.variables:
                    location = ("sources", self._context.name, "inputs", i)
                    raise plant.error(location, f"{machine.path} has no variable Power")
        return np.array([m.variables["Power"].id for m in lines if "Power" in m.variables], np.int64)

    def _take_setpoints(self, feed: _Feed) -> None:
        """Follow the set-points that changed in the store; one that was put is there already, and may come later."""
        for setpoint in feed.setpoints:
            values = self._store.values(setpoint.ids)
            changed = (values != setpoint.seen) & ~np.isnan(values)
            if changed.any():
                feed.group.take_setpoints(setpoint.name, setpoint.indices[changed], values[changed])
                setpoint.seen = np.where(changed, values, setpoint.seen)

    def _start_up(self) -> None:
        """Inject the faults and give the Starts of the plant file; raises PlantError."""
        machines = self._context.machines
        for i, fault in enumerate(self.settings.faults):
            place = self._place(self._named(machines, fault.machine, ("faults", i, "machine")))
            try:
                place.group.inject(place.index, fault.fault, fault.magnitude)
            except CommandError as error:
                location = ("sources", self._context.name, "faults", i, "fault")
                raise self._context.plant.error(location, str(error)) from error
        autostart = self.settings.autostart
        if isinstance(autostart, bool):
            chosen = [m for m in machines if autostart and self._place(m).group.state_variable]
        else:
            chosen = [self._named(machines, entry, ("autostart", i)) for i, entry in enumerate(autostart)]
        for i, machine in enumerate(chosen):
            place = self._place(machine)
            try:
                place.group.execute(place.index, "Start", ())
            except CommandError as error:
                location = ("sources", self._context.name, "autostart", i)
                raise self._context.plant.error(location, f"{machine.path} cannot be started: {error}") from error

    def _named(self, machines: Iterable[Machine], name: str, option: tuple[str | int, ...]) -> Machine:
        """Return the machine of a name or path; raises PlantError."""
        for machine in machines:
            if name in {machine.name, machine.path}:
                return machine
        raise self._context.plant.error(("sources", self._context.name, *option), f"there is no machine {name!r} here")

    def _around(self, line_powers: NDArray[np.float64]) -> Around:
        halls = [feed.group.state for feed in self._feeds if isinstance(feed.group, EnvironmentGroup)]
        if not halls:
            return Around(line_powers)
        return Around(line_powers, float(np.sum(fan_power(halls[0]))), float(np.mean(halls[0].temperature)))

    def _place(self, machine: Machine) -> _Place:
        place = self._places.get(machine.path)
        if place is None:
            raise CommandError(BAD_NOT_FOUND, f"{machine.path} is not simulated by {self._context.name}")
        return place

    def _show_state(self, machine: Machine, place: _Place) -> None:
        name = place.group.state_variable
        if name is not None and name in machine.variables:
            state = np.array([place.group.state_of(place.index)])
            self._store.write(np.array([machine.variables[name].id]), state, now_ticks())

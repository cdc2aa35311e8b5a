"""Groups: all machines of one model as columns, with their set-points, commands, faults and sensors; no I/O."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from server.ports import CommandError
from server.quality import BAD_INVALID_ARGUMENT, BAD_INVALID_STATE, BAD_NOT_SUPPORTED, BAD_OUT_OF_RANGE, GOOD
from sources.physics import energy, environment, generator, line
from sources.physics.columns import Codes, Column, Flags
from sources.physics.sensors import SENSOR_FAULTS, Sensors
from sources.physics.settings import ModelName, Settings

_FIRST = (BAD_OUT_OF_RANGE, GOOD)
"""Statuses of the arguments (fault, magnitude) when it is the fault that is not known."""


@dataclass(frozen=True)
class Around:
    """What one model's machines feel of the others, in the step that begins."""

    line_powers: Column  # kW of each line that loads mains and hall
    fan_power: float = 0.0  # kW of all the halls' ventilation
    hall: float = 22.0  # °C


class Group(ABC):
    """All machines of one model; `index` is a machine's place in the columns."""

    order: ClassVar[int]  # of stepping, and of the random stream: neither depends on which other models there are
    setpoints: ClassVar[Mapping[str, tuple[float, float, float]]] = {}  # name: lowest, highest, initial value
    process_faults: ClassVar[tuple[str, ...]] = ()
    state_variable: ClassVar[str | None] = None

    def __init__(self, count: int, settings: Settings) -> None:
        self.count, self.settings = count, settings
        self.rng = np.random.default_rng([settings.seed, self.order])
        self.setpoint = {name: np.full(count, initial) for name, (_, _, initial) in self.setpoints.items()}
        self.fault = {name: np.zeros(count) for name in self.process_faults}
        self._prepare()
        self.sensors = Sensors(tuple(self.outputs()), count)

    @abstractmethod
    def _prepare(self) -> None:
        """Make the initial state."""

    @abstractmethod
    def advance(self, dt: float, around: Around) -> None:
        """Advance the state by `dt` seconds (at most 1)."""

    @abstractmethod
    def outputs(self) -> dict[str, NDArray[Any]]:
        """Return the noisy outputs by variable name."""

    def read(self) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
        """Return what the sensors show: values and statuses, each (variables, machines)."""
        return self.sensors.read(self.outputs())

    def put(self, index: int, name: str, value: float) -> None:
        """Set a set-point for the next step; raises CommandError (BadOutOfRange) for what the model cannot do."""
        low, high, _ = self.setpoints[name]
        if not low <= value <= high:
            raise CommandError(BAD_OUT_OF_RANGE, f"{name} goes from {low:g} to {high:g}, not {value:g}")
        self.setpoint[name][index] = value

    def take_setpoints(self, name: str, indices: NDArray[np.int64], values: Column) -> None:
        """Use `values` of the machines `indices` from the next step on, within what the model can do."""
        low, high, _ = self.setpoints[name]
        self.setpoint[name][indices] = np.clip(values, low, high)

    def execute(self, index: int, command: str, arguments: tuple[Any, ...]) -> None:
        """Carry out a command; raises CommandError."""
        if command == "InjectFault":
            self.inject(index, *_fault_arguments(arguments))
        elif command == "ClearFaults":
            self.sensors.clear(index)
            for column in self.fault.values():
                column[index] = 0.0
        else:
            raise CommandError(BAD_NOT_SUPPORTED, f"there is no command {command!r} for this machine")

    def inject(self, index: int, fault: str, magnitude: float) -> None:
        """Inject `fault`, 0 to mend it; `sensor_lost:Speed` names the sensor of a sensor fault; raises CommandError."""
        kind, _, sensor = fault.partition(":")
        if kind in self.fault and not sensor:
            self.fault[kind][index] = magnitude
        elif kind in SENSOR_FAULTS:
            sensor = sensor or self.sensors.names[0]
            if sensor not in self.sensors.names:
                known = ", ".join(self.sensors.names)
                raise CommandError(
                    BAD_INVALID_ARGUMENT, f"{sensor!r} is no sensor here; the sensors are {known}", _FIRST
                )
            self.sensors.set(kind, sensor, index, magnitude > 0)
        else:
            known = ", ".join((*self.process_faults, *SENSOR_FAULTS))
            raise CommandError(BAD_INVALID_ARGUMENT, f"{fault!r} is no fault here; the faults are {known}", _FIRST)

    def emergency_stop(self, index: int, active: bool) -> None:
        """Stop at once, or release; raises CommandError where there is nothing to stop."""
        del index, active
        raise CommandError(BAD_NOT_SUPPORTED, "there is nothing to stop in this machine")

    def state_of(self, index: int) -> int:
        """Return the code of the machine's State; of a machine without one, 0."""
        del index
        return 0


class DrivenGroup(Group):
    """Machines that start and stop; `tripped` is the state that a Stop acknowledges."""

    state_variable = "State"
    emergency_stopped: ClassVar[int] = 5  # in GeneratorState and LineState alike
    stopped: ClassVar[int] = 0
    tripped: ClassVar[int] = 4

    def _prepare(self) -> None:
        self.start: Flags = np.zeros(self.count, np.bool_)
        self.stop: Flags = np.zeros(self.count, np.bool_)
        self.held: Flags = np.zeros(self.count, np.bool_)

    @property
    @abstractmethod
    def mode(self) -> Codes:
        """State codes."""

    @abstractmethod
    def _set_mode(self, index: int, code: int) -> None:
        """Set one machine's state at once."""

    def execute(self, index: int, command: str, arguments: tuple[Any, ...]) -> None:
        """Carry out Start, Stop or a fault command; raises CommandError."""
        if command not in {"Start", "Stop"}:
            super().execute(index, command, arguments)
            return
        code = self.state_of(index)
        if code == self.emergency_stopped or self.held[index]:
            raise CommandError(BAD_INVALID_STATE, "the machine is emergency stopped: reset that first")
        if command == "Start":
            if code == self.tripped:
                raise CommandError(BAD_INVALID_STATE, "the machine has tripped: acknowledge that with Stop first")
            self.start[index], self.stop[index] = True, False
        else:
            self.stop[index], self.start[index] = True, False

    def emergency_stop(self, index: int, active: bool) -> None:
        """Hold the machine in EmergencyStopped, or release it to Stopped; idempotent."""
        self.held[index] = active
        self.start[index] = self.stop[index] = False
        if active:
            self._set_mode(index, self.emergency_stopped)
        elif self.state_of(index) == self.emergency_stopped:
            self._set_mode(index, self.stopped)

    def state_of(self, index: int) -> int:
        """Return the code of the machine's State."""
        return int(self.mode[index])

    def _pulses_done(self) -> None:
        """Forget Start and Stop, which the step has seen."""
        self.start, self.stop = np.zeros_like(self.start), np.zeros_like(self.stop)


class GeneratorGroup(DrivenGroup):
    """Generator sets."""

    order = 3
    setpoints: ClassVar = {"LoadSetpoint": (0.0, 500.0, 0.0), "SpeedSetpoint": (1200.0, 1800.0, 1500.0)}
    process_faults = ("oil_leak", "overload")

    def _prepare(self) -> None:
        super()._prepare()
        self.state = generator.initial(self.count, self.rng, self.settings.room_temperature)
        self._ambient = np.full(self.count, self.settings.room_temperature)
        self._refuel_at = np.full(self.count, self.settings.refuel_at)

    def advance(self, dt: float, around: Around) -> None:
        """Advance by `dt` seconds; the sets stand in a room of their own."""
        del around
        inputs = generator.Inputs(
            start=self.start,
            stop=self.stop,
            emergency_stop=self.held,
            load_setpoint=self.setpoint["LoadSetpoint"],
            speed_setpoint=self.setpoint["SpeedSetpoint"],
            ambient=self._ambient,
            oil_leak=self.fault["oil_leak"],
            overload=self.fault["overload"],
            refuel_at=self._refuel_at,
        )
        self.state = generator.step(self.state, inputs, dt)
        self._pulses_done()

    @property
    def mode(self) -> Codes:
        """State codes."""
        return self.state.mode

    def _set_mode(self, index: int, code: int) -> None:
        self.state = generator.with_mode(self.state, index, generator.GeneratorState(code))

    def outputs(self) -> dict[str, NDArray[Any]]:
        """Return the noisy outputs by variable name."""
        return generator.outputs(self.state, self.rng)


class LineGroup(DrivenGroup):
    """Production lines."""

    order = 2
    setpoints: ClassVar = {"SpeedSetpoint": (0.0, line.MAXIMUM_SPEED, 100.0)}

    def _prepare(self) -> None:
        super()._prepare()
        self.state = line.initial(self.count, self.rng)

    def advance(self, dt: float, around: Around) -> None:
        """Advance by `dt` seconds in the hall's air."""
        ambient = np.full(self.count, around.hall)
        inputs = line.Inputs(self.start, self.stop, self.held, self.setpoint["SpeedSetpoint"], ambient)
        self.state = line.step(self.state, inputs, dt)
        self._pulses_done()

    @property
    def mode(self) -> Codes:
        """State codes."""
        return self.state.mode

    def _set_mode(self, index: int, code: int) -> None:
        mode = self.state.mode.copy()
        mode[index] = code
        self.state = replace(self.state, mode=mode)

    def outputs(self) -> dict[str, NDArray[Any]]:
        """Return the noisy outputs by variable name."""
        return line.outputs(self.state, self.rng)


class EnergyGroup(Group):
    """Mains meters; each sees all lines and all ventilation."""

    order = 1
    process_faults = ("grid_sag",)

    def _prepare(self) -> None:
        self.state = energy.initial(self.count, self.rng)

    def advance(self, dt: float, around: Around) -> None:
        """Advance by `dt` seconds under the plant's load."""
        inputs = energy.Inputs(
            lines=np.full(self.count, float(np.sum(around.line_powers))),
            ventilation=np.full(self.count, around.fan_power),
            supply=1.0 - self.fault["grid_sag"],
            voltage_noise=self.rng.standard_normal(self.count),
            frequency_noise=self.rng.standard_normal(self.count),
        )
        self.state = energy.step(self.state, inputs, dt)

    def outputs(self) -> dict[str, NDArray[Any]]:
        """Return the noisy outputs by variable name."""
        return energy.outputs(self.state, self.rng)


class EnvironmentGroup(Group):
    """Halls; each holds all lines."""

    order = 0

    def _prepare(self) -> None:
        self.state = environment.initial(self.count, self.rng)
        self.hour = self.settings.hour or 0.0

    def advance(self, dt: float, around: Around) -> None:
        """Advance by `dt` seconds in the lines' heat and noise, at the simulated hour."""
        self.hour = (self.hour + dt / 3600.0) % 24.0
        hour = np.full(self.count, self.hour)
        noise = environment.log_sum(environment.line_noise(around.line_powers - line.CONTROL_POWER))
        inputs = environment.Inputs(
            lines=np.full(self.count, float(np.sum(around.line_powers))),
            noise=np.full(self.count, noise),
            people=environment.people_at(hour),
            outdoor=environment.outdoor_at(hour, self.settings.outdoor_temperature, 5.0),
        )
        self.state = environment.step(self.state, inputs, dt)

    def outputs(self) -> dict[str, NDArray[Any]]:
        """Return the noisy outputs by variable name."""
        return environment.outputs(self.state, self.rng)


GROUPS: Mapping[ModelName, type[Group]] = {
    "environment": EnvironmentGroup,
    "energy": EnergyGroup,
    "line": LineGroup,
    "generator": GeneratorGroup,
}


def _number(arguments: tuple[Any, ...], place: int) -> float:
    try:
        return float(arguments[place])
    except (IndexError, TypeError, ValueError) as error:
        raise CommandError(BAD_INVALID_ARGUMENT, f"argument {place + 1} must be a number") from error


def _fault_arguments(arguments: tuple[Any, ...]) -> tuple[str, float]:
    """Return name and magnitude; raises CommandError (BadInvalidArgument)."""
    magnitude = _number(arguments, 1)
    if not 0.0 <= magnitude <= 1.0:
        raise CommandError(BAD_INVALID_ARGUMENT, f"a fault's magnitude goes from 0 to 1, not {magnitude:g}")
    return str(arguments[0]), magnitude

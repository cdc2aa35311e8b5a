"""Production line: drive, product counter, machine temperature, process pressure, vibration, quality and OEE.

`initial` → `step` (pure, no noise) → `outputs` (what the sensors read, with noise); a column's element is a line.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sources.physics.columns import Codes, Column, Columns, Flags, lag, noisy, ramp

MAXIMUM_SPEED = 150.0  # units/min: mechanical limit of the drive
IDEAL_SPEED = 120.0  # units/min: the rate that OEE's Performance compares with (ISO 22400-2, planned run time per item)
WARNING_TIME = 2.0  # s of acoustic and visual start warning before the drive may move
ACCELERATION = 12.0  # units/min per second
DECELERATION = 20.0
BRAKING = 120.0  # units/min per second, on an emergency stop (mechanical brake, drive without power)

CONTROL_POWER = 1.2  # kW: controls and standby, always
AUXILIARY_POWER = 6.0  # kW: hydraulics, blowers, while the drive is energised
FRICTION_POWER = 32.0  # kW at the ideal speed, proportional to speed
DRAG_POWER = 8.0  # kW at the ideal speed, with its square
LOSS_SHARE = 0.2  # of the drive's power that heats the machine itself

THERMAL_CONDUCTANCE = 0.9  # kW/K to the hall
THERMAL_TIME = 600.0  # s
OVER_TEMPERATURE = 90.0  # °C: the thermal protection faults the line
SHIFT = 8 * 3600.0  # s: the history that availability, performance and quality forget exponentially


class LineState(enum.IntEnum):
    """State of a production line, as `LineState` of the plant file."""

    Stopped = 0
    Starting = 1
    Running = 2
    Stopping = 3
    Faulted = 4
    EmergencyStopped = 5


@dataclass(frozen=True)
class Inputs(Columns):
    """Inputs of one step. `start`, `stop` are pulses; `emergency_stop`, `fault` are levels."""

    start: Flags
    stop: Flags
    emergency_stop: Flags
    speed_setpoint: Column  # units/min
    ambient: Column  # °C, of the hall
    fault: Flags | None = None  # a jam, a broken guard: Faulted until it is gone and Stop resets it


@dataclass(frozen=True)
class State(Columns):
    """True state of n lines."""

    mode: Codes  # LineState
    elapsed: Column  # s in this mode
    speed: Column  # units/min
    count: Column  # units, ever
    temperature: Column  # °C
    pressure: Column  # bar
    vibration: Column  # m/s², RMS
    quality: Column  # 0..1, share of good units now
    power: Column  # kW
    friction: Column  # 1 = nominal: no two lines are alike
    planned: Column  # s since the first start, forgetting
    run: Column  # s of it in production, forgetting
    made: Column  # units, forgetting
    good: Column  # good units, forgetting


def initial(n: int, rng: np.random.Generator, ambient: float = 22.0) -> State:
    """Return `n` lines at rest at `ambient` (°C), each with a friction of its own."""
    zero = np.zeros(n)
    return State(
        mode=np.full(n, LineState.Stopped, dtype=np.int64),
        elapsed=zero,
        speed=zero,
        count=zero,
        temperature=np.full(n, ambient),
        pressure=zero,
        vibration=zero,
        quality=np.ones(n),
        power=np.full(n, CONTROL_POWER),
        friction=np.clip(rng.normal(1.0, 0.03, n), 0.9, 1.1),
        planned=zero,
        run=zero,
        made=zero,
        good=zero,
    )


def step(state: State, inputs: Inputs, dt: float) -> State:
    """Advance by `dt` seconds (always stable; 1 s or less keeps ramps and counts accurate)."""
    setpoint = np.clip(inputs.speed_setpoint, 0.0, MAXIMUM_SPEED)
    mode = _mode(state, inputs, setpoint)
    elapsed = np.where(mode == state.mode, state.elapsed + dt, 0.0)
    energised = _energised(mode)
    moving = (mode == LineState.Running) | ((mode == LineState.Starting) & (elapsed >= WARNING_TIME))

    slower = np.where(energised, DECELERATION, BRAKING)
    speed = np.where(moving, setpoint, 0.0)
    speed = ramp(state.speed, speed, np.where(speed > state.speed, ACCELERATION, slower), dt)
    x = speed / IDEAL_SPEED

    drive = energised * (AUXILIARY_POWER + state.friction * (FRICTION_POWER * x + DRAG_POWER * x**2))
    equilibrium = inputs.ambient + LOSS_SHARE * drive / THERMAL_CONDUCTANCE
    temperature = lag(state.temperature, equilibrium, THERMAL_TIME, dt)
    good_share = quality_share(speed, temperature)
    made = 0.5 * (state.speed + speed) / 60.0 * dt
    forget = float(np.exp(-dt / SHIFT))
    return replace(
        state,
        mode=mode,
        elapsed=elapsed,
        speed=speed,
        count=state.count + made,
        temperature=temperature,
        pressure=lag(state.pressure, energised * (1.0 + 0.28 * x), 4.0, dt),
        vibration=lag(state.vibration, state.friction * np.where(speed > 0, 0.05 + 0.5 * x**2, 0.0), 1.0, dt),
        quality=np.where(speed > 0, lag(state.quality, good_share, 10.0, dt), state.quality),
        power=CONTROL_POWER + drive,
        planned=state.planned * forget + dt * ((state.planned > 0) | (mode == LineState.Starting)),
        run=state.run * forget + dt * (made > 0),
        made=state.made * forget + made,
        good=state.good * forget + made * good_share,
    )


def quality_share(speed: Column, temperature: Column) -> Column:
    """Share of good units (0..1): falls beyond 80 % of the ideal speed, and outside 15..45 °C."""
    rushed = 0.12 * np.maximum(speed / IDEAL_SPEED - 0.8, 0.0) ** 2
    strayed = 0.002 * np.maximum(np.abs(temperature - 30.0) - 15.0, 0.0)
    return np.clip(0.992 - rushed - strayed, 0.0, 1.0)


def ratios(state: State) -> tuple[Column, Column, Column]:
    """Return availability, performance and quality (0..1 each; 0 without history), ISO 22400-2."""
    availability = _share(state.run, state.planned)
    performance = _share(state.made, state.run * IDEAL_SPEED / 60.0)
    return availability, performance, _share(state.good, state.made)


def outputs(state: State, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return what the sensors and the line's controller report, by variable name of ProductionLineType."""
    availability, performance, quality = (100.0 * share for share in ratios(state))
    turning = state.speed > 0
    speed = np.maximum(noisy(state.speed, rng, 0.0, 0.002), 0.0)
    return {
        "ProductionCount": np.floor(state.count).astype(np.uint64),
        "LineSpeed": speed,
        "Temperature": noisy(state.temperature, rng, 0.05),
        "Pressure": np.maximum(noisy(state.pressure, rng, 0.001, 0.004), 0.0),
        "Vibration": np.maximum(noisy(state.vibration, rng, 0.002, 0.03), 0.0),
        "QualityRate": np.clip(100.0 * state.quality + rng.normal(0, 0.05, len(state)) * turning, 0.0, 100.0),
        "CycleTime": np.where(speed >= 1.0, 60.0 / np.maximum(speed, 1.0), 0.0),  # s; 0: no cycle
        "State": state.mode,
        "Availability": availability,
        "Performance": performance,
        "Quality": quality,
        "OEE": availability * performance * quality / 1e4,
        "Power": np.maximum(noisy(state.power, rng, 0.0, 0.004), 0.0),
    }


def _mode(state: State, inputs: Inputs, setpoint: Column) -> Codes:
    """Return the next mode: emergency stop over fault over stop over start (IEC 60204-1, 9.2)."""
    mode, was = state.mode.copy(), state.mode
    fault = state.temperature > OVER_TEMPERATURE
    if inputs.fault is not None:
        fault = fault | inputs.fault
    up_to_speed = (state.elapsed >= WARNING_TIME) & (np.abs(state.speed - setpoint) <= 0.02 * setpoint)
    mode[(was == LineState.Starting) & up_to_speed] = LineState.Running
    mode[((was == LineState.Starting) | (was == LineState.Running)) & inputs.stop] = LineState.Stopping
    mode[(was == LineState.Stopping) & (state.speed <= 0)] = LineState.Stopped
    stopped = (was == LineState.Stopped) | (was == LineState.Stopping)
    mode[stopped & inputs.start & ~inputs.stop] = LineState.Starting
    mode[(was == LineState.Faulted) & inputs.stop & ~fault] = LineState.Stopped
    mode[fault & (was != LineState.Stopped) & (was != LineState.EmergencyStopped)] = LineState.Faulted
    mode[(was == LineState.EmergencyStopped) & ~inputs.emergency_stop] = LineState.Stopped
    mode[inputs.emergency_stop] = LineState.EmergencyStopped
    return mode


def _energised(mode: Codes) -> Flags:
    """Whether the drive has power."""
    return (mode == LineState.Starting) | (mode == LineState.Running) | (mode == LineState.Stopping)


def _share(part: Column, whole: Column) -> Column:
    """Return part / whole within 0..1, 0 where there is no whole."""
    return np.clip(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0), 0.0, 1.0)

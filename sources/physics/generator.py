"""Diesel generator set, its control: states, start and stop, protection, and what its instruments report.

`initial` → `step` (pure, no noise) → `outputs` (with noise); a column's element is a generator set.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sources.physics import genset
from sources.physics.columns import Codes, noisy
from sources.physics.genset import GeneratorState, Inputs, Powers, State, current, powers

__all__ = [
    "GeneratorState",
    "Inputs",
    "Powers",
    "State",
    "current",
    "initial",
    "outputs",
    "powers",
    "step",
    "with_mode",
]

START_LIMIT = 30.0  # s
OVERSPEED = 1.15  # of the governor's reference, or of the rated speed where that is more
UNDERSPEED_TIME = 5.0  # s
LOW_OIL_PRESSURE = 1.5  # bar
WINDING_LIMIT = 155.0  # °C, thermal class F (IEC 60034-1)
PROTECTION_DELAY = 5.0  # s in Running before the oil pressure may trip


def initial(n: int, rng: np.random.Generator, ambient: float = 25.0) -> State:
    """Return `n` sets at rest at `ambient` (°C), their tanks 80 to 95 % full."""
    zero, warm = np.zeros(n), np.full(n, ambient)
    return State(
        mode=np.full(n, GeneratorState.Stopped, dtype=np.int64),
        **dict.fromkeys(("elapsed", "omega", "reference", "integral", "rack", "flux", "regulator", "voltage"), zero),
        **dict.fromkeys(("load", "active", "reactive", "oil_pressure", "fuel_rate", "vibration"), zero),
        **dict.fromkeys(("underspeed", "run_hours", "energy"), zero),
        **dict.fromkeys(("winding", "coolant", "oil"), warm),
        fuel=genset.TANK * rng.uniform(0.80, 0.95, n),
    )


def step(state: State, inputs: Inputs, dt: float) -> State:
    """Advance by `dt` seconds (up to about 1 s: protection and thermostats look once a step)."""
    mode = _mode(state, inputs)
    state = replace(state, mode=mode, elapsed=np.where(mode == state.mode, state.elapsed + dt, 0.0))
    at_rest = not (state.omega.any() or (mode == GeneratorState.Starting).any())
    substeps = 1 if at_rest else max(1, math.ceil(dt / genset.SUBSTEP - 1e-9))
    before = state.fuel
    for _ in range(substeps):
        state = genset.shaft(state, inputs, dt / substeps)
    return genset.slow(state, inputs, (before - state.fuel) / genset.SPECIFIC_FUEL * 3600.0 / dt, dt)


def with_mode(state: State, index: int, mode: GeneratorState) -> State:
    """Return `state` with one machine's mode set at once; it is cut off from fuel and load if the mode is."""
    modes = state.mode.copy()
    modes[index] = mode
    off = np.arange(len(state)) == index
    if mode in {GeneratorState.Starting, GeneratorState.Running, GeneratorState.Stopping}:
        off[:] = False
    dead = {name: np.where(off, 0.0, getattr(state, name)) for name in ("load", "active", "reactive", "rack")}
    return replace(state, mode=modes, elapsed=np.where(modes == state.mode, state.elapsed, 0.0), **dead)


def outputs(state: State, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return what the instruments report, by variable name of GeneratorType. S and PF follow from the P and Q read."""
    n = len(state)
    speed = np.maximum(noisy(state.omega / genset.RADIANS, rng, 0.0, 0.0002), 0.0)
    active = np.maximum(noisy(state.active, rng, 0.0, 0.001), 0.0)
    reactive = np.maximum(noisy(state.reactive, rng, 0.0, 0.001), 0.0)
    apparent = np.hypot(active, reactive)
    amperes = current(state)
    share = amperes / genset.RATED_CURRENT
    phases = {
        f"{kind}{phase}": np.maximum(noisy(value * (1 + lean * share), rng, 0.0, 0.0005), 0.0)
        for kind, value, sign in (("VoltageL", state.voltage, 1), ("CurrentL", amperes, -1))
        for phase, lean in ((1, 0.002 * sign), (2, 0.0), (3, -0.002 * sign))
    }
    return {
        "Speed": speed,
        "Frequency": speed / 30.0,  # 2 pole pairs
        **phases,
        "ActivePower": active,
        "ReactivePower": reactive,
        "ApparentPower": apparent,
        "PowerFactor": np.divide(active, apparent, out=np.ones(n), where=apparent > 0),
        "OilPressure": np.maximum(noisy(state.oil_pressure, rng, 0.0, 0.003), 0.0),
        "OilTemperature": noisy(state.oil, rng, 0.05),
        "CoolantTemperature": noisy(state.coolant, rng, 0.05),
        "WindingTemperature": noisy(state.winding, rng, 0.05),
        "FuelLevel": np.clip(noisy(100.0 * state.fuel / genset.TANK, rng, 0.0, 0.0002), 0.0, 100.0),
        "FuelRate": np.maximum(noisy(state.fuel_rate, rng, 0.0, 0.003), 0.0),
        "Vibration": np.maximum(noisy(state.vibration, rng, 0.0, 0.03), 0.0),
        "RunHours": state.run_hours,
        "EnergyTotal": state.energy,
        "State": state.mode,
    }


def _mode(state: State, inputs: Inputs) -> Codes:
    """Return the next mode: emergency stop over protection over stop over start."""
    mode, was = state.mode.copy(), state.mode
    speed, timed = state.omega / genset.RADIANS, state.elapsed >= PROTECTION_DELAY
    setpoint = np.clip(inputs.speed_setpoint, genset.LOWEST_SPEED, genset.HIGHEST_SPEED)
    starting, running = was == GeneratorState.Starting, was == GeneratorState.Running
    stopping = was == GeneratorState.Stopping

    ready = (np.abs(speed - setpoint) < 0.02 * setpoint) & genset.voltage_up(state, 0.95)
    mode[starting & ready] = GeneratorState.Running
    mode[((was == GeneratorState.Stopped) | stopping) & inputs.start & ~inputs.stop] = GeneratorState.Starting
    mode[(starting | running) & inputs.stop] = GeneratorState.Stopping
    mode[stopping & (speed <= 0) & ~inputs.start] = GeneratorState.Stopped
    mode[(was == GeneratorState.Tripped) & inputs.stop] = GeneratorState.Stopped

    trip = (speed > OVERSPEED * np.maximum(state.reference, genset.RATED_SPEED)) | (state.winding > WINDING_LIMIT)
    trip |= state.fuel <= 0
    trip |= running & timed & ((state.oil_pressure < LOW_OIL_PRESSURE) | (state.underspeed > UNDERSPEED_TIME))
    trip |= starting & (state.elapsed > START_LIMIT)
    mode[trip & (starting | running | stopping)] = GeneratorState.Tripped
    mode[(was == GeneratorState.EmergencyStopped) & ~inputs.emergency_stop] = GeneratorState.Stopped
    mode[inputs.emergency_stop] = GeneratorState.EmergencyStopped
    return mode

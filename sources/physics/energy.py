"""Mains meter of the plant: what the plant draws through a 630 kVA transformer, and what the mains do.

`initial` → `step` (pure) → `outputs` (with noise); a column's element is a meter. Powers in kW, kvar, kVA.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sources.physics.columns import Codes, Column, Columns, Flags, noisy

NOMINAL_VOLTAGE, NOMINAL_FREQUENCY = 400.0, 50.0
TRANSFORMER = 630.0  # kVA
RESISTANCE, REACTANCE = 0.012, 0.058  # p.u. of the transformer
NO_LOAD_LOSS, LOAD_LOSS = 1.2, 7.5  # kW; the second at rated apparent power
DISTRIBUTION_LOSS = 0.02  # of the power delivered, in the plant's cables
NO_LOAD_VOLTAGE, VOLTAGE_SPREAD, VOLTAGE_TIME = 1.02, 0.004, 120.0  # p.u. mean and deviation, s
FREQUENCY_SPREAD, FREQUENCY_TIME = 0.015, 30.0  # Hz, s
UNBALANCE = (0.0035, -0.0025, -0.0010)  # of the voltages, sum zero; the currents lean the other way

BASE_LOAD, BASE_REACTIVE = 95.0, 0.45  # kW of light, offices, compressors; kvar per kW
MACHINE_REACTIVE = 0.62  # kvar per kW of the lines and the ventilation
DEAD_VOLTAGE = 0.4  # p.u.: contactors drop out


class GridStatus(enum.IntEnum):
    """Condition of the mains: EN 50160's ±10 % of the nominal voltage, an interruption below 5 %."""

    Normal = 0
    UnderVoltage = 1
    OverVoltage = 2
    Outage = 3


@dataclass(frozen=True)
class Inputs(Columns):
    """Inputs of one step."""

    lines: Column  # kW drawn by the production lines
    ventilation: Column  # kW
    supply: Column  # p.u. of its usual voltage that the mains have: 1 healthy, 0 dead
    voltage_noise: Column  # standard normal: drives the wander of the mains' voltage
    frequency_noise: Column  # standard normal


@dataclass(frozen=True)
class State(Columns):
    """True state of n meters."""

    wander: Column  # p.u. of the no-load voltage off its mean
    frequency: Column  # Hz
    voltage: Column  # V, mean of the phase-to-phase voltages
    active: Column  # kW drawn from the mains
    reactive: Column  # kvar
    losses: Column  # kW of `active` that never reach a consumer
    energy: Column  # kWh


def initial(n: int, rng: np.random.Generator) -> State:
    """Return `n` meters of an idle plant, each in its own corner of the mains."""
    zero = np.zeros(n)
    return State(
        wander=rng.normal(0.0, VOLTAGE_SPREAD, n),
        frequency=np.full(n, NOMINAL_FREQUENCY),
        voltage=np.full(n, NOMINAL_VOLTAGE),
        active=zero,
        reactive=zero,
        losses=zero,
        energy=zero,
    )


def step(state: State, inputs: Inputs, dt: float) -> State:
    """Advance by `dt` seconds; any length is exact."""
    keep = math.exp(-dt / VOLTAGE_TIME)
    wander = state.wander * keep + VOLTAGE_SPREAD * math.sqrt(1 - keep**2) * inputs.voltage_noise
    keep = math.exp(-dt / FREQUENCY_TIME)
    off = (state.frequency - NOMINAL_FREQUENCY) * keep + FREQUENCY_SPREAD * math.sqrt(
        1 - keep**2
    ) * inputs.frequency_noise
    source = np.clip(inputs.supply * (NO_LOAD_VOLTAGE + np.clip(wander, -0.02, 0.02)), 0.0, 1.3)

    alive = source > DEAD_VOLTAGE
    machines = inputs.lines + inputs.ventilation
    useful = alive * (BASE_LOAD + machines)
    reactive = alive * (BASE_REACTIVE * BASE_LOAD + MACHINE_REACTIVE * machines)
    load_loss = LOAD_LOSS * (useful**2 + reactive**2) / TRANSFORMER**2
    losses = alive * NO_LOAD_LOSS * source**2 + load_loss + DISTRIBUTION_LOSS * useful
    active = useful + losses
    reactive = reactive + REACTANCE * (active**2 + reactive**2) / TRANSFORMER
    sag = (RESISTANCE * active + REACTANCE * reactive) / TRANSFORMER
    return replace(
        state,
        wander=wander,
        frequency=NOMINAL_FREQUENCY + off,
        voltage=NOMINAL_VOLTAGE * np.maximum(source - sag, 0.0),
        active=active,
        reactive=reactive,
        losses=losses,
        energy=state.energy + active * dt / 3600.0,
    )


def current(state: State) -> Column:
    """Return the mean phase current, A: I = S / (√3·U)."""
    apparent = np.hypot(state.active, state.reactive)
    return np.where(apparent > 0, apparent * 1e3 / (math.sqrt(3) * np.maximum(state.voltage, 1.0)), 0.0)


def grid_status(voltage: Column) -> Codes:
    """Return the GridStatus of phase-to-phase voltages (V)."""
    share = voltage / NOMINAL_VOLTAGE
    conditions: list[Flags] = [share < 0.05, share < 0.9, share > 1.1]
    return np.select(
        conditions, [GridStatus.Outage, GridStatus.UnderVoltage, GridStatus.OverVoltage], GridStatus.Normal
    )


def outputs(state: State, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return what the meter reports, by variable name of EnergyMeterType.

    Efficiency is the useful share of the supply: power that reaches consumers over apparent power drawn.
    """
    apparent = np.hypot(state.active, state.reactive)
    drawn = np.maximum(apparent, 1e-9)
    amperes = current(state)
    alive = state.voltage > 0
    return {
        "PowerConsumption": np.maximum(noisy(state.active, rng, 0.0, 0.001), 0.0),
        **{
            f"VoltageL{phase}": np.maximum(noisy(state.voltage * (1 + lean), rng, 0.0, 0.0003), 0.0)
            for phase, lean in enumerate(UNBALANCE, 1)
        },
        **{
            f"CurrentL{phase}": np.maximum(noisy(amperes * (1 - 3 * lean), rng, 0.0, 0.0005), 0.0)
            for phase, lean in enumerate(UNBALANCE, 1)
        },
        "PowerFactor": np.where(apparent > 0, state.active / drawn, 1.0),
        "Frequency": alive * noisy(state.frequency, rng, 0.001),
        "EnergyTotal": state.energy,
        "GridStatus": grid_status(state.voltage),
        "Efficiency": 100.0 * (state.active - state.losses) / drawn,
    }

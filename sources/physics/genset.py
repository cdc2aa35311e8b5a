"""Diesel generator set, the machine: shaft, governor, alternator and regulator, heat, oil and fuel.

500 kW / 625 kVA, 400 V, 4 poles. Powers are in kW; the shaft's balance is
indicated = engine friction + windage + iron + copper + electrical + d(½Jω²)/dt.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

import numpy as np

from sources.physics.columns import Codes, Column, Columns, Flags, lag, ramp

SUBSTEP = 0.02  # s
RATED_POWER, RATED_APPARENT, RATED_VOLTAGE = 500.0, 625.0, 400.0  # kW, kVA, V phase to phase
RATED_CURRENT = RATED_APPARENT * 1e3 / (math.sqrt(3) * RATED_VOLTAGE)  # A
RATED_SPEED = 1500.0  # r/min: 50 Hz with 4 poles
RADIANS = 2 * math.pi / 60  # rad/s in 1 r/min
RATED_OMEGA = RATED_SPEED * RADIANS
INERTIA = 30.0  # kg·m², engine, flywheel and rotor
LOWEST_SPEED, HIGHEST_SPEED = 1200.0, 1800.0  # r/min, of the set-point

INDICATED_POWER = 640.0  # kW at rated speed and full rack; the torque limit holds at every speed
ENGINE_FRICTION = 53.0  # kW at rated speed; with SPECIFIC_FUEL it is the idle term of the Willans line
SPECIFIC_FUEL = 0.225  # l per kWh indicated
GOVERNOR_GAIN, GOVERNOR_INTEGRAL, ACTUATOR_LAG = 4.6, 5.5, 0.1  # rack per p.u. speed, per s, s
REFERENCE_RATE, START_RATE = 60.0, 300.0  # r/min per second, of the governor's reference
START_RACK = 0.5  # smoke limiter while starting
STARTER_TORQUE, STARTER_SPEED = 600.0, 350.0  # N·m at standstill, falling to 0 at r/min
FIRING_SPEED, CRANK_TIME = 100.0, 1.5  # r/min, s
UNDERSPEED = 0.9  # of the reference: below it the underspeed protection counts
COOL_DOWN = 8.0  # s without load before the fuel is cut

LOAD_RATE = 100.0  # kW per second
OVERLOAD = 200.0  # kW beyond the set-point at fault magnitude 1
INDUCTIVE_SHARE, MAGNETISING = 0.45, 40.0  # kvar per kW; kvar of the motors' fields, from 50 kW on
RESISTANCE, REACTANCE = 0.02, 0.2  # p.u., what the terminal voltage falls by with P and Q
REGULATOR_GAIN, REGULATOR_INTEGRAL, EXCITER_LAG = 3.0, 6.0, 0.15
KNEE = 0.95  # p.u. speed below which the regulator lowers the voltage (V/Hz limit)
EXCITED_FROM = 900.0  # r/min
RESIDUAL = 0.02  # p.u., remanent flux

COPPER_LOSS, IRON_LOSS, WINDAGE = 11.0, 6.0, 5.0  # kW at rated current, voltage, speed
WINDING_CONDUCTANCE, WINDING_CAPACITY = 0.128, 115.0  # kW/K at rated speed, kJ/K
COOLANT_SHARE, COOLANT_CAPACITY = 0.55, 730.0  # heat to the jacket per kW indicated; kJ/K
OIL_SHARE, OIL_CAPACITY = 0.05, 110.0
OIL_PRESSURE, RELIEF = 4.6, 5.5  # bar at rated speed and 90 °C; where the relief valve opens
TANK = 2000.0  # l


class GeneratorState(enum.IntEnum):
    """State of a generator set, as `GeneratorState` of the plant file."""

    Stopped = 0
    Starting = 1
    Running = 2
    Stopping = 3
    Tripped = 4
    EmergencyStopped = 5


@dataclass(frozen=True)
class Inputs(Columns):
    """Inputs of one step. `start`, `stop` are pulses; `emergency_stop` is a level; faults are magnitudes 0..1."""

    start: Flags
    stop: Flags
    emergency_stop: Flags
    load_setpoint: Column  # kW
    speed_setpoint: Column  # r/min
    ambient: Column  # °C
    oil_leak: Column
    overload: Column
    refuel_at: Column  # % of the tank at which it is filled up again; 0: never


@dataclass(frozen=True)
class State(Columns):
    """True state of n generator sets."""

    mode: Codes  # GeneratorState
    elapsed: Column  # s in this mode
    omega: Column  # rad/s
    reference: Column  # r/min, the governor's, ramped
    integral: Column  # of the governor, as rack
    rack: Column  # 0..1, of the full indicated torque
    flux: Column  # p.u., excitation
    regulator: Column  # integral of the voltage regulator, p.u.
    voltage: Column  # V, mean of the phase-to-phase voltages
    load: Column  # kW demanded by what is connected
    active: Column  # kW
    reactive: Column  # kvar
    winding: Column  # °C
    coolant: Column  # °C
    oil: Column  # °C
    oil_pressure: Column  # bar
    fuel: Column  # l in the tank
    fuel_rate: Column  # l/h
    vibration: Column  # mm/s RMS
    underspeed: Column  # s below the underspeed limit
    run_hours: Column  # h
    energy: Column  # kWh delivered


@dataclass(frozen=True)
class Powers:
    """Where the fuel's indicated power goes, kW."""

    indicated: Column
    friction: Column
    windage: Column
    iron: Column
    copper: Column
    electrical: Column


def powers(state: State) -> Powers:
    """Return the powers of the shaft's balance, kW."""
    w = state.omega / RATED_OMEGA
    return Powers(
        indicated=state.rack * INDICATED_POWER * w,
        friction=ENGINE_FRICTION * w * (0.5 + 0.5 * w),
        windage=WINDAGE * w**3,
        iron=IRON_LOSS * (state.voltage / RATED_VOLTAGE) ** 2,
        copper=COPPER_LOSS * (current(state) / RATED_CURRENT) ** 2 * (1 + 0.0039 * (state.winding - 120.0)),
        electrical=state.active,
    )


def current(state: State) -> Column:
    """Return the mean phase current, A: I = S / (√3·U)."""
    apparent = np.hypot(state.active, state.reactive)
    return np.where(apparent > 0, apparent * 1e3 / (math.sqrt(3) * np.maximum(state.voltage, 1.0)), 0.0)


def shaft(state: State, inputs: Inputs, dt: float) -> State:
    """Advance load, governor, shaft and excitation by one sub-step."""
    speed, w = state.omega / RADIANS, state.omega / RATED_OMEGA
    starting, running = state.mode == GeneratorState.Starting, state.mode == GeneratorState.Running
    stopping = state.mode == GeneratorState.Stopping
    firing = (speed > FIRING_SPEED) & (state.elapsed > CRANK_TIME)
    fuelled = (starting & firing) | running | (stopping & ((state.load > 0) | (state.elapsed < COOL_DOWN)))
    fuelled &= state.fuel > 0

    demand = np.clip(inputs.load_setpoint, 0.0, RATED_POWER) + OVERLOAD * inputs.overload
    demand = np.where(running & ((state.load > 0) | voltage_up(state, 0.9)), demand, 0.0)
    load = np.where(running | stopping, ramp(state.load, demand, LOAD_RATE, dt), 0.0)
    stiffness = (state.voltage / (RATED_VOLTAGE * voltage_reference(np.maximum(state.reference, EXCITED_FROM)))) ** 2
    active, reactive = load * stiffness, _reactive(load) * stiffness

    setpoint = np.clip(inputs.speed_setpoint, LOWEST_SPEED, HIGHEST_SPEED)
    reference = ramp(state.reference, setpoint, np.where(starting, START_RATE, REFERENCE_RATE), dt)
    reference = np.where(fuelled, reference, speed)
    error = (reference - speed) / RATED_SPEED
    limit = np.where(fuelled, np.where(starting, START_RACK, 1.0), 0.0)
    command = np.clip(state.integral + GOVERNOR_GAIN * error, 0.0, limit)
    integral = np.clip(state.integral + GOVERNOR_INTEGRAL * error * dt, 0.0, limit)
    rack = np.where(fuelled, lag(state.rack, command, ACTUATOR_LAG, dt), 0.0)

    p = powers(replace(state, rack=rack, active=active, reactive=reactive))
    starter = starting * STARTER_TORQUE * np.maximum(1 - speed / STARTER_SPEED, 0.0)
    braking = p.windage + p.iron + p.copper + p.electrical
    torque = rack * INDICATED_POWER * 1e3 / RATED_OMEGA + starter
    torque = (
        torque - ENGINE_FRICTION * 1e3 / RATED_OMEGA * (0.5 + 0.5 * w) - braking * 1e3 / np.maximum(state.omega, 5.0)
    )
    omega = np.maximum(state.omega + torque / INERTIA * dt, 0.0)
    w_mean = 0.5 * (omega + state.omega) / RATED_OMEGA
    fuel_rate = SPECIFIC_FUEL * rack * INDICATED_POWER * w_mean

    excited = (starting | running | stopping) & (speed > EXCITED_FROM)
    gap = voltage_reference(speed) - state.voltage / RATED_VOLTAGE
    regulator = np.where(excited, np.clip(state.regulator + REGULATOR_INTEGRAL * gap * dt, 0.0, 1.8), RESIDUAL)
    flux = np.where(excited, np.clip(regulator + REGULATOR_GAIN * gap, 0.0, 2.0), RESIDUAL)
    flux = lag(state.flux, flux, EXCITER_LAG, dt)
    drop = (RESISTANCE * active + REACTANCE * reactive) / RATED_APPARENT
    voltage = RATED_VOLTAGE * np.maximum(omega / RATED_OMEGA * flux - drop, 0.0)
    late = running & (speed < UNDERSPEED * reference)
    return replace(
        state,
        omega=omega,
        reference=reference,
        integral=integral,
        rack=rack,
        flux=flux,
        regulator=regulator,
        voltage=voltage,
        load=load,
        active=active,
        reactive=reactive,
        fuel=np.maximum(state.fuel - fuel_rate * dt / 3600.0, 0.0),
        fuel_rate=fuel_rate,
        underspeed=np.where(late, state.underspeed + dt, 0.0),
        energy=state.energy + active * dt / 3600.0,
    )


def slow(state: State, inputs: Inputs, indicated: Column, dt: float) -> State:
    """Advance heat, oil, vibration, tank and hours by one step of mean `indicated` power (kW)."""
    p, w = powers(state), state.omega / RATED_OMEGA
    speed, ambient = state.omega / RADIANS, inputs.ambient

    opening = np.clip((state.coolant - 80.0) / 12.0, 0.0, 1.0)  # thermostat; the fan sits on the shaft
    conductance = 0.15 + 7.5 * opening * w
    coolant = _warm(state.coolant, ambient, COOLANT_SHARE * indicated, conductance, COOLANT_CAPACITY, dt)
    to_coolant, to_air = 0.05 + 2.0 * w, 0.02
    sink = (to_coolant * state.coolant + to_air * ambient) / (to_coolant + to_air)
    oil = _warm(state.oil, sink, OIL_SHARE * indicated, to_coolant + to_air, OIL_CAPACITY, dt)
    heat, conductance = p.copper + 0.4 * p.iron, WINDING_CONDUCTANCE * (0.2 + 0.8 * w)
    winding = _warm(state.winding, ambient, heat, conductance, WINDING_CAPACITY, dt)

    turning = speed > 1.0
    error = np.abs(speed - state.reference) / RATED_SPEED
    vibration = w * (1.6 + 1.8 * state.load / RATED_POWER + 60.0 * error + 3.0 * inputs.oil_leak)
    vibration = vibration + 2.0 * np.where(state.load > RATED_POWER, state.load / RATED_POWER - 1.0, 0.0)
    full = (100.0 * state.fuel <= inputs.refuel_at * TANK) & (inputs.refuel_at > 0)
    pressure = oil_pressure(speed, oil) * (1.0 - 0.9 * inputs.oil_leak)
    return replace(
        state,
        coolant=coolant,
        oil=oil,
        winding=winding,
        oil_pressure=lag(state.oil_pressure, pressure, 0.5, dt),
        vibration=lag(state.vibration, np.where(turning, vibration, 0.0), 0.3, dt),
        fuel=np.where(full, 0.95 * TANK, state.fuel),
        run_hours=state.run_hours + dt / 3600.0 * (indicated > 0),
    )


def voltage_reference(speed: Column) -> Column:
    """Return what the regulator holds at `speed` (r/min), p.u.: lower below the knee, so that V/Hz stays bounded."""
    return np.minimum(speed / (KNEE * RATED_SPEED), 1.0)


def voltage_up(state: State, share: float) -> Flags:
    """Whether the voltage has reached `share` of its reference, which an unexcited machine never does."""
    return state.voltage > share * RATED_VOLTAGE * voltage_reference(np.maximum(state.reference, EXCITED_FROM))


def oil_pressure(speed: Column, oil: Column) -> Column:
    """Return the gallery's pressure, bar: the pump's, by speed (r/min) and viscosity, bounded by the relief valve."""
    viscosity = np.exp(np.clip((90.0 - oil) / 28.0, -3.0, 3.5))  # of 1 at 90 °C, SAE 40
    pressure = OIL_PRESSURE * speed / RATED_SPEED * viscosity**0.35
    return np.minimum(pressure, RELIEF + 0.1 * (np.minimum(pressure, 2 * RELIEF) - RELIEF))


def _reactive(load: Column) -> Column:
    """Return the reactive power (kvar) that `load` (kW) draws at rated voltage."""
    return INDUCTIVE_SHARE * load + MAGNETISING * np.minimum(load / 50.0, 1.0)


def _warm(value: Column, sink: Column, heat: Column, conductance: Column | float, capacity: float, dt: float) -> Column:
    """Advance a body (°C) heated by `heat` (kW) and cooled to `sink` (°C) over `conductance` (kW/K)."""
    return lag(value, sink + heat / conductance, capacity / np.asarray(conductance), dt)

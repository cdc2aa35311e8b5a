"""Climate of the hall: heat, humidity, carbon dioxide, particles, noise and comfort.

`initial` → `step` (pure) → `outputs` (with noise); a column's element is a hall. The lines warm it, ventilation and
walls cool it to outdoors, a heating keeps it above `HEATED_TO`, people and machines spoil its air.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sources.physics.columns import Codes, Column, Columns, Flags, lag, noisy

VOLUME = 12_000.0  # m³
CAPACITY = 30_000.0  # kJ/K of air, machines and floor
WALLS, VENTILATION = 5.0, 14.0  # kW/K of heat exchange; the second at full ventilation
HEATED_TO, HEATING_BAND, HEATING = 20.0, 2.0, 260.0  # °C, K, kW
VENTED_FROM, VENTED_TO = 21.0, 27.0  # °C: ventilation from its lowest to its highest share
LOWEST_VENTILATION = 0.15
FAN_POWER = 28.0  # kW at full ventilation
INFILTRATION, AIR_CHANGES = 0.3, 3.5  # 1/h; the second at full ventilation
SENSIBLE_HEAT, MOISTURE, BREATH = 0.1, 0.12, 0.03  # a person: kW, kg/h, m³ of CO2 per hour at work
OUTDOOR_CO2, OUTDOOR_PARTICLES = 420.0, 4.0  # ppm, µg/m³ PM2.5
LINE_PARTICLES, LINE_MOISTURE = 0.7, 0.02  # mg/h per kW drawn, kg/h per kW drawn
BACKGROUND_NOISE, LINE_NOISE, LINE_REFERENCE = 48.0, 63.0, 40.0  # dB(A), dB(A) of a line that draws that many kW


class AirQuality(enum.IntEnum):
    """Class of the air quality index."""

    Good = 0
    Moderate = 1
    Poor = 2
    Unhealthy = 3


@dataclass(frozen=True)
class Inputs(Columns):
    """Inputs of one step."""

    lines: Column  # kW that the production lines in the hall draw, all of it becoming heat
    noise: Column  # dB(A) of the machines together, see `log_sum`; -inf: none
    people: Column  # present
    outdoor: Column  # °C


@dataclass(frozen=True)
class State(Columns):
    """True state of n halls."""

    temperature: Column  # °C
    vapour: Column  # g/m³ of water
    co2: Column  # ppm
    particles: Column  # µg/m³ PM2.5
    noise: Column  # dB(A)
    ventilation: Column  # 0..1
    heating: Column  # kW


def initial(n: int, rng: np.random.Generator, temperature: float = 20.5) -> State:
    """Return `n` halls on a quiet morning, each 0.3 K off `temperature` (°C) or so."""
    return State(
        temperature=temperature + np.clip(rng.normal(0.0, 0.3, n), -1.0, 1.0),
        vapour=np.full(n, 8.2),
        co2=np.full(n, 450.0),
        particles=np.full(n, OUTDOOR_PARTICLES),
        noise=np.full(n, BACKGROUND_NOISE),
        ventilation=np.full(n, LOWEST_VENTILATION),
        heating=np.zeros(n),
    )


def step(state: State, inputs: Inputs, dt: float) -> State:
    """Advance by `dt` seconds (up to about 60 s: heating and ventilation look once a step)."""
    opening = (state.temperature - VENTED_FROM) / (VENTED_TO - VENTED_FROM)
    by_air = (state.co2 - 600.0) / 600.0
    ventilation = np.clip(np.maximum(opening, by_air), LOWEST_VENTILATION, 1.0)
    ventilation = lag(state.ventilation, ventilation, 60.0, dt)
    heating = HEATING * np.clip((HEATED_TO + 0.5 * HEATING_BAND - state.temperature) / HEATING_BAND, 0.0, 1.0)

    exchange = WALLS + VENTILATION * ventilation
    heat = inputs.lines + SENSIBLE_HEAT * inputs.people + heating
    changes = (INFILTRATION + AIR_CHANGES * ventilation) / 3600.0  # 1/s
    flow = changes * VOLUME * 3600.0  # m³/h
    outdoor_vapour = np.minimum(0.75 * saturation(inputs.outdoor), 12.0)
    moisture = (MOISTURE * inputs.people + LINE_MOISTURE * inputs.lines) * 1e3 / flow
    temperature = lag(state.temperature, inputs.outdoor + heat / exchange, CAPACITY / exchange, dt)
    vapour = lag(state.vapour, outdoor_vapour + moisture, 1 / changes, dt)
    co2 = OUTDOOR_CO2 + BREATH * inputs.people * 1e6 / flow
    particles = OUTDOOR_PARTICLES + LINE_PARTICLES * inputs.lines * 1e3 / flow
    return replace(
        state,
        temperature=temperature,
        vapour=np.minimum(vapour, saturation(temperature)),
        co2=lag(state.co2, co2, 1 / changes, dt),
        particles=lag(state.particles, particles, 1 / changes, dt),
        noise=lag(state.noise, _sum(np.full(len(state), BACKGROUND_NOISE), inputs.noise), 1.0, dt),
        ventilation=ventilation,
        heating=heating,
    )


def fan_power(state: State) -> Column:
    """Return what the ventilation draws, kW: with the cube of the flow."""
    return FAN_POWER * state.ventilation**3


def line_noise(power: Column) -> Column:
    """Return the sound level in the hall, dB(A), of lines that draw `power` (kW) each; -inf for none."""
    with np.errstate(divide="ignore"):
        return LINE_NOISE + 10.0 * np.log10(np.maximum(power, 0.0) / LINE_REFERENCE)


def log_sum(levels: Column) -> float:
    """Return the level, dB, of incoherent sources of these `levels`; -inf without any."""
    with np.errstate(divide="ignore"):
        return float(10.0 * np.log10(np.sum(10.0 ** (levels / 10.0))))


def people_at(hour: Column) -> Column:
    """Return how many people are in the hall at `hour` (0..24) of a day of three shifts."""
    return np.interp(
        hour % 24.0, [0, 5.5, 6.5, 8, 13.5, 14, 14.5, 18, 21.5, 22.5, 24], [9, 9, 30, 42, 42, 50, 40, 24, 22, 9, 9]
    )


def outdoor_at(hour: Column, mean: float, swing: float) -> Column:
    """Return the temperature outdoors, °C, at `hour` (0..24): warmest at 15 h, `swing` K above `mean`."""
    return mean + swing * np.cos(2 * math.pi * (hour - 15.0) / 24.0)


def saturation(temperature: Column) -> Column:
    """Return the water that air of `temperature` (°C) can hold, g/m³ (Magnus formula, WMO-No. 8)."""
    pressure = 611.2 * np.exp(17.62 * temperature / (243.12 + temperature))  # Pa
    return pressure / (461.5 * (temperature + 273.15)) * 1e3


def air_quality_index(co2: Column, particles: Column) -> Column:
    """Return the worse of two indices, 0..500: PM2.5's of the US EPA (2024), and one of carbon dioxide alike."""
    by_particles = np.interp(particles, [0, 9, 35.4, 55.4, 125.4, 225.4, 325.4], [0, 50, 100, 150, 200, 300, 500])
    by_co2 = np.interp(co2, [400, 800, 1400, 2000, 5000, 10_000], [0, 50, 100, 150, 300, 500])
    return np.maximum(by_particles, by_co2)


def air_quality(index: Column) -> Codes:
    """Return the AirQuality of an index."""
    conditions: list[Flags] = [index <= 50, index <= 100, index <= 150]
    return np.select(conditions, [AirQuality.Good, AirQuality.Moderate, AirQuality.Poor], AirQuality.Unhealthy)


def comfort(temperature: Column, humidity: Column) -> Column:
    """Return comfort, 0..100: full at 21.5 °C within 35 to 60 % relative humidity."""
    by_heat = 2.4 * np.abs(temperature - 21.5) ** 1.5
    by_humidity = 1.0 * np.maximum(np.abs(humidity - 47.5) - 12.5, 0.0)
    return np.clip(100.0 - by_heat - by_humidity, 0.0, 100.0)


def outputs(state: State, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return what the sensors report, by variable name of EnvironmentType."""
    temperature = noisy(state.temperature, rng, 0.02)
    relative = 100.0 * state.vapour / saturation(state.temperature)
    humidity = np.clip(noisy(relative, rng, 0.1), 0.0, 100.0)
    co2 = np.maximum(noisy(state.co2, rng, 1.0), 0.0)
    index = air_quality_index(co2, np.maximum(noisy(state.particles, rng, 0.03), 0.0))
    return {
        "Temperature": temperature,
        "Humidity": humidity,
        "CO2": co2,
        "AirQualityIndex": index,
        "AirQualityStatus": air_quality(index),
        "NoiseLevel": np.maximum(noisy(state.noise, rng, 0.2), 0.0),
        "ComfortIndex": comfort(temperature, humidity),
    }


def _sum(first: Column, second: Column) -> Column:
    """Return the level of two incoherent sources, dB."""
    return 10.0 * np.log10(10.0 ** (first / 10.0) + 10.0 ** (second / 10.0))

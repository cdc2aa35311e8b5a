"""Mains and hall: what the lines draw loads the one and warms the other."""

import numpy as np
import pytest

from sources.physics import energy, environment

ONE = np.ones(1)


def mains(lines: float, supply: float = 1.0, seconds: float = 600.0, n: int = 1) -> energy.State:
    state = energy.initial(n, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    for _ in range(round(seconds)):
        given = (np.full(n, lines), np.full(n, 2.0), np.full(n, supply), rng.standard_normal(n), rng.standard_normal(n))
        state = energy.step(state, energy.Inputs(*given), 1.0)
    return state


def hall(lines: float, hours: float = 4.0, people: float = 20.0, outdoor: float = 12.0) -> environment.State:
    state = environment.initial(1, np.random.default_rng(1))
    noise = environment.log_sum(environment.line_noise(np.full(3, lines / 3)))
    inputs = environment.Inputs(lines * ONE, noise * ONE, people * ONE, outdoor * ONE)
    for _ in range(round(hours * 360)):
        state = environment.step(state, inputs, 10.0)
    return state


def test_running_lines_draw_power_and_sag_the_voltage() -> None:
    idle, busy = mains(4), mains(130)
    assert busy.active[0] - idle.active[0] == pytest.approx(126, rel=0.06)  # and the losses on the way
    assert busy.voltage[0] < idle.voltage[0] - 2
    assert energy.current(busy)[0] > energy.current(idle)[0]


def test_mains_are_consistent() -> None:
    state = mains(130)
    read = {name: column[0] for name, column in energy.outputs(state, np.random.default_rng(3)).items()}
    volts = np.mean([read[f"VoltageL{phase}"] for phase in (1, 2, 3)])
    amperes = np.mean([read[f"CurrentL{phase}"] for phase in (1, 2, 3)])
    assert 390 < volts < 410
    assert read["VoltageL1"] != pytest.approx(read["VoltageL2"], abs=0.5)
    power = np.sqrt(3) * volts * amperes * read["PowerFactor"] / 1e3
    assert power == pytest.approx(read["PowerConsumption"], rel=0.005)
    assert 0.8 < read["PowerFactor"] < 0.95
    assert 80 < read["Efficiency"] < 95
    assert 49.9 < read["Frequency"] < 50.1
    assert read["GridStatus"] == energy.GridStatus.Normal


def test_energy_integrates_power() -> None:
    short, long = mains(100, seconds=600), mains(100, seconds=1200)
    assert long.energy[0] - short.energy[0] == pytest.approx(long.active[0] / 6, rel=0.01)


@pytest.mark.parametrize(("supply", "status"), [(0.85, 1), (1.15, 2), (0.0, 3)])
def test_grid_status_follows_the_voltage(supply: float, status: int) -> None:
    state = mains(100, supply=supply, seconds=5)
    read = energy.outputs(state, np.random.default_rng(3))
    assert read["GridStatus"][0] == status
    assert (state.active[0] > 0) == (status != 3)
    if status == 3:
        assert read["VoltageL1"][0] == read["CurrentL1"][0] == read["Frequency"][0] == 0


def test_running_lines_warm_the_hall_with_inertia() -> None:
    idle, soon, busy = hall(4), hall(130, hours=0.1), hall(130)
    assert busy.temperature[0] > idle.temperature[0] + 3
    assert soon.temperature[0] < busy.temperature[0] - 1.5
    assert busy.temperature[0] < 30


def test_a_hall_loses_heat_to_outdoors_and_is_heated() -> None:
    cold, mild = hall(4, hours=12, outdoor=-10), hall(4, hours=12, outdoor=18)
    assert 17 < cold.temperature[0] < mild.temperature[0]
    assert cold.heating[0] > mild.heating[0]


def test_warm_halls_are_ventilated_which_draws_power() -> None:
    assert environment.fan_power(hall(150, outdoor=20))[0] > environment.fan_power(hall(4))[0] + 3


def test_people_raise_carbon_dioxide_and_humidity() -> None:
    empty, full = hall(4, people=0), hall(4, people=50)
    assert full.co2[0] > empty.co2[0] + 100
    assert full.vapour[0] > empty.vapour[0]


def test_noise_is_the_log_sum_of_the_machines() -> None:
    assert environment.log_sum(np.array([60.0, 60.0])) == pytest.approx(63.01, abs=0.01)
    quiet, one, three = (hall(power).noise[0] for power in (0, 40, 120))
    assert quiet == pytest.approx(environment.BACKGROUND_NOISE)
    assert one == pytest.approx(10 * np.log10(10**4.8 + 3 * 10 ** ((63 + 10 * np.log10(1 / 3)) / 10)), abs=0.1)
    assert three - one == pytest.approx(4.7, abs=0.3)


def test_readings_of_the_hall() -> None:
    read = {name: c[0] for name, c in environment.outputs(hall(126), np.random.default_rng(1)).items()}
    assert 30 < read["Humidity"] < 65
    assert 420 < read["CO2"] < 700
    assert 60 < read["NoiseLevel"] < 75
    assert 70 < read["ComfortIndex"] <= 100
    assert read["AirQualityStatus"] == environment.AirQuality.Good


def test_air_quality_classes() -> None:
    co2, particles = np.array([450.0, 1000.0, 1800.0, 450.0]), np.array([4.0, 4.0, 4.0, 90.0])
    index = environment.air_quality_index(co2, particles)
    assert (np.diff(index) > 0).all()
    assert environment.air_quality(index).tolist() == [0, 1, 2, 3]


def test_comfort_falls_off_its_best() -> None:
    at = environment.comfort(np.array([21.5, 28.0, 15.0, 21.5]), np.array([45.0, 45.0, 45.0, 80.0]))
    assert at[0] == 100
    assert (at[1:] < 90).all()


def test_many_meters_are_as_one_alone() -> None:
    many, one = mains(100, n=50, seconds=1), energy.initial(50, np.random.default_rng(1)).take(slice(7, 8))
    rng = np.random.default_rng(2)
    given = [rng.standard_normal(50)[7:8] for _ in range(2)]
    one = energy.step(one, energy.Inputs(100 * ONE, 2 * ONE, ONE, *given), 1.0)
    assert many.voltage[7] == pytest.approx(one.voltage[0], rel=1e-12)

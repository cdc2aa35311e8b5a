"""The generator set: balances, steady states, steps of load, protection, faults."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from physics_rig import Genset

from sources.physics import generator, genset
from sources.physics.generator import GeneratorState
from sources.physics.genset import INERTIA, SPECIFIC_FUEL


def test_start_sequence_passes_through_starting_to_running() -> None:
    machine = Genset()
    modes: list[GeneratorState] = []
    machine.pulse(start=True)
    machine.run(15, lambda: modes.append(machine.mode))
    assert modes[0] is GeneratorState.Starting
    assert modes[-1] is GeneratorState.Running
    assert set(modes) == {GeneratorState.Starting, GeneratorState.Running}
    assert 40 < modes.index(GeneratorState.Running) < 120  # 4 to 12 s


def test_load_comes_only_when_running_with_voltage_up() -> None:
    machine = Genset()

    def check() -> None:
        if machine.mode is not GeneratorState.Running:
            assert machine.state.active[0] == 0

    machine.pulse(start=True)
    machine.run(20, check, load_setpoint=300)
    assert machine.state.active[0] == pytest.approx(300, rel=0.01)


@pytest.mark.parametrize("load", [0, 100, 250, 500])
def test_steady_power_balance(load: float) -> None:
    machine = Genset().running(load)
    p = generator.powers(machine.state)
    spent = p.friction + p.windage + p.iron + p.copper + p.electrical
    assert p.indicated[0] == pytest.approx(spent[0], rel=2e-3)
    assert machine.state.fuel_rate[0] == pytest.approx(SPECIFIC_FUEL * p.indicated[0], rel=2e-3)


def test_energy_over_a_load_profile_is_accounted_for() -> None:
    machine = Genset().running(100)
    fuel, energy, kinetic = machine.state.fuel[0], machine.state.energy[0], machine.state.omega[0] ** 2
    spent = 0.0

    def add() -> None:
        nonlocal spent
        p = generator.powers(machine.state)
        spent += 0.1 / 3600 * float((p.friction + p.windage + p.iron + p.copper + p.electrical)[0])

    for load in (400, 50, 500, 250):
        machine.run(15, add, load_setpoint=load)
    burnt = (fuel - machine.state.fuel[0]) / SPECIFIC_FUEL  # kWh indicated
    flywheel = 0.5 * INERTIA * (machine.state.omega[0] ** 2 - kinetic) / 3.6e6
    assert burnt == pytest.approx(spent + flywheel, rel=5e-3)
    delivered = machine.state.energy[0] - energy
    assert 0.75 * burnt < delivered < 0.92 * burnt


def test_rated_load_steady_state() -> None:
    machine = Genset().running(500)
    for _ in range(720):  # the shaft is steady: only heat takes its two hours
        indicated = generator.powers(machine.state).indicated
        machine.state = genset.slow(machine.state, machine.inputs(), indicated, 10.0)
    machine.run(10)
    read = machine.reads()
    assert read["Speed"] == pytest.approx(1500, rel=0.005)
    assert read["Frequency"] == pytest.approx(50, rel=0.005)
    assert read["VoltageL1"] == pytest.approx(400, rel=0.01)
    assert 84 < read["CoolantTemperature"] < 95
    assert 90 < read["OilTemperature"] < 110
    assert 70 < read["WindingTemperature"] < 130
    assert 3 < read["OilPressure"] < 5.5
    assert 120 < read["FuelRate"] < 140
    assert 0.85 < read["PowerFactor"] < 0.92
    apparent = np.hypot(read["ActivePower"], read["ReactivePower"])
    assert read["ApparentPower"] == pytest.approx(apparent)
    volts = np.mean([read[f"VoltageL{phase}"] for phase in (1, 2, 3)])
    amperes = np.mean([read[f"CurrentL{phase}"] for phase in (1, 2, 3)])
    assert amperes == pytest.approx(apparent * 1e3 / (np.sqrt(3) * volts), rel=0.005)


def test_half_load_burns_less_but_more_a_kilowatt_hour() -> None:
    half, full = Genset().running(250), Genset().running(500)
    rates = half.state.fuel_rate[0], full.state.fuel_rate[0]
    assert rates[0] < rates[1]
    assert rates[0] / 250 > rates[1] / 500


def test_load_step_dips_speed_and_voltage_which_recover() -> None:
    machine = Genset().running(100)
    speeds: list[float] = []
    volts: list[float] = []

    def note() -> None:
        speeds.append(machine.speed)
        volts.append(float(machine.state.voltage[0]))

    machine.run(10, note, load_setpoint=450)
    assert 1500 * 0.90 < min(speeds) < 1500 * 0.985
    assert 400 * 0.85 < min(volts) < 400 * 0.9975
    assert speeds[-1] == pytest.approx(1500, rel=0.002)
    assert volts[-1] == pytest.approx(400, rel=0.002)
    machine.run(6, note, load_setpoint=0)
    assert max(speeds) > 1510


def test_speed_setpoint_moves_frequency() -> None:
    machine = Genset().running(200).run(15, speed_setpoint=1800)
    assert machine.reads()["Frequency"] == pytest.approx(60, rel=0.005)
    machine.run(15, speed_setpoint=1200)
    assert machine.reads()["Frequency"] == pytest.approx(40, rel=0.005)
    assert machine.mode is GeneratorState.Running


def test_stop_unloads_cools_down_and_coasts_to_zero() -> None:
    machine = Genset().running(300)
    machine.pulse(stop=True)
    speeds: list[float] = []
    machine.run(60, lambda: speeds.append(machine.speed))
    assert machine.mode is GeneratorState.Stopped
    assert machine.speed == 0
    assert machine.state.voltage[0] == 0
    assert machine.state.oil_pressure[0] < 0.01
    coasting = np.array(speeds[100:])
    assert (np.diff(coasting) <= 0).all()
    assert speeds[30] > 1400  # still idling when the load is off
    fuel = machine.state.fuel[0]
    machine.run(10)
    assert machine.state.fuel[0] == fuel


def test_emergency_stop_cuts_fuel_and_load_at_once_and_stays() -> None:
    machine = Genset().running(400)
    machine.state = generator.with_mode(machine.state, 0, GeneratorState.EmergencyStopped)
    assert machine.state.active[0] == 0
    machine.held["emergency_stop"] = True
    fuel = machine.state.fuel[0]
    machine.pulse(start=True)
    machine.run(60)
    assert machine.mode is GeneratorState.EmergencyStopped
    assert machine.state.fuel[0] == fuel
    assert machine.speed == 0
    machine.run(5, emergency_stop=False)
    assert machine.mode is GeneratorState.Stopped


def test_emergency_stop_by_input_trips_from_running() -> None:
    machine = Genset().running(400)
    machine.run(0.1, emergency_stop=True)
    assert machine.mode is GeneratorState.EmergencyStopped
    assert machine.state.active[0] == 0
    assert machine.state.rack[0] == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [("omega", 1800 * genset.RADIANS), ("fuel", 0.0), ("winding", 160.0), ("oil_pressure", 0.2)],
    ids=["overspeed", "empty fuel", "winding", "oil pressure"],
)
def test_protection_trips(column: str, value: float) -> None:
    machine = Genset().running(200)
    machine.state = replace(machine.state, **{column: np.array([value])})
    machine.pulse()
    assert machine.mode is GeneratorState.Tripped
    assert machine.state.active[0] == 0
    machine.pulse(start=True)
    assert machine.mode is GeneratorState.Tripped
    machine.pulse(stop=True)
    assert machine.mode is GeneratorState.Stopped


def test_an_empty_tank_fails_to_start_and_refuelling_helps() -> None:
    machine = Genset()
    machine.state = replace(machine.state, fuel=np.zeros(1))
    machine.pulse(start=True)
    machine.run(1)
    assert machine.mode is GeneratorState.Tripped
    machine.run(1, refuel_at=10)
    assert machine.reads()["FuelLevel"] == pytest.approx(95, abs=0.2)
    machine.pulse(stop=True)
    machine.pulse(start=True)
    machine.run(15)
    assert machine.mode is GeneratorState.Running


def test_oil_leak_lowers_pressure_and_trips_when_bad() -> None:
    machine = Genset().running(200)
    before = machine.state.oil_pressure[0]
    machine.run(10, oil_leak=0.4)
    assert machine.state.oil_pressure[0] < 0.75 * before
    assert machine.mode is GeneratorState.Running
    machine.run(10, oil_leak=0.0)
    assert machine.state.oil_pressure[0] == pytest.approx(before, rel=0.02)
    machine.run(10, oil_leak=1.0)
    assert machine.mode is GeneratorState.Tripped


def test_overload_exceeds_the_setpoint_and_shakes() -> None:
    machine = Genset().running(300)
    calm = machine.state.vibration[0]
    machine.run(10, overload=1.0)
    assert machine.state.active[0] == pytest.approx(500, rel=0.01)
    assert machine.state.vibration[0] > calm + 0.3
    machine.run(10, overload=0.0)
    assert machine.state.active[0] == pytest.approx(300, rel=0.01)


def test_overload_beyond_the_engine_trips_by_underspeed() -> None:
    machine = Genset().running(500).run(30, overload=1.0)
    assert machine.mode is GeneratorState.Tripped


def test_n_machines_are_as_one_machine_alone() -> None:
    many = generator.initial(1000, np.random.default_rng(3))
    chosen = 617
    alone = many.take(slice(chosen, chosen + 1))
    rng = np.random.default_rng(4)
    for tick in range(150):
        inputs = generator.Inputs(
            start=np.full(1000, tick == 0),
            stop=rng.random(1000) < 0.002,
            emergency_stop=np.zeros(1000, np.bool_),
            load_setpoint=rng.uniform(0, 500, 1000),
            speed_setpoint=rng.uniform(1400, 1600, 1000),
            ambient=np.full(1000, 25.0),
            oil_leak=np.zeros(1000),
            overload=np.zeros(1000),
            refuel_at=np.zeros(1000),
        )
        many = generator.step(many, inputs, 0.1)
        alone = generator.step(alone, inputs.take(slice(chosen, chosen + 1)), 0.1)
    same = many.take(slice(chosen, chosen + 1))
    for name in same.__dataclass_fields__:
        np.testing.assert_allclose(getattr(same, name), getattr(alone, name), rtol=1e-9, atol=1e-12, err_msg=name)


def test_same_seed_same_readings_other_seed_others() -> None:
    first, second, other = (Genset(seed=seed).running(250).reads() for seed in (5, 5, 6))
    assert first == second
    assert first["Speed"] != other["Speed"]


BOUNDS = {
    "Speed": (0, 2070), "Frequency": (0, 69), "VoltageL1": (0, 520), "CurrentL2": (0, 2000), "ActivePower": (0, 750),
    "PowerFactor": (0.5, 1), "OilPressure": (0, 7), "OilTemperature": (20, 130), "CoolantTemperature": (20, 110),
    "WindingTemperature": (20, 160), "FuelLevel": (0, 100), "FuelRate": (0, 180), "Vibration": (0, 60),
}  # fmt: skip
COMMAND = st.tuples(
    st.sampled_from(["", "", "start", "start", "stop", "emergency_stop", "release"]),
    st.floats(0, 500),
    st.sampled_from([1200.0, 1500.0, 1800.0]),
    st.sampled_from([0.0, 0.0, 0.5, 1.0]),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(COMMAND, min_size=1, max_size=12))
def test_no_command_sequence_leaves_what_the_machine_can_do(commands: list[tuple[str, float, float, float]]) -> None:
    machine = Genset()
    machine.running(250)
    for command, load, speed, fault in commands:
        if command in {"emergency_stop", "release"}:
            machine.held["emergency_stop"] = command == "emergency_stop"
        elif command:
            machine.pulse(**{command: True})
        fuel, energy = machine.state.fuel[0], machine.state.energy[0]
        machine.run(5, load_setpoint=load, speed_setpoint=speed, oil_leak=fault, overload=1 - fault)
        assert machine.state.fuel[0] <= fuel
        assert machine.state.energy[0] >= energy
        read = machine.reads()
        for name, (low, high) in BOUNDS.items():
            assert low <= read[name] <= high, name

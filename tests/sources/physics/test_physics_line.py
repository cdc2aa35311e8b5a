"""The production line: drive, counter, heat, quality, OEE."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from physics_rig import Lines

from sources.physics import line
from sources.physics.line import LineState


def test_start_warns_then_ramps_to_the_setpoint() -> None:
    lines = Lines()
    lines.pulse(start=True)
    lines.run(1.5)
    assert lines.mode is LineState.Starting
    assert lines.state.speed[0] == 0
    lines.run(15)
    assert lines.mode is LineState.Running
    assert lines.state.speed[0] == pytest.approx(100)
    lines.run(10, speed_setpoint=60)
    assert lines.mode is LineState.Running
    assert lines.state.speed[0] == pytest.approx(60)


def test_count_integrates_speed() -> None:
    lines = Lines().running()
    before = lines.state.count[0]
    lines.run(60)
    assert lines.state.count[0] - before == pytest.approx(100, rel=1e-6)
    assert lines.reads()["ProductionCount"] == int(lines.state.count[0])


def test_readings_at_nominal_speed() -> None:
    lines = Lines().running().run(3600, dt=0.5)
    read = lines.reads()
    assert read["LineSpeed"] == pytest.approx(100, rel=0.02)
    assert read["CycleTime"] == pytest.approx(60 / read["LineSpeed"])
    assert 35 < read["Power"] < 48
    assert 26 < read["Temperature"] < 40
    assert 1.1 < read["Pressure"] < 1.4
    assert 0.3 < read["Vibration"] < 0.5
    assert 98 < read["QualityRate"] < 100
    assert read["OEE"] == pytest.approx(read["Availability"] * read["Performance"] * read["Quality"] / 1e4)
    assert read["Performance"] == pytest.approx(100 / 120 * 100, rel=0.02)


def test_faster_is_worse_hotter_and_draws_more() -> None:
    slow, fast = (Lines().running().run(1200, dt=0.5, speed_setpoint=speed) for speed in (80, 150))
    for name in ("power", "temperature", "vibration", "pressure"):
        assert getattr(fast.state, name)[0] > getattr(slow.state, name)[0], name
    assert fast.state.quality[0] < slow.state.quality[0]


def test_a_stopped_line_draws_little_and_cools() -> None:
    lines = Lines().running().run(1200, dt=0.5)
    hot = lines.state.temperature[0]
    lines.pulse(stop=True)
    assert lines.mode is LineState.Stopping
    lines.run(1200, dt=0.5)
    assert lines.mode is LineState.Stopped
    read = lines.reads()
    assert read["LineSpeed"] == 0
    assert read["CycleTime"] == 0
    assert read["Power"] < 2
    assert lines.state.temperature[0] < hot - 3


def test_downtime_lowers_availability_only() -> None:
    lines = Lines().running().run(600, dt=0.5)
    availability, performance, _ = (ratio[0] for ratio in line.ratios(lines.state))
    lines.pulse(stop=True)
    lines.run(600, dt=0.5)
    after = [ratio[0] for ratio in line.ratios(lines.state)]
    assert after[0] == pytest.approx(availability / 2, rel=0.05)
    assert after[1] == pytest.approx(performance, rel=0.05)


def test_a_line_never_started_has_no_oee() -> None:
    assert Lines().run(10).reads()["OEE"] == 0


def test_emergency_stop_brakes_hard_and_needs_a_new_start() -> None:
    lines = Lines().running().run(1.2, emergency_stop=True)
    assert lines.mode is LineState.EmergencyStopped
    assert lines.state.speed[0] == 0
    lines.pulse(start=True)
    assert lines.mode is LineState.EmergencyStopped
    lines.run(5, emergency_stop=False)
    assert lines.mode is LineState.Stopped
    lines.pulse(start=True)
    assert lines.mode is LineState.Starting


def test_a_fault_stays_until_it_is_gone_and_acknowledged() -> None:
    lines = Lines().running()
    lines.pulse(fault=True)
    assert lines.mode is LineState.Faulted
    lines.pulse(stop=True, fault=True)
    assert lines.mode is LineState.Faulted
    lines.pulse(start=True)
    assert lines.mode is LineState.Faulted
    lines.pulse(stop=True)
    assert lines.mode is LineState.Stopped


def test_stop_wins_over_start() -> None:
    lines = Lines()
    lines.pulse(start=True, stop=True)
    assert lines.mode is LineState.Stopped


def test_n_lines_are_as_one_line_alone() -> None:
    many = line.initial(1000, np.random.default_rng(3))
    alone = many.take(slice(617, 618))
    rng = np.random.default_rng(4)
    nobody = np.zeros(1000, np.bool_)
    for tick in range(300):
        speeds, ambient = rng.uniform(0, 150, 1000), rng.uniform(15, 30, 1000)
        inputs = line.Inputs(np.full(1000, tick == 0), rng.random(1000) < 0.002, nobody, speeds, ambient)
        many = line.step(many, inputs, 0.1)
        alone = line.step(alone, inputs.take(slice(617, 618)), 0.1)
    same = many.take(slice(617, 618))
    for name in same.__dataclass_fields__:
        np.testing.assert_allclose(getattr(same, name), getattr(alone, name), rtol=1e-9, atol=1e-12, err_msg=name)
    assert many.friction.std() > 0


def test_same_seed_same_readings() -> None:
    assert Lines(seed=5).running().reads() == Lines(seed=5).running().reads()
    assert Lines(seed=5).running().reads() != Lines(seed=6).running().reads()


COMMAND = st.tuples(st.sampled_from(["", "start", "stop", "emergency_stop", "fault"]), st.floats(-50, 400))


@settings(max_examples=15, deadline=None)
@given(st.lists(COMMAND, min_size=1, max_size=15))
def test_no_command_sequence_leaves_what_the_line_can_do(commands: list[tuple[str, float]]) -> None:
    lines = Lines()
    for command, setpoint in commands:
        count = lines.state.count[0]
        lines.held["emergency_stop"] = command == "emergency_stop"
        lines.pulse(**({command: True} if command else {}))
        lines.run(4, speed_setpoint=setpoint)
        assert lines.state.count[0] >= count
        read = lines.reads()
        assert 0 <= read["LineSpeed"] <= 152
        assert 0 <= read["CycleTime"] <= 60
        assert 20 < read["Temperature"] < 60
        assert 0 <= read["Power"] < 80
        for share in ("QualityRate", "Availability", "Performance", "Quality", "OEE"):
            assert 0 <= read[share] <= 100, share

"""The physics source on a store: grouping, commands, set-points, emergency stop, faults, options."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from physics_rig import MACHINES, Rig

from address_space import PlantError, load_plant
from server.ports import CommandError, SourceContext
from server.quality import (
    BAD_INVALID_ARGUMENT,
    BAD_INVALID_STATE,
    BAD_NOT_SUPPORTED,
    BAD_NOT_WRITABLE,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    BAD_TYPE_MISMATCH,
    BAD_WAITING_FOR_INITIAL_DATA,
)
from server.store import Store, now_ticks
from sources.physics import create
from sources.physics.genset import GeneratorState


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def running(rig: Rig, machine: str = "Generator1") -> None:
    await rig.do(machine, "Start")
    rig.advance(20)
    assert rig.value(f"{machine}.State") == GeneratorState.Running


def test_default_plant_lives(tmp_path: Path) -> None:
    del tmp_path
    plant = load_plant()
    store = Store(plant)
    own = tuple(machine for machine in plant.machines if machine.source == "physics")
    source = create(SourceContext("physics", plant, own, store, plant.sources["physics"].options))
    for _ in range(200):
        source.advance(0.1)  # type: ignore[attr-defined]
    assert store.value(plant.variable("Plant.Generator1.State").id) == GeneratorState.Running
    measured = [v for m in own for v in m.variables.values() if v.declaration.feed.value == "source"]
    assert len(measured) > 40
    for variable in measured:
        value, bounds = store.value(variable.id), variable.declaration.range
        assert value is not None, variable.path
        if bounds is not None:
            assert bounds[0] <= value <= bounds[1], variable.path


def test_machines_are_stopped_without_autostart(rig: Rig) -> None:
    rig.advance(5)
    assert rig.value("Generator1.State") == GeneratorState.Stopped
    assert rig.value("Generator1.Speed") == 0
    assert rig.value("Line1.State") == 0


def test_autostart_names_machines(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "autostart: [Generator2, Plant.Line1]")
    rig.advance(20)
    assert [rig.value(f"{name}.State") for name in ("Generator1", "Generator2", "Line1", "Line2")] == [0, 2, 2, 0]


async def test_initial_load_comes_from_the_store(rig: Rig) -> None:
    await running(rig)
    assert rig.value("Generator1.ActivePower") == pytest.approx(200, rel=0.02)
    assert rig.value("Generator2.ActivePower") == 0


def test_one_write_a_model_a_step_with_one_timestamp(rig: Rig) -> None:
    rig.source.advance(0.1)
    cursor = rig.store.journal.cursor("test")
    before = now_ticks()
    rig.source.advance(0.1)
    batch = cursor.read()
    assert len(np.unique(batch.source_timestamps)) == 1
    assert before <= batch.source_timestamps[0] <= now_ticks()
    assert len(batch.ids) == len(np.unique(batch.ids)) == 2 * 4 + 2 * 3 + 1 + 1


def test_what_the_model_does_not_know_is_left_alone(rig: Rig) -> None:
    rig.advance(1)
    assert rig.status("Generator1.RoomHumidity") == BAD_WAITING_FOR_INITIAL_DATA
    assert rig.value("Generator1.Tariff") == 0.2
    assert rig.value("Generator1.LoadSetpoint") == 200


async def test_put_takes_effect_in_the_next_step(rig: Rig) -> None:
    await running(rig)
    await rig.put("Generator1.LoadSetpoint", 350.0)
    rig.source.advance(0.1)
    assert rig.value("Generator1.ActivePower") > 205
    rig.advance(10)
    assert rig.value("Generator1.ActivePower") == pytest.approx(350, rel=0.02)
    assert rig.value("Generator2.ActivePower") == 0


async def test_a_setpoint_restored_in_the_store_is_followed(rig: Rig) -> None:
    await running(rig)
    rig.store.write(np.array([rig.plant.variable("Plant.Generator1.LoadSetpoint").id]), np.array([100.0]), now_ticks())
    rig.advance(10)
    assert rig.value("Generator1.ActivePower") == pytest.approx(100, rel=0.02)


async def test_set_load_is_accepted_and_shown(rig: Rig) -> None:
    await rig.do("Generator1", "SetLoad", 120.0)
    assert rig.value("Generator1.LoadSetpoint") == 120
    await running(rig)
    assert rig.value("Generator1.ActivePower") == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize(
    ("path", "value", "status"),
    [
        ("Generator1.LoadSetpoint", 501.0, BAD_OUT_OF_RANGE),
        ("Generator1.LoadSetpoint", float("nan"), BAD_OUT_OF_RANGE),
        ("Generator1.LoadSetpoint", "much", BAD_TYPE_MISMATCH),
        ("Generator1.Speed", 1.0, BAD_NOT_WRITABLE),
    ],
)
async def test_put_refuses(rig: Rig, path: str, value: object, status: int) -> None:
    with pytest.raises(CommandError) as refused:
        await rig.put(path, value)
    assert refused.value.status == status


async def test_a_setpoint_that_no_model_uses_is_accepted(rig: Rig) -> None:
    await rig.put("Generator1.Tariff", 0.3)


async def test_start_and_stop_of_one_machine_only(rig: Rig) -> None:
    await running(rig, "Generator2")
    assert rig.value("Generator1.State") == GeneratorState.Stopped
    await rig.do("Generator2", "Stop")
    rig.source.advance(0.1)
    assert rig.value("Generator2.State") == GeneratorState.Stopping
    rig.advance(60)
    assert rig.value("Generator2.State") == GeneratorState.Stopped


async def test_emergency_stop_shows_at_once_and_latches(rig: Rig) -> None:
    await running(rig)
    for _ in range(2):
        await rig.stop_now("Generator1", True)
        assert rig.value("Generator1.State") == GeneratorState.EmergencyStopped
    rig.source.advance(0.1)
    assert rig.value("Generator1.ActivePower") == 0
    for command in ("Start", "Stop"):
        with pytest.raises(CommandError) as refused:
            await rig.do("Generator1", command)
        assert refused.value.status == BAD_INVALID_STATE
    rig.advance(30)
    assert rig.value("Generator1.State") == GeneratorState.EmergencyStopped
    for _ in range(2):
        await rig.stop_now("Generator1", False)
        assert rig.value("Generator1.State") == GeneratorState.Stopped
    rig.advance(5)
    assert rig.value("Generator1.Speed") == 0
    await running(rig)


async def test_release_leaves_a_running_machine_alone(rig: Rig) -> None:
    await running(rig)
    await rig.stop_now("Generator1", False)
    rig.advance(1)
    assert rig.value("Generator1.State") == GeneratorState.Running


async def test_a_start_given_just_before_the_emergency_stop_is_forgotten(rig: Rig) -> None:
    await rig.do("Line1", "Start")
    await rig.stop_now("Line1", True)
    await rig.stop_now("Line1", False)
    rig.advance(3)
    assert rig.value("Line1.State") == 0


async def test_a_meter_has_nothing_to_stop(rig: Rig) -> None:
    with pytest.raises(CommandError) as refused:
        await rig.stop_now("Energy", True)
    assert refused.value.status == BAD_NOT_SUPPORTED


async def test_a_trip_needs_stop_before_start(rig: Rig) -> None:
    await running(rig)
    await rig.do("Generator1", "InjectFault", "oil_leak", 1.0)
    rig.advance(10)
    assert rig.value("Generator1.State") == GeneratorState.Tripped
    with pytest.raises(CommandError) as refused:
        await rig.do("Generator1", "Start")
    assert refused.value.status == BAD_INVALID_STATE
    await rig.do("Generator1", "ClearFaults")
    await rig.do("Generator1", "Stop")
    rig.advance(0.1)
    assert rig.value("Generator1.State") == GeneratorState.Stopped
    await running(rig)


async def test_oil_leak_of_one_machine_and_clearing(rig: Rig) -> None:
    await running(rig, "Generator1")
    await running(rig, "Generator2")
    await rig.do("Generator1", "InjectFault", "oil_leak", 0.4)
    rig.advance(10)
    assert rig.value("Generator1.OilPressure") < 0.8 * rig.value("Generator2.OilPressure")
    await rig.do("Generator1", "ClearFaults")
    rig.advance(10)
    assert rig.value("Generator1.OilPressure") == pytest.approx(rig.value("Generator2.OilPressure"), rel=0.05)


async def test_a_stuck_sensor_freezes_while_time_goes_on(rig: Rig) -> None:
    await running(rig)
    await rig.do("Generator1", "InjectFault", "sensor_stuck", 1.0)
    held, stamp = rig.value("Generator1.OilPressure"), rig.stamp("Generator1.OilPressure")
    speed = rig.value("Generator1.Speed")
    rig.advance(1)
    assert rig.value("Generator1.OilPressure") == held
    assert rig.status("Generator1.OilPressure") == 0
    assert rig.stamp("Generator1.OilPressure") > stamp
    assert rig.value("Generator1.Speed") != speed
    await rig.do("Generator1", "InjectFault", "sensor_stuck", 0.0)
    rig.advance(1)
    assert rig.value("Generator1.OilPressure") != held


async def test_a_lost_sensor_is_bad_until_cleared(rig: Rig) -> None:
    await rig.do("Generator1", "InjectFault", "sensor_lost:Speed", 1.0)
    rig.advance(0.1)
    assert rig.status("Generator1.Speed") == BAD_SENSOR_FAILURE
    assert rig.status("Generator1.OilPressure") == 0
    assert rig.status("Generator2.Speed") == 0
    await rig.do("Generator1", "ClearFaults")
    rig.advance(0.1)
    assert rig.status("Generator1.Speed") == 0


@pytest.mark.parametrize(
    ("fault", "magnitude", "named"),
    [
        ("rust", 0.5, "oil_leak, overload, sensor_stuck, sensor_lost"),
        ("sensor_lost:State", 0.5, "OilPressure"),
        ("oil_leak:Speed", 0.5, "oil_leak"),
        ("oil_leak", 1.1, "0 to 1"),
        ("oil_leak", float("nan"), "0 to 1"),
        ("oil_leak", "much", "number"),
    ],
)
async def test_faults_that_cannot_be(rig: Rig, fault: str, magnitude: object, named: str) -> None:
    with pytest.raises(CommandError, match=named) as refused:
        await rig.do("Generator1", "InjectFault", fault, magnitude)
    assert refused.value.status == BAD_INVALID_ARGUMENT


async def test_unknown_commands_are_refused(rig: Rig) -> None:
    with pytest.raises(CommandError) as refused:
        await rig.do("Energy", "Start")
    assert refused.value.status == BAD_NOT_SUPPORTED


async def test_a_running_line_draws_power_and_warms_the_hall(tmp_path: Path) -> None:
    (tmp_path / "idle").mkdir()
    busy, idle = Rig(tmp_path, "time_scale: 50"), Rig(tmp_path / "idle", "time_scale: 50")
    await busy.do("Line1", "Start")
    await busy.do("Line2", "Start")
    for rig in (busy, idle):
        rig.advance(1200 / 50)
    assert busy.value("Energy.PowerConsumption") > idle.value("Energy.PowerConsumption") + 70
    assert busy.value("Environment.Temperature") > idle.value("Environment.Temperature") + 1
    assert busy.value("Line1.ProductionCount") == pytest.approx(20 * 120, rel=0.02)


async def test_inputs_choose_the_lines(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "inputs: [Line2]")
    rig.advance(1)
    idle = rig.value("Energy.PowerConsumption")
    await rig.do("Line1", "Start")
    rig.advance(20)
    assert rig.value("Energy.PowerConsumption") == pytest.approx(idle, rel=0.02)
    await rig.do("Line2", "Start")
    rig.advance(20)
    assert rig.value("Energy.PowerConsumption") > idle + 30


def test_faults_at_the_start(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "faults: [{machine: Generator2, fault: sensor_lost}]")
    rig.advance(0.1)
    assert rig.status("Generator2.OilPressure") == BAD_SENSOR_FAILURE
    assert rig.status("Generator1.OilPressure") == 0


def test_same_seed_same_values(tmp_path: Path) -> None:
    seen: list[float] = []
    for options in ("autostart: true", "autostart: true", "autostart: true, models: {OddType: line}"):
        rig = Rig(tmp_path, options)
        rig.advance(12)
        seen.append(rig.value("Generator1.Speed"))
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("perod: 1", "sources.physics.perod: is no option"),
        ("period: 0", "sources.physics.period"),
        ("autostart: [Generator9]", "sources.physics.autostart.0: there is no machine 'Generator9'"),
        ("autostart: [Energy]", "Plant.Energy cannot be started"),
        ("faults: [{machine: Generator1, fault: rust}]", "sources.physics.faults.0.fault: 'rust' is no fault"),
        ("faults: [{machine: Generator1, fault: overload, magnitude: 2}]", "sources.physics.faults.0.magnitude"),
        ("inputs: [Generator1]", "has no variable Power"),
        ("models: {Nothing: line}", "is no type of this plant"),
    ],
)
def test_wrong_options_are_one_clear_sentence(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises(PlantError, match=r"plant\.yaml:\d+: ") as wrong:
        Rig(tmp_path, options)
    assert message in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_type_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlantError, match=r"no physics for OddType, the type of Plant\.Odd"):
        Rig(tmp_path, machines=MACHINES | {"Odd": "OddType"})


def test_a_type_can_be_given_a_model(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "models: {OddType: generator}", MACHINES | {"Odd": "OddType"})
    rig.advance(0.1)
    assert rig.value("Odd.Speed") == 0


async def test_run_keeps_stepping_in_real_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "period: 0.02, autostart: true")
    cursor = rig.store.journal.cursor("test")
    task = asyncio.create_task(rig.source.run())
    stamps: set[int] = set()
    async with asyncio.timeout(20):
        while rig.value("Generator1.Speed") is None or rig.value("Generator1.Speed") < 50:
            await cursor.wait()
            stamps.update(cursor.read().source_timestamps.tolist())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(stamps) > 5

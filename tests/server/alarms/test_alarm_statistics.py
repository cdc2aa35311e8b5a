"""The figures of ISA-18.2 and IEC 62682: counted as those standards say, and shown in the tree."""

from pathlib import Path
from typing import Any

import pytest
from alarms_rig import ONE, OPERATOR, ORIGIN, plant_of, running, seconds

from server.alarms import Snapshot
from server.alarms.statistics import DAY, Statistics
from server.store import Store

NOW = 133_500_000_000_000_000
MINUTE = seconds(60)
COUNT = 40


class Counted:
    """Statistics with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.plant = plant_of(folder, count=COUNT)
        self.conditions = [it for it in self.plant.conditions if it.name == "High"]
        self.statistics = Statistics(self.plant, Store(self.plant, 1024))
        self.trunks = [Snapshot(it) for it in self.plant.conditions]

    def raise_(self, number: int, at: int, **fields: Any) -> None:
        snapshot = Snapshot(self.conditions[number], active=True, active_time=at, kind_of_event="active", **fields)
        self.trunks[snapshot.condition.id] = snapshot
        self.statistics.note([snapshot], at)

    def figures(self, at: int) -> dict[str, Any]:
        return self.statistics.figures(self.trunks, 0, at)


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


def test_rates(counted: Counted) -> None:
    for minute in range(90):
        counted.raise_(0, NOW + minute * MINUTE)
    figures = counted.figures(NOW + 89 * MINUTE)
    assert (figures["AlarmsPerHour"], figures["AlarmsPer10Minutes"]) == (60, 10)


def test_a_flood_begins_above_ten_and_ends_below_five(counted: Counted) -> None:
    for number in range(10):
        counted.raise_(number, NOW)
    assert not counted.figures(NOW)["Flood"]
    counted.raise_(10, NOW)
    assert counted.figures(NOW)["Flood"]
    for number in range(5):
        counted.raise_(20 + number, NOW + 9 * MINUTE)
    assert counted.figures(NOW + 11 * MINUTE)["Flood"], "still five"
    assert not counted.figures(NOW + 20 * MINUTE)["Flood"]


def test_the_peak_is_of_a_day(counted: Counted) -> None:
    for number in range(8):
        counted.raise_(number, NOW)
    assert counted.figures(NOW)["PeakPer10Minutes"] == 8
    counted.raise_(0, NOW + 60 * MINUTE)
    figures = counted.figures(NOW + 60 * MINUTE)
    assert (figures["AlarmsPer10Minutes"], figures["PeakPer10Minutes"]) == (1, 8)
    assert counted.figures(NOW + DAY + MINUTE)["PeakPer10Minutes"] == 1


def test_chattering_stale_and_the_worst(counted: Counted) -> None:
    counted.raise_(1, NOW - DAY - MINUTE)
    for second in range(3):
        counted.raise_(2, NOW - seconds(second))
    counted.raise_(3, NOW)
    figures = counted.figures(NOW)
    assert figures["Chattering"] == 1
    assert figures["Stale"] == 1
    assert figures["Standing"] == 3
    assert figures["TopOffenders"] == "Plant.M3.High 3, Plant.M4.High 1"
    assert counted.figures(NOW + MINUTE)["Chattering"] == 0
    for number in range(20, 40):
        counted.raise_(number, NOW)
    assert counted.figures(NOW)["TopOffenders"].count(",") == 9


def test_what_is_shelved_or_suppressed_is_not_an_alarm(counted: Counted) -> None:
    counted.raise_(1, NOW, shelving=1, suppressed_or_shelved=True)
    counted.raise_(2, NOW, suppressed=True, suppressed_or_shelved=True)
    counted.raise_(3, NOW, out_of_service=True, suppressed_or_shelved=True)
    figures = counted.figures(NOW)
    assert (figures["AlarmsPerHour"], figures["Standing"], figures["TopOffenders"]) == (0, 0, "")
    assert (figures["Shelved"], figures["Suppressed"]) == (1, 2)


def test_a_restart_keeps_rates_and_the_peak(counted: Counted, tmp_path: Path) -> None:
    raised = [(NOW - 61 * MINUTE + number, f"Plant.M{number + 1}.High") for number in range(7)]
    raised += [(NOW - MINUTE, "Plant.M1.High"), (NOW, "Plant.Gone.High")]
    counted.statistics.restore(raised)
    figures = counted.figures(NOW)
    assert (figures["AlarmsPerHour"], figures["AlarmsPer10Minutes"], figures["PeakPer10Minutes"]) == (1, 1, 7)
    assert figures["TopOffenders"].startswith("Plant.M1.High 2, ")


async def test_the_tree_shows_them(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, ONE, count=3)
    async with running(tmp_path, plant) as rig:
        await rig.alarms.suppress(rig.condition("M3.High"), OPERATOR, ORIGIN)
        for value in (51.0, 1.0, 52.0):
            await rig.set(value)
        await rig.set(51.0, "M2.X")
        await rig.set(51.0, "M3.X")
        await rig.alarms.acknowledge(rig.condition("M2.High"), rig.state("M2.High").event_id, None, OPERATOR, ORIGIN)
        mark = rig.kinds("ZMark.Mark").count("active") + 1  # one before the events were cleared
        standing = 2 + rig.state("ZMark.Mark").active
        assert await rig.shown("Standing", lambda value: value == standing) == standing
        assert rig.store.value(plant.variable("Plant.ServerDiagnostics.Alarms.Suppressed").id) == 1
        assert rig.store.value(plant.variable("Plant.ServerDiagnostics.Alarms.AlarmsPerHour").id) == 3 + mark
        offenders = rig.store.value(plant.variable("Plant.ServerDiagnostics.Alarms.TopOffenders").id)
        assert "Plant.M1.High 2" in offenders
    async with running(tmp_path, plant) as rig:
        shown = await rig.shown("AlarmsPerHour", lambda value: value is not None and value >= 3 + mark)
        assert shown <= 3 + mark + 1, "the mark may have been active once more"

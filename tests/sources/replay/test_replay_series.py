"""Real recordings, each with its trap."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from address_space import PlantError
from server.quality import BAD_NO_DATA
from server.store import from_ticks, to_ticks
from sources.replay.recording import Loader, Recording
from sources.replay.settings import read_settings
from tests.sources.replay.rig import Options, Rig, read_rows, running, until

MINUTE = 600_000_000


def load(rig: Rig, file: Path, **options: Any) -> Recording:
    context = rig.context({"file": str(file), **options})
    settings = read_settings(context.plant, "rec", context.options)
    return Loader(context.plant, "rec", context.machines, settings).load()


def at(recording: Recording, row: int) -> datetime:
    return from_ticks(int(recording.stamps[row]))


def plain(file: Path, separator: str = ",") -> list[list[str]]:
    """Read the file without any of our own code."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.reader(lines, delimiter=separator))


def test_skab(rig: Rig, series: Path) -> None:
    files = sorted((series / "skab").glob("*/*.csv"))
    assert files
    mapped = {
        "Pressure": "Pressure",
        "Temperature": "Plant.Pump1.Temperature",
        "Volume Flow RateRMS": "Power",
        "anomaly": "Active",
    }
    for file in (series / "skab" / "anomaly-free.csv", *files):
        columns = {name: to for name, to in mapped.items() if name != "anomaly" or file.name != "anomaly-free.csv"}
        recording = load(rig, file, separator=";", time={"column": "datetime"}, columns=columns)
        header, *rows = plain(file, ";")
        wanted = [[float(row[header.index(name)]) for name in columns] for row in rows]
        assert np.array_equal(recording.values, np.array(wanted))
        expected = [to_ticks(datetime.fromisoformat(row[0]).replace(tzinfo=UTC)) for row in rows]
        assert recording.stamps.tolist() == expected
        assert (recording.bad_rows, recording.cut_short, recording.missing) == (0, 0, 0)


def test_nab_clock_that_steps_back(rig: Rig, series: Path) -> None:
    file = series / "nab" / "machine_temperature.csv"
    recording = load(rig, file, time={"column": "timestamp"}, columns={"value": "Plant.Meter1.Temperature"})
    rows = plain(file)[1:]
    assert recording.values[:, 0].tolist() == [float(row[1]) for row in rows]
    back = np.flatnonzero(np.diff(recording.stamps) < 0)
    assert len(back) == 1
    assert int(np.diff(recording.stamps)[back[0]]) == -55 * MINUTE
    assert at(recording, int(back[0])).date() == datetime(2014, 1, 7, tzinfo=UTC).date()
    assert len(recording.stamps) - len(np.unique(recording.stamps)) == 12


def test_ett(rig: Rig, series: Path) -> None:
    file = series / "ett" / "ETTh1.csv"
    recording = load(rig, file, time={"column": "date"}, columns={"OT": "Plant.Meter1.Temperature", "HUFL": "Power"})
    rows = plain(file)[1:]
    assert recording.rows == len(rows) == 17420
    assert recording.values.tolist() == [[float(row[7]), float(row[1])] for row in rows]
    assert (np.diff(recording.stamps) == 60 * MINUTE).all()


def test_steel_midnight_belongs_to_the_next_day(rig: Rig, series: Path) -> None:
    file = series / "steel_energy" / "steel_2018-01_to_10.csv"
    time = {"column": "date", "format": "%d/%m/%Y %H:%M", "midnight": "next_day"}
    mapped = {"Usage_kWh": {"variable": "Power", "scale": 4}, "Load_Type": "Batch"}
    recording = load(rig, file, time=time, columns=mapped)
    rows = plain(file)[1:]
    assert recording.rows == len(rows)
    assert (np.diff(recording.stamps) == 15 * MINUTE).all()
    assert at(recording, -1) == datetime(2018, 11, 1, tzinfo=UTC)
    assert recording.values.tolist() == [[float(row[1]) * 4, row[10]] for row in rows]


@pytest.mark.parametrize("name", ["datatraining.txt", "datatest.txt"])
def test_occupancy_header_one_name_short(rig: Rig, series: Path, name: str) -> None:
    file = series / "occupancy" / name
    options: Options = {"time": {"column": "date"}, "columns": {"Temperature": "Plant.Meter1.Temperature"}}
    with pytest.raises(PlantError, match=r"the file's header names 7 columns, .* have 8: name all columns in header"):
        load(rig, file, **options)
    header, *rows = plain(file)
    recording = load(rig, file, header=["row", *header], **options)
    assert recording.values[:, 0].tolist() == [float(row[2]) for row in rows]
    assert at(recording, 0) == datetime.fromisoformat(rows[0][1]).replace(tzinfo=UTC)


def test_household_question_marks_and_a_last_line_cut_short(rig: Rig, series: Path) -> None:
    file = series / "household" / "household_power.txt"
    time = {"column": ["Date", "Time"], "format": "%d/%m/%Y %H:%M:%S", "timezone": "Europe/Paris"}
    mapped = {"Global_active_power": "Power", "Voltage": {"variable": "Pressure", "scale": 0.01}}
    recording = load(rig, file, separator=";", time=time, columns=mapped, on_error="fail")
    rows = plain(file, ";")[1:-1]
    assert (recording.rows, recording.cut_short, recording.bad_rows) == (len(rows), 1, 0)
    assert at(recording, 0) == datetime(2006, 12, 16, 16, 24, tzinfo=UTC)
    assert (np.diff(recording.stamps) == MINUTE).all()
    marked = [row[2] == "?" for row in rows]
    assert sum(marked) == 2
    assert recording.missing == 2 * 2
    _, values, statuses = recording.samples(0, recording.rows)
    assert (statuses.reshape(-1, 2) == BAD_NO_DATA).all(axis=1).tolist() == marked
    kept = values.reshape(-1, 2)[~np.array(marked), 0].tolist()
    assert kept == [float(row[2]) for row in rows if row[2] != "?"]


def test_gas_turbine_without_stamps(rig: Rig, series: Path) -> None:
    file = series / "gas_turbine" / "gt_2011.csv"
    time = {"step": 3600, "start": "2011-01-01T00:00:00Z"}
    recording = load(rig, file, time=time, columns={"TEY": "Power", "TAT": "Pressure"})
    rows = plain(file)[1:]
    assert recording.values.tolist() == [[float(row[7]), float(row[6])] for row in rows]
    assert at(recording, 0) == datetime(2011, 1, 1, tzinfo=UTC)
    assert (np.diff(recording.stamps) == 60 * MINUTE).all()


async def test_a_real_recording_reaches_the_journal_whole(rig: Rig, series: Path) -> None:
    file = series / "nab" / "machine_temperature.csv"
    options: Options = {
        "file": str(file),
        "time": {"column": "timestamp"},
        "columns": {"value": "Plant.Meter1.Temperature"},
        "mode": "speed",
        "speed": 1e7,
        "timestamps": "original",
    }
    source, store = rig.create(options)
    cursor = store.journal.cursor("test")
    async with running(source):
        await until(lambda: source.finished)
    assert source.recording is not None
    rows = read_rows(store, cursor)
    assert [row[1] for row in rows] == [float(row[1]) for row in plain(file)[1:]]
    assert [row[3] for row in rows] == source.recording.stamps.tolist()

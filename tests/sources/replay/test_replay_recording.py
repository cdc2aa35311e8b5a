"""Files into recordings: each setting, what is wrong in a file, and errors that name the plant file's line."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from address_space import PlantError
from server.quality import BAD_NO_DATA, GOOD, UNCERTAIN
from server.store import to_ticks
from sources.replay.recording import Loader, Recording
from sources.replay.settings import read_settings
from tests.sources.replay.rig import Options, Rig

TIME = {"column": "t"}
START = to_ticks(datetime(2020, 1, 1, tzinfo=UTC))


def load(rig: Rig, options: Options) -> Recording:
    context = rig.context(options)
    settings = read_settings(context.plant, "rec", context.options)
    return Loader(context.plant, "rec", context.machines, settings).load()


def columns(recording: Recording) -> list[list[Any]]:
    """Return the samples, row by row, None where the status is BadNoData."""
    _, values, statuses = recording.samples(0, recording.rows)
    flat = [None if status == BAD_NO_DATA else value for value, status in zip(values.tolist(), statuses, strict=True)]
    width = len(recording.ids)
    return [flat[at : at + width] for at in range(0, len(flat), width)]


def csv(rig: Rig, text: str, **more: Any) -> Options:
    options: Options = {"file": rig.write("r.csv", text), "time": TIME, "columns": {"p": "Pressure"}}
    return {**options, **more}


def test_plain(rig: Rig) -> None:
    recording = load(rig, csv(rig, "t,p,x\n2020-01-01,1.5,a\n2020-01-01 00:00:01,-2e-1,b\n"))
    assert recording.stamps.tolist() == [START, START + 10_000_000]
    assert columns(recording) == [[1.5], [-0.2]]
    assert (recording.bad_rows, recording.cut_short, recording.missing) == (0, 0, 0)


def test_separator_decimal_encoding_and_skipped_lines(rig: Rig) -> None:
    text = "exported °C\n\n\nt;Druck °C;x\n2020-01-01;1,5;\n2020-01-01;1.500;\n"
    rig.write("r.txt", text, "latin-1")
    recording = load(
        rig,
        {"file": "r.txt", "time": TIME, "columns": {"Druck °C": "Pressure"}, "separator": ";", "decimal": ",",
         "encoding": "latin-1", "skip_rows": 1},
    )  # fmt: skip
    assert columns(recording) == [[1.5], [None]]  # 1.500 is no number where the comma is decimal


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_byte_order_mark(rig: Rig, bom: str, end: str) -> None:
    recording = load(rig, csv(rig, bom + f't,"p"{end}"2020-01-01","1"{end}{end}2020-01-01,2'))
    assert columns(recording) == [[1], [2]]
    assert recording.cut_short == 0


def test_header_in_place_of_a_short_one(rig: Rig) -> None:
    text = "t,p\n1,2020-01-01,5\n2,2020-01-01,6\n"
    with pytest.raises(PlantError, match=r"names 2 columns, the rows of .* have 3: name all columns in header"):
        load(rig, csv(rig, text))
    assert columns(load(rig, csv(rig, text, header=["n", "t", "p"]))) == [[5], [6]]


def test_file_without_header(rig: Rig) -> None:
    assert columns(load(rig, csv(rig, "2020-01-01,5\n", header=["t", "p"], has_header=False))) == [[5]]


def test_missing_cells_are_bad_never_zero(rig: Rig) -> None:
    cells = ["?", "", "NA", "-999", "-999.0", "1.5 bar", "inf", "NaN", " 7 ", "+3", "1e400", "0"]
    text = "t,p\n" + "".join(f"2020-01-01,{cell}\n" for cell in cells)
    recording = load(rig, csv(rig, text, missing=["?", "", "-999"]))
    assert columns(recording) == [[None]] * 8 + [[7], [3], [None], [0]]
    assert recording.missing == 9
    assert recording.bad_rows == 0


def test_types(rig: Rig) -> None:
    options = csv(
        rig,
        "t,c,o,s,f\n2020-01-01,65535,true,Running,1e39\n2020-01-01,65536,0,2,1.5\n2020-01-01,-1,2,3,\n"
        "2020-01-01,2.6,OFF,Broken,2\n",
        columns={"c": "Count", "o": "Active", "s": "State", "f": "Pump1.Temperature".replace("Pump1", "Plant.Pump1")},
    )
    assert columns(load(rig, options)) == [[65535, 1, 1, None], [None, 0, 2, 1.5], [None] * 4, [3, 0, None, 2]]


def test_text_columns(rig: Rig) -> None:
    options = csv(
        rig, "t,b,p,c\n2020-01-01,oil,1.5,3\n2020-01-01,?,,\n", columns={"b": "Batch", "p": "Pressure", "c": "Count"}
    )
    assert columns(load(rig, options)) == [["oil", 1.5, 3], [None, None, None]]


def test_scale_and_offset(rig: Rig) -> None:
    mapped = {"p": {"variable": "Plant.Pump1.Pressure", "scale": 0.1, "offset": -1}}
    assert columns(load(rig, csv(rig, "t,p\n2020-01-01,20\n", columns=mapped))) == [[1.0]]


def test_quality_column(rig: Rig) -> None:
    text = "t,p,q\n" + "".join(f"2020-01-01,1,{cell}\n" for cell in ["Good", "bad", "0x808C0000", "0", "x", "ok", ""])
    recording = load(rig, csv(rig, text, quality={"column": "q", "codes": {"ok": "Good"}}))
    assert recording.samples(0, 9)[2].tolist() == [GOOD, 0x80000000, 0x808C0000, GOOD, UNCERTAIN, GOOD, UNCERTAIN]
    recording = load(rig, csv(rig, "t,p,q\n2020-01-01,,Good\n", quality="q"))
    assert recording.samples(0, 1)[2].tolist() == [BAD_NO_DATA]


def test_order_duplicates_and_a_clock_that_steps_back_are_kept(rig: Rig) -> None:
    days = ["02", "03", "03", "01", "04"]
    recording = load(rig, csv(rig, "t,p\n" + "".join(f"2020-01-{day},{day}\n" for day in days)))
    assert columns(recording) == [[2], [3], [3], [1], [4]]
    assert np.diff(recording.stamps // 864_000_000_000).tolist() == [1, 0, -2, 3]


@pytest.mark.parametrize("tail", ["2020-01-02", "2020-01-02,1", "2", '2020-01-02,1,"x'])
def test_a_last_line_cut_short_is_dropped_and_counted(rig: Rig, tail: str) -> None:
    for policy in ("skip", "fail"):
        recording = load(rig, csv(rig, f"t,p,x\n2020-01-01,1,a\n{tail}", on_error=policy))
        assert columns(recording) == [[1]]
        assert (recording.cut_short, recording.bad_rows) == (1, 0)


def test_bad_rows_are_skipped_and_counted(rig: Rig) -> None:
    text = "t,p\n2020-01-01,1\n2020-01-01\n2020-01-01,2,3\nyesterday,4\n,5\n2020-01-01,6\n"
    recording = load(rig, csv(rig, text))
    assert columns(recording) == [[1], [6]]
    assert recording.bad_rows == 4


@pytest.mark.parametrize(
    ("row", "says"),
    [("2020-01-01", r"sources\.rec\.file: row 2 of .* cannot be read"), ("yesterday,1", r"'yesterday' in .* form iso")],
)
def test_a_bad_row_fails_where_asked(rig: Rig, row: str, says: str) -> None:
    with pytest.raises(PlantError, match=says):
        load(rig, csv(rig, f"t,p\n2020-01-01,1\n{row}\n2020-01-01,1\n", on_error="fail"))


def test_a_bad_row_keeps_its_place_in_a_file_without_stamps(rig: Rig) -> None:
    time_ = {"step": 0.5, "start": "2020-01-01T00:00:00Z"}
    recording = load(rig, csv(rig, "p,x\n1,1\n2\n3,3\n\n4,4\n", time=time_, columns={"p": "Pressure"}))
    assert columns(recording) == [[1], [3], [4]]
    assert (recording.stamps - START).tolist() == [0, 10_000_000, 15_000_000]


def test_date_and_time_in_two_columns(rig: Rig) -> None:
    time_ = {"column": ["d", "t"], "format": "%d/%m/%Y %H:%M:%S", "timezone": "Europe/Paris"}
    recording = load(rig, csv(rig, "d,t,p\n01/01/2020,01:00:00,1\n", time=time_))
    assert recording.stamps.tolist() == [START]


@pytest.mark.parametrize("stamp", [pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.string(), pa.date32()])
def test_parquet(rig: Rig, stamp: Any) -> None:
    days = pa.array([datetime(2020, 1, day, tzinfo=UTC).replace(tzinfo=None) for day in (1, 2)], pa.timestamp("ns"))
    days = pa.array(["2020-01-01", "2020-01-02"]) if stamp == pa.string() else days.cast(stamp)
    table = pa.table({"t": days, "p": pa.array([1, None]), "b": pa.array(["oil", None]).dictionary_encode(),
                      "o": pa.array([True, False]), "f": pa.array([math.nan, 2.5], pa.float32())})  # fmt: skip
    pq.write_table(table, rig.folder / "r.parquet")
    mapped = {"p": "Pressure", "b": "Batch", "o": "Active", "f": "Power"}
    recording = load(rig, {"file": "r.parquet", "time": TIME, "columns": mapped})
    assert recording.stamps.tolist() == [START, START + 864_000_000_000]
    assert columns(recording) == [[1, "oil", 1, None], [None, None, 0, 2.5]]


def test_parquet_quality_and_counts(rig: Rig) -> None:
    table = pa.table({"t": [1_577_836_800, 1_577_836_801], "p": [1.0, 2.0], "q": [0.0, 2156658688.0]})
    pq.write_table(table, rig.folder / "r.pq")
    time_ = {"column": "t", "format": "unix"}
    recording = load(rig, {"file": "r.pq", "time": time_, "columns": {"p": "Power"}, "quality": "q"})
    assert recording.stamps.tolist() == [START, START + 10_000_000]
    assert recording.samples(0, 2)[2].tolist() == [GOOD, 2156658688]


@pytest.mark.parametrize(
    ("change", "place", "says"),
    [
        ({"file": "gone.csv"}, "file", "there is no file .*gone.csv"),
        ({"columns": {"Pres": "Pressure"}}, "columns.Pres", "has no column 'Pres'; did you mean 'Press'?"),
        ({"columns": {"x": "Pressure"}}, "columns.x", "has two columns 'x'"),
        ({"columns": {"p": "Presure"}}, "columns.p", "there is no variable 'Presure' .* mean 'Pressure'?"),
        ({"columns": {"p": "Plant.Pump1.Presure"}}, "columns.p", "no variable .* mean 'Plant.Pump1.Pressure'?"),
        ({"columns": {"p": "Temperature"}}, "columns.p", "several machines: write one of Plant.Pump1.Temp"),
        ({"columns": {"p": "Plant.Meter2.Power"}}, "columns.p", "of a machine that has not `source: rec`"),
        ({"columns": {"p": "Setpoint"}}, "columns.p", "no measured variable .setpoint"),
        ({"columns": {"p": "Double"}}, "columns.p", "no measured variable .computed"),
        ({"columns": {"p": "Pressure", "Press": "Pressure"}}, "columns.Press", "already fed by the column 'p'"),
        ({"time": {"column": "when"}}, "time.column", "has no column 'when'"),
        ({"quality": "qq"}, "quality", "has no column 'qq'"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_and_field(rig: Rig, change: Options, place: str, says: str) -> None:
    options = {**csv(rig, "t,p,Press,x,x\n2020-01-01,1,1,1,1\n"), **change}
    context = rig.context(options)
    line = (rig.folder / "plant.yaml").read_text(encoding="utf-8").splitlines()
    expected = next(n for n, text in enumerate(line, 1) if text.startswith(f"    {place.split('.', maxsplit=1)[0]}:"))
    with pytest.raises(PlantError, match=says) as caught:
        Loader(context.plant, "rec", context.machines, read_settings(context.plant, "rec", context.options))
    assert str(caught.value).startswith(f"{rig.folder / 'plant.yaml'}:{expected}: sources.rec.{place}")


@pytest.mark.parametrize("text", ["", "t,p\n", "t,p\n\n\n", "t,p\nx,1\n"])
def test_a_file_without_rows_is_refused(rig: Rig, text: str) -> None:
    with pytest.raises(PlantError, match=r"sources\.rec\.file: .*(has no header|has no row that can be read)"):
        load(rig, csv(rig, text))


def test_what_is_no_text_or_no_parquet_is_refused(rig: Rig) -> None:
    (rig.folder / "r.parquet").write_bytes(b"no parquet")
    with pytest.raises(PlantError, match="is no Parquet file"):
        load(rig, {"file": "r.parquet", "time": TIME, "columns": {"p": "Pressure"}})
    (rig.folder / "r.csv").write_bytes(b"t,p\n2020-01-01,\xff\xfe\n")
    with pytest.raises(PlantError, match=r"r\.csv cannot be read: .*UTF8"):
        load(rig, {"file": "r.csv", "time": TIME, "columns": {"p": "Pressure"}})


def test_a_file_of_many_blocks_loses_no_row(rig: Rig) -> None:
    rows = 400_000  # 15 MB: several blocks of text
    lines = [f"{n % 7:030d},{n}\n" for n in range(rows)]
    lines[100_000] = lines[300_000] = "torn\n"
    recording = load(rig, csv(rig, "x,p\n" + "".join(lines), time={"step": 1}))
    kept = np.delete(np.arange(rows), [100_000, 300_000])
    assert np.array_equal(recording.values[:, 0], kept)
    assert np.array_equal((recording.stamps - recording.stamps[0]) // 10_000_000, kept)
    assert recording.bad_rows == 2


def test_folder_of_the_plant_file_is_where_files_are(rig: Rig, tmp_path: Path) -> None:
    elsewhere = tmp_path / "data"
    elsewhere.mkdir()
    (elsewhere / "r.csv").write_text("t,p\n2020-01-01,1\n", encoding="utf-8")
    for file in ("data/r.csv", str(elsewhere / "r.csv")):
        assert columns(load(rig, {"file": file, "time": TIME, "columns": {"p": "Pressure"}})) == [[1]]

"""The settings: what is refused, and in which words."""

from typing import Any

import pytest

from address_space import PlantError
from sources.replay.settings import Settings, parse_status, read_settings
from tests.sources.replay.rig import Options, Rig

BASE: Options = {"file": "r.csv", "time": {"column": "t"}, "columns": {"p": "Pressure"}}


def read(rig: Rig, **change: Any) -> Settings:
    context = rig.context({**BASE, **change})
    return read_settings(context.plant, "rec", context.options)


def test_defaults(rig: Rig) -> None:
    settings = read(rig)
    assert (settings.mode, settings.factor, settings.timestamps) == ("realtime", 1, "shifted")
    assert (settings.loop, settings.on_end, settings.on_error) == (False, "hold", "skip")
    assert settings.columns["p"].model_dump() == {"variable": "Pressure", "scale": 1, "offset": 0}


@pytest.mark.parametrize(
    ("file", "form", "expected"),
    [
        ("r.csv", "auto", "csv"),
        ("r.TXT", "auto", "csv"),
        ("r.Parquet", "auto", "parquet"),
        ("r.pq", "auto", "parquet"),
        ("r.data", "parquet", "parquet"),
        ("r.pq", "csv", "csv"),
    ],
)
def test_format_by_extension(rig: Rig, file: str, form: str, expected: str) -> None:
    assert read(rig, file=file, format=form).file_format == expected


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sped": 2}, r"plant\.yaml:\d+: sources\.rec\.sped: is no option here"),
        ({"separator": ";;"}, r"sources\.rec\.separator: is one character, not ';;'"),
        ({"mode": "fast"}, r"sources\.rec\.mode: input should be 'realtime', 'speed' or 'stepped' \(it is 'fast'\)"),
        ({"mode": "speed"}, "mode: speed and a factor speed go together"),
        ({"speed": 2}, "mode: speed and a factor speed go together"),
        ({"mode": "speed", "speed": 0}, r"sources\.rec\.speed: input should be greater than 0"),
        ({"time": {}}, r"sources\.rec\.time: needs either column, or step"),
        ({"time": {"column": "t", "step": 1}}, r"sources\.rec\.time: needs either column, or step"),
        ({"time": {"column": "t", "start": "2020-01-01"}}, r"sources\.rec\.time: start goes with step"),
        ({"time": {"step": 0}}, r"sources\.rec\.time\.step"),
        ({"time": {"step": 1, "midnight": "next_day"}}, "midnight: next_day is for stamps"),
        ({"time": {"column": "t", "timezone": "Mars/North"}}, r"time\.timezone: 'Mars/North' is no IANA time zone"),
        ({"time": {"column": "t", "format": "%Y %Q"}}, r"time\.format: %Q is not known in a time format"),
        ({"time": {"step": 1}, "timestamps": "original"}, "timestamps: original needs time.start"),
        ({"decimal": ","}, "separator and decimal are both ','"),
        ({"has_header": False}, "needs the names of its columns in header"),
        ({"header": ["a", "a"]}, "header names a column twice"),
        ({"file": "r.parquet", "separator": ";"}, "separator: for text files only"),
        ({"columns": {}}, r"sources\.rec\.columns: "),
        ({"columns": {"p": {"variable": "Pressure", "factor": 2}}}, r"columns\.p\.factor: is no option"),
        ({"columns": {"p": {"scale": 2}}}, r"columns\.p\.variable: is missing"),
        (
            {"columns": {"p": {"variable": "Pressure", "scale": "x"}}},
            r"columns\.p\.scale: input should be a valid number",
        ),
        ({"quality": {"column": "q", "codes": {"x": "Great"}}}, r"quality\.codes\.x: "),
    ],
)
def test_what_is_wrong_is_one_sentence(rig: Rig, change: Options, says: str) -> None:
    with pytest.raises(PlantError, match=says) as caught:
        read(rig, **change)
    assert "\n" not in str(caught.value)


def test_every_fault_is_told(rig: Rig) -> None:
    with pytest.raises(PlantError) as caught:
        read(rig, mode="fast", loop="perhaps")
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["sources.rec.mode", "sources.rec.loop"]


def test_a_missing_setting(rig: Rig) -> None:
    context = rig.context({"file": "r.csv", "time": {"column": "t"}})
    with pytest.raises(PlantError, match=r"sources\.rec\.columns: is missing"):
        read_settings(context.plant, "rec", context.options)


@pytest.mark.parametrize("text", ["", "Goodish", "-1", "0x100000000"])
def test_what_is_no_status(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_status(text)

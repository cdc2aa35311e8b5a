"""Time stamps, exact to 100 ns."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.store import to_ticks
from sources.replay.stamps import NO_STAMP, check_format, parse_stamps, stamps_every


def ticks(text: str) -> int:
    return to_ticks(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("cell", "form", "expected"),
    [
        ("2020-02-08 13:30:47", "iso", "2020-02-08T13:30:47"),
        ("2020-02-08T13:30", "iso", "2020-02-08T13:30:00"),
        ("2020-02-08", "iso", "2020-02-08T00:00:00"),
        (" 2020-02-08T13:30:47.25 ", "iso", "2020-02-08T13:30:47.250000"),
        ("2020-02-08T13:30:47Z", "iso", "2020-02-08T13:30:47"),
        ("2020-02-08T13:30:47+02:00", "iso", "2020-02-08T11:30:47"),
        ("2020-02-08T13:30:47-0530", "iso", "2020-02-08T19:00:47"),
        ("16/12/2006 17:24:00", "%d/%m/%Y %H:%M:%S", "2006-12-16T17:24:00"),
        ("1/2/18 7:05", "%d/%m/%y %H:%M", "2018-02-01T07:05:00"),
        ("Feb 29, 2024 12:01:02 AM", "%b %d, %Y %I:%M:%S %p", "2024-02-29T00:01:02"),
        ("02-29-2024 12:01 pm", "%m-%d-%Y %I:%M %p", "2024-02-29T12:01:00"),
        ("2020.02.08 100%", "%Y.%m.%d 100%%", "2020-02-08T00:00:00"),
        ("1581168647", "unix", "2020-02-08T13:30:47"),
        ("1581168647.5", "unix", "2020-02-08T13:30:47.500000"),
        ("-0.5", "unix", "1969-12-31T23:59:59.500000"),
        ("1581168647123", "unix_ms", "2020-02-08T13:30:47.123000"),
        ("1581168647123456", "unix_us", "2020-02-08T13:30:47.123456"),
        ("1581168647123456000", "unix_ns", "2020-02-08T13:30:47.123456"),
    ],
)
def test_forms(cell: str, form: str, expected: str) -> None:
    check_format(form)
    assert parse_stamps(pa.array([cell]), form).tolist() == [ticks(expected)]


@pytest.mark.parametrize(
    "cell",
    ["", "2020-13-01", "2020-00-01", "2021-02-29", "2020-04-31", "2020-01-00", "2020-01-01 24:00", "2020-01-01 00:60",
     "2020-01-01 00:00:60", "2020-01-01 x", "x", None, "1500-01-01", "2020-01-01 00:00:00 +1"],
)  # fmt: skip
def test_what_is_no_stamp_is_none(cell: str | None) -> None:
    assert parse_stamps(pa.array([cell, "2020-01-01"]), "iso").tolist() == [NO_STAMP, ticks("2020-01-01")]


@pytest.mark.parametrize("cell", ["x", None, "1e9", "99999999999999999999", "1.5.2"])
@pytest.mark.parametrize("form", ["unix", "unix_ms", "unix_us", "unix_ns"])
def test_what_is_no_count_is_none(cell: str | None, form: str) -> None:
    assert parse_stamps(pa.array([cell], pa.string()), form).tolist() == [NO_STAMP]


def test_100_ns_are_kept() -> None:
    whole = ticks("2020-02-08T13:30:47")
    assert parse_stamps(pa.array(["2020-02-08 13:30:47.1234567"]), "iso").tolist() == [whole + 1_234_567]
    assert parse_stamps(pa.array(["1581168647.1234567"]), "unix").tolist() == [whole + 1_234_567]
    assert parse_stamps(pa.array([1581168647123456700]), "unix_ns").tolist() == [whole + 1_234_567]
    typed = pa.array([1581168647123456700], pa.timestamp("ns"))
    assert parse_stamps(typed, "iso").tolist() == [whole + 1_234_567]


@given(st.datetimes(min_value=datetime(1601, 1, 2), max_value=datetime(9998, 12, 31)))
def test_any_moment_is_read_as_written(moment: datetime) -> None:
    assert parse_stamps(pa.array([moment.isoformat(" ")]), "iso").tolist() == [to_ticks(moment)]


@given(st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2037, 12, 31)))
def test_local_time_is_turned_to_utc(moment: datetime) -> None:
    zone = "Europe/Berlin"
    expected = to_ticks(moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC))
    assert parse_stamps(pa.array([moment.isoformat(" ")]), "iso", timezone=zone).tolist() == [expected]


def test_a_stamp_with_its_own_zone_ignores_the_setting() -> None:
    cells = pa.array(["2020-07-01 12:00:00", "2020-07-01 12:00:00Z", "bad"])
    found = parse_stamps(cells, "iso", timezone="Europe/Berlin").tolist()
    assert found == [ticks("2020-07-01T10:00:00"), ticks("2020-07-01T12:00:00"), NO_STAMP]


def test_the_hour_that_occurs_twice_is_its_first() -> None:
    cells = pa.array(["2020-10-25 02:30:00", "2020-10-25 02:30:00", "2020-10-25 03:30:00"])
    found = parse_stamps(cells, "iso", timezone="Europe/Berlin").tolist()
    first = ticks("2020-10-25T00:30:00")
    assert found == [first, first, ticks("2020-10-25T02:30:00")]


def test_midnight_belongs_to_the_next_day() -> None:
    cells = pa.array(["31/10/2018 23:45", "31/10/2018 00:00"])
    found = parse_stamps(cells, "%d/%m/%Y %H:%M", next_day=True).tolist()
    assert found == [ticks("2018-10-31T23:45:00"), ticks("2018-11-01T00:00:00")]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_typed_columns(unit: str) -> None:
    moment = datetime(2020, 7, 1, 12, tzinfo=UTC)
    aware = pa.array([moment, None], pa.timestamp(unit, "Europe/Berlin"))
    naive = pa.array([moment.replace(tzinfo=None), None], pa.timestamp(unit))
    assert parse_stamps(aware, "iso", timezone="Asia/Tokyo").tolist() == [to_ticks(moment), NO_STAMP]
    assert parse_stamps(naive, "iso", timezone="Europe/Berlin").tolist() == [ticks("2020-07-01T10:00:00"), NO_STAMP]
    assert parse_stamps(pa.array([date(2020, 7, 1)]), "iso").tolist() == [ticks("2020-07-01")]


def test_floating_point_counts() -> None:
    found = parse_stamps(pa.array([1581168647.5, float("nan"), None, float("inf")]), "unix").tolist()
    assert found == [ticks("2020-02-08T13:30:47.5"), NO_STAMP, NO_STAMP, NO_STAMP]


@pytest.mark.parametrize(
    ("form", "says"),
    [("%Y-%m-%d %Q", "%Q is not known"), ("%H:%M", "needs a year"), ("%Y-%m-%d %I", "%I and %p"),
     ("%Y-%m-%d %Y", "twice"), ("seconds", "needs a year")],
)  # fmt: skip
def test_a_wrong_form_says_why(form: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_format(form)


def test_steps_do_not_drift() -> None:
    start = datetime(2011, 1, 1, tzinfo=UTC)
    stamps = stamps_every(0.1, start, 1_000_001)
    assert stamps[0] == to_ticks(start)
    assert (np.diff(stamps) == 1_000_000).all()
    assert stamps_every(1, datetime(2011, 7, 1), 1, timezone="Europe/Berlin")[0] == ticks("2011-06-30T22:00:00")

"""Time stamps: cells of a recording to OPC UA DateTime (100 ns since 1601-01-01 UTC, int64), vectorised."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sources.replay.arrow import pc

TICKS_PER_SECOND: Final = 10_000_000
UNIX_EPOCH: Final = 116_444_736_000_000_000
"""1970-01-01 in ticks (OPC 10000-6 5.2.2.5)."""
NO_STAMP: Final = np.iinfo(np.int64).min
"""Stands for a stamp that is missing or unreadable."""
EPOCH_FORMATS: Final = {"unix": 10**9, "unix_ms": 10**6, "unix_us": 10**3, "unix_ns": 1}
"""Formats that count from 1970-01-01 UTC, and their unit in ns."""

Ticks = NDArray[np.int64]

_DAY = 86_400 * TICKS_PER_SECOND
_QUARTER = 900 * TICKS_PER_SECOND
_MAX_TICKS = 2_650_467_744_000_000_000  # 9999-12-31: the end of DateTime (OPC 10000-6 5.2.2.5)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ISO = (
    r"(?P<Y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})"
    r"(?:[T ](?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)? ?(?P<z>Z|[+-]\d{2}:?\d{2})?)?"
)
_FIELDS = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "b": r"(?P<b>[A-Za-z]{3})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<I>\d{1,2})",
    "p": r"(?P<p>[AaPp][Mm])",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})",
    "f": r"(?P<f>\d{1,9})",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2})",
}


def check_format(text: str) -> None:
    """Raise ValueError, saying why, for a time format that cannot be read."""
    if text not in EPOCH_FORMATS:
        _pattern(text)


def parse_stamps(cells: Any, form: str, *, timezone: str = "UTC", next_day: bool = False) -> Ticks:
    """Turn an Arrow array of strings, numbers, dates or timestamps into ticks; NO_STAMP where it cannot be read."""
    kind = cells.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _finish(_from_timestamps(cells), timezone if getattr(kind, "tz", None) is None else "UTC", next_day)
    if form in EPOCH_FORMATS:
        return _bounded(_from_epoch(cells, EPOCH_FORMATS[form]))
    local, zone = _from_text(pc.utf8_trim_whitespace(pc.cast(cells, pa.string())), _pattern(form))
    ticks = _finish(local, timezone, next_day)
    if zone is None:
        return ticks
    zoned = np.where(_readable(local), _finish(local, "UTC", next_day) - np.where(zone == NO_STAMP, 0, zone), NO_STAMP)
    return np.where(zone == NO_STAMP, ticks, zoned)


def stamps_every(step: float, start: datetime | None, rows: int, *, timezone: str = "UTC") -> Ticks:
    """Return `rows` stamps, `step` seconds apart from `start` on (1970-01-01 when None), to 100 ns each."""
    return _first(start, timezone) + np.arange(rows, dtype=np.int64) * round(step * TICKS_PER_SECOND)


def _first(start: datetime | None, timezone: str) -> int:
    if start is None:
        return UNIX_EPOCH
    aware = start if start.tzinfo is not None else start.replace(tzinfo=ZoneInfo(timezone))
    passed = aware.astimezone(UTC) - datetime(1601, 1, 1, tzinfo=UTC)
    return passed // timedelta(microseconds=1) * 10


def _readable(ticks: Ticks) -> NDArray[np.bool_]:
    return ticks != NO_STAMP


def _bounded(ticks: Ticks) -> Ticks:
    return np.where((ticks >= 0) & (ticks <= _MAX_TICKS), ticks, NO_STAMP)


def _from_timestamps(cells: Any) -> Ticks:
    micros = pa.timestamp("us", tz=getattr(cells.type, "tz", None))
    whole = pc.cast(pc.cast(cells, micros, safe=False), pa.int64())
    ticks = np.asarray(pc.fill_null(whole, 0)) * 10 + UNIX_EPOCH
    if getattr(cells.type, "unit", "us") == "ns":  # keep the 100 ns digit that microseconds lose
        nanos = np.asarray(pc.fill_null(pc.cast(cells, pa.int64()), 0))
        ticks = nanos // 100 + UNIX_EPOCH
    return np.where(np.asarray(pc.is_valid(cells)), ticks, NO_STAMP)


def _from_epoch(cells: Any, nanos: int) -> Ticks:
    """Count `cells` units of `nanos` ns from 1970 on: text exactly, floating point as exactly as it is."""
    digits = 20 - len(str(nanos))  # more would be beyond the year 9999
    if pa.types.is_floating(cells.type):
        number = np.asarray(pc.fill_null(pc.cast(cells, pa.float64()), np.nan))
        valid = np.isfinite(number) & (np.abs(number) < 10.0**digits)
        whole = np.floor(np.where(valid, number, 0.0))
        fraction = np.rint(np.where(valid, number - whole, 0.0) * 1e9).astype(np.int64)
        negative = np.zeros(len(number), np.bool_)
    else:
        text = pc.utf8_trim_whitespace(pc.cast(cells, pa.string()))
        groups = pc.extract_regex(text, rf"^(?P<s>-?)(?P<w>\d{{1,{digits}}})(?:\.(?P<f>\d{{1,9}})\d*)?$")
        valid = np.asarray(pc.is_valid(groups))
        whole = np.asarray(pc.fill_null(pc.cast(pc.struct_field(groups, "w"), pa.int64()), 0))
        nine = pc.utf8_rpad(pc.struct_field(groups, "f"), width=9, padding="0")
        fraction = np.asarray(pc.fill_null(pc.cast(nine, pa.int64()), 0))
        negative = np.asarray(pc.fill_null(pc.equal(pc.struct_field(groups, "s"), "-"), fill_value=False))
    count = whole.astype(np.int64)
    unit = nanos // 100  # ticks; 0 for ns
    ticks = count * unit + fraction * unit // 10**9 if unit else count // 100
    return np.where(valid, np.where(negative, -ticks, ticks) + UNIX_EPOCH, NO_STAMP)


def _pattern(form: str) -> str:
    """Return the regular expression of a strptime format, one named group a field; raises ValueError."""
    if form == "iso":
        return f"^{_ISO}$"
    parts: list[str] = []
    seen: list[str] = []
    for part in re.findall(r"%.|[^%]+|%", form):
        if part == "%%" or not part.startswith("%"):
            parts.append(re.escape(part.replace("%%", "%")))
            continue
        field = part[1:]
        if field not in _FIELDS:
            known = " ".join(f"%{name}" for name in _FIELDS)
            raise ValueError(
                f"{part} is not known in a time format; known are {known}, iso, {', '.join(EPOCH_FORMATS)}"
            )
        if field in seen:
            raise ValueError(f"{part} stands twice in the time format")
        seen.append(field)
        parts.append(_FIELDS[field])
    if not {"Y", "y"} & set(seen) or not {"m", "b"} & set(seen) or "d" not in seen:
        raise ValueError(f"{form!r} needs a year, a month and a day, such as %Y-%m-%d %H:%M:%S")
    if ("I" in seen) != ("p" in seen):
        raise ValueError("%I and %p go together")
    return "^" + "".join(parts) + "$"


def _from_text(cells: Any, pattern: str) -> tuple[Ticks, Ticks | None]:
    """Return local ticks (NO_STAMP where unreadable) and each stamp's own zone offset (NO_STAMP: it has none)."""
    groups = pc.extract_regex(cells, pattern)
    names = {field.name for field in groups.type}

    def number(name: str, default: int = 0) -> NDArray[np.int64]:
        if name not in names:
            return np.full(len(cells), default, np.int64)
        text = pc.struct_field(groups, name)
        empty = pc.equal(text, "")
        whole = pc.cast(pc.if_else(empty, str(default), text), pa.int32())
        return np.asarray(pc.fill_null(whole, default)).astype(np.int64)

    year = number("Y") if "Y" in names else number("y")
    if "Y" not in names:
        year = np.where(year < 69, year + 2000, year + 1900)  # POSIX strptime
    month = _months(groups) if "b" in names else number("m", 1)
    day = number("d", 1)
    hour = number("H")
    if "p" in names:
        afternoon = pc.fill_null(pc.equal(pc.utf8_lower(pc.struct_field(groups, "p")), "pm"), fill_value=False)
        clock = number("I", 12)
        hour = np.where((clock >= 1) & (clock <= 12), clock % 12 + 12 * np.asarray(afternoon), 99)
    minute, second = number("M"), number("S")
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    valid = np.asarray(pc.is_valid(groups)) & (year >= 1601) & (month >= 1) & (month <= 12) & (day >= 1)
    valid &= (days.astype("datetime64[M]") == months) & (hour < 24) & (minute < 60) & (second < 60)
    ticks = days.astype(np.int64) * _DAY + ((hour * 60 + minute) * 60 + second) * TICKS_PER_SECOND + UNIX_EPOCH
    if "f" in names:
        nine = pc.utf8_rpad(pc.struct_field(groups, "f"), width=9, padding="0")
        ticks = ticks + np.asarray(pc.fill_null(pc.cast(nine, pa.int64()), 0)) // 100
    zone = _zones(groups) if "z" in names else None
    return np.where(valid, ticks, NO_STAMP), zone


def _months(groups: Any) -> NDArray[np.int64]:
    index = pc.index_in(pc.utf8_lower(pc.struct_field(groups, "b")), value_set=pa.array(_MONTHS))
    return np.asarray(pc.fill_null(index, -1)).astype(np.int64) + 1


def _zones(groups: Any) -> Ticks | None:
    written = pc.fill_null(pc.struct_field(groups, "z"), "").dictionary_encode()
    if written.dictionary.to_pylist() == [""]:
        return None
    offsets = [_zone_offset(text) for text in written.dictionary.to_pylist()]
    return np.array(offsets, np.int64)[np.asarray(written.indices)]


def _zone_offset(text: str) -> int:
    if not text:
        return NO_STAMP
    if text == "Z":
        return 0
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return (-minutes if text[0] == "-" else minutes) * 60 * TICKS_PER_SECOND


def _finish(local: Ticks, timezone: str, next_day: bool) -> Ticks:
    """Move midnights to the next day where asked, then from local time of `timezone` to UTC."""
    local = np.where(local > _MAX_TICKS - _DAY, NO_STAMP, local)
    readable = _readable(local)
    if next_day:
        local = np.where(readable & (local % _DAY == 0), local + _DAY, local)
    if timezone != "UTC":
        # Zones change their offset on whole quarters of an hour: one look-up for each quarter that occurs.
        quarters, index = np.unique(local[readable] // _QUARTER, return_inverse=True)
        offsets = np.array([_offset(int(quarter) * _QUARTER, ZoneInfo(timezone)) for quarter in quarters], np.int64)
        local = local.copy()
        local[readable] -= offsets[index]
    return np.where(readable, _bounded(local), NO_STAMP)


def _offset(local: int, zone: ZoneInfo) -> int:
    moment = datetime(1601, 1, 1) + timedelta(microseconds=local // 10)
    offset = moment.replace(tzinfo=zone).utcoffset()
    return 0 if offset is None else int(offset / timedelta(microseconds=1)) * 10

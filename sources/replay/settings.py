"""Settings of a replay source: which recording, how it is written, and how it is played."""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from address_space.model import Plant
from server.quality import GOOD, UNCERTAIN
from sources.options import read_options
from sources.replay.stamps import EPOCH_FORMATS, check_format

SEVERITIES: Mapping[str, int] = {"Good": GOOD, "Uncertain": UNCERTAIN, "Bad": 0x80000000}
"""Words that a quality cell may have, and their StatusCodes (OPC 10000-4 7.38)."""


def parse_status(text: str) -> int:
    """Read a StatusCode written as a number (`0x80310000`, `0`) or a word; raises ValueError."""
    word = text.strip().capitalize()
    if word in SEVERITIES:
        return SEVERITIES[word]
    code = int(text.strip(), 0)
    if not 0 <= code <= 0xFFFFFFFF:
        raise ValueError(f"{text} is no StatusCode: it needs 32 bits")
    return code


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is no IANA time zone (such as Europe/Berlin)") from None
    return name


def _format(text: str) -> str:
    check_format(text)
    return text


def _single(text: str) -> str:
    if len(text) != 1 or text in '"\r\n':
        raise ValueError(f"is one character, not {text!r}")
    return text


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _mapped(value: Any) -> Any:
    return {"variable": value} if isinstance(value, str) else value


def _status(value: Any) -> Any:
    return parse_status(value) if isinstance(value, str) else value


_TEXT_ONLY = {"encoding", "separator", "decimal", "skip_rows", "has_header", "header"}

Status = Annotated[int, BeforeValidator(_status), Field(ge=0, le=0xFFFFFFFF)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TimeSettings(_Section):
    """Where a row's time comes from: `column` and `format`, or `step` seconds from `start` on.

    `format` is `iso` (ISO 8601), a strptime format, or `unix`, `unix_ms`, `unix_us`, `unix_ns`. Stamps without a
    zone of their own are of `timezone`; a local hour that occurs twice is read as its first occurrence.
    `midnight: next_day` is for meters that write the end of a day as 00:00 of the same day.
    """

    column: Annotated[list[str], BeforeValidator(_names), Field(min_length=1)] | None = None
    format: Annotated[str, AfterValidator(_format)] = "iso"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    midnight: Literal["same_day", "next_day"] = "same_day"
    step: float | None = Field(default=None, ge=1e-7)
    start: datetime | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.column is None) == (self.step is None):
            raise ValueError("needs either column, or step (seconds) for a file without time stamps")
        if self.start is not None and self.step is None:
            raise ValueError("start goes with step: a column of stamps has its own start")
        if self.midnight == "next_day" and (self.step is not None or self.format in EPOCH_FORMATS):
            raise ValueError("midnight: next_day is for stamps that are written as date and time")
        return self


class ColumnSettings(_Section):
    """One column: cell * `scale` + `offset`, in the unit of `variable` (`Speed` or `Plant.Energy.VoltageL1`)."""

    variable: str = Field(min_length=1)
    scale: float = 1.0
    offset: float = 0.0


class QualitySettings(_Section):
    """A column of StatusCodes (numbers, or Good, Uncertain, Bad); `codes` gives other cells a StatusCode."""

    column: str
    codes: dict[str, Status] = {}


def _quality(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


class Settings(_Section):
    """The options of a source of kind `replay`.

    `file` is relative to the plant file's folder. `header` names the columns where the file does not, or not rightly
    (`has_header` then says whether its first line is to be passed over). `missing` lists the cells that mean no value.

    `mode`: `realtime`, `speed` (times the factor `speed`), or `stepped` (the command Step plays rows).
    `timestamps`: `original`; `shifted` by one constant, so that the first row is now (at a speed above 1 the stamps run
    ahead of the clock); or `played`, the moment at which a row is due.
    At the end, `loop` plays again; otherwise `on_end` holds the last values or stops: BadNoCommunication.
    """

    file: Path
    format: Literal["auto", "csv", "parquet"] = "auto"
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    separator: Annotated[str, AfterValidator(_single)] = ","
    decimal: Annotated[str, AfterValidator(_single)] = "."
    skip_rows: int = Field(default=0, ge=0)
    has_header: bool = True
    header: list[str] | None = Field(default=None, min_length=1)
    missing: list[str] = ["", "?", "NA", "N/A", "NaN", "null"]
    time: TimeSettings
    columns: dict[str, Annotated[ColumnSettings, BeforeValidator(_mapped)]] = Field(min_length=1)
    quality: Annotated[QualitySettings | None, BeforeValidator(_quality)] = None
    mode: Literal["realtime", "speed", "stepped"] = "realtime"
    speed: float | None = Field(default=None, gt=0, le=1e12)
    timestamps: Literal["original", "shifted", "played"] = "shifted"
    loop: bool = False
    on_end: Literal["hold", "stop"] = "hold"
    on_error: Literal["skip", "fail"] = "skip"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mode == "speed") != (self.speed is not None):
            raise ValueError("mode: speed and a factor speed go together")
        if self.timestamps == "original" and self.time.step is not None and self.time.start is None:
            raise ValueError("timestamps: original needs time.start for a file without time stamps")
        if self.separator == self.decimal:
            raise ValueError(f"separator and decimal are both {self.decimal!r}")
        if not self.has_header and self.header is None and self.file_format != "parquet":
            raise ValueError("a file without a header needs the names of its columns in header")
        if self.file_format == "parquet" and (given := sorted(_TEXT_ONLY & self.model_fields_set)):
            raise ValueError(f"{', '.join(given)}: for text files only, this is a Parquet file")
        if self.header is not None and len(set(self.header)) != len(self.header):
            raise ValueError("header names a column twice")
        return self

    @property
    def file_format(self) -> Literal["csv", "parquet"]:
        """The format, taken from the file's extension when it is `auto`: csv unless .parquet or .pq."""
        if self.format == "auto":
            return "parquet" if re.search(r"\.(parquet|pq)$", self.file.name, re.IGNORECASE) else "csv"
        return self.format

    @property
    def factor(self) -> float:
        """How many times faster than recorded the rows are played."""
        return self.speed or 1.0


def read_settings(plant: Plant, name: str, options: Mapping[str, Any]) -> Settings:
    """Check the options of `name`; raises PlantError, one sentence a fault."""
    return read_options(Settings, plant, name, options)

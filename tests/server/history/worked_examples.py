"""The historians of OPC 10000-13 Annex A: what they have recorded, and their configurations."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from server.history.aggregates import Configuration, Data
from tests.server.history.history_rig import NOON

GOOD, UNCERTAIN, BAD = 0, 0x40000000, 0x80000000
_N = float("nan")
_TIMES = (2, 25, 28, 39, 42, 48, 52, 72, 77, 83, 86, 90)
_QUALITIES = (GOOD, GOOD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD, UNCERTAIN, GOOD, GOOD, GOOD)
RAW = {
    "Historian1": (
        (10, 20, 30, 40, 50, 60, 70, 80, 90),
        (10, 20, 30, _N, 50, 60, 70, 80, 90),
        (GOOD, GOOD, GOOD, BAD, GOOD, GOOD, UNCERTAIN, GOOD, GOOD),
    ),
    "Historian2": (_TIMES, (10, 20, 25, 30, _N, 40, 50, 60, 70, 70, 80, 90), _QUALITIES),
    "Historian3": (_TIMES, (10, 20, 25, 30, _N, 40, 50, 60, 70, 70, 80, 90), _QUALITIES),
    "Historian4": (_TIMES, (1, 0, 1, 1, _N, 1, 0, 0, 1, 1, 0, 1), _QUALITIES),
    "Historian5": (_TIMES, (10, 20, 10, 30, _N, 30, 50, 30, 70, 70, 80, 70), _QUALITIES),
}
"""Seconds after noon, values, StatusCodes."""
CONFIGURATIONS = {
    "Historian1": Configuration(stepped=False, treat_uncertain_as_bad=False),
    "Historian2": Configuration(stepped=False, sloped_extrapolation=True),
    "Historian3": Configuration(stepped=True, percent_bad=50, percent_good=50),
    "Historian4": Configuration(stepped=True),
    "Historian5": Configuration(stepped=False, treat_uncertain_as_bad=False),
}
ANNEX = Path(__file__).resolve().parents[4] / "shared" / "data" / "opcua" / "AggregateExamples.csv"
"""The annex's tables as the OPC Foundation publishes them; the licence keeps them out of this repository."""

_CODES = {
    "Good": GOOD, "Uncertain": UNCERTAIN, "Bad": BAD, "BadNoData": 0x809B0000, "UncertainDataSubNormal": 0x40A40000,
}  # fmt: skip
_BITS = {"Calculated": 0x401, "Interpolated": 0x402, "Partial": 0x404, "MultipleValues": 0x410}


@dataclass(frozen=True)
class Expected:
    """One row of an annex table: milliseconds after noon, value (NaN: none), StatusCode with InfoBits."""

    time: int
    value: float
    status: int


@dataclass(frozen=True)
class Example:
    """One table of the annex; `interval` in ms."""

    aggregate: str
    historian: str
    interval: int
    rows: tuple[Expected, ...]


def data_of(historian: str) -> Data:
    """Return what a historian has recorded; before it, that it has recorded nothing yet."""
    times, values, statuses = RAW[historian]
    return Data(
        np.array([NOON, *(NOON + second * 10_000_000 for second in times)], np.int64),
        np.array([_N, *values], np.float64),
        np.array([_CODES["BadNoData"], *statuses], np.uint32),
        CONFIGURATIONS[historian],
    )


def annex(file: Path = ANNEX) -> Iterator[Example]:
    """Yield the tables of the annex."""
    aggregate = historian = ""
    interval, rows = 0, list[Expected]()
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for row in [*csv.reader(lines), ["Aggregate", ""]]:
            match [cell.strip() for cell in row]:
                case ["Aggregate", following]:
                    if rows:
                        yield Example(aggregate, historian, interval, tuple(rows))
                    aggregate, rows = following, []
                case [name] if name.startswith("Historian"):
                    historian = name
                case ["Processing Interval", width]:
                    interval = int(width)
                case [time, value, status, *_] if aggregate and time.startswith("12:"):
                    rows.append(Expected(_time(time), _value(value), _status(status)))
                case _:
                    pass


def _time(text: str) -> int:
    _, minutes, seconds = text.split(":")
    return int(minutes) * 60_000 + round(float(seconds) * 1000)


def _value(text: str) -> float:
    return float(_CODES[text]) if text in _CODES else float(text or "nan")


def _status(text: str) -> int:
    code, *bits = (part.strip() for part in text.split(","))
    return _CODES[code] | sum(_BITS[bit] for bit in bits) & 0x1F | (0x400 if bits else 0)

"""The historians of OPC 10000-13 Annex A: what they have recorded, and their configurations."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from server.history.aggregates import Configuration, Data
from tests.server.history.history_rig import NOON

GOOD, UNCERTAIN, BAD, _NO_DATA = 0, 0x40000000, 0x80000000, 0x809B0000
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
TABLES = Path(__file__).with_name("worked_examples.csv")
"""What the annex's tables say, transcribed as numbers; values have the decimals that are printed."""


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
        np.array([_NO_DATA, *statuses], np.uint32),
        CONFIGURATIONS[historian],
    )


def examples() -> list[Example]:
    """Return the tables of the annex."""
    tables: dict[tuple[str, str, int], list[Expected]] = {}
    with TABLES.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            key = row["aggregate"], row["historian"], int(row["interval"])
            expected = Expected(int(row["time"]), float(row["value"] or "nan"), int(row["status"], 16))
            tables.setdefault(key, []).append(expected)
    return [Example(*key, tuple(rows)) for key, rows in tables.items()]

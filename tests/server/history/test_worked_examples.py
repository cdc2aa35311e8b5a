"""The worked examples of OPC 10000-13 Annex A, number by number: value, timestamp, StatusCode and InfoBits.

`worked_examples.csv` is what these aggregates say of the annex's historians, so that a change of any number is seen.
Whether that is what the annex says is looked at where its own tables are at hand.
"""

import csv
import math
from pathlib import Path

import pytest

from server.history.aggregates import AGGREGATES, compute, split
from tests.server.history.history_rig import NOON
from tests.server.history.worked_examples import ANNEX, Example, Expected, annex, data_of

MS = 10_000
KEPT = Path(__file__).with_name("worked_examples.csv")

TABLES_THAT_CONTRADICT = {
    # The variable is stepped, as the annex's own Total says of it; its TimeAverage draws lines all the same.
    ("TimeAverage", "Historian3"): range(18),
    # 60 % of the time is Bad, and PercentDataBad is 50: that is Bad. The table goes by 100 %.
    ("TimeAverage2", "Historian3"): (8, 9, 15, 16),
    ("Total2", "Historian3"): (8, 9, 15, 16),
}
"""Rows of the annex that its own rules do not give."""


def kept() -> list[Example]:
    tables: dict[tuple[str, str, int], list[Expected]] = {}
    with KEPT.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            key = row["aggregate"], row["historian"], int(row["interval"])
            expected = Expected(int(row["time"]), float(row["value"] or "nan"), int(row["status"], 16))
            tables.setdefault(key, []).append(expected)
    return [Example(*key, tuple(rows)) for key, rows in tables.items()]


def worked_out(example: Example) -> list[Expected]:
    end = NOON + example.interval * len(example.rows) * MS
    found = compute(example.aggregate, data_of(example.historian), split(NOON, end, example.interval * MS))
    rows = zip(found.stamps.tolist(), found.values.tolist(), found.statuses.tolist(), strict=True)
    return [Expected((stamp - NOON) // MS, value, status) for stamp, value, status in rows]


def name_of(example: Example) -> str:
    return f"{example.aggregate}-{example.historian}"


@pytest.mark.parametrize("example", kept(), ids=name_of)
def test_numbers_stay_as_they_are(example: Example) -> None:
    for found, expected in zip(worked_out(example), example.rows, strict=True):
        assert (found.time, hex(found.status)) == (expected.time, hex(expected.status))
        assert math.isclose(found.value, expected.value, rel_tol=1e-12) or math.isnan(found.value + expected.value)


def test_every_aggregate_has_an_example() -> None:
    assert {example.aggregate for example in kept()} == set(AGGREGATES)


@pytest.mark.skipif(
    not ANNEX.exists(), reason="the OPC Foundation's AggregateExamples.csv is not in ../shared/data/opcua"
)
def test_the_annex_says_the_same() -> None:
    seen = 0
    for example in annex():
        if example.aggregate == "AnnotationCount":  # there are no annotations
            continue
        odd = TABLES_THAT_CONTRADICT.get((example.aggregate, example.historian), ())
        for place, (found, expected) in enumerate(zip(worked_out(example), example.rows, strict=True)):
            where = f"{name_of(example)} row {place}: {found} is not {expected}"
            assert found.time == expected.time, where
            if place in odd:
                assert (found.value, found.status) != (expected.value, expected.status), where
                continue
            assert found.status == expected.status, where
            same = math.isnan(found.value) and math.isnan(expected.value)
            assert same or math.isclose(found.value, expected.value, abs_tol=5.1e-4), where
            seen += 1
    assert seen == 1332

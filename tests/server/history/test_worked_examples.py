"""The worked examples of OPC 10000-13 Annex A, number by number: value, timestamp, StatusCode and InfoBits."""

import math

import pytest

from server.history.aggregates import AGGREGATES, compute, split
from tests.server.history.history_rig import NOON
from tests.server.history.worked_examples import Example, Expected, data_of, examples

MS = 10_000
EXAMPLES = examples()

TABLES_THAT_CONTRADICT = {
    # The variable is stepped, as the annex's own Total says of it; its TimeAverage draws lines all the same.
    ("TimeAverage", "Historian3"): range(18),
    # 60 % of the time is Bad, and PercentDataBad is 50: that is Bad. The table goes by 100 %.
    ("TimeAverage2", "Historian3"): (8, 9, 15, 16),
    ("Total2", "Historian3"): (8, 9, 15, 16),
}
"""Rows of the annex that its own rules do not give."""


def worked_out(example: Example) -> list[Expected]:
    end = NOON + example.interval * len(example.rows) * MS
    found = compute(example.aggregate, data_of(example.historian), split(NOON, end, example.interval * MS))
    rows = zip(found.stamps.tolist(), found.values.tolist(), found.statuses.tolist(), strict=True)
    return [Expected((stamp - NOON) // MS, value, status) for stamp, value, status in rows]


def same(found: Expected, expected: Expected) -> bool:
    """Whether two rows agree, values to the three decimals that the annex prints."""
    value = math.isclose(found.value, expected.value, abs_tol=5.1e-4)
    if math.isnan(found.value) or math.isnan(expected.value):
        value = math.isnan(found.value) and math.isnan(expected.value)
    return value and found.status == expected.status


def name_of(example: Example) -> str:
    return f"{example.aggregate}-{example.historian}"


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_the_annex_says_the_same(example: Example) -> None:
    odd = TABLES_THAT_CONTRADICT.get((example.aggregate, example.historian), ())
    for place, (found, expected) in enumerate(zip(worked_out(example), example.rows, strict=True)):
        assert found.time == expected.time
        assert same(found, expected) == (place not in odd), f"row {place}: {found}, the annex has {expected}"


def test_every_aggregate_has_its_tables() -> None:
    assert {example.aggregate for example in EXAMPLES} == set(AGGREGATES)
    assert sum(len(example.rows) for example in EXAMPLES) == 1358

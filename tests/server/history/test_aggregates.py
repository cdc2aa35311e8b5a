"""Aggregates against a slow, plain reference: every random history, interval and configuration answers the same."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.history.aggregates import AGGREGATES, Configuration, Data, compute, split
from tests.server.history.history_rig import NOON
from tests.server.history.plain_aggregates import Plain

MS = 10_000
STATUSES = (0, 0x40900000, 0x80310000)

SAMPLES = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.one_of(st.integers(-5, 5).map(float), st.floats(-1e6, 1e6, allow_subnormal=False)),
        st.sampled_from([0, 0, 0, 1, 2]),
    ),
    min_size=0,
    max_size=12,
    unique_by=lambda sample: sample[0],
).map(sorted)
CONFIGURATIONS = st.builds(
    Configuration, stepped=st.booleans(), treat_uncertain_as_bad=st.booleans(),
    percent_bad=st.sampled_from([100, 50]), percent_good=st.sampled_from([100, 50]),
)  # fmt: skip
PLAIN = {
    "Average": Plain.average, "Count": Plain.count, "Minimum": Plain.minimum, "Maximum": Plain.maximum,
    "Range": Plain.span, "Start": Plain.start, "End": Plain.end, "Delta": Plain.delta,
    "StandardDeviationPopulation": Plain.deviation, "Interpolative": Plain.interpolative,
    "TimeAverage": Plain.time_average, "DurationGood": Plain.duration_good, "PercentBad": Plain.percent_bad_time,
}  # fmt: skip


def data_of(samples: Any, configuration: Configuration) -> Data:
    return Data(
        np.array([NOON + time * MS for time, _, _ in samples], np.int64),
        np.array([value for _, value, _ in samples], np.float64),
        np.array([STATUSES[severity] for _, _, severity in samples], np.uint32),
        configuration,
    )


@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=150, deadline=None)
@given(
    samples=SAMPLES, configuration=CONFIGURATIONS, start=st.integers(-5, 40), span=st.integers(1, 40),
    width=st.integers(1, 20),
)  # fmt: skip
def test_columns_say_what_the_plain_reference_says(
    name: str, samples: Any, configuration: Configuration, start: int, span: int, width: int
) -> None:
    plain = Plain(
        samples, configuration.stepped, configuration.treat_uncertain_as_bad,
        configuration.percent_bad, configuration.percent_good,
    )  # fmt: skip
    intervals = split(NOON + start * MS, NOON + (start + span) * MS, width * MS)
    found = compute(name, data_of(samples, configuration), intervals)
    for place, low in enumerate(range(start, start + span, width)):
        value, severity = PLAIN[name](plain, low, min(low + width, start + span))
        status = int(found.statuses[place])
        if severity == "no data":
            assert status & 0xFFFF0000 == 0x809B0000
            assert math.isnan(found.values[place])
            continue
        assert status >> 30 == severity
        if value is None:
            assert math.isnan(found.values[place])
        else:
            assert math.isclose(found.values[place], value, rel_tol=1e-9, abs_tol=1e-6)


@pytest.mark.parametrize("name", AGGREGATES)
@settings(max_examples=25, deadline=None)
@given(samples=SAMPLES, configuration=CONFIGURATIONS, start=st.integers(-5, 70), span=st.integers(-40, 40))
def test_every_aggregate_answers_every_request(
    name: str, samples: Any, configuration: Configuration, start: int, span: int
) -> None:
    intervals = split(NOON + start * MS, NOON + (start + (span or 1)) * MS, 7 * MS)
    found = compute(name, data_of(samples, configuration), intervals)
    assert len(found.stamps) == len(found.values) == len(found.statuses) == len(intervals)
    bad = found.statuses >> np.uint32(31) != 0
    assert np.isnan(found.values[bad]).all()
    assert np.isfinite(found.values[~bad]).all()


@settings(max_examples=50, deadline=None)
@given(samples=SAMPLES, configuration=CONFIGURATIONS, start=st.integers(-5, 40), span=st.integers(1, 40))
def test_an_interval_is_worth_the_same_alone_and_among_others(
    samples: Any, configuration: Configuration, start: int, span: int
) -> None:
    data = data_of(samples, configuration)
    for name in ("TimeAverage2", "Maximum2", "DurationInStateZero", "NumberOfTransitions"):
        together = compute(name, data, split(NOON + start * MS, NOON + (start + span) * MS, MS))
        for place in range(span):
            low = NOON + (start + place) * MS
            alone = compute(name, data, split(low, low + MS, MS))
            assert int(alone.statuses[0]) == int(together.statuses[place])
            assert np.array_equal(alone.values[:1], together.values[place : place + 1], equal_nan=True)

"""Fields of DataSetMessages in both encodings, read by a decoder written from the standard, and by our own."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from address_space.model import BuiltinType, Enumeration, VariableDeclaration
from gateways.mqtt.pubsub_json import MAX_TIME, MIN_TIME, FieldEncoder, decode_value, parse_time, time, times
from server.store.values import VALUE_DTYPES
from tests.gateways.mqtt.pubsub_rig import ticks_of, value_from

STATES = Enumeration("State", ("Stopped", "Running", 'Odd "name"_7'))
TICKS = st.integers(1, 2_650_467_743_989_999_999)
STATUSES = st.sampled_from([0, 0x40000000, 0x40900000, 0x80310000, 0x80310400, 0x00A20000, 0xDEAD0000])


def _values(builtin: BuiltinType) -> st.SearchStrategy:
    if builtin is BuiltinType.DateTime:
        return TICKS
    if builtin is BuiltinType.String:
        return st.none() | st.text()
    dtype = np.dtype(VALUE_DTYPES[builtin])
    if dtype.kind in "iu":
        return st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    return st.booleans() if dtype.kind == "b" else st.floats(width=dtype.itemsize * 8)


@st.composite
def samples(draw: st.DrawFn):
    builtin = draw(st.sampled_from(list(BuiltinType)))
    declaration = VariableDeclaration("Some Näme", builtin, "")
    return declaration, draw(_values(builtin)), draw(STATUSES), draw(TICKS)


def _same(one: object, other: object) -> bool:
    nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return nan or (one == other and type(one) is type(other))


@pytest.mark.parametrize("encoding", ["verbose", "compact"])
@given(samples())
def test_every_sample_is_read_back_as_it_was(encoding, sample) -> None:
    declaration, value, status, ticks = sample
    text = FieldEncoder(declaration, encoding).encode(value, status, time(ticks))
    document = json.loads(f"{{{text}}}")
    (name,) = document
    field = document[name]
    assert name == declaration.name
    hidden = value is None or bool(status & 0x80000000)
    assert ticks_of(field["SourceTimestamp"]) == parse_time(field["SourceTimestamp"]) == ticks
    assert field.get("Status", {}).get("Code", 0) == status
    if hidden:
        assert field.get("Value") is None
        assert ("Value" in field) == (encoding == "verbose")
    else:
        assert _same(value_from(declaration, field["Value"], verbose=encoding == "verbose"), value)
        assert _same(decode_value(declaration, field["Value"]), value)
    assert ("UaType" in field) == (encoding == "compact" and not hidden)
    assert field.get("UaType", declaration.type) == declaration.type


def test_a_status_has_its_symbol_in_the_verbose_encoding_only() -> None:
    declaration = VariableDeclaration("Speed", BuiltinType.Double, "")
    stamp = time(10)

    def status(encoding, code):
        return json.loads(f"{{{FieldEncoder(declaration, encoding).encode(1.0, code, stamp)}}}")["Speed"]["Status"]

    assert status("verbose", 0x80310000) == {"Code": 0x80310000, "Symbol": "BadNoCommunication"}
    assert status("verbose", 0x80310400) == {"Code": 0x80310400, "Symbol": "BadNoCommunication"}  # info bits ignored
    assert status("verbose", 0xDEAD0000) == {"Code": 0xDEAD0000}
    assert status("compact", 0x80310000) == {"Code": 0x80310000}


@pytest.mark.parametrize(("value", "verbose"), [(0, "Stopped_0"), (1, "Running_1"), (2, 'Odd "name"_7_2'), (9, "9")])
def test_an_enumeration_is_a_name_with_its_number_or_the_number(value: int, verbose: str) -> None:
    declaration = VariableDeclaration("State", BuiltinType.Int32, "", enumeration=STATES)
    for encoding, expected in (("verbose", verbose), ("compact", value)):
        shown = json.loads(f"{{{FieldEncoder(declaration, encoding).encode(value, 0, time(10))}}}")["State"]["Value"]
        assert shown == expected
        assert decode_value(declaration, shown) == value


@given(st.lists(st.integers(-(2**62), 2**63 - 1), min_size=1, max_size=5))
def test_times_that_a_datetime_has_not_are_its_bounds(ticks: list[int]) -> None:
    for tick, text in zip(ticks, times(np.array(ticks)), strict=True):
        if tick <= 0:
            assert text == MIN_TIME
        elif tick >= 2_650_467_743_990_000_000:
            assert text == MAX_TIME
        else:
            assert parse_time(text) == tick


def test_no_time_is_left_out() -> None:
    field = FieldEncoder(VariableDeclaration("Speed", BuiltinType.Double, ""), "verbose").encode(1.0, 0, time(0))
    assert field == '"Speed":{"Value":1.0}'


@pytest.mark.parametrize("text", ["", "2026-01-01", "2026-01-01T00:00:00+01:00", "yesterday"])
def test_a_text_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="DateTime"):
        parse_time(text)

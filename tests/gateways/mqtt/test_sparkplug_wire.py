"""The bytes of Sparkplug payloads against Google's Protocol Buffers and against our own decoder."""

import contextlib
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from address_space.model import BuiltinType
from gateways.mqtt import sparkplug_wire as wire
from gateways.mqtt.sparkplug_metrics import DATATYPES, DataMetrics, payload, qualities, simple_metric
from gateways.mqtt.sparkplug_payload import decode, stored_value
from server.store import Batch
from server.store.ticks import UNIX_EPOCH_TICKS
from server.store.values import VALUE_DTYPES
from tests.gateways.mqtt.sparkplug_rig import parse, properties, value_of

# From 1601 to 9999, in whole milliseconds: a Sparkplug time has no more.
TIMES = st.integers(0, 265_046_774_399_999).map(lambda ms: ms * wire.TICKS_PER_MS)
STATUSES = st.sampled_from([0, 0x40000000, 0x40900000, 0x80310000, 0x808A0000, 0x00A20000])


def _whole_numbers(builtin: BuiltinType) -> st.SearchStrategy[int]:
    info = np.iinfo(VALUE_DTYPES[builtin])
    return st.integers(int(info.min), int(info.max))


VALUES = {
    **{builtin: _whole_numbers(builtin) for builtin in BuiltinType if np.dtype(VALUE_DTYPES[builtin]).kind in "iu"},
    BuiltinType.Boolean: st.booleans(),
    BuiltinType.Float: st.floats(width=32),
    BuiltinType.Double: st.floats(),
    BuiltinType.String: st.none() | st.text(max_size=300),
    BuiltinType.DateTime: TIMES,
}


@st.composite
def samples(draw: st.DrawFn):
    builtin = draw(st.sampled_from(list(VALUES)))
    return builtin, draw(VALUES[builtin]), draw(STATUSES), draw(TIMES), draw(st.integers(0, 2**21)), draw(st.booleans())


def _bits(builtin: BuiltinType, value: object) -> int:
    if builtin is BuiltinType.String:
        return 0
    dtype = np.dtype(VALUE_DTYPES[builtin])
    return int(np.array([value], dtype).view(f"<u{dtype.itemsize}")[0])


def _batch(rows: list[tuple]) -> tuple[Batch, np.ndarray]:
    batch = Batch(
        np.array([row[4] for row in rows], np.int64),
        np.array([_bits(row[0], row[1]) for row in rows], np.uint64),
        np.array([row[2] for row in rows], np.uint32),
        np.array([row[3] for row in rows], np.int64),
        {index: row[1] for index, row in enumerate(rows) if row[0] is BuiltinType.String},
    )
    return batch, np.array([row[0] for row in rows], np.uint8)


def _encode(rows: list[tuple]) -> bytes:
    batch, types = _batch(rows)
    marked = batch.statuses != 0
    late = np.array([row[5] for row in rows], np.bool_)
    metrics = DataMetrics(batch, types, marked, late)
    middle = len(rows) // 2
    sections = [metrics.section(start, end) for start, end in ((0, middle), (middle, len(rows))) if end > start]
    return payload(1, b"".join(sections), 7)


def _same(one: object, other: object) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return one == other or both_nan


@given(st.lists(samples(), min_size=1, max_size=20))
def test_columns_are_what_protocol_buffers_reads(rows: list[tuple]) -> None:
    read = parse(_encode(rows))
    assert read.seq == 7
    assert len(read.metrics) == len(rows)
    for metric, (builtin, value, status, time, id_, late) in zip(read.metrics, rows, strict=True):
        assert metric.alias == id_ + 1
        assert metric.timestamp == wire.milliseconds(time) % 2**64
        assert metric.is_historical == late
        hidden = bool(status & 0x80000000) or value is None
        assert metric.is_null == hidden
        assert not metric.HasField("datatype")
        assert not metric.HasField("name")
        assert (value_of(metric) is None) == hidden
        if status:
            assert properties(metric) == {
                "Quality": (3, qualities(np.array([status], np.uint32))[0]),
                "StatusCode": (7, status),
            }
        else:
            assert not metric.HasField("properties")
        if not hidden:
            field = {wire.INT: "int", wire.LONG: "long", wire.FLOAT: "float", wire.DOUBLE: "double"}.get(
                wire.VALUE_FIELDS[builtin], builtin.name.lower()
            )
            assert metric.WhichOneof("value") == f"{field}_value"


@given(st.lists(samples(), min_size=1, max_size=20))
def test_columns_are_read_back_as_they_were(rows: list[tuple]) -> None:
    read = decode(_encode(rows))
    for metric, (builtin, value, status, time, id_, late) in zip(read.metrics, rows, strict=True):
        assert (metric.alias, metric.is_historical) == (id_ + 1, late)
        assert metric.timestamp is not None
        assert metric.timestamp * wire.TICKS_PER_MS + UNIX_EPOCH_TICKS == time
        assert metric.properties.get("StatusCode", 0) == status
        expected = None if status & 0x80000000 else value
        assert _same(stored_value(metric, builtin), expected)


@given(samples())
def test_one_value_has_the_bytes_that_it_has_in_a_column(row: tuple) -> None:
    builtin, value, _, time, id_, _ = row
    if value is None:
        return
    whole = payload(
        1,
        b"".join(
            [
                DataMetrics(
                    *_batch([(builtin, value, 0, time, id_, False)]), np.zeros(1, np.bool_), np.zeros(1, np.bool_)
                ).section(0, 1)
            ]
        ),
        None,
    )
    assert whole.endswith(wire.value_field(builtin, value))


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_the_same_alone_and_in_a_column(value: int) -> None:
    rows = wire.Rows(2)
    rows.varint(np.array([value, 1], np.uint64))
    assert rows.joined() == wire.varint(value) + b"\x01"


@given(st.binary(max_size=200))
def test_bytes_that_are_no_payload_raise_nothing_but_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        decode(data)


def test_small_negative_numbers_are_32_bits_as_every_decoder_reads_them() -> None:
    for builtin in (BuiltinType.SByte, BuiltinType.Int16, BuiltinType.Int32):
        metric = parse(payload(1, simple_metric("a", builtin, -1, 1), None)).metrics[0]
        assert metric.int_value == 0xFFFFFFFF
    assert parse(payload(1, simple_metric("a", BuiltinType.Int64, -1, 1), None)).metrics[0].long_value == 2**64 - 1


def test_a_value_that_does_not_fit_is_refused() -> None:
    read = decode(payload(1, simple_metric("a", BuiltinType.Int32, 300, 1), None)).metrics[0]
    assert stored_value(read, BuiltinType.Int32) == 300
    for builtin in (BuiltinType.SByte, BuiltinType.Byte, BuiltinType.Boolean, BuiltinType.String):
        with pytest.raises(ValueError, match=f"no {builtin.name}"):
            stored_value(read, builtin)


def test_the_sign_of_a_whole_number_for_a_double_is_that_of_its_datatype() -> None:
    read = decode(payload(1, simple_metric("a", BuiltinType.Int32, -5, 1), None)).metrics[0]
    assert read.datatype == DATATYPES[BuiltinType.Int32]
    assert stored_value(read, BuiltinType.Double) == -5.0


def test_a_property_set_with_a_value_too_few_is_refused() -> None:
    properties_field = wire.delimited(wire.PROPERTIES, wire.delimited(wire.SET_KEY, b"Quality"))
    with pytest.raises(ValueError, match="property set"):
        decode(wire.delimited(wire.PAYLOAD_METRIC, properties_field))


def test_a_number_of_the_wrong_width_is_refused() -> None:
    body = bytes((wire.DOUBLE << 3 | wire.FIXED32,)) + struct.pack("<f", 1.0)
    with pytest.raises(ValueError, match="width"):
        decode(wire.delimited(wire.PAYLOAD_METRIC, body))

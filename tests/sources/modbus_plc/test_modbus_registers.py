"""Registers to values and back, for every type and word order, against struct."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.modbus_plc.registers import Point, encode_value, group
from sources.modbus_plc.settings import Register, WordOrder
from tests.sources.modbus_plc.rig import FORMATS, ORDERS, wire

BITS = {kind: 8 * struct.calcsize(code) for kind, code in FORMATS.items()}
INTEGERS = [kind for kind in FORMATS if "int" in kind]
START = 100


def numbers(kind: str) -> st.SearchStrategy[Any]:
    if kind.startswith("float"):
        return st.floats(width=BITS[kind])
    bits = BITS[kind]
    signed = kind.startswith("int")
    return st.integers(-(1 << bits - 1) if signed else 0, (1 << bits - signed) - 1)


def point(kind: str, order: str, address: int = START, **more: Any) -> Point:
    return Point(
        "X", Register.model_validate({"table": "holding", "address": address, "type": kind, **more}), WordOrder(order)
    )


def memory(words: list[int]) -> np.ndarray:
    return np.array(words, dtype=">u2").view(np.uint8).copy()


def same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_all_word_orders_of_a_type_round_trip_in_one_block(kind: str, data: st.DataObject) -> None:
    drawn = data.draw(
        st.lists(st.tuples(st.sampled_from(ORDERS), numbers(kind), st.integers(0, 3)), min_size=1, max_size=20)
    )
    words: list[int] = []
    points: list[Point] = []
    for order, value, gap in drawn:
        words += [0xDEAD] * gap
        points.append(point(kind, order, START + len(words)))
        words += wire(kind, order, value)
    (members,) = group(points, START)

    decoded = members.decode(memory(words))
    assert all(same(got, value) for got, (_, value, _) in zip(decoded.tolist(), drawn, strict=True))

    encoded = memory([0xDEAD] * len(words))
    members.encode(decoded, encoded)
    unless_nan = memory(words) if not kind.startswith("float") else None
    if unless_nan is not None or not any(math.isnan(value) for _, value, _ in drawn):
        assert encoded.tobytes() == memory(words).tobytes()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_value_is_written_as_struct_packs_it(kind: str, order: str, data: st.DataObject) -> None:
    value = data.draw(numbers(kind).filter(math.isfinite))
    assert encode_value(point(kind, order), value) == wire(kind, order, value)


@pytest.mark.parametrize("order", ORDERS)
def test_the_four_orders_of_one_known_number(order: str) -> None:
    # 123456.0 is 0x47F12000
    expected = {
        "ABCD": [0x47F1, 0x2000],
        "CDAB": [0x2000, 0x47F1],
        "BADC": [0xF147, 0x0020],
        "DCBA": [0x0020, 0xF147],
    }
    assert encode_value(point("float32", order), 123456.0) == expected[order]


@given(
    raw=st.integers(-32768, 32767), scale=st.sampled_from([0.01, 0.1, 2.0, -0.5]), offset=st.sampled_from([0, -40.0, 7])
)
def test_scale_and_offset_have_an_inverse(raw: int, scale: float, offset: float) -> None:
    scaled = point("int16", "ABCD", scale=scale, offset=offset)
    (members,) = group([scaled], START)
    value = members.decode(memory(wire("int16", "ABCD", raw)))[0]
    assert value == pytest.approx(raw * scale + offset)
    assert encode_value(scaled, float(value)) == wire("int16", "ABCD", raw)


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("beyond", [-1, 1])
def test_an_integer_that_does_not_fit_is_refused(kind: str, beyond: int) -> None:
    bits, signed = BITS[kind], kind.startswith("int")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    assert encode_value(point(kind, "ABCD"), high if beyond > 0 else low)
    with pytest.raises(OverflowError, match="does not fit"):
        encode_value(point(kind, "ABCD"), high + 1 if beyond > 0 else low - 1)


@pytest.mark.parametrize(
    ("kind", "value"), [("float32", 1e39), ("float32", math.nan), ("float64", math.inf), ("int16", math.nan)]
)
def test_a_float_that_does_not_fit_is_refused(kind: str, value: float) -> None:
    with pytest.raises(OverflowError):
        encode_value(point(kind, "ABCD"), value)


@pytest.mark.parametrize(
    ("kind", "value"), [("int16", "12"), ("int16", True), ("float32", None), ("bool", 2), ("bool", 0.5)]
)
def test_a_value_of_another_type_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(TypeError):
        encode_value(point(kind, "ABCD"), value)


@given(words=st.lists(st.integers(0, 0xFFFF), min_size=2, max_size=2), order=st.sampled_from(ORDERS), data=st.data())
def test_bits_of_registers(words: list[int], order: str, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, 31), min_size=1, max_size=32, unique=True))
    points = [point("bool", order, START + at // 16, bit=at % 16) for at in chosen]
    (members,) = group(points, START)
    # The 16-bit numbers that this order makes of the registers, bit 0 the least significant.
    read = [int.from_bytes(word.to_bytes(2, "big"), "little" if order in {"BADC", "DCBA"} else "big") for word in words]
    bits = [bool(read[at // 16] >> at % 16 & 1) for at in chosen]
    before = memory(words)
    assert members.decode(before).tolist() == bits

    flipped = before.copy()
    members.encode(~np.array(bits), flipped)
    assert members.decode(flipped).tolist() == [not bit for bit in bits]
    members.encode(np.array(bits), flipped)
    assert flipped.tobytes() == before.tobytes()  # no other bit was touched


def test_a_whole_register_as_a_bool_is_true_unless_it_is_zero() -> None:
    (members,) = group([point("bool", "ABCD", START), point("bool", "ABCD", START + 1)], START)
    assert members.decode(memory([0, 0xFF00])).tolist() == [False, True]


@pytest.mark.parametrize("kind", INTEGERS)
def test_a_block_is_encoded_with_values_clipped_to_the_type(kind: str) -> None:
    (members,) = group([point(kind, "ABCD"), point(kind, "ABCD", START + 4)], START)
    into = memory([0] * 8)
    members.encode(np.array([1e30, -1e30]), into)
    high, low = members.decode(into).tolist()
    bits, signed = BITS[kind], kind.startswith("int")
    assert high == pytest.approx((1 << bits - signed) - 1, rel=1e-9)
    assert low == (-(1 << bits - 1) if signed else 0)

"""The expression language: it computes what Python computes, a column as each of its numbers, and runs no code."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from address_space.expressions import ExpressionError, parse

NAMES = ("a", "b", "c")
PYTHON: dict[str, Any] = {
    "abs": abs,
    "sin": math.sin,
    "cos": math.cos,
    "min": min,
    "max": max,
    "where": lambda condition, then, other: then if condition else other,
    "pi": math.pi,
    "__builtins__": {},
}
numbers = st.floats(min_value=-1e3, max_value=1e3, allow_nan=False).map(lambda x: round(x, 3) + 0.0)
atoms = st.sampled_from([*NAMES, "pi"]) | numbers.map(lambda x: f"({x!r})")


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.tuples(inner, st.sampled_from("+-*"), inner).map(" ".join)
    compared = st.tuples(inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner).map(" ".join)
    both = st.tuples(compared, st.sampled_from(["and", "or"]), compared).map(" ".join)
    called = st.one_of(
        st.tuples(st.sampled_from(["abs", "sin", "cos"]), inner).map(lambda part: f"{part[0]}({part[1]})"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda part: f"{part[0]}({part[1]}, {part[2]})"),
        st.tuples(compared, inner, inner).map(lambda part: f"where({', '.join(part)})"),
    )
    signed = inner.map(lambda text: f"-{text}")
    return st.one_of(binary, signed, called, compared, both, compared.map(lambda text: f"not ({text})")).map(
        lambda text: f"({text})"
    )


expressions = st.recursive(atoms, grown, max_leaves=12)


def python(text: str, values: dict[str, float]) -> float:
    return float(eval(text, PYTHON, values))  # noqa: S307  the reference


@given(expressions, st.tuples(numbers, numbers, numbers))
@settings(max_examples=300, deadline=None)
def test_scalar_is_what_python_says(text: str, given_values: tuple[float, float, float]) -> None:
    values = dict(zip(NAMES, given_values, strict=True))
    try:
        expected = python(text, values)
    except (OverflowError, ValueError):
        return
    result = parse(text)({name: np.array([value]) for name, value in values.items()})
    assert result.dtype == np.float64
    assert result.shape == (1,)
    assert np.isclose(result[0], expected, rtol=1e-12, atol=1e-12, equal_nan=True), text


@given(expressions, st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_column_is_each_of_its_numbers(text: str, rows: list[tuple[float, float, float]]) -> None:
    expression = parse(text)
    columns = {name: np.array(column) for name, column in zip(NAMES, zip(*rows, strict=True), strict=True)}
    singles = [expression({name: column[[i]] for name, column in columns.items()})[0] for i in range(len(rows))]
    np.testing.assert_array_equal(expression(columns), singles)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(a > 1) + (b > 1) + (c > 1)", 2.0),
        ("(a > 1) - (c > 1)", 1.0),
        ("sqrt(a > 1) + exp(0)", 2.0),
        ("1 < b < a", 1.0),
        ("1 < a < b", 0.0),
        ("a % 3", 1.0),
        ("-a % 3", 2.0),
        ("a ** 2 / b", 49 / 3),
        ("2 ** 0.5", 2**0.5),
        ("not a", 0.0),
        ("True + 1", 2.0),
        ("1 / 0", math.inf),
        ("-1 / 0", -math.inf),
        ("log(0)", -math.inf),
    ],
)
def test_value(text: str, expected: float) -> None:
    columns = {"a": np.array([7.0]), "b": np.array([3.0]), "c": np.array([0.0])}
    assert parse(text)(columns)[0] == expected


@pytest.mark.parametrize("text", ["0 / 0", "sqrt(-1)", "(-8) ** 0.5", "a + 0 / 0", "5 % 0"])
def test_what_has_no_value_is_nan(text: str) -> None:
    assert math.isnan(parse(text)({"a": np.array([1.0])})[0])


def test_names_come_in_order_of_appearance_once() -> None:
    assert parse("b + a * b - max(c, pi)").names == ("b", "a", "c")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.real", "may not contain 'a.real'"),
        ("a[0]", "may not contain 'a[0]'"),
        ("lambda: 1", "may not contain 'lambda: 1'"),
        ("[a for a in b]", "may not contain"),
        ("(x := 1)", "may not contain"),
        ("a if b else c", "may not contain"),
        ("f'{a}'", "may not contain"),
        ("{'a': 1}", "may not contain"),
        ("__import__('os')", "not __import__"),
        ("eval('1')", "not eval"),
        ("(lambda: 1)()", "may call"),
        ("abs.__class__(1)", "may call"),
        ("abs(*a)", "may not contain"),
        ("abs(a, b)", "abs takes 1 arguments, not 2"),
        ("abs(x=1)", "may call"),
        ("'text'", "may contain numbers, not 'text'"),
        ("1j", "may contain numbers, not 1j"),
        ("None", "may contain numbers, not None"),
        ("...", "may contain numbers"),
        ("a // b", "has no operator FloorDiv"),
        ("a @ b", "has no operator MatMult"),
        ("a << 2", "has no operator LShift"),
        ("~a", "has no operator Invert"),
        ("a in b", "has no comparison In"),
        ("a is b", "has no comparison Is"),
        ("", "is not an expression: ''"),
        ("a +", "is not an expression"),
        ("a = 1", "is not an expression"),
        ("a; b", "is not an expression"),
        ("import os", "is not an expression"),
        ("a\x00b", "is not an expression"),
        ("1" + "0" * 400, "is too large"),
        ("1 + " * 300 + "1", "is longer than 1000 characters"),
        ("-" * 990 + "1", "nested too deeply"),
        ("(" * 400 + "1" + ")" * 400, "is not an expression"),
    ],
    ids=lambda value: str(value)[:30].replace("\x00", "0"),
)
def test_nothing_else_parses(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert reason in str(caught.value)

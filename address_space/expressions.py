"""A small safe expression language over variables, evaluated on numpy columns.

`ActivePower * 1000 / omega`, `Speed > 500 and OilPressure < 2.0`, `where(Speed > 1, Load / Speed, 0)`: arithmetic,
comparisons, `and`/`or`/`not`, and the functions of `FUNCTIONS`. Nothing else parses: no attributes, no calls by name,
no indexing, so a plant file cannot run code.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

FUNCTIONS: Mapping[str, tuple[Callable[..., Any], int]] = {
    "abs": (np.abs, 1),
    "sqrt": (np.sqrt, 1),
    "exp": (np.exp, 1),
    "log": (np.log, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
    "where": (np.where, 3),
}
CONSTANTS: Mapping[str, float] = {"pi": float(np.pi)}

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_MAX_LENGTH = 1000


class ExpressionError(ValueError):
    """The text is not an expression of this language; its message says which part is not."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression; `names` are the variables that it reads, in order of appearance."""

    text: str
    names: tuple[str, ...]
    _evaluate: Callable[[Mapping[str, Any]], Any]

    def __call__(self, columns: Mapping[str, Column]) -> Column:
        """Evaluate over columns of equal shape (n,); division by zero gives inf or nan, never an exception."""
        with np.errstate(all="ignore"):
            result = np.asarray(self._evaluate(columns), dtype=np.float64)
        shape = next(iter(columns.values())).shape if columns else ()
        return np.broadcast_to(result, shape) if result.shape != shape else result


def parse(text: str) -> Expression:
    """Parse `text`; raises ExpressionError."""
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(f"is longer than {_MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ExpressionError(f"is not an expression: {text!r}") from error
    names: dict[str, None] = {}
    try:
        evaluate = _compile(tree.body, names)
    except RecursionError as error:
        raise ExpressionError("is nested too deeply") from error
    return Expression(text, tuple(names), evaluate)


def _compile(node: ast.expr, names: dict[str, None]) -> Callable[[Mapping[str, Any]], Any]:
    handler = _HANDLERS.get(type(node))
    if handler is None:
        raise ExpressionError(f"may not contain {ast.unparse(node)!r} ({type(node).__name__})")
    return handler(node, names)


def _constant(node: ast.Constant, _names: dict[str, None]) -> Callable[[Mapping[str, Any]], Any]:
    value = node.value
    if not isinstance(value, int | float):
        raise ExpressionError(f"may contain numbers, not {value!r}")
    try:
        number = float(value)
    except OverflowError as error:
        raise ExpressionError("holds a number that is too large") from error
    return lambda _columns: number


def _name(node: ast.Name, names: dict[str, None]) -> Callable[[Mapping[str, Any]], Any]:
    name = node.id
    if name in CONSTANTS:
        number = CONSTANTS[name]
        return lambda _columns: number
    names[name] = None
    return lambda columns: columns[name]


def _binary(node: ast.BinOp, names: dict[str, None]) -> Callable[[Mapping[str, Any]], Any]:
    function = _BINARY.get(type(node.op))
    if function is None:
        raise ExpressionError(f"has no operator {type(node.op).__name__}")
    left, right = _compile(node.left, names), _compile(node.right, names)
    return lambda columns: function(left(columns), right(columns))


def _unary(node: ast.UnaryOp, names: dict[str, None]) -> Callable[[Mapping[str, Any]], Any]:
    operand = _compile(node.operand, names)
    if isinstance(node.op, ast.USub):
        return lambda columns: -np.asarray(operand(columns), dtype=np.float64)
    if isinstance(node.op, ast.UAdd):
        return operand
    if isinstance(node.op, ast.Not):
        return lambda columns: _number(np.logical_not(operand(columns)))
    raise ExpressionError(f"has no operator {type(node.op).__name__}")


def _boolean(node: ast.BoolOp, names: dict[str, None]) -> Callable[[Mapping[str, Any]], Any]:
    parts = [_compile(value, names) for value in node.values]
    function = np.logical_and if isinstance(node.op, ast.And) else np.logical_or

    def evaluate(columns: Mapping[str, Any]) -> Any:
        result = parts[0](columns)
        for part in parts[1:]:
            result = function(result, part(columns))
        return _number(result)

    return evaluate


def _compare(node: ast.Compare, names: dict[str, None]) -> Callable[[Mapping[str, Any]], Any]:
    operands = [_compile(operand, names) for operand in (node.left, *node.comparators)]
    try:
        functions = [_COMPARE[type(op)] for op in node.ops]
    except KeyError as error:
        raise ExpressionError(f"has no comparison {error.args[0].__name__}") from error

    def evaluate(columns: Mapping[str, Any]) -> Any:
        values = [operand(columns) for operand in operands]
        result = functions[0](values[0], values[1])
        for index, function in enumerate(functions[1:], start=1):
            result = np.logical_and(result, function(values[index], values[index + 1]))
        return _number(result)

    return evaluate


def _number(truth: Any) -> Any:
    """Return 1.0 for True: numpy's own bools add as `or`, and cannot be subtracted."""
    return np.asarray(truth, np.float64)


def _call(node: ast.Call, names: dict[str, None]) -> Callable[[Mapping[str, Any]], Any]:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
        raise ExpressionError(f"may call {', '.join(FUNCTIONS)}, not {ast.unparse(node.func)}")
    function, count = FUNCTIONS[node.func.id]
    if len(node.args) != count:
        raise ExpressionError(f"{node.func.id} takes {count} arguments, not {len(node.args)}")
    arguments = [_compile(argument, names) for argument in node.args]
    return lambda columns: function(*(argument(columns) for argument in arguments))


_HANDLERS: Mapping[type[ast.expr], Callable[..., Callable[[Mapping[str, Any]], Any]]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.Call: _call,
}

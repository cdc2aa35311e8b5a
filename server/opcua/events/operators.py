"""The filter operators that apply to events, with NULL as the third truth value (OPC 10000-4 7.7.3)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import functools
import operator as python
from collections.abc import Callable, Sequence
from typing import Any

from asyncua import ua

from server.opcua.events.convert import INTEGERS, PRECEDENCE, Typed, cast, common, implicit
from server.opcua.events.like import like
from server.opcua.events.ports import Event
from server.opcua.events.types import EventTypes

Operand = Callable[[Event], Typed | None]

_OP, _T = ua.FilterOperator, ua.VariantType
TRUE: Typed = (_T.Boolean, True)
FALSE: Typed = (_T.Boolean, False)
_BUILT_IN = 25
_ENUMERATION, _NUMERIC_NODE_IDS = 29, (ua.NodeIdType.TwoByte, ua.NodeIdType.FourByte, ua.NodeIdType.Numeric)
_ABSTRACT = {22, 23, 24, 25}
"""Structure, DataValue, BaseDataType and DiagnosticInfo: nothing can be cast to these."""


def built_in(data_type: ua.NodeId) -> ua.VariantType | None:
    """Return the built-in type that a DataType's NodeId names, None for any other."""
    number: Any = data_type.Identifier
    if data_type.NamespaceIndex or data_type.NodeIdType not in _NUMERIC_NODE_IDS:
        return None
    if number == _ENUMERATION:
        return _T.Int32
    return _T(number) if 0 < number <= _BUILT_IN and number not in _ABSTRACT else None


def made(types: EventTypes, kind: ua.FilterOperator, operands: Sequence[Operand]) -> Operand:
    """Return an element as a function of the event; the number of operands is right."""
    if kind in _COMPARISONS:
        return _compared(_COMPARISONS[kind], *operands)
    return _of_type(types, *operands) if kind is _OP.OfType else _MAKERS[kind](*operands)


_COMPARISONS: dict[ua.FilterOperator, Callable[[Any, Any], bool]] = {
    _OP.Equals: python.eq,
    _OP.GreaterThan: python.gt,
    _OP.LessThan: python.lt,
    _OP.GreaterThanOrEqual: python.ge,
    _OP.LessThanOrEqual: python.le,
}


def _compared(compare: Callable[[Any, Any], bool], first: Operand, second: Operand) -> Operand:
    def evaluate(event: Event) -> Typed | None:
        left, right = first(event), second(event)
        if left is None or right is None:
            return None
        pair = common(left, right)
        if pair is None:
            return FALSE  # no implicit conversion between the types
        try:
            return TRUE if compare(*pair) else FALSE
        except TypeError:
            return FALSE  # of a type that has no order

    return evaluate


def _truth(found: Typed | None) -> bool | None:
    """Return an operand as a Boolean, None (NULL) for what is none."""
    if found is None:
        return None
    if found[0] is not _T.Boolean:
        found = implicit(found, _T.Boolean)
    return None if found is None or isinstance(found[1], list) else bool(found[1])


def _and(first: Operand, second: Operand) -> Operand:
    def evaluate(event: Event) -> Typed | None:
        left = _truth(first(event))
        if left is False:
            return FALSE
        right = _truth(second(event))
        if right is False:
            return FALSE
        return None if left is None or right is None else TRUE

    return evaluate


def _or(first: Operand, second: Operand) -> Operand:
    def evaluate(event: Event) -> Typed | None:
        left = _truth(first(event))
        if left:
            return TRUE
        right = _truth(second(event))
        if right:
            return TRUE
        return None if left is None or right is None else FALSE

    return evaluate


def _not(operand: Operand) -> Operand:
    def evaluate(event: Event) -> Typed | None:
        truth = _truth(operand(event))
        return None if truth is None else FALSE if truth else TRUE

    return evaluate


def _is_null(operand: Operand) -> Operand:
    return lambda event: TRUE if operand(event) is None else FALSE


def _between(first: Operand, low: Operand, high: Operand) -> Operand:
    return _and(_compared(python.ge, first, low), _compared(python.le, first, high))


def _in_list(first: Operand, *rest: Operand) -> Operand:
    comparisons = [_compared(python.eq, first, other) for other in rest]

    def evaluate(event: Event) -> Typed | None:
        unknown = False
        for comparison in comparisons:
            found = comparison(event)
            if found is TRUE:
                return TRUE
            unknown = unknown or found is None
        return None if unknown else FALSE

    return evaluate


def _text(found: Typed | None) -> str | None:
    if found is None or isinstance(found[1], list):
        return None
    text = found if found[0] is _T.String else implicit(found, _T.String)
    return None if text is None else text[1]


def _like(first: Operand, second: Operand) -> Operand:
    def evaluate(event: Event) -> Typed | None:
        text, pattern = _text(first(event)), _text(second(event))
        return FALSE if text is None or pattern is None else TRUE if like(text, pattern) else FALSE

    return evaluate


def _of_type(types: EventTypes, operand: Operand) -> Operand:
    def evaluate(event: Event) -> Typed | None:
        wanted = operand(event)
        if wanted is None or not isinstance(wanted[1], ua.NodeId):
            return None
        return TRUE if types.is_subtype(event.type_id, wanted[1]) else FALSE

    return evaluate


def _cast(operand: Operand, wanted: Operand) -> Operand:
    def evaluate(event: Event) -> Typed | None:
        value, data_type = operand(event), wanted(event)
        if value is None or data_type is None or not isinstance(data_type[1], ua.NodeId):
            return None
        kind = built_in(data_type[1])
        return None if kind is None else cast(value, kind)

    return evaluate


def _bitwise(combine: Callable[[int, int], int], first: Operand, second: Operand) -> Operand:
    def evaluate(event: Event) -> Typed | None:
        left, right = first(event), second(event)
        if left is None or right is None or left[0] not in INTEGERS or right[0] not in INTEGERS:
            return None
        wider = min(left[0], right[0], key=PRECEDENCE.__getitem__)
        left, right = implicit(left, wider), implicit(right, wider)
        if left is None or right is None or isinstance(left[1], list) or isinstance(right[1], list):
            return None
        return wider, combine(left[1], right[1])

    return evaluate


_MAKERS: dict[ua.FilterOperator, Callable[..., Operand]] = {
    _OP.And: _and,
    _OP.Or: _or,
    _OP.Not: _not,
    _OP.IsNull: _is_null,
    _OP.Between: _between,
    _OP.InList: _in_list,
    _OP.Like: _like,
    _OP.Cast: _cast,
    _OP.BitwiseAnd: functools.partial(_bitwise, python.and_),
    _OP.BitwiseOr: functools.partial(_bitwise, python.or_),
}

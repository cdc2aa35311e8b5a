"""Where clauses: checked once, and made into a function of an event (OPC 10000-4 7.7)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from asyncua import ua

from server.opcua.events import operators
from server.opcua.events.convert import Typed, typed
from server.opcua.events.fields import applies, getter, status_of
from server.opcua.events.ports import Event
from server.opcua.events.types import EventTypes

Operand = Callable[[Event], Typed | None]
Predicate = Callable[[Event], bool]

_CODES = ua.StatusCodes
_OP = ua.FilterOperator
_NOT_FOR_EVENTS = {_OP.InView, _OP.RelatedTo}
_COUNTS: dict[ua.FilterOperator, tuple[int, int]] = {
    _OP.IsNull: (1, 1),
    _OP.Not: (1, 1),
    _OP.OfType: (1, 1),
    _OP.Between: (3, 3),
    _OP.InList: (2, 1_000_000),
}
"""How many operands there may be, where that is not two."""


def check(types: EventTypes, clause: ua.ContentFilter) -> list[ua.ContentFilterElementResult]:
    """Return what is wrong with each element; every StatusCode is Good when nothing is."""
    count = len(clause.Elements)
    return [_check(types, element, index, count) for index, element in enumerate(clause.Elements)]


def _check(types: EventTypes, element: Any, index: int, count: int) -> ua.ContentFilterElementResult:
    operator, operands = element.FilterOperator, element.FilterOperands or []
    if operator in _NOT_FOR_EVENTS:
        return _result(_CODES.BadFilterOperatorUnsupported)
    least, most = _COUNTS.get(operator, (2, 2))
    if not least <= len(operands) <= most:
        return _result(_CODES.BadFilterOperandCountMismatch)
    statuses = [_operand_status(types, operand, index, count) for operand in operands]
    if not any(statuses) and operator in (_OP.OfType, _OP.Cast):
        statuses[-1] = _type_status(types, operator, operands[-1])
    return _result(_CODES.BadFilterOperandInvalid if any(statuses) else _CODES.Good, statuses)


def _result(status: int, operands: Sequence[int] = ()) -> ua.ContentFilterElementResult:
    shown = [ua.StatusCode(it) for it in operands] if any(operands) else []
    return ua.ContentFilterElementResult(StatusCode=ua.StatusCode(status), OperandStatusCodes=shown)


def _operand_status(types: EventTypes, operand: Any, index: int, count: int) -> int:
    if isinstance(operand, ua.ElementOperand):  # only forward: there can be no loop (7.7.4.2)
        return _CODES.Good if index < operand.Index < count else _CODES.BadFilterOperandInvalid
    if isinstance(operand, ua.LiteralOperand):
        return _CODES.Good if isinstance(operand.Value, ua.Variant) else _CODES.BadFilterLiteralInvalid
    if isinstance(operand, ua.SimpleAttributeOperand):
        return status_of(types, operand)
    return _CODES.BadFilterOperandInvalid


def _type_status(types: EventTypes, operator: ua.FilterOperator, operand: Any) -> int:
    """Return what is wrong with a literal that names a type."""
    if not isinstance(operand, ua.LiteralOperand):
        return _CODES.Good
    kind = operand.Value.Value
    if not isinstance(kind, ua.NodeId):
        return _CODES.BadFilterLiteralInvalid
    if operator is _OP.OfType:
        if not types.exists(kind):
            return _CODES.BadNodeIdUnknown
        return _CODES.Good if types.is_event_type(kind) else _CODES.BadTypeDefinitionInvalid
    return _CODES.Good if operators.built_in(kind) is not None else _CODES.BadFilterLiteralInvalid


def compiled(types: EventTypes, clause: ua.ContentFilter) -> Predicate | None:
    """Return which events pass a clause that `check` found good; None lets all pass. NULL does not pass."""
    elements = clause.Elements
    if not elements:
        return None
    uses = Counter(
        operand.Index
        for element in elements
        for operand in element.FilterOperands
        if isinstance(operand, ua.ElementOperand)
    )
    made: list[Operand] = [lambda _: None] * len(elements)
    for index in reversed(range(len(elements))):
        element = elements[index]
        operands = [_operand(types, operand, made) for operand in element.FilterOperands]
        found = operators.made(types, element.FilterOperator, operands)
        made[index] = _once(found) if uses[index] > 1 else found
    first = made[0]
    return lambda event: first(event) == operators.TRUE


def _operand(types: EventTypes, operand: Any, made: Sequence[Operand]) -> Operand:
    if isinstance(operand, ua.ElementOperand):
        return made[operand.Index]
    if isinstance(operand, ua.LiteralOperand):
        literal = typed(operand.Value)
        return lambda _: literal
    get = getter(types, operand)
    return lambda event: typed(get(event)) if applies(types, operand, event.type_id) else None


def _once(element: Operand) -> Operand:
    """Evaluate an element that several refer to once an event: else a short clause could take for ever."""
    last: Event | None = None
    result: Typed | None = None

    def evaluate(event: Event) -> Typed | None:
        nonlocal last, result
        if event is not last:
            result = element(event)
            last = event
        return result

    return evaluate

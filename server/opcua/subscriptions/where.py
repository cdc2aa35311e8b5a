"""The where clause of an EventFilter: asyncua's evaluator, with subtypes and Like as the standard has them."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import logging
import re
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace
from asyncua.server.monitored_item_service import WhereClauseEvaluator

log = logging.getLogger(__name__)

_OPERATORS = ua.FilterOperator
SUPPORTED = {
    _OPERATORS.Equals, _OPERATORS.IsNull, _OPERATORS.GreaterThan, _OPERATORS.LessThan, _OPERATORS.GreaterThanOrEqual,
    _OPERATORS.LessThanOrEqual, _OPERATORS.Like, _OPERATORS.Not, _OPERATORS.Between, _OPERATORS.InList,
    _OPERATORS.And, _OPERATORS.Or, _OPERATORS.OfType,
}  # fmt: skip
_HAS_SUBTYPE = ua.NodeId(ua.ObjectIds.HasSubtype)
_MAX_DEPTH = 50


class Where(WhereClauseEvaluator):
    """Says which events pass a ContentFilter; what cannot be evaluated does not pass (OPC 10000-4 7.7)."""

    def __init__(self, space: AddressSpace, clause: ua.ContentFilter) -> None:
        super().__init__(log, space, clause)

    def _eval_el(self, index: int, event: Any) -> Any:
        element = self.elements[index]
        if element.FilterOperator == ua.FilterOperator.OfType:
            return is_subtype(self._aspace, event.EventType, self._eval_op(element.FilterOperands[0], event))
        return super()._eval_el(index, event)

    def _like_operator(self, string: str, pattern: str) -> bool:
        text = getattr(string, "Text", string)
        return isinstance(text, str) and re.fullmatch(_regex(pattern), text, re.DOTALL) is not None


def is_subtype(space: AddressSpace, kind: ua.NodeId, base: ua.NodeId) -> bool:
    """Return whether a type is `base` or one of its subtypes."""
    seen = {kind}
    for _ in range(_MAX_DEPTH):
        if kind == base:
            return True
        node = space.get(kind)
        above = [] if node is None else node.references
        kind = next((it.NodeId for it in above if it.ReferenceTypeId == _HAS_SUBTYPE and not it.IsForward), kind)
        if kind in seen:
            return False
        seen.add(kind)
    return False


def _regex(pattern: str) -> str:
    r"""Return a Like pattern (`%`, `_`, `[a-z]`, `[^a-z]`, `\`) as a regular expression."""
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "")))
        elif character == "[":
            inside = "".join(iter(lambda: next(characters, "]"), "]"))
            parts.append(f"[{inside}]" if inside else "")
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return "".join(parts)

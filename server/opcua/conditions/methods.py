"""Methods of conditions, on the instance or by the type's MethodId with the ConditionId (OPC 10000-9 5.5 to 5.8)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace

from address_space.model import Condition
from server import logs
from server.alarms.ports import AlarmPort
from server.opcua.attributes import NAMESPACE
from server.opcua.conditions import vision
from server.opcua.conditions.live import Conditions
from server.opcua.conditions.members import Path
from server.opcua.rights import check_variant
from server.ports import CommandError
from server.security.principal import Principal

log = logs.get(__name__)

_V = ua.VariantType
_CODES = ua.StatusCodes
_SHELVING = "ShelvingState"


@dataclass(frozen=True, slots=True)
class Who:
    """Who calls, and from where."""

    principal: Principal
    origin: str


Work = Callable[[AlarmPort, Condition, list[Any], Who], Awaitable[None]]


async def _acknowledge(alarms: AlarmPort, condition: Condition, given: list[Any], who: Who) -> None:
    await alarms.acknowledge(condition, given[0], given[1], who.principal, who.origin)


async def _confirm(alarms: AlarmPort, condition: Condition, given: list[Any], who: Who) -> None:
    await alarms.confirm(condition, given[0], given[1], who.principal, who.origin)


async def _add_comment(alarms: AlarmPort, condition: Condition, given: list[Any], who: Who) -> None:
    await alarms.add_comment(condition, given[0], given[1], who.principal, who.origin)


async def _report_false_alarm(alarms: AlarmPort, condition: Condition, given: list[Any], who: Who) -> None:
    await alarms.report_false_alarm(condition, given[0], given[1], who.principal, who.origin)


async def _timed_shelve(alarms: AlarmPort, condition: Condition, given: list[Any], who: Who) -> None:
    await alarms.timed_shelve(condition, given[0], who.principal, who.origin, *given[1:])


def _plainly(name: str) -> Work:
    """Return a call that takes at most a comment."""

    async def work(alarms: AlarmPort, condition: Condition, given: list[Any], who: Who) -> None:
        await getattr(alarms, name)(condition, who.principal, who.origin, *given)

    return work


@dataclass(frozen=True, slots=True)
class _Method:
    arguments: tuple[ua.VariantType, ...]
    work: Work


def _table() -> dict[Path, _Method]:
    event = (_V.ByteString, _V.LocalizedText)
    found: dict[Path, _Method] = {
        ("Acknowledge",): _Method(event, _acknowledge),
        ("Confirm",): _Method(event, _confirm),
        ("AddComment",): _Method(event, _add_comment),
        vision.REPORT: _Method(event, _report_false_alarm),
        (_SHELVING, "TimedShelve"): _Method((_V.Double,), _timed_shelve),
        (_SHELVING, "TimedShelve2"): _Method((_V.Double, _V.LocalizedText), _timed_shelve),
    }
    for name in ("enable", "disable", "silence"):
        found[name.capitalize(),] = _Method((), _plainly(name))
    commented: list[tuple[Path, str]] = [
        (("Suppress",), "suppress"),
        (("Unsuppress",), "unsuppress"),
        (("RemoveFromService",), "remove_from_service"),
        (("PlaceInService",), "place_in_service"),
        ((_SHELVING, "OneShotShelve"), "one_shot_shelve"),
        ((_SHELVING, "Unshelve"), "unshelve"),
    ]
    for path, name in commented:
        found[path] = _Method((), _plainly(name))
        found[*path[:-1], f"{path[-1]}2"] = _Method((_V.LocalizedText,), _plainly(name))
    return found


_METHODS = _table()


class ConditionMethods:
    """Calls them."""

    def __init__(self, conditions: Conditions, space: AddressSpace) -> None:
        self._conditions = conditions
        self._space = space

    @cached_property
    def _declared(self) -> dict[ua.NodeId, Path]:
        """The methods by the NodeIds that the standard's types give them."""
        return {
            declared: path for path, member in self._conditions.forms.methods().items() for declared in member.declared
        }

    def concerns(self, request: ua.CallMethodRequest) -> bool:
        """Whether a call is of a condition's method."""
        return request.MethodId in self._declared or self._of(request.ObjectId) is not None

    async def call(self, request: ua.CallMethodRequest, principal: Principal, origin: str) -> ua.CallMethodResult:
        """Call a method; the result says what became of it."""
        given: list[ua.Variant] = list(request.InputArguments or [])
        try:
            condition, path = self._find(request)
            arguments = unwrap(_METHODS[path].arguments, given)
            alarms = self._conditions.alarms
            if alarms is None:
                raise CommandError(_CODES.BadServerHalted, "conditions are not evaluated")
            await _METHODS[path].work(alarms, condition, arguments, Who(principal, origin))
        except CommandError as error:
            log.debug("condition method refused", error=str(error), status=f"0x{error.status:08X}")
            statuses = [ua.StatusCode(status) for status in error.argument_statuses]
            return ua.CallMethodResult(ua.StatusCode(error.status), InputArgumentResults=statuses)
        return ua.CallMethodResult(ua.StatusCode(), InputArgumentResults=[ua.StatusCode() for _ in given])

    def _of(self, nodeid: ua.NodeId) -> tuple[Condition, Path] | None:
        """Return the condition whose object, or whose ShelvingState, a NodeId is."""
        found = self._conditions.find(nodeid)
        return found if found is not None and found[1] in ((), (_SHELVING,)) else None

    def _find(self, request: ua.CallMethodRequest) -> tuple[Condition, Path]:
        """Return condition and method; raises CommandError as OPC 10000-9 5.7.3 says for wrong NodeIds."""
        found = self._of(request.ObjectId)
        if found is None:
            known = request.ObjectId in self._space
            status = _CODES.BadNodeIdInvalid if known else _CODES.BadNodeIdUnknown
            raise CommandError(status, f"{request.ObjectId} is no condition")
        condition, below = found
        path = self._declared.get(request.MethodId) or self._own(condition, request.MethodId)
        if path is None or path[: len(below)] != below or path not in self._conditions.form(condition).members:
            raise CommandError(_CODES.BadMethodInvalid, f"{condition.path} has no method {request.MethodId}")
        return condition, path

    @staticmethod
    def _own(condition: Condition, method: ua.NodeId) -> Path | None:
        """Return the method that a NodeId names on the instance, or on its declaration in the machine's type."""
        if method.NamespaceIndex != NAMESPACE or not isinstance(method.Identifier, str):
            return None
        for top in (condition.path, f"{condition.machine.type.name}.{condition.name}"):
            if method.Identifier.startswith(f"{top}."):
                path = tuple(method.Identifier[len(top) + 1 :].split("."))
                return path if path in _METHODS else None
        return None


def unwrap(declared: tuple[ua.VariantType, ...], given: list[ua.Variant]) -> list[Any]:
    """Return the arguments' values; raises CommandError, with a status for each where one is not of its type."""
    if len(given) < len(declared):
        raise CommandError(_CODES.BadArgumentsMissing, f"takes {len(declared)} arguments")
    if len(given) > len(declared):
        raise CommandError(_CODES.BadTooManyArguments, f"takes {len(declared)} arguments")
    values: list[Any] = []
    statuses: list[int] = []
    for kind, variant in zip(declared, given, strict=True):
        try:
            values.append(_value(kind, variant))
            statuses.append(_CODES.Good)
        except CommandError as error:
            statuses.append(error.status)
    if any(statuses):
        raise CommandError(_CODES.BadInvalidArgument, "an argument is not of its type", tuple(statuses))
    return values


def _value(kind: ua.VariantType, variant: ua.Variant) -> Any:
    """Return an argument's value; a comment that is null or empty is None: the one before stays (5.7.3)."""
    if kind is not _V.LocalizedText:
        check_variant(variant, kind)
        return b"" if variant.Value is None else variant.Value
    if variant.Value is None and variant.VariantType is _V.Null:
        return None
    check_variant(variant, kind)
    comment: Any = variant.Value
    return None if comment is None else comment.Text or None

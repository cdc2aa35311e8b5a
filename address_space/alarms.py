"""The alarms of a type: which keys of the plant file belong to which kind of condition, and what they may say."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from address_space.expressions import Expression
from address_space.model import LIMITS, AlarmDeclaration, AlarmKind, BuiltinType, Enumeration, VariableDeclaration
from address_space.schema import AlarmSection
from address_space.yaml_file import YamlFile

Location = tuple[str, ...]

VISION_ALARM_TYPE = "VisionAlarmType"
"""The ObjectType of the kind vision, in the plant's namespace: no type or enumeration of a plant file has its name."""

_WATCHED = {AlarmKind.COMMUNICATION, AlarmKind.CERTIFICATE_EXPIRY}
_OF_LIMITS = {*LIMITS, "severities", "deadband"}
_KEYS: dict[AlarmKind, set[str]] = {
    AlarmKind.LEVEL: {"input", "exclusive", *_OF_LIMITS},
    AlarmKind.NON_EXCLUSIVE_LEVEL: {"input", "exclusive", *_OF_LIMITS},
    AlarmKind.RATE_OF_CHANGE: {"input", *_OF_LIMITS},
    AlarmKind.DEVIATION: {"input", "setpoint", *_OF_LIMITS},
    AlarmKind.DISCREPANCY: {"input", "target", "tolerance", "within", "deadband"},
    AlarmKind.OFF_NORMAL: {"input", "normal"},
    AlarmKind.TRIP: {"input", "tripped"},
    AlarmKind.VISION: {"input"},
    AlarmKind.RULE: {"when"},
}
"""The keys that each kind has besides those that all have."""
_FOR_ALL = {"message", "severity", "kind", "on_delay", "off_delay", "acknowledge_role", "confirm"}


class Type(Protocol):
    """What is known of the type by then; what is wrong raises PlantError."""

    yaml: YamlFile
    variables: dict[str, VariableDeclaration]

    def reference(self, name: str, known: Mapping[str, Any], location: Location, kind: str) -> Any:
        """Return what a name means."""
        ...

    def member(self, enumeration: Enumeration, value: str, location: Location) -> int:
        """Return the number of an enumeration's value."""
        ...

    def expression(self, text: str, location: Location) -> Expression:
        """Parse an expression."""
        ...

    def known(self, expression: Expression, location: Location, *, computed: bool = False) -> None:
        """Check what an expression reads."""
        ...


def build_alarm(name: str, section: AlarmSection, owner: Type, at: Location) -> AlarmDeclaration:
    """Resolve one alarm; raises PlantError."""
    if (section.when is None) == (section.input is None):
        raise owner.yaml.error(at, "needs one of input and when")
    kind = section.kind or (AlarmKind.LEVEL if section.when is None else AlarmKind.RULE)
    if kind is AlarmKind.LEVEL and not section.exclusive:
        kind = AlarmKind.NON_EXCLUSIVE_LEVEL
    if kind in _WATCHED:
        raise owner.yaml.error((*at, "kind"), f"{kind.value} is raised by the server itself")
    for key in sorted(section.model_fields_set - _FOR_ALL - _KEYS[kind]):
        raise owner.yaml.error((*at, key), f"is no key of an alarm of the kind {kind.value}")
    when = None
    if section.when is not None:
        if not (when := owner.expression(section.when, (*at, "when"))).names:
            raise owner.yaml.error((*at, "when"), "reads no variable")
        owner.known(when, (*at, "when"))
    else:
        _check_input(kind, section, owner, at)
    return AlarmDeclaration(
        name=name,
        severity=section.severity,
        message=section.message,
        kind=kind,
        input=section.input,
        limits=_limits(kind, section, owner, at),
        severities=_severities(section, owner, at),
        when=when,
        setpoint=_number(section.setpoint, owner, (*at, "setpoint"), needed=kind is AlarmKind.DEVIATION),
        target=_number(section.target, owner, (*at, "target"), needed=kind is AlarmKind.DISCREPANCY),
        tolerance=section.tolerance or 0.0,
        within=section.within or 0.0,
        normal=_normal(kind, section, owner, at),
        tripped=_states(section.tripped, section, owner, (*at, "tripped"), needed=kind is AlarmKind.TRIP),
        deadband=section.deadband,
        on_delay=section.on_delay,
        off_delay=section.off_delay,
        acknowledge_role=section.acknowledge_role,
        confirm=section.confirm,
    )


def _check_input(kind: AlarmKind, section: AlarmSection, owner: Type, at: Location) -> None:
    shown: VariableDeclaration = owner.reference(section.input or "", owner.variables, (*at, "input"), "variable")
    if kind in (AlarmKind.OFF_NORMAL, AlarmKind.TRIP):
        if shown.enumeration is None and shown.type is not BuiltinType.Boolean:
            raise owner.yaml.error((*at, "input"), "is neither an enumeration nor a Boolean")
    elif kind is AlarmKind.VISION:
        if shown.type is not BuiltinType.Boolean:
            raise owner.yaml.error((*at, "input"), "is no Boolean: true is what a camera has seen")
    elif not shown.type.is_numeric:
        raise owner.yaml.error((*at, "input"), f"{shown.name} is no number")


def _limits(kind: AlarmKind, section: AlarmSection, owner: Type, at: Location) -> dict[str, float]:
    found = {key: value for key in LIMITS if (value := getattr(section, key)) is not None}
    if not found and "high" in _KEYS[kind]:
        raise owner.yaml.error(at, "needs at least one of high_high, high, low, low_low")
    values = [found[key] for key in reversed(LIMITS) if key in found]
    if values != sorted(set(values)):
        raise owner.yaml.error(at, "needs limits with low_low < low < high < high_high")
    return found


def _severities(section: AlarmSection, owner: Type, at: Location) -> dict[str, int]:
    for key in section.severities:
        if getattr(section, key, None) is None or key not in LIMITS:
            raise owner.yaml.error((*at, "severities", key), "is no limit of this alarm")
    return dict(section.severities)


def _number(name: str | None, owner: Type, at: Location, *, needed: bool) -> str | None:
    if name is None:
        if needed:
            raise owner.yaml.error(at[:-1], f"needs {at[-1]}, the variable to compare with")
        return None
    if not owner.reference(name, owner.variables, at, "variable").type.is_numeric:
        raise owner.yaml.error(at, f"{name} is no number")
    return name


def _normal(kind: AlarmKind, section: AlarmSection, owner: Type, at: Location) -> tuple[int, ...]:
    if kind is AlarmKind.VISION:
        return (int(False),)
    return _states(section.normal, section, owner, (*at, "normal"), needed=kind is AlarmKind.OFF_NORMAL)


def _states(
    given: str | bool | Sequence[str] | None, section: AlarmSection, owner: Type, at: Location, *, needed: bool
) -> tuple[int, ...]:
    """Return values of the input as numbers; a Boolean's are `true` and `false`."""
    if given is None:
        if needed:
            raise owner.yaml.error(at[:-1], f"needs {at[-1]}")
        return ()
    enumeration = owner.variables[section.input or ""].enumeration
    if isinstance(given, bool):
        if enumeration is not None:
            raise owner.yaml.error(at, f"is a value of {enumeration.name}, not of a Boolean")
        return (int(given),)
    if enumeration is None:
        raise owner.yaml.error(at, "is true or false")
    return tuple(owner.member(enumeration, name, at) for name in ([given] if isinstance(given, str) else given))

"""What the plant file declares, resolved: types of machines with their variables, commands and alarms."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from address_space.expressions import Expression
from address_space.units import Unit


class BuiltinType(enum.IntEnum):
    """Built-in types that a variable may have; the numbers are those of OPC 10000-6 5.1.2."""

    Boolean = 1
    SByte = 2
    Byte = 3
    Int16 = 4
    UInt16 = 5
    Int32 = 6
    UInt32 = 7
    Int64 = 8
    UInt64 = 9
    Float = 10
    Double = 11
    String = 12
    DateTime = 13

    @property
    def is_numeric(self) -> bool:
        """True for the integer and floating-point types."""
        return BuiltinType.SByte <= self <= BuiltinType.Double


class Role(enum.StrEnum):
    """The well-known roles of OPC 10000-18 4.3."""

    Anonymous = "Anonymous"
    AuthenticatedUser = "AuthenticatedUser"
    Observer = "Observer"
    Operator = "Operator"
    Engineer = "Engineer"
    Supervisor = "Supervisor"
    ConfigureAdmin = "ConfigureAdmin"
    SecurityAdmin = "SecurityAdmin"


class Feed(enum.StrEnum):
    """Who gives a variable its values."""

    SOURCE = "source"
    SETPOINT = "setpoint"
    COMPUTED = "computed"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enumeration data type; `values` are the EnumStrings, numbered from 0."""

    name: str
    values: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class VariableDeclaration:
    """A variable as its type declares it, shared by all instances."""

    name: str
    type: BuiltinType
    description: str
    feed: Feed = Feed.SOURCE
    unit: Unit | None = None
    range: tuple[float, float] | None = None
    enumeration: Enumeration | None = None
    read_role: Role = Role.Anonymous
    write_role: Role | None = None
    initial: Any = None
    expression: Expression | None = None
    optional: bool = False

    @property
    def writable(self) -> bool:
        """True for set-points: the variables that a client may write."""
        return self.feed is Feed.SETPOINT


@dataclass(frozen=True, slots=True)
class Argument:
    """An input argument of a command."""

    name: str
    type: BuiltinType
    description: str
    unit: Unit | None = None
    range: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandDeclaration:
    """A command as its type declares it.

    `sets` names the set-point that the command writes; otherwise the machine's source executes it, and it has
    succeeded once the variable `confirm_variable` shows one of `confirm_values`, within `within` seconds.
    """

    name: str
    description: str
    role: Role
    arguments: tuple[Argument, ...] = ()
    outputs: tuple[Argument, ...] = ()
    sets: str | None = None
    confirm_variable: str | None = None
    confirm_values: tuple[int, ...] = ()
    within: float = 2.0


class AlarmKind(enum.StrEnum):
    """What makes a condition active; each is a type of OPC 10000-9 5.8, but that of a camera is our own."""

    LEVEL = "level"
    NON_EXCLUSIVE_LEVEL = "non_exclusive_level"
    RATE_OF_CHANGE = "rate_of_change"
    DEVIATION = "deviation"
    DISCREPANCY = "discrepancy"
    OFF_NORMAL = "off_normal"
    TRIP = "trip"
    VISION = "vision"
    RULE = "rule"
    COMMUNICATION = "communication"
    CERTIFICATE_EXPIRY = "certificate_expiry"


LIMITS = ("high_high", "high", "low", "low_low")
"""Names of limits; the position is the bit of each in a mask of limits that are exceeded."""


@dataclass(frozen=True, slots=True)
class AlarmDeclaration:
    """A condition over variables of one machine.

    `input` is watched: against `limits` (its value, its change a second, or how far it is from `setpoint`), against
    `target` (more than `tolerance` away for longer than `within` seconds), or for values that are none of `normal`, or
    one of `tripped`. Of the kind vision it is what a camera has seen, with evidence. A rule `when` has no input.
    `severities` are those of limits that differ from `severity`; delays are in seconds, `deadband` is in the unit of
    what is compared. Acknowledging takes `acknowledge_role`, and with `confirm` is followed by a confirmation.
    """

    name: str
    severity: int
    message: str
    kind: AlarmKind = AlarmKind.LEVEL
    input: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    severities: Mapping[str, int] = field(default_factory=dict[str, int])
    when: Expression | None = None
    setpoint: str | None = None
    target: str | None = None
    tolerance: float = 0.0
    within: float = 0.0
    normal: tuple[int, ...] = ()
    tripped: tuple[int, ...] = ()
    deadband: float = 0.0
    on_delay: float = 0.0
    off_delay: float = 0.0
    acknowledge_role: Role = Role.Operator
    confirm: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """The variables that it reads, that which it watches first."""
        if self.when is not None:
            return self.when.names
        return tuple(name for name in (self.input, self.setpoint, self.target) if name is not None)


@dataclass(frozen=True, slots=True)
class EmergencyStopDeclaration:
    """How a machine is stopped in an emergency and what a reset needs.

    `state` is the variable that shows `stopped` while the stop is active; `standstill` must hold before a reset;
    `button` is the physical button's variable: while it is pressed the stop stays.
    """

    state: str | None
    stopped: int | None
    role: Role
    reset_role: Role
    standstill: Expression | None
    button: str | None


@dataclass(frozen=True, slots=True)
class MachineType:
    """An ObjectType: variables, commands and alarms in declared order."""

    name: str
    description: str
    variables: Mapping[str, VariableDeclaration]
    commands: Mapping[str, CommandDeclaration]
    alarms: Mapping[str, AlarmDeclaration]
    emergency_stop: EmergencyStopDeclaration | None
    nameplate: bool
    retention: float | None = None
    """How long the historian keeps samples of its variables (s); None leaves it to the settings."""

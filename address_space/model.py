"""The plant in its resolved, frozen form: what every part of Plantree derives its own form from."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from address_space.errors import PlantError
from address_space.expressions import Expression
from address_space.units import Unit
from address_space.yaml_file import YamlFile


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
class Variable:
    """One variable of one machine: `id` is its row in the store, `path` the identifier of its NodeId."""

    id: int
    path: str
    declaration: VariableDeclaration

    @property
    def name(self) -> str:
        """The browse name."""
        return self.declaration.name


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


@dataclass(frozen=True, slots=True)
class Command:
    """One command of one machine; `path` is the NodeId identifier of its method."""

    path: str
    declaration: CommandDeclaration
    machine: "Machine"


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """An instance of a type: an Object in the address space. `source` names what feeds it, None for nothing."""

    path: str
    name: str
    type: MachineType
    description: str
    source: str | None
    nameplate: Mapping[str, str]
    first_id: int
    variables: Mapping[str, Variable]
    commands: Mapping[str, Command]


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A condition of one machine: `id` is its row among all, `path` the NodeId identifier of its object.

    `inputs` are the variables that its declaration names, in the same order; `input` is the one that it watches.
    """

    id: int
    path: str
    declaration: AlarmDeclaration
    machine: Machine
    inputs: tuple[Variable, ...]

    @property
    def name(self) -> str:
        """The browse name."""
        return self.declaration.name

    @property
    def input(self) -> Variable | None:
        """The variable that it watches; None for a rule, and for what the server watches itself."""
        return None if self.declaration.input is None else self.inputs[0]


@dataclass(frozen=True, slots=True)
class SourceDeclaration:
    """A source of the plant file: `options` is what its kind checks itself.

    `stale_after` and `bad_after` (s) are the silences after which its values turn Uncertain and Bad; None: the
    server's own.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    stale_after: float | None = None
    bad_after: float | None = None


@dataclass(frozen=True, eq=False)
class Plant:
    """The whole plant: `variables[i].id == i`, so for conditions; `root` is its own object, `machines` are below it."""

    name: str
    namespace: str
    description: str
    yaml: YamlFile
    enumerations: Mapping[str, Enumeration]
    types: Mapping[str, MachineType]
    root: Machine
    machines: tuple[Machine, ...]
    variables: tuple[Variable, ...]
    commands: Mapping[str, Command]
    conditions: tuple[Condition, ...]
    sources: Mapping[str, SourceDeclaration]
    _by_path: Mapping[str, Variable]
    _machine_by_path: Mapping[str, Machine]
    _children: Mapping[str, tuple[Machine, ...]]
    _condition_by_path: Mapping[str, Condition]

    @property
    def file(self) -> Path:
        """The plant file."""
        return self.yaml.path

    @property
    def objects(self) -> tuple[Machine, ...]:
        """The root and all machines."""
        return (self.root, *self.machines)

    def variable(self, path: str) -> Variable:
        """Return the variable at `Plant.Generator1.Speed`; raises KeyError."""
        return self._by_path[path]

    def find(self, path: str) -> Variable | None:
        """Return the variable at `path`, or None."""
        return self._by_path.get(path)

    def machine(self, path: str) -> Machine:
        """Return the machine at `Plant.Generator1`; raises KeyError."""
        return self._machine_by_path[path]

    def find_machine(self, path: str) -> Machine | None:
        """Return the machine at `path`, or None."""
        return self._machine_by_path.get(path)

    def find_condition(self, path: str) -> Condition | None:
        """Return the condition at `Plant.Generator1.Overspeed`, or None."""
        return self._condition_by_path.get(path)

    def children(self, machine: Machine) -> tuple[Machine, ...]:
        """Return the machines right below `machine`."""
        return self._children.get(machine.path, ())

    def parent(self, machine: Machine) -> Machine | None:
        """Return what `machine` is right below; None for the root."""
        return self._machine_by_path.get(machine.path.rpartition(".")[0])

    def owner(self, variable: Variable) -> Machine:
        """Return the machine that `variable` belongs to."""
        return self._machine_by_path[variable.path.rpartition(".")[0]]

    def error(self, location: Sequence[str | int], message: str) -> PlantError:
        """Build (not raise) an error that names the plant file, the line of `location`, and `message`."""
        return self.yaml.error(location, message)

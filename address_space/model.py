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


@dataclass(frozen=True, slots=True)
class AlarmDeclaration:
    """A condition over variables of the same machine: `limits` on `input`, or the rule `when`."""

    name: str
    severity: int
    message: str
    input: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    when: Expression | None = None


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
    """The whole plant. `variables[i].id == i`; `root` is the plant's own object, `machines` what is below it."""

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
    sources: Mapping[str, SourceDeclaration]
    _by_path: Mapping[str, Variable]
    _machine_by_path: Mapping[str, Machine]
    _children: Mapping[str, tuple[Machine, ...]]

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

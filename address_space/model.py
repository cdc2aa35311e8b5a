"""The plant in its resolved, frozen form: what every part of Plantree derives its own form from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from address_space.declarations import (
    LIMITS,
    AlarmDeclaration,
    AlarmKind,
    Argument,
    BuiltinType,
    CommandDeclaration,
    EmergencyStopDeclaration,
    Enumeration,
    Feed,
    MachineType,
    Role,
    VariableDeclaration,
)
from address_space.errors import PlantError
from address_space.translation import LANGUAGE, Translation, best
from address_space.yaml_file import YamlFile

__all__ = [
    "LIMITS",
    "AlarmDeclaration",
    "AlarmKind",
    "Argument",
    "BuiltinType",
    "Command",
    "CommandDeclaration",
    "Condition",
    "EmergencyStopDeclaration",
    "Enumeration",
    "Feed",
    "Machine",
    "MachineType",
    "Plant",
    "Role",
    "SourceDeclaration",
    "Variable",
    "VariableDeclaration",
]


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
    """The whole plant: `variables[i].id == i`, so for conditions; `root` is its own object, `machines` are below it.

    `translations` are by language tag; what they lack is said as the plant file has it.
    """

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
    translations: Mapping[str, Translation]
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

    def translation(self, wanted: Sequence[str]) -> Translation | None:
        """Return the words for who wants these languages, in order of preference; None: as the plant file has them."""
        found = best(wanted, (LANGUAGE, *self.translations))
        return None if found is None else self.translations.get(found)

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

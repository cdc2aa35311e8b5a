"""One type of the plant file, resolved: units, enumerations, expressions, references between its parts."""

import math
from collections.abc import Container, Mapping
from typing import Any, TypeVar

from address_space.alarms import build_alarm
from address_space.emergency_stop import LATCH, stop_commands
from address_space.errors import did_you_mean
from address_space.expressions import Expression, ExpressionError, parse
from address_space.model import (
    AlarmDeclaration,
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
from address_space.schema import (
    AlarmSection,
    ArgumentSection,
    CommandSection,
    EmergencyStopSection,
    TypeSection,
    VariableSection,
)
from address_space.units import UNITS, Unit
from address_space.yaml_file import YamlFile

T = TypeVar("T")

_INTEGER_RANGES = {
    BuiltinType.SByte: (-(2**7), 2**7 - 1),
    BuiltinType.Byte: (0, 2**8 - 1),
    BuiltinType.Int16: (-(2**15), 2**15 - 1),
    BuiltinType.UInt16: (0, 2**16 - 1),
    BuiltinType.Int32: (-(2**31), 2**31 - 1),
    BuiltinType.UInt32: (0, 2**32 - 1),
    BuiltinType.Int64: (-(2**63), 2**63 - 1),
    BuiltinType.UInt64: (0, 2**64 - 1),
}

_NAMEPLATE = "Identification"


class _TypeBuilder:
    def __init__(self, name: str, section: TypeSection, enums: Mapping[str, Enumeration], yaml: YamlFile) -> None:
        self.name, self.section, self.enums, self.yaml = name, section, enums, yaml
        self.at = ("types", name)
        self.variables: dict[str, VariableDeclaration] = {}

    def build(self) -> MachineType:
        section = self.section
        for name, variable in section.variables.items():
            self.variables[name] = self._variable(name, variable)
        if section.emergency_stop is not None:
            for latch in LATCH:
                self._free(latch.name, (*self.at, "variables", latch.name))
                self.variables[latch.name] = latch
        self._check_nameplate()
        self._check_computed()
        commands = {name: self._command(name, command) for name, command in section.commands.items()}
        stop = None
        if section.emergency_stop is not None:
            stop = self._emergency_stop(section.emergency_stop)
            for declaration in stop_commands(stop):
                if declaration.name in commands:
                    location = (*self.at, "commands", declaration.name)
                    raise self.yaml.error(location, "is declared by emergency_stop already")
                commands[declaration.name] = declaration
        return MachineType(
            name=self.name,
            description=section.description,
            variables=self.variables,
            commands=commands,
            alarms={name: self._alarm(name, alarm, commands) for name, alarm in section.alarms.items()},
            emergency_stop=stop,
            nameplate=section.nameplate,
            retention=None if section.retention_days is None else section.retention_days * 86_400.0,
        )

    def _check_nameplate(self) -> None:
        for kind, names in (("variables", self.section.variables), ("commands", self.section.commands)):
            if self.section.nameplate and _NAMEPLATE in names:
                location = (*self.at, kind, _NAMEPLATE)
                raise self.yaml.error(location, "is the name of the object that carries the nameplate")

    def _check_computed(self) -> None:
        for name, variable in self.variables.items():
            if variable.expression is not None:
                location = (*self.at, "variables", name, "computed")
                if not variable.expression.names:
                    raise self.yaml.error(location, "reads no variable")
                self.known(variable.expression, location, computed=True)

    def _free(self, name: str, location: tuple[str, ...]) -> None:
        if name in self.variables:
            raise self.yaml.error(location, "is a name that emergency_stop gives its own variable")

    def _variable(self, name: str, section: VariableSection) -> VariableDeclaration:
        at = (*self.at, "variables", name)
        if (section.type is None) == (section.enum is None):
            raise self.yaml.error(at, "needs one of type and enum")
        enumeration = None
        builtin = section.type or BuiltinType.Int32
        if section.enum is not None:
            enumeration = self.reference(section.enum, self.enums, (*at, "enum"), "enumeration")
        unit = self._unit(section.unit, at)
        value_range = self._range(section.range, builtin, at)
        if unit is not None and value_range is None:
            raise self.yaml.error(at, "has a unit, so it needs a range (EURange)")
        feed = Feed.SETPOINT if section.access == "write" else Feed.SOURCE
        expression = None
        if section.computed is not None:
            if feed is Feed.SETPOINT:
                raise self.yaml.error((*at, "computed"), "a set-point cannot be computed")
            if not builtin.is_numeric:
                raise self.yaml.error((*at, "computed"), "a computed variable is a number")
            feed, expression = Feed.COMPUTED, self.expression(section.computed, (*at, "computed"))
        if section.role is not None and feed is not Feed.SETPOINT:
            raise self.yaml.error((*at, "role"), "is the role that may write, and this variable is not writable")
        initial = self._initial(section.initial, builtin, enumeration, value_range, at)
        return VariableDeclaration(
            name=name,
            type=builtin,
            description=section.description,
            feed=feed,
            unit=unit,
            range=value_range,
            enumeration=enumeration,
            read_role=section.read_role,
            write_role=(section.role or Role.Operator) if feed is Feed.SETPOINT else None,
            initial=initial,
            expression=expression,
            optional=section.optional,
        )

    def _initial(
        self,
        value: Any,
        builtin: BuiltinType,
        enumeration: Enumeration | None,
        value_range: tuple[float, float] | None,
        at: tuple[str, ...],
    ) -> Any:
        if value is None:
            return None
        if enumeration is not None:
            return self.member(enumeration, str(value), (*at, "initial"))
        expected: type | tuple[type, ...] = int if builtin in _INTEGER_RANGES else (int, float)
        if builtin is BuiltinType.Boolean:
            expected = bool
        elif builtin is BuiltinType.String:
            expected = str
        if not isinstance(value, expected) or (isinstance(value, bool) and builtin is not BuiltinType.Boolean):
            raise self.yaml.error((*at, "initial"), f"{value!r} is no {builtin.name}")
        least, most = _INTEGER_RANGES.get(builtin, (value, value))
        if not least <= value <= most:
            raise self.yaml.error((*at, "initial"), f"{value!r} is no {builtin.name}")
        if value_range is not None and not value_range[0] <= value <= value_range[1]:
            raise self.yaml.error((*at, "initial"), f"{value!r} is outside the range {list(value_range)}")
        return value

    def _range(
        self, value_range: tuple[float, float] | None, builtin: BuiltinType, at: tuple[str, ...]
    ) -> tuple[float, float] | None:
        if value_range is None:
            return None
        low, high = value_range
        if not builtin.is_numeric:
            raise self.yaml.error((*at, "range"), f"a {builtin.name} has no range")
        if not low < high:
            raise self.yaml.error((*at, "range"), f"the low end {low} is not below the high end {high}")
        if not (math.isfinite(low) and math.isfinite(high)):
            raise self.yaml.error((*at, "range"), "ends at finite numbers")
        least, most = _INTEGER_RANGES.get(builtin, (low, high))
        if low < least or high > float(most):
            raise self.yaml.error((*at, "range"), f"does not fit the type {builtin.name}")
        return low, high

    def _unit(self, symbol: str | None, at: tuple[str, ...]) -> Unit | None:
        if symbol is None:
            return None
        return self.reference(symbol, UNITS, (*at, "unit"), "unit")

    def _argument(self, name: str, section: ArgumentSection, at: tuple[str, ...]) -> Argument:
        at = (*at, "arguments", name)
        unit = self._unit(section.unit, at)
        value_range = self._range(section.range, section.type, at)
        return Argument(name, section.type, section.description, unit, value_range, section.choices)

    def _command(self, name: str, section: CommandSection) -> CommandDeclaration:
        at = (*self.at, "commands", name)
        if name in self.variables:
            raise self.yaml.error(at, f"is also a variable on line {self.yaml.line((*self.at, 'variables', name))}")
        arguments = tuple(self._argument(key, value, at) for key, value in section.arguments.items())
        if section.sets is not None:
            target = self.reference(section.sets, self.variables, (*at, "sets"), "variable")
            if not target.writable or len(arguments) != 1:
                raise self.yaml.error((*at, "sets"), "needs a set-point and exactly one argument")
        if len(section.confirms) > 1:
            raise self.yaml.error((*at, "confirms"), "names one variable")
        variable, values = next(iter(section.confirms.items()), (None, []))
        confirm_values: list[int] = []
        if variable is not None:
            shown = self.reference(variable, self.variables, (*at, "confirms", variable), "variable")
            if shown.enumeration is None:
                raise self.yaml.error((*at, "confirms", variable), "is no enumeration")
            confirm_values = [self.member(shown.enumeration, value, (*at, "confirms")) for value in values]
        return CommandDeclaration(
            name=name,
            description=section.description,
            role=section.role,
            arguments=arguments,
            sets=section.sets,
            confirm_variable=variable,
            confirm_values=tuple(confirm_values),
            within=section.within,
        )

    def _alarm(self, name: str, section: AlarmSection, commands: Container[str]) -> AlarmDeclaration:
        at = (*self.at, "alarms", name)
        if name in self.variables or name in commands or name == _NAMEPLATE:
            raise self.yaml.error(at, "has the name of a variable or a command of the same type")
        return build_alarm(name, section, self, at)

    def _emergency_stop(self, section: EmergencyStopSection) -> EmergencyStopDeclaration:
        at = (*self.at, "emergency_stop")
        stopped = None
        if section.state is not None:
            state = self.reference(section.state, self.variables, (*at, "state"), "variable")
            if state.enumeration is None or section.stopped is None:
                raise self.yaml.error(at, "state is an enumeration, and stopped one of its values")
            stopped = self.member(state.enumeration, section.stopped, (*at, "stopped"))
        if section.button is not None:
            button = self.reference(section.button, self.variables, (*at, "button"), "variable")
            if button.type is not BuiltinType.Boolean:
                raise self.yaml.error((*at, "button"), "is no Boolean")
        standstill = None
        if section.standstill is not None:
            standstill = self.expression(section.standstill, (*at, "standstill"))
            self.known(standstill, (*at, "standstill"))
        return EmergencyStopDeclaration(
            section.state, stopped, section.role, section.reset_role, standstill, section.button
        )

    def member(self, enumeration: Enumeration, value: str, location: tuple[str, ...]) -> int:
        """Return the number of an enumeration's value; raises PlantError."""
        self.reference(value, {name: name for name in enumeration.values}, location, f"value of {enumeration.name}")
        return enumeration.values.index(value)

    def expression(self, text: str, location: tuple[str, ...]) -> Expression:
        """Parse an expression; raises PlantError."""
        try:
            return parse(text)
        except ExpressionError as error:
            raise self.yaml.error(location, str(error)) from error

    def known(self, expression: Expression, location: tuple[str, ...], *, computed: bool = False) -> None:
        """Check that an expression reads numbers of this type; raises PlantError."""
        for name in expression.names:
            variable = self.reference(name, self.variables, location, "variable")
            if not variable.type.is_numeric and variable.type is not BuiltinType.Boolean:
                raise self.yaml.error(location, f"{name} is no number")
            if computed and variable.expression is not None:
                raise self.yaml.error(location, f"{name} is itself computed: write its expression out")

    def reference(self, name: str, known: Mapping[str, T], location: tuple[str, ...], kind: str) -> T:
        """Return what a name in the file means; raises PlantError."""
        if name not in known:
            raise self.yaml.error(location, f"there is no {kind} {name!r}{did_you_mean(name, known)}")
        return known[name]


def build_type(name: str, section: TypeSection, enums: Mapping[str, Enumeration], yaml: YamlFile) -> MachineType:
    """Resolve one type; raises PlantError."""
    return _TypeBuilder(name, section, enums, yaml).build()

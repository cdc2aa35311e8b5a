"""What there is to translate in a plant: its names and texts, each once, as a translation's keys are."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from address_space.declarations import Argument, Enumeration, MachineType

TRANSLATED_NAMEPLATE = ("Manufacturer", "Model", "ComponentName")
"""Properties of a nameplate that are LocalizedTexts (OPC 40001-1 8.6); the others are Strings and numbers."""
NUMBER = "{n}"
"""Stands in names and texts of one of many objects for its number."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names and texts; `many` are keys such as `Press[1..9]` with the numbered names that they stand for."""

    names: dict[str, None] = field(default_factory=dict[str, None])
    texts: dict[str, None] = field(default_factory=dict[str, None])
    many: dict[str, Mapping[int, str]] = field(default_factory=dict[str, Mapping[int, str]])
    numbered: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    """Texts with `{n}` in them, and the numbers that they are said with."""

    def add_types(self, types: Iterable[MachineType], enumerations: Iterable[Enumeration]) -> None:
        """Add what types of machines and enumerations say."""
        for machine_type in types:
            self.names.update(dict.fromkeys(names_of(machine_type)))
            self.texts.update(dict.fromkeys(texts_of(machine_type)))
        for enumeration in enumerations:
            self.names.update(dict.fromkeys((enumeration.name, *enumeration.values)))

    def add_object(self, key: str, names: Mapping[int | None, str], texts: Iterable[str]) -> None:
        """Add an object of the plant file: `names` by number, that of a single object by None."""
        self.names.update(dict.fromkeys(names.values()))
        numbers = {number: name for number, name in names.items() if number is not None}
        if numbers:
            self.names[key] = None
            self.many[key] = numbers
        for text in filter(None, texts):
            self.texts[text] = None
            if NUMBER in text and numbers:
                self.numbered.setdefault(text, set()).update(numbers)


def names_of(machine_type: MachineType) -> Iterator[str]:
    """Yield the names that a type gives: its own, and those of variables, commands, arguments and alarms."""
    yield machine_type.name
    yield from machine_type.variables
    yield from machine_type.alarms
    for command in machine_type.commands.values():
        yield command.name
        yield from (argument.name for argument in (*command.arguments, *command.outputs))


def texts_of(machine_type: MachineType) -> Iterator[str]:
    """Yield the texts that a type gives: descriptions, messages of alarms, and units."""
    yield machine_type.description
    described: list[Argument] = []
    for command in machine_type.commands.values():
        yield command.description
        described += (*command.arguments, *command.outputs)
    yield from (argument.description for argument in described)
    yield from (alarm.message for alarm in machine_type.alarms.values())
    for variable in machine_type.variables.values():
        yield variable.description
        if variable.unit is not None:
            yield variable.unit.symbol
            yield variable.unit.description
    for argument in described:
        if argument.unit is not None:
            yield argument.unit.symbol
            yield argument.unit.description

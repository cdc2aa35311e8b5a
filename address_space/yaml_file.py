"""YAML with positions: every value knows its line, so that an error can name it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from address_space.errors import PlantError, sentence

Location = Sequence[str | int]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 booleans: only true and false are, so that a state may be called On, Off, Yes or No."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class YamlFile:
    """A YAML file read into plain Python (`data`) beside the line of every key and item."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[tuple[str | int, ...], int] = {}
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise PlantError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise PlantError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            self.data: Any = None if node is None else self._construct(loader, node, ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise PlantError(f"{path}:{line}: is not valid YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise PlantError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
        except RecursionError as error:
            raise PlantError(f"{path}: is not valid YAML: it is nested too deeply") from error

    def _construct(self, loader: yaml.SafeLoader, node: yaml.Node, at: tuple[str | int, ...]) -> Any:
        self._lines.setdefault(at, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            loader.flatten_mapping(node)
            result: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else str(key_node.tag)
                line = key_node.start_mark.line + 1
                if key in result:
                    first = self._lines[(*at, key)]
                    raise PlantError(
                        f"{self.path}:{line}: {_dotted((*at, key))}: duplicate name, first on line {first}"
                    )
                self._lines[(*at, key)] = line
                result[key] = self._construct(loader, value_node, (*at, key))
            return result
        if isinstance(node, yaml.SequenceNode):
            return [self._construct(loader, item, (*at, index)) for index, item in enumerate(node.value)]
        try:
            return loader.construct_object(node, deep=True)
        except ValueError as error:  # a date such as 2026-13-45
            line = node.start_mark.line + 1
            raise PlantError(f"{self.path}:{line}: {_dotted(at)}: is not valid YAML: {error}") from error

    def line(self, location: Location) -> int:
        """Return the line of `location`, or of the nearest enclosing value that the file has."""
        at = tuple(location)
        while at and at not in self._lines:
            at = at[:-1]
        return self._lines.get(at, 1)

    def error(self, location: Location, message: str) -> PlantError:
        """Build (not raise) the error `FILE:LINE: a.b.c: message`."""
        where = f"{_dotted(location)}: " if location else ""
        return PlantError(f"{self.path}:{self.line(location)}: {where}{message}")

    def faults(self, error: ValidationError, unknown: str) -> PlantError:
        """Build (not raise) the error that says what pydantic found, a line each; `unknown` is said of unknown keys."""
        lines: list[str] = []
        for fault in error.errors():
            location = tuple(part for part in fault["loc"] if part not in {"[key]", "str", "int", "float"})
            lines.append(str(self.error(location, sentence(fault, unknown))))
        return PlantError("\n".join(lines))


def _dotted(location: Location) -> str:
    return ".".join(str(part) for part in location)

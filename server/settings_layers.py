"""Where settings come from: each layer reads one place into entries that remember their line.

A layer knows nothing of what the settings mean: it yields (path, value, origin) for every value it holds, and raises or
collects one sentence for what it could not read.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values
from dotenv.parser import parse_stream

PREFIX = "PLANTREE_"
DELIMITER = "__"
DOTENV = Path(".env")

# Read by the launcher and by scripts, before or beside the settings.
NOT_SETTINGS = frozenset({"PLANTREE_CONFIG", "PLANTREE_SHARED", "PLANTREE_PASSWORD"})

SettingPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as it was written: `path` ("opcua", "port"), `name` as its author spelt it, `origin` where."""

    path: SettingPath
    name: str
    value: Any
    origin: str


@dataclass(slots=True)
class Layer:
    """The entries of one place, and what was wrong with the place itself, one sentence each."""

    entries: list[Entry] = field(default_factory=list[Entry])
    problems: list[str] = field(default_factory=list[str])


def variable_name(path: SettingPath) -> str:
    """Name the environment variable of a setting: ("opcua", "port") -> PLANTREE_OPCUA__PORT."""
    return PREFIX + DELIMITER.join(path).upper()


def _from_names(values: Mapping[str, str | None], origins: Mapping[str, str]) -> Iterator[Entry]:
    """Pick the settings out of named strings; an empty one counts as unset, as Compose's `${NAME:-}` writes it."""
    for name, value in values.items():
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in NOT_SETTINGS and value:
            path = tuple(upper.removeprefix(PREFIX).lower().split(DELIMITER))
            yield Entry(path, name, value, origins[name])


def environment(environ: Mapping[str, str]) -> Layer:
    """Read PLANTREE_ variables, in any case."""
    return Layer(list(_from_names(environ, {name: f"environment {name}" for name in environ})))


def dotenv(file: Path = DOTENV) -> Layer:
    """Read PLANTREE_ variables of a .env file, if there is one; others in it are somebody else's."""
    if not file.is_file():
        return Layer()
    layer = Layer()
    origins: dict[str, str] = {}
    try:
        with file.open(encoding="utf-8") as stream:
            for binding in parse_stream(stream):
                if binding.error:
                    layer.problems.append(f"{file} line {binding.original.line}: this is no NAME=value line")
                elif binding.key is not None:
                    leading = len(binding.original.string) - len(binding.original.string.lstrip())
                    blank_lines = binding.original.string[:leading].count("\n")
                    origins[binding.key] = f"{file} line {binding.original.line + blank_lines}"
        if not layer.problems:
            layer.entries.extend(_from_names(dotenv_values(file, encoding="utf-8"), origins))
    except (OSError, UnicodeDecodeError) as error:
        layer.problems.append(f"{file}: cannot be read: {error}")
    return layer


def yaml_file(file: Path, sections: Collection[SettingPath]) -> Layer:
    """Read a YAML file; mappings at `sections` are descended into, any other value is an entry as a whole."""
    layer = Layer()
    try:
        loader = yaml.SafeLoader(file.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if root is None:  # an empty file sets nothing
            return layer
        if not isinstance(root, yaml.MappingNode):
            layer.problems.append(f"{file}:{_line(root)}: expected settings, each as `name: value`")
            return layer
        _walk(loader, root, (), sections, file, layer)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        layer.problems.append(f"{where}: is not YAML: {error.problem or error.context}")
    except yaml.YAMLError as error:
        layer.problems.append(f"{file}: is not YAML: {error}")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        layer.problems.append(f"{file}: cannot be read: {os.fspath(reason)}")
    return layer


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _walk(
    loader: yaml.SafeLoader,
    mapping: yaml.MappingNode,
    above: SettingPath,
    sections: Collection[SettingPath],
    file: Path,
    layer: Layer,
) -> None:
    seen: dict[str, int] = {}
    for key_node, node in mapping.value:
        origin = f"{file}:{_line(key_node)}"
        path = (*above, str(key_node.value))
        name = ".".join(path)
        if name in seen:
            layer.problems.append(f"{origin}: {name}: already set on line {seen[name]}")
            continue
        seen[name] = _line(key_node)
        if path in sections and isinstance(node, yaml.MappingNode):
            _walk(loader, node, path, sections, file, layer)
        else:
            try:
                value = loader.construct_object(node, deep=True)
            except ValueError as error:  # 2026-02-30 looks like a date to YAML
                layer.problems.append(f"{origin}: {name}: {error}")
                continue
            if not (value is None and path in sections):  # a section whose every line is commented out
                layer.entries.append(Entry(path, name, value, origin))

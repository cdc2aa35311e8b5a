"""Reads the settings: environment, `.env` and a YAML file in layers, and one sentence for each mistake."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from server import settings_layers as layers
from server.settings import Settings, SettingsError
from server.settings_layers import Entry, SettingPath

DEFAULT_FILE = Path("plantree.yaml")


def leaves(model: type[BaseModel] = Settings, above: SettingPath = ()) -> Iterator[tuple[SettingPath, FieldInfo]]:
    """Walk every setting in the order of its declaration: (("opcua", "port"), its field)."""
    for name, info in model.model_fields.items():
        section = section_of(info)
        if section is None:
            yield (*above, name), info
        else:
            yield from leaves(section, (*above, name))


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section, None for a setting."""
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def value_at(settings: BaseModel, path: SettingPath) -> Any:
    """Look up a setting's value."""
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    return value


def origins(settings: Settings) -> dict[str, str]:
    """Say where each setting is from: "environment PLANTREE_PLANT", ".env line 3", "plantree.yaml:12", "default"."""
    known = settings._origins  # pyright: ignore[reportPrivateUsage]
    return {".".join(path): known.get(path, "default") for path, _ in leaves(type(settings))}


def load(
    config: Path | None = None, environ: Mapping[str, str] | None = None, *, model: type[Settings] = Settings
) -> Settings:
    """Read the settings of `model` from `environ` (os.environ), `.env` and one YAML file.

    The file is `config`, else the one that PLANTREE_CONFIG names, else plantree.yaml if there is one.
    Raises SettingsError with every mistake, one a line.
    """
    environ = os.environ if environ is None else environ
    fields = dict(leaves(model))
    sections = {path[:depth] for path in fields for depth in range(1, len(path))}
    file = config or (Path(environ["PLANTREE_CONFIG"]) if environ.get("PLANTREE_CONFIG") else DEFAULT_FILE)
    found = [layers.dotenv(), layers.environment(environ)]  # the later wins
    if file != DEFAULT_FILE or file.exists():
        found.insert(0, layers.yaml_file(file, sections))

    problems = [problem for layer in found for problem in layer.problems]
    values: dict[str, Any] = {}
    winners: dict[SettingPath, Entry] = {}
    for entry in (entry for layer in found for entry in layer.entries):
        if entry.path not in fields:
            problems.append(f"{entry.origin}: {_unknown(entry, fields, sections)}")
            continue
        winners[entry.path] = entry
        target = values
        for name in entry.path[:-1]:
            target = target.setdefault(name, {})
        target[entry.path[-1]] = entry.value
    try:
        settings = model(**values)
    except ValidationError as error:
        problems += [_sentence(detail, winners, fields) for detail in error.errors(include_url=False)]
        raise SettingsError("\n".join(problems)) from None
    if problems:
        raise SettingsError("\n".join(problems))
    settings._origins.update({path: entry.origin for path, entry in winners.items()})  # pyright: ignore[reportPrivateUsage]
    return settings


def _unknown(entry: Entry, fields: Mapping[SettingPath, FieldInfo], sections: set[SettingPath]) -> str:
    """Say what is wrong with a name that is no setting, in the spelling of the place it is in."""
    spell = layers.variable_name if entry.name.upper().startswith(layers.PREFIX) else ".".join
    if entry.path in sections:
        below = ", ".join(spell(path) for path in fields if path[: len(entry.path)] == entry.path)
        return f"{entry.name}: is a section of settings ({below}), not a setting itself"
    near = difflib.get_close_matches(spell(entry.path), [spell(path) for path in fields], n=1)
    return f"{entry.name}: no such setting" + (f", did you mean {near[0]}?" if near else "")


def _sentence(
    detail: ErrorDetails, winners: Mapping[SettingPath, Entry], fields: Mapping[SettingPath, FieldInfo]
) -> str:
    """Turn pydantic's error into "plantree.yaml:3: opcua.port: what is wrong"."""
    location = tuple(str(part) for part in detail["loc"])
    context = detail.get("ctx", {})
    if detail["type"] == "conflict":
        paths = [(*location, name) for name in context["fields"]]
        # A field may be a section itself: what was set in it counts.
        places = [entry.origin for at, entry in winners.items() if any(at[: len(path)] == path for path in paths)]
        return f"{' and '.join(dict.fromkeys(places))}: {'.'.join(paths[0])}: {detail['msg']}"
    path = next(location[:length] for length in range(len(location), 0, -1) if location[:length] in fields)
    message = re.sub(r" for <class '.*?'>", "", detail["msg"][0].lower() + detail["msg"][1:])
    if not is_secret(fields[path]):
        message += f" (it is {detail['input']!r})"
    return f"{winners[path].origin}: {'.'.join(location)}: {message}"


def is_secret(info: FieldInfo) -> bool:
    """Tell whether a setting's value must not be shown."""
    return SecretStr in (info.annotation, *get_args(info.annotation))

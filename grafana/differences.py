"""What of a thing in Grafana is not as it is wanted: only what is wanted counts, Grafana adds fields of its own."""

import json
from collections.abc import Iterator
from typing import Any, cast

_LONGEST = 60


def differences(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """Yield lines like `panels[3].title: "Speed" -> "Shaft speed"`, found first."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        have = cast("dict[str, Any]", found)
        for key, value in cast("dict[str, Any]", wanted).items():
            yield from differences(value, have.get(key), f"{path}.{key}" if path else key)
    elif isinstance(wanted, list) and isinstance(found, list):
        wants, finds = cast("list[Any]", wanted), cast("list[Any]", found)
        for index, value in enumerate(wants):
            yield from differences(value, finds[index] if index < len(finds) else None, f"{path}[{index}]")
        for index in range(len(wants), len(finds)):
            yield f"{path}[{index}]: {_shown(finds[index])} -> nothing"
    elif not _same(wanted, found):
        yield f"{path}: {_shown(found)} -> {_shown(wanted)}"


def _same(wanted: Any, found: Any) -> bool:
    """Tell whether two values are one: Grafana leaves out what is false, empty or nothing."""
    if isinstance(wanted, bool) or isinstance(found, bool):
        return bool(wanted) == bool(found) if found is None or wanted is None else wanted is found
    return wanted == found or (not wanted and not found and wanted != 0 and found != 0)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

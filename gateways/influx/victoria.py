"""What VictoriaMetrics throws away: it answers 204 to lines that it cannot read, and only its counters tell."""

import re
from collections.abc import Mapping

_POINTS_A_SAMPLE = 3  # value, status, good
_LINES = 'vm_rows_invalid_total{type="influx"}'
_SAMPLE = re.compile(r"^([a-z_]+(?:\{[^}]*\})?) ([0-9.e+]+)$", re.MULTILINE)
_WATCHED = re.compile(
    r'vm_rows_invalid_total\{type="influx"\}|vm_rows_ignored_total(\{.*\})?|vm_concurrent_addrows_dropped_rows_total'
    r"|vm_(hourly|daily)_series_limit_rows_dropped_total"
)


def counters(exposition: str) -> dict[str, float]:
    """Pick the counters of what is thrown away out of the text of /metrics."""
    return {name: float(value) for name, value in _SAMPLE.findall(exposition) if _WATCHED.fullmatch(name)}


def increases(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, int]:
    """Return by how much each counter grew; one that fell began anew with its server."""
    grown = {name: value - (before.get(name, 0) if value >= before.get(name, 0) else 0) for name, value in now.items()}
    return {name: round(growth) for name, growth in grown.items() if growth > 0}


def samples(grown: Mapping[str, int]) -> int:
    """Return the fewest samples that were lost: a line is one, and so are up to three points."""
    lines = grown.get(_LINES, 0)
    return lines + -(-(sum(grown.values()) - lines) // _POINTS_A_SAMPLE)


def sentence(grown: Mapping[str, int]) -> str:
    """Say what was thrown away."""
    parts = ", ".join(f"{name} +{growth}" for name, growth in sorted(grown.items()))
    return f"VictoriaMetrics threw lines away (of ours or of others that write to it): {parts}"

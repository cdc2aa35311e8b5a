"""How samples become minutes and hours: Flux tasks for InfluxDB 2, recording rules for VictoriaMetrics; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateways.influx.mapping import MEASUREMENT
from gateways.influx.settings import InfluxSettings

RULES_FILE = Path(__file__).with_name("victoriametrics-rules.yml")
FUNCTIONS = ("min", "max", "mean", "count")
_PROMQL = {"min": "min_over_time", "max": "max_over_time", "mean": "avg_over_time", "count": "count_over_time"}
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Rollup:
    """One width of window. Each run makes the last `again` windows anew, for samples that came late."""

    suffix: str
    again: int
    offset: str

    @property
    def start(self) -> str:
        """How far back a run looks: 10m, 3h."""
        return f"{self.again}{self.suffix[-1]}"


ROLLUPS = (Rollup("1m", 10, "30s"), Rollup("1h", 3, "2m"))


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of InfluxDB; `seconds` of retention, 0 for ever."""

    name: str
    seconds: int
    description: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task of InfluxDB 2."""

    name: str
    flux: str


def buckets(settings: InfluxSettings) -> tuple[Bucket, ...]:
    """Return the bucket of all samples and those of their minutes and hours."""
    keep, name = settings.retention, settings.bucket
    return (
        Bucket(name, keep.raw_days * _DAY_S, "Plantree: every sample"),
        Bucket(f"{name}_1m", keep.minute_days * _DAY_S, "Plantree: min, max, mean, count of each minute"),
        Bucket(f"{name}_1h", keep.hour_days * _DAY_S, "Plantree: min, max, mean, count of each hour"),
    )


def tasks(settings: InfluxSettings) -> tuple[Task, ...]:
    """Return the tasks that fill the buckets of minutes and hours."""
    return tuple(Task(f"{settings.bucket}_{rollup.suffix}", _flux(settings.bucket, rollup)) for rollup in ROLLUPS)


def rules() -> str:
    """Return the recording rules, as vmalert reads them."""
    lines = [
        "# Recording rules for vmalert: the minutes and hours of every variable. Generated; `make docs` writes it.",
        '# opcua_value_mean_1h{node="Plant.Generator1.Speed"} is the mean of the hour that ends at its time.',
        "groups:",
    ]
    for rollup in ROLLUPS:
        lines += [f"  - name: plantree_{rollup.suffix}", f"    interval: {rollup.suffix}", "    rules:"]
        for name, expression in expressions(rollup):
            lines += [f"      - record: {name}", f"        expr: {expression}"]
    return "\n".join(lines) + "\n"


def expressions(rollup: Rollup) -> Iterator[tuple[str, str]]:
    """Yield each new series' name and the PromQL that it is made with."""
    for function in FUNCTIONS:
        source = f"{MEASUREMENT}_value"
        yield f"{source}_{function}_{rollup.suffix}", f"{_PROMQL[function]}({source}[{rollup.suffix}])"


def _flux(bucket: str, rollup: Rollup) -> str:
    """Write a task: windows of complete minutes or hours, written again by the next runs as the same points."""
    name, source, target = (
        _string(text) for text in (f"{bucket}_{rollup.suffix}", bucket, f"{bucket}_{rollup.suffix}")
    )
    parts = [
        f"option task = {{name: {name}, every: {rollup.suffix}, offset: {rollup.offset}}}",
        "",
        f"samples = from(bucket: {source})",
        f"    |> range(start: -{rollup.start})",
        f'    |> filter(fn: (r) => r._measurement == "{MEASUREMENT}" and r._field == "value")',
    ]
    for function in FUNCTIONS:
        parts += [
            "",
            "samples",
            f"    |> aggregateWindow(every: {rollup.suffix}, fn: {function}, createEmpty: false)",
            f'    |> set(key: "_field", value: "{function}")',
            f"    |> to(bucket: {target})",
        ]
    return "\n".join(parts) + "\n"


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'

"""Flux, for InfluxDB 2."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from grafana.query import ALARM_CARRY, BAD, CARRY, UNCERTAIN, Series, Speaks, Target
from grafana.settings import Language

_SITE = "r.site =~ /^(${site:regex})$/"
_RANGE = "range(start: v.timeRangeStart, stop: v.timeRangeStop)"
_ALARM = f'r._measurement == "alarm" and {_SITE} and r.source =~ /^(${{machine:regex}})$/'
_SHOWN = "r.active == 1 and r.hidden == 0"
"""Active, and neither shelved nor suppressed."""
_ACTIVATION = 'r.event == "active" and r.hidden == 0'


def predicate(series: Series) -> str:
    """Return the condition that chooses the variables, whatever the field."""
    machine = "" if series.any_machine else " and r.node =~ /^(${machine:regex})[.]/"
    names = "|".join(series.names)
    return f'r._measurement == "opcua" and r.type == "{series.type}" and r.name =~ /^({names})$/ and {_SITE}{machine}'


def _samples(where: str, field: str, during: str) -> str:
    return f'from(bucket: v.defaultBucket)\n  |> {during}\n  |> filter(fn: (r) => {where} and r._field == "{field}")\n'


def _alarms(during: str) -> str:
    """Ask for transitions, their fields side by side."""
    names = ("severity", "active", "acked", "hidden", "event")
    fields = " or ".join(f'r._field == "{name}"' for name in names)
    return (
        f"from(bucket: v.defaultBucket)\n  |> {during}\n  |> filter(fn: (r) => {_ALARM} and ({fields}))\n"
        '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")\n'
    )


def _standing(where: str) -> str:
    """Ask what was told last of each condition, a row each; a picture is told at an activation alone."""
    fields = ("severity", "active", "acked", "hidden", "message", "snapshot")
    wanted = " or ".join(f'r._field == "{name}"' for name in fields)
    return (
        f"from(bucket: v.defaultBucket)\n  |> range(start: -{ALARM_CARRY})\n"
        f"  |> filter(fn: (r) => {_ALARM} and ({wanted}))\n  |> last()\n"
        '  |> pivot(rowKey: ["site", "condition", "source"], columnKey: ["_field"], valueColumn: "_value")\n'
        f"  |> group()\n  |> filter(fn: (r) => {where})\n"
    )


class Flux(Speaks):
    """Speaks it; grafana.query.Speaks tells what each question is."""

    name: Language = "flux"
    plugin = "influxdb"

    @override
    def trend(self, series: Series) -> list[Target]:
        # What was told last before the range is carried into it.
        during = f"range(start: date.sub(from: v.timeRangeStart, d: {CARRY}), stop: v.timeRangeStop)"
        return [
            Target(
                f'import "date"\n\n{_samples(predicate(series), "value", during)}'
                "  |> aggregateWindow(every: v.windowPeriod, fn: last, createEmpty: false)\n"
                '  |> keep(columns: ["_time", "_value", "node"])'
            )
        ]

    @override
    def last(self, series: Series) -> list[Target]:
        during = f"range(start: -{CARRY})"
        rest = '  |> last()\n  |> keep(columns: ["_time", "_value", "site", "node"])\n'
        where = predicate(series)
        return [
            Target(
                f"values = {_samples(where, 'value', during)}{rest}\n"
                f"statuses = {_samples(where, 'status', during)}{rest}  |> filter(fn: (r) => r._value < {BAD})\n\n"
                'join(tables: {value: values, status: statuses}, on: ["site", "node"])\n'
                "  |> map(fn: (r) => ({_time: r._time_value, _value: r._value_value, node: r.node}))\n"
                '  |> group(columns: ["node"])'
            )
        ]

    @override
    def texts(self, series: Series) -> list[Target]:
        return [
            Target(
                f"{_samples(predicate(series), 'text', f'range(start: -{CARRY})')}  |> last()\n  |> group()\n"
                '  |> keep(columns: ["node", "_value"])\n  |> rename(columns: {_value: "text"})',
                as_table=True,
            )
        ]

    @override
    def growth(self, series: Series) -> list[Target]:
        return [
            Target(
                f'{_samples(predicate(series), "value", _RANGE)}  |> spread()\n  |> keep(columns: ["_value", "node"])'
            )
        ]

    @override
    def hourly(self, series: Series) -> list[Target]:
        return [
            Target(
                f"{_samples(predicate(series), 'value', _RANGE)}"
                "  |> aggregateWindow(every: 1h, fn: spread, createEmpty: false)\n"
                '  |> keep(columns: ["_time", "_value", "node"])'
            )
        ]

    @override
    def qualities(self) -> list[Target]:
        status = _samples(f'r._measurement == "opcua" and {_SITE}', "status", f"range(start: -{CARRY})")
        return [
            Target(
                f"{status}  |> last()\n  |> group()\n"
                f'  |> map(fn: (r) => ({{quality: if r._value >= {BAD} then "Bad" '
                f'else if r._value >= {UNCERTAIN} then "Uncertain" else "Good", _value: r._value}}))\n'
                '  |> group(columns: ["quality"])\n  |> count()'
            )
        ]

    @override
    def standing(self) -> list[Target]:
        columns = ", ".join(f"{name}: r.{name}" for name in ("condition", "source", "severity", "active", "acked"))
        # Where no condition has a picture there is no such column.
        texts = 'message: r.message, snapshot: if exists r.snapshot then r.snapshot else ""'
        rows = f"{_standing(f'({_SHOWN}) or r.acked == 0')}  |> map(fn: (r) => ({{{columns}, {texts}}}))"
        return [Target(rows, as_table=True)]

    @override
    def condition_states(self) -> list[Target]:
        during = f"range(start: date.sub(from: v.timeRangeStart, d: {ALARM_CARRY}), stop: v.timeRangeStop)"
        return [
            Target(
                f'import "date"\n\n{_alarms(during)}'
                "  |> map(fn: (r) => ({_time: r._time, condition: r.condition, "
                "_value: r.active * 2 + 1 - r.acked}))\n"
                '  |> group(columns: ["condition"])\n  |> sort(columns: ["_time"])'
            )
        ]

    @override
    def standing_count(self) -> list[Target]:
        return [Target(f'{_standing(_SHOWN)}  |> count(column: "active")')]

    @override
    def unacknowledged_count(self) -> list[Target]:
        return [Target(f'{_standing("r.acked == 0")}  |> count(column: "active")')]

    @override
    def activations(self) -> list[Target]:
        return [Target(f'{_activations(_RANGE)}  |> group()\n  |> count(column: "active")')]

    @override
    def activations_by_hour(self) -> list[Target]:
        return [
            Target(
                f'{_activations(_RANGE)}  |> group(columns: ["source"])\n'
                '  |> aggregateWindow(every: 1h, fn: count, column: "active", createEmpty: false)\n'
                '  |> keep(columns: ["_time", "active", "source"])'
            )
        ]

    @override
    def offenders(self) -> list[Target]:
        most = (
            '  |> group(columns: ["condition"])\n  |> count(column: "active")\n  |> group()\n'
            '  |> sort(columns: ["active"], desc: true)\n  |> limit(n: 10)\n  |> group(columns: ["condition"])\n'
            '  |> keep(columns: ["active", "condition"])'
        )
        return [Target(f"{_activations(_RANGE)}{most}")]

    @override
    def snapshots(self) -> list[Target]:
        return [
            Target(
                f"{_samples(_ALARM, 'snapshot', f'range(start: -{ALARM_CARRY})')}  |> group()\n"
                '  |> sort(columns: ["_time"], desc: true)\n  |> limit(n: 24)\n'
                '  |> keep(columns: ["_time", "condition", "_value"])\n  |> rename(columns: {_value: "snapshot"})',
                as_table=True,
            )
        ]

    @override
    def sites(self) -> Mapping[str, Any]:
        return _variable(
            'import "influxdata/influxdb/schema"\n\nschema.measurementTagValues(bucket: v.defaultBucket, '
            'measurement: "opcua", tag: "site")'
        )

    @override
    def machines(self, machine_type: str) -> Mapping[str, Any]:
        chosen = f' and r.type == "{machine_type}"' if machine_type else ""
        return _variable(
            'import "influxdata/influxdb/schema"\n\nschema.tagValues(bucket: v.defaultBucket, tag: "node", '
            f'predicate: (r) => r._measurement == "opcua" and {_SITE}{chosen})'
        )

    @override
    def annotation(self) -> Mapping[str, Any]:
        query = f'{_activations(_RANGE)}  |> group()\n  |> keep(columns: ["_time", "condition", "source"])'
        return {
            "target": {"refId": "Anno", "query": query},
            "mappings": {
                "title": {"source": "field", "value": "condition"},
                "text": {"source": "field", "value": "source"},
            },
        }


def _activations(during: str) -> str:
    return f"{_alarms(during)}  |> filter(fn: (r) => {_ACTIVATION})\n"


def _variable(query: str) -> Mapping[str, Any]:
    return {"query": query, "refId": "variable"}

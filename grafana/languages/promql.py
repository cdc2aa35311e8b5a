"""PromQL with VictoriaMetrics' additions (MetricsQL): tlast_over_time, increases_over_time."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from grafana.query import ALARM_CARRY, BAD, CARRY, UNCERTAIN, Series, Speaks, Target
from grafana.settings import Language

_OF_CONDITIONS = '{site=~"$site",source=~"$machine"}'
_SAME = "on(site, condition, source)"


def _told(field: str) -> str:
    """Ask what the last transition of each condition said."""
    return f"last_over_time(alarm_{field}{_OF_CONDITIONS}[{ALARM_CARRY}])"


_ACTIVE, _ACKED = _told("active"), _told("acked")
_SHOWN = f"({_ACTIVE} == 1 unless {_SAME} ({_told('hidden')} == 1))"
"""Active, and neither shelved nor suppressed."""
_STATUS = f'last_over_time(opcua_status{{site=~"$site"}}[{CARRY}])'
_STANDING = f"({_SHOWN} or {_SAME} ({_ACKED} == 0))"
_PICTURES = f"tlast_over_time(alarm_snapshot{_OF_CONDITIONS}[{ALARM_CARRY}])"


def selector(series: Series) -> str:
    """Return the labels that choose the variables."""
    machine = "" if series.any_machine else ',node=~"($machine)[.].*"'
    return f'{{site=~"$site",type="{series.type}",name=~"{"|".join(series.names)}"{machine}}}'


def carried(series: Series) -> str:
    """Values carried forward, as long as the status that was told last is not Bad."""
    labels = selector(series)
    return (
        f"last_over_time(opcua_value{labels}[{CARRY}]) "
        f"and on(site, node) (last_over_time(opcua_status{labels}[{CARRY}]) < {BAD})"
    )


class PromQl(Speaks):
    """Speaks it; grafana.query.Speaks tells what each question is."""

    name: Language = "promql"
    plugin = "prometheus"

    @override
    def trend(self, series: Series) -> list[Target]:
        return [Target(carried(series), legend="{{node}}")]

    @override
    def last(self, series: Series) -> list[Target]:
        return [Target(carried(series), instant=True, legend="{{node}}")]

    @override
    def texts(self, series: Series) -> list[Target]:
        newest = f"tlast_over_time(opcua_text{selector(series)}[{CARRY}])"
        return [Target(f"topk(1, {newest}) by (site, node)", instant=True, as_table=True)]

    @override
    def growth(self, series: Series) -> list[Target]:
        return [Target(f"increase(opcua_value{selector(series)}[$__range])", instant=True, legend="{{node}}")]

    @override
    def hourly(self, series: Series) -> list[Target]:
        return [Target(f"increase(opcua_value{selector(series)}[1h])", legend="{{node}}")]

    @override
    def qualities(self) -> list[Target]:
        counted = {
            "Good": f"{_STATUS} < {UNCERTAIN}",
            "Uncertain": f"({_STATUS} >= {UNCERTAIN}) < {BAD}",
            "Bad": f"{_STATUS} >= {BAD}",
        }
        return [Target(f"count({which}) or vector(0)", instant=True, legend=name) for name, which in counted.items()]

    @override
    def standing(self) -> list[Target]:
        # A table each, which Grafana merges by the labels that all have: the metric's name must not be one of them.
        numbers = [f"max({what}) by (site, condition, source)" for what in (_told("severity"), _ACTIVE, _ACKED)]
        picture = f"topk(1, {_PICTURES}) by (site, condition, source)"
        return [Target(f"{what} and {_SAME} {_STANDING}", instant=True, as_table=True) for what in (*numbers, picture)]

    @override
    def condition_states(self) -> list[Target]:
        return [Target(f"{_ACTIVE} * 2 + {_SAME} (1 - {_ACKED})", legend="{{condition}}")]

    @override
    def standing_count(self) -> list[Target]:
        return [Target(f"count({_SHOWN}) or vector(0)", instant=True, legend="standing")]

    @override
    def unacknowledged_count(self) -> list[Target]:
        return [Target(f"count({_ACKED} == 0) or vector(0)", instant=True, legend="unacknowledged")]

    @override
    def activations(self) -> list[Target]:
        return [
            Target(f"sum({_activations('$__range', '$__interval')}) or vector(0)", instant=True, legend="activations")
        ]

    @override
    def activations_by_hour(self) -> list[Target]:
        return [Target(f"sum({_activations('1h', '30s')}) by (source)", legend="{{source}}")]

    @override
    def offenders(self) -> list[Target]:
        most = f"topk(10, sum({_activations('$__range', '$__interval')}) by (condition) > 0)"
        return [Target(most, instant=True, legend="{{condition}}")]

    @override
    def snapshots(self) -> list[Target]:
        return [Target(f"topk(24, {_PICTURES})", instant=True, as_table=True)]

    @override
    def sites(self) -> str:
        return "label_values(opcua_status, site)"

    @override
    def machines(self, machine_type: str) -> str:
        chosen = f',type="{machine_type}"' if machine_type else ""
        return f'label_values(opcua_status{{site=~"$site"{chosen}}}, node)'

    @override
    def annotation(self) -> Mapping[str, Any]:
        return {
            "expr": f"{_ACTIVE} == 1",  # Grafana makes a region of it: from activation to return
            "step": "30s",
            "titleFormat": "{{condition}}",
            "textFormat": "{{source}}",
            "useValueForTime": False,
        }


def _activations(span: str, step: str) -> str:
    """Count how often each condition became active, as seen every `step`: its first transition counts, too."""
    return f"increases_over_time(({_ACTIVE} default 0)[{span}:{step}])"

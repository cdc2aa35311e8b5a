"""Panels, with what the model says of their variables: units, ranges, limits, names of states."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from address_space.model import AlarmKind, BuiltinType, Enumeration, MachineType, VariableDeclaration
from grafana.query import CARRY_S, DATASOURCE, Speaks, Target
from grafana.sdk import (
    Builder,
    Dataquery,
    bargauge,
    common,
    common_model,
    dashboard,
    dashboard_model,
    gauge,
    prometheus,
    prometheus_model,
    stat,
    statetimeline,
    statushistory,
    table,
    timeseries,
)
from grafana.units import unit_id

_PROM_TABLE, _PROM_SERIES = prometheus_model.PromQueryFormat.TABLE, prometheus_model.PromQueryFormat.TIME_SERIES
LIMIT_COLORS = {"high_high": "red", "high": "orange", "low": "orange", "low_low": "red"}
STATE_COLORS = {
    "Running": "green",
    "Normal": "green",
    "Good": "green",
    "Starting": "blue",
    "Stopping": "blue",
    "Moderate": "yellow",
    "UnderVoltage": "orange",
    "OverVoltage": "orange",
    "Poor": "orange",
    "Tripped": "red",
    "Faulted": "red",
    "Outage": "red",
    "Unhealthy": "red",
    "EmergencyStopped": "purple",
}
CONDITION_STATES = {
    0: ("Normal", "green"),
    1: ("Returned, unacknowledged", "yellow"),
    2: ("Acknowledged", "orange"),
    3: ("Unacknowledged", "red"),
}
SHORT_NAME = dashboard_model.DataTransformerConfig(
    id_val="renameByRegex",
    options={"regex": r'^.*?([^.\s"{}=]+)[.]([^.\s"{}=]+)"?\}?$', "renamePattern": "$1 $2"},
)
"""Plant.Line1.OEE, and Flux's _value {node="Plant.Line1.OEE"}, as Line1 OEE."""


class InfluxQuery(Dataquery):
    """A query of Grafana's InfluxDB data source; the SDK has none."""

    def __init__(self, ref_id: str, fields: Mapping[str, Any]) -> None:
        self.ref_id = ref_id
        self._fields = fields

    def to_json(self) -> dict[str, object]:
        """Return what Grafana stores."""
        return {"refId": self.ref_id, "datasource": source("influxdb").to_json(), **self._fields}


class _Ready(Builder[Any]):
    def __init__(self, built: Any) -> None:
        self._built = built

    def build(self) -> Any:
        return self._built


def source(plugin: str) -> common_model.DataSourceRef:
    """Refer to the dashboard's data source."""
    return common_model.DataSourceRef(type_val=plugin, uid=f"${{{DATASOURCE}}}")


def queries(speaks: Speaks, targets: Sequence[Target]) -> list[Builder[Any]]:
    """Build queries A, B, C and so on."""
    return [_query(speaks, target, chr(ord("A") + index)) for index, target in enumerate(targets)]


def _query(speaks: Speaks, target: Target, ref_id: str) -> Builder[Any]:
    if speaks.name == "promql":
        query = prometheus.Dataquery().ref_id(ref_id).expr(target.text).datasource(source("prometheus"))
        query = query.instant() if target.instant else query.range()
        return query.format(_PROM_TABLE if target.as_table else _PROM_SERIES).legend_format(target.legend)
    if speaks.name == "flux":
        return _Ready(InfluxQuery(ref_id, {"query": target.text}))
    shape = "table" if target.as_table else "time_series"
    fields: dict[str, Any] = {"query": target.text, "rawQuery": True, "resultFormat": shape}
    return _Ready(InfluxQuery(ref_id, {**fields, "alias": target.legend} if target.legend else fields))


def trend(title: str, declarations: Sequence[VariableDeclaration], limits: Mapping[str, float]) -> Any:
    """Draw values as steps: each holds until the next comes, for CARRY_S at most."""
    first = declarations[0]
    panel = timeseries.Panel().title(title).unit(unit_id(first)).height(8).span(12)
    panel = panel.line_interpolation(common_model.LineInterpolation.STEP_AFTER).span_nulls(CARRY_S * 1000)
    panel = panel.fill_opacity(8).show_points(common_model.VisibilityMode.NEVER).interval("1s")
    panel = panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_model.LegendDisplayMode.LIST)
        .placement(common_model.LegendPlacement.BOTTOM)
    ).tooltip(common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI))
    if limits:
        style = common.GraphThresholdsStyleConfig().mode(common_model.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(thresholds(limits)).thresholds_style(style)
        panel = panel.axis_soft_min(min(limits.values())).axis_soft_max(max(limits.values()))
    return _described(panel, declarations).with_transformation(SHORT_NAME)


def number(title: str, declaration: VariableDeclaration, limits: Mapping[str, float]) -> Any:
    """Show present values; `no data` where they are Bad or older than CARRY_S."""
    panel = stat.Panel().title(title).unit(unit_id(declaration)).height(4).span(4)
    panel = _reduced(panel.thresholds(thresholds(limits)).graph_mode(common_model.BigValueGraphMode.NONE))
    panel = panel.color_mode(common_model.BigValueColorMode.VALUE).no_value("no data")
    if declaration.enumeration is not None:
        panel = panel.mappings(state_mappings(declaration.enumeration))
        panel = panel.color_mode(common_model.BigValueColorMode.BACKGROUND)
    return _described(panel, [declaration]).with_transformation(SHORT_NAME)


def dial(title: str, declaration: VariableDeclaration, limits: Mapping[str, float]) -> Any:
    """Show present values on the scale of their range."""
    panel = gauge.Panel().title(title).unit(unit_id(declaration)).height(6).span(6).no_value("no data")
    if declaration.range is not None:
        panel = panel.min(declaration.range[0]).max(declaration.range[1])
    return _reduced(_described(panel.thresholds(thresholds(limits)), [declaration])).with_transformation(SHORT_NAME)


def count(title: str, description: str, *, alarming: bool = False, unit: str = "none") -> Any:
    """Show a figure that is no variable; `alarming` where anything above 0 is bad."""
    panel = stat.Panel().title(title).description(description).unit(unit).height(4).span(4).no_value("0")
    steps = {"high_high": 1.0} if alarming else {}
    panel = panel.thresholds(thresholds(steps)).graph_mode(common_model.BigValueGraphMode.NONE)
    return _reduced(panel).with_transformation(SHORT_NAME)


def bars(title: str, description: str, unit: str) -> Any:
    """Draw hours as bars."""
    panel = timeseries.Panel().title(title).description(description).unit(unit).height(8).span(12).interval("1h")
    panel = panel.draw_style(common_model.GraphDrawStyle.BARS).fill_opacity(60).min(0)
    return panel.with_transformation(SHORT_NAME)


def ranking(title: str, description: str) -> Any:
    """Show the greatest of some figures as horizontal bars."""
    panel = bargauge.Panel().title(title).description(description).unit("none").height(8).span(12).min(0)
    return _reduced(panel.orientation(common_model.VizOrientation.HORIZONTAL).no_value("none"))


def states(title: str, description: str, mappings: Sequence[dashboard_model.ValueMapping]) -> Any:
    """Draw states over time; each holds until the next comes."""
    panel = statetimeline.Panel().title(title).description(description).height(7).span(24).mappings(list(mappings))
    return panel.merge_values(True).interval("1s").with_transformation(SHORT_NAME)


def hours(title: str, description: str) -> Any:
    """Show a figure an hour as a heat map: a row a series, a cell an hour."""
    panel = statushistory.Panel().title(title).description(description).height(8).span(24).interval("1h")
    scheme = dashboard.FieldColor().mode(dashboard_model.FieldColorModeId.CONTINUOUS_YL_RD)
    return panel.color_scheme(scheme).min(0).unit("none")


def listing(title: str, description: str) -> Any:
    """Show rows."""
    return table.Panel().title(title).description(description).height(8).span(24).no_value("none")


def thresholds(limits: Mapping[str, float]) -> Builder[Any]:
    """Turn limits of level alarms into coloured steps; none is green all over."""
    steps = [dashboard_model.Threshold(value=None, color=_base_color(limits))]
    low = sorted((limits[name], name) for name in ("low_low", "low") if name in limits)
    for index, (value, _) in enumerate(low):
        above = low[index + 1][1] if index + 1 < len(low) else ""
        steps.append(dashboard_model.Threshold(value=value, color=LIMIT_COLORS.get(above, "green")))
    high = sorted((limits[name], name) for name in ("high", "high_high") if name in limits)
    steps += [dashboard_model.Threshold(value=value, color=LIMIT_COLORS[name]) for value, name in high]
    return dashboard.ThresholdsConfig().mode(dashboard_model.ThresholdsMode.ABSOLUTE).steps(steps)


def _base_color(limits: Mapping[str, float]) -> str:
    """Return the colour below the lowest limit."""
    return next((LIMIT_COLORS[name] for name in ("low_low", "low") if name in limits), "green")


def limits_of(machine_type: MachineType, name: str) -> dict[str, float]:
    """Return the limits of all level alarms on a variable: the innermost where several set the same."""
    found: dict[str, float] = {}
    for alarm in machine_type.alarms.values():
        if alarm.input == name and alarm.kind in (AlarmKind.LEVEL, AlarmKind.NON_EXCLUSIVE_LEVEL):
            for limit, value in alarm.limits.items():
                if limit in LIMIT_COLORS:
                    choose = min if limit.startswith("high") else max
                    found[limit] = choose(found.get(limit, value), value)
    return found


def state_mappings(enumeration: Enumeration) -> list[dashboard_model.ValueMapping]:
    """Show the names of an enumeration's numbers."""
    return value_mappings(
        {number: (name, STATE_COLORS.get(name, "text")) for number, name in enumerate(enumeration.values)}
    )


def value_mappings(names: Mapping[int, tuple[str, str]]) -> list[dashboard_model.ValueMapping]:
    """Show numbers as (text, colour)."""
    options = {
        str(number): dashboard_model.ValueMappingResult(text=name, color=color, index=index)
        for index, (number, (name, color)) in enumerate(names.items())
    }
    return [dashboard_model.ValueMap(options=options)]


BOOLEAN_MAPPINGS = value_mappings({0: ("false", "text"), 1: ("true", "blue")})


def renamed(names: Mapping[str, str], hidden: Iterable[str] = ()) -> dashboard_model.DataTransformerConfig:
    """Name and hide columns of a table; what is not there is passed over."""
    options = {"renameByName": dict(names), "excludeByName": dict.fromkeys(hidden, True), "indexByName": {}}
    return dashboard_model.DataTransformerConfig(id_val="organize", options=options)


def _reduced(panel: Any) -> Any:
    """Take the last value of each series."""
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))


def _described(panel: Any, declarations: Sequence[VariableDeclaration]) -> Any:
    lines = [f"{declaration.name}: {declaration.description}" for declaration in declarations]
    if declarations[0].type is BuiltinType.Boolean:
        panel = panel.mappings(BOOLEAN_MAPPINGS)
    return panel.description("  \n".join(lines))

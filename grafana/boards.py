"""A dashboard's frame: variables, links, annotations, rows; the same on each."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from grafana.panels import queries, source
from grafana.query import DATASOURCE, MACHINE_OF, Speaks, Target
from grafana.sdk import Builder, JSONEncoder, common_model, dashboard, dashboard_model

TAG = "plantree"
REFRESH = "10s"
LAST_HOUR, LAST_SHIFT, LAST_DAY = "now-1h", "now-8h", "now-24h"
COLUMNS = 24
DEFAULT_UID = "plantree"
"""uid of the data source that provisioning makes."""
_OF_INTERVALS = ("auto", "auto_count", "auto_min")
"""Fields that the SDK gives every variable, and that the schema has for intervals only."""


class Board:
    """One dashboard in the making; `machine_type` limits the variable `machine` to machines of that type.

    `since` is where the time range begins until somebody chooses another.
    """

    def __init__(
        self,
        speaks: Speaks,
        slug: str,
        title: str,
        description: str,
        machine_type: str = "",
        since: str = LAST_HOUR,
    ) -> None:
        self.speaks = speaks
        self.uid = f"plantree-{slug}"
        self.title = title
        built = dashboard.Dashboard(f"Plantree · {title}").uid(self.uid).description(description)
        built = built.tags([TAG]).refresh(REFRESH).time(since, "now").timezone("browser").readonly()
        built = built.tooltip(dashboard_model.DashboardCursorSync.CROSSHAIR)
        for variable in _variables(speaks, machine_type):
            built = built.with_variable(variable)
        self._built = (
            built.link(_links()).link(_wall_screen(self.uid)).annotation(_Annotations(speaks)).annotation(_written())
        )

    def row(self, title: str) -> None:
        """Begin a row of panels."""
        self._built.with_row(dashboard.Row(title))

    def add(self, panel: Any, targets: Sequence[Target] = ()) -> None:
        """Put a panel at the end."""
        if targets:
            panel = panel.datasource(source(self.speaks.plugin)).targets(queries(self.speaks, targets))
        self._built.with_panel(panel)

    def build(self) -> dict[str, Any]:
        """Return the dashboard as Grafana stores it; panels are numbered from 1."""
        built = json.loads(json.dumps(self._built.build(), cls=JSONEncoder))
        _lay_out(built["panels"])
        for number, panel in enumerate(built["panels"], 1):
            panel["id"] = number
            _bring_up_to_date(panel)
        for shown in (*built["links"], *built["annotations"]["list"]):
            shown.pop("placement", None)  # the SDK hides them in a menu
        for variable in built["templating"]["list"]:
            for name in _OF_INTERVALS:
                variable.pop(name, None)
        return built


def _bring_up_to_date(panel: dict[str, Any]) -> None:
    """Take away and add what newer Grafanas' schema has otherwise than the SDK's; older ones pass it over."""
    if panel["type"] == "table":
        panel["options"].pop("footer", None)
        panel["fieldConfig"]["defaults"].setdefault("custom", {}).setdefault("cellOptions", {"type": "auto"})
    if panel["type"] == "gauge":
        panel["options"] |= {"barShape": "flat", "barWidthFactor": 0.5, "effects": {}, "shape": "gauge"}
        panel["options"] |= {"segmentCount": 1, "segmentSpacing": 0.3, "sparkline": False}


def _lay_out(panels: list[dict[str, Any]]) -> None:
    """Put panels side by side as long as they fit, below the highest of the line before where they do not.

    The SDK's own layout lets a wide one run out of the grid.
    """
    left = top = height = 0
    for panel in panels:
        place = panel["gridPos"]
        if left + place["w"] > COLUMNS:
            left, top, height = 0, top + height, 0
        place["x"], place["y"] = left, top
        left, height = left + place["w"], max(height, place["h"])


def link_to(uid: str, title: str) -> Builder[Any]:
    """Link a panel to another dashboard, with time and variables."""
    return dashboard.DashboardLink(title).type(dashboard_model.DashboardLinkType.LINK).url(address_of(uid))


def address_of(uid: str) -> str:
    """Return the address of another dashboard, with the time range, the site and the data source of this one."""
    return f"/d/{uid}?${{__url_time_range}}&${{site:queryparam}}&${{{DATASOURCE}:queryparam}}"


def _links() -> Builder[Any]:
    """Link to all dashboards of Plantree."""
    links = dashboard.DashboardLink("Plantree").type(dashboard_model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return links.as_dropdown(False).include_vars(True).keep_time(True)


def _wall_screen(uid: str) -> Builder[Any]:
    """Link to the same page without menus."""
    link = dashboard.DashboardLink("Wall screen").type(dashboard_model.DashboardLinkType.LINK)
    return link.url(f"/d/{uid}?kiosk").icon("external link").include_vars(True).keep_time(True)


def _variables(speaks: Speaks, machine_type: str) -> Iterable[Builder[Any]]:
    default = dashboard_model.VariableOption(selected=True, text="Plantree", value=DEFAULT_UID)
    yield dashboard.DatasourceVariable(DATASOURCE).label("Data source").type(speaks.plugin).current(default)
    yield _chosen("site", "Site", speaks.sites(), speaks)
    yield _chosen("machine", "Machine", speaks.machines(machine_type), speaks).regex(MACHINE_OF)


def _chosen(name: str, label: str, query: Any, speaks: Speaks) -> Any:
    everything = dashboard_model.VariableOption(selected=True, text="All", value="$__all")
    text = query if isinstance(query, str) else dict(query)
    variable = dashboard.QueryVariable(name).label(label).query(text).datasource(source(speaks.plugin))
    variable = variable.current(everything).multi(True).include_all(True).all_value(".+")
    variable = variable.refresh(dashboard_model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(dashboard_model.VariableSort.ALPHABETICAL_ASC)


def _written() -> Builder[Any]:
    """Annotations that Plantree wrote to Grafana; off, as they say what those from the database say."""
    grafana = common_model.DataSourceRef(type_val="grafana", uid="-- Grafana --")
    tagged: Any = dashboard.AnnotationTarget().type("tags").tags([TAG]).limit(100).match_any(False)
    query = dashboard.AnnotationQuery().name("Written by Plantree").enable(False).icon_color("orange")
    return query.datasource(grafana).target(tagged)


class _Annotations(Builder[Any]):
    """Activations of conditions, from the database."""

    def __init__(self, speaks: Speaks) -> None:
        self._speaks = speaks

    def build(self) -> Any:
        query = dashboard.AnnotationQuery().name("Alarms").enable(True).icon_color("red")
        built = query.datasource(source(self._speaks.plugin)).build()
        return _WithFields(built, self._speaks.annotation())


class _WithFields:
    """An annotation query with the fields of its data source's plug-in, which the SDK does not know."""

    def __init__(self, built: Any, fields: Any) -> None:
        self._built = built
        self._fields = fields

    def to_json(self) -> dict[str, object]:
        return {**self._built.to_json(), **self._fields}

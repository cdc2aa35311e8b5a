"""Dashboards that are about the plant as a whole: overview, alarms, the server's health."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from address_space import diagnostics
from address_space.model import BuiltinType, MachineType, Plant, VariableDeclaration
from grafana import panels
from grafana.boards import LAST_DAY, LAST_HOUR, Board, address_of, link_to
from grafana.query import Series, Speaks, Target
from grafana.sdk import common_model, dashboard_model

_KEY_FIGURES = ("ActivePower", "PowerConsumption", "OEE", "LineSpeed", "Temperature", "AirQualityIndex", "FrameRate")
_ALARMS = "Alarms"
"""The object of ServerDiagnostics that has the figures of ISA-18.2, where there is one."""
_PICTURE = {"snapshot": "Picture", "uri": "Picture"}
"""{column: title} of the address of a picture: InfluxDB's, VictoriaMetrics'."""
_GATEWAY, _SOURCE = diagnostics.GATEWAY_TYPE, diagnostics.SOURCE_TYPE
_METRICS = {
    "Consumers behind": ("max(plantree_cursor_lag_rows) by (consumer)", "Changes a consumer has not read", "none"),
    "Changes missed": ("sum(plantree_cursor_lost_total) by (consumer)", "Changes that a consumer missed", "none"),
}
"""{title: (PromQL, description, unit)} of what only /metrics has."""


class Page(NamedTuple):
    """A type's dashboard: its uid is `plantree-SLUG`; `since` is where its time range begins."""

    slug: str
    title: str
    since: str = LAST_HOUR


def plant_overview(plant: Plant, speaks: Speaks, pages: Mapping[str, Page]) -> Board:
    """Build the first page: states of all machines, key figures, alarms, quality of the data."""
    board = Board(speaks, "overview", "Plant overview", f"{plant.description}: every machine at a glance.")
    board.row("Alarms and data")
    standing = panels.count("Standing alarms", "Conditions that are active", alarming=True)
    board.add(standing.links([link_to("plantree-alarms", "Alarms")]), speaks.standing_count())
    unacknowledged = panels.count("Unacknowledged", "Conditions that nobody has acknowledged", alarming=True)
    board.add(unacknowledged.links([link_to("plantree-alarms", "Alarms")]), speaks.unacknowledged_count())
    quality = panels.count("Variables by quality", "Variables whose present status is Good, Uncertain or Bad")
    board.add(quality.span(16).links([link_to("plantree-server", "Server health")]), speaks.qualities())
    _own_variables(board, plant.root.type)
    for name, page in pages.items():
        _summary(board, plant.types[name], page.slug, page.title)
    return board


def _own_variables(board: Board, machine_type: MachineType) -> None:
    """Show the plant's own variables, such as the cause of an emergency stop."""
    declarations = list(machine_type.variables.values())
    if not declarations:
        return
    board.row("Plant")
    add_variables(board, machine_type, declarations, any_machine=True)


def add_variables(
    board: Board, machine_type: MachineType, declarations: list[VariableDeclaration], *, any_machine: bool
) -> None:
    """Show present values of variables: numbers and states as figures, texts as a table."""
    texts = tuple(d.name for d in declarations if d.type is BuiltinType.String)
    for declaration in declarations:
        if declaration.name in texts:
            continue
        targets = board.speaks.last(Series(machine_type.name, (declaration.name,), any_machine))
        if declaration.type is BuiltinType.DateTime:
            targets = [milliseconds(board.speaks, target) for target in targets]
        limits = panels.limits_of(machine_type, declaration.name)
        board.add(panels.number(declaration.name, declaration, limits), targets)
    if texts:
        add_texts(board, "Texts", Series(machine_type.name, texts, any_machine))


def add_texts(board: Board, title: str, series: Series) -> None:
    """Show present texts, a row a variable."""
    panel = panels.listing(title, "Texts as they are now")
    hidden = ("Time", "Value", "__name__", "name", "site", "type")
    names = {"node": "Variable", "text": "Text"}
    board.add(panel.with_transformation(panels.renamed(names, hidden)), board.speaks.texts(series))


def milliseconds(speaks: Speaks, target: Target) -> Target:
    """Turn seconds since 1970 into the milliseconds that Grafana's times are."""
    if speaks.name == "promql":
        return replace(target, text=f"({target.text}) * 1000")
    if speaks.name == "flux":
        return replace(target, text=f"{target.text}\n  |> map(fn: (r) => ({{r with _value: r._value * 1000.0}}))")
    return replace(target, text=target.text.replace('last("value")', 'last("value") * 1000', 1))


def _summary(board: Board, machine_type: MachineType, slug: str, title: str) -> None:
    """Show a type's states over time and its key figures, with a link to its own page."""
    board.row(title)
    variables = machine_type.variables
    link = [link_to(f"plantree-{slug}", title)]
    enumerated = next((d for d in variables.values() if d.enumeration), None)
    if enumerated is not None and enumerated.enumeration is not None:
        mappings = panels.state_mappings(enumerated.enumeration)
        panel = panels.states(f"{title}: {enumerated.name}", enumerated.description, mappings)
        board.add(panel.links(link).span(16), board.speaks.trend(Series(machine_type.name, (enumerated.name,))))
    numbers = [d for d in variables.values() if d.type.is_numeric and not d.enumeration]
    chosen = [d for d in numbers if d.name in _KEY_FIGURES] or numbers[:2]
    for declaration in chosen[:2]:
        panel = panels.number(declaration.name, declaration, panels.limits_of(machine_type, declaration.name))
        board.add(panel.links(link), board.speaks.last(Series(machine_type.name, (declaration.name,))))


def alarms(plant: Plant, speaks: Speaks) -> Board:
    """Build the page of conditions: what stands, with pictures, figures of ISA-18.2, states over time, hours."""
    board = Board(
        speaks, "alarms", "Alarms", "Conditions: what stands, what was, and how often (ISA-18.2).", since=LAST_DAY
    )
    board.row("Now")
    board.add(panels.count("Standing", "Conditions that are active", alarming=True), speaks.standing_count())
    unacknowledged = panels.count("Unacknowledged", "Conditions that nobody has acknowledged", alarming=True)
    board.add(unacknowledged, speaks.unacknowledged_count())
    activations = panels.count("Activations in the time range", "ISA-18.2: no more than about 6 an hour and operator")
    board.add(activations, speaks.activations())
    board.add(_standing_list(), speaks.standing())
    figures = plant.find_machine(f"{plant.name}.{diagnostics.OBJECT}.{_ALARMS}")
    if figures is not None:
        board.row("Figures of ISA-18.2")
        add_variables(board, figures.type, list(figures.type.variables.values()), any_machine=True)
    board.row("Over time")
    timeline = panels.states(
        "Conditions", "State of each condition after ISA-18.2", panels.value_mappings(panels.CONDITION_STATES)
    )
    board.add(timeline.height(10), speaks.condition_states())
    by_hour = panels.hours("Activations by hour", "How many activations each machine had in each hour")
    board.add(by_hour, speaks.activations_by_hour())
    board.add(panels.ranking("Most frequent", "The ten conditions with the most activations"), speaks.offenders())
    return board


def _standing_list() -> Any:
    """List them, with the picture that a camera raised the alarm with."""
    panel = panels.listing("Standing and unacknowledged", "Conditions that are active or not acknowledged")
    panel = (
        panel.height(12)
        .cell_height(common_model.TableCellHeight.LG)
        .with_transformation(dashboard_model.DataTransformerConfig(id_val="merge", options={}))
    )
    names = {
        "condition": "Condition",
        "source": "Machine",
        "severity": "Severity",
        "message": "Message",
        "active": "Active",
        "acked": "Acknowledged",
        "Value #A": "Severity",
        "Value #B": "Active",
        "Value #C": "Acknowledged",
        **_PICTURE,
    }
    panel = panel.with_transformation(panels.renamed(names, ("Time", "Value #D", "__name__", "site", "sha256")))
    yes_no = panels.value_mappings({0: ("no", "orange"), 1: ("yes", "green")})
    mappings = dashboard_model.DynamicConfigValue(id_val="mappings", value=[item.to_json() for item in yes_no])
    for column in ("Active", "Acknowledged"):
        panel = panel.override_by_name(column, [mappings])
    to_machine = f"{address_of('plantree-overview')}&var-machine=${{__data.fields.Machine}}"
    to_history = f"{address_of('plantree-alarms')}&var-machine=${{__data.fields.Machine}}"
    panel = panel.override_by_name("Machine", [_linked("Overview of this machine", to_machine)])
    panel = panel.override_by_name("Condition", [_linked("Alarms of this machine", to_history)])
    return _with_pictures(panel)


def _linked(title: str, url: str, *, elsewhere: bool = False) -> dashboard_model.DynamicConfigValue:
    link = {"title": title, "url": url, "targetBlank": elsewhere}
    return dashboard_model.DynamicConfigValue(id_val="links", value=[link])


def _with_pictures(panel: Any) -> Any:
    """Show the column Picture, an address, as the picture, with a link to it."""
    shown = dashboard_model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "image"})
    return panel.override_by_name("Picture", [shown, _linked("Open the picture", "${__value.raw}", elsewhere=True)])


def gallery(board: Board) -> None:
    """Show pictures of alarms: the text of `snapshot` is the picture's address."""
    panel = panels.listing("Pictures of alarms", "The newest pictures that cameras raised an alarm with").height(12)
    names = {"condition": "Condition", **_PICTURE}
    panel = panel.with_transformation(panels.renamed(names, ("Time", "Value", "__name__", "site", "source", "sha256")))
    panel = _with_pictures(panel.cell_height(common_model.TableCellHeight.LG))
    board.row("Gallery")
    board.add(panel, board.speaks.snapshots())


def server_health(plant: Plant, speaks: Speaks) -> Board:
    """Build the page of the server's own parts: gateways with lag, outbox and drops; sources; sessions."""
    board = Board(speaks, "server", "Server health", "Sessions, gateways, their outboxes and losses, sources.")
    _gateways(board)
    board.row("Sources")
    overview = list(_SOURCE.variables.values())
    add_variables(board, _SOURCE, overview, any_machine=True)
    folder = f"{plant.name}.{diagnostics.OBJECT}"
    known = {_GATEWAY.name, _SOURCE.name}
    for machine in plant.machines:
        is_inside = machine.path == folder or machine.path.startswith(f"{folder}.")
        is_inside = is_inside and machine.path != f"{folder}.{_ALARMS}"
        if is_inside and machine.type.name not in known and machine.type.variables:
            known.add(machine.type.name)
            board.row(machine.name)
            add_variables(board, machine.type, list(machine.type.variables.values()), any_machine=True)
    if speaks.name == "promql":
        _metrics(board)
    return board


def _gateways(board: Board) -> None:
    board.row("Gateways")
    variables = _GATEWAY.variables
    for name in ("Connected", "Dropping"):
        panel = panels.states(name, variables[name].description, panels.BOOLEAN_MAPPINGS)
        board.add(panel, board.speaks.trend(Series(_GATEWAY.name, (name,), any_machine=True)))
    for name in ("Lag", "QueueDepth", "Delivered", "Dropped"):
        panel = panels.trend(name, [variables[name]], {})
        board.add(panel, board.speaks.trend(Series(_GATEWAY.name, (name,), any_machine=True)))
    rest = [variables[name] for name in ("State", "Since", "Restarts", "LastError")]
    add_variables(board, _GATEWAY, rest, any_machine=True)


def _metrics(board: Board) -> None:
    """Show what /metrics has, where VictoriaMetrics scrapes it as docker compose has it."""
    board.row("Server")
    for title, (expression, description, unit) in _METRICS.items():
        legend = "{{consumer}}" if "consumer" in expression else title
        panel = panels.bars(title, description, unit).interval("15s").span(8)
        panel = panel.draw_style(common_model.GraphDrawStyle.LINE).fill_opacity(8)
        board.add(panel, [Target(expression, legend=legend)])

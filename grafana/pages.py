"""All dashboards of a plant, derived from its model: one a type, and those of the plant as a whole."""

import json
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from address_space import diagnostics
from address_space.model import BuiltinType, MachineType, Plant, VariableDeclaration
from grafana import overviews, panels
from grafana.boards import LAST_DAY, LAST_SHIFT, Board
from grafana.overviews import Page
from grafana.query import Series, Speaks
from grafana.units import unit_id

TITLES = {
    "GeneratorType": Page("generator", "Generator"),
    "ProductionLineType": Page("lines", "Production lines", LAST_SHIFT),
    "EnergyMeterType": Page("energy", "Energy", LAST_DAY),
    "EnvironmentType": Page("environment", "Environment"),
    "CameraType": Page("cameras", "Cameras"),
}
"""Types whose dashboards have a name of their own; any other is called after its type."""

_ON_A_PANEL = 4
_OEE = ("OEE", "Availability", "Performance", "Quality")
_COUNTERS = {"kWh": "Energy", "MWh": "Energy", "piece": "Pieces"}


def dashboards(plant: Plant, speaks: Speaks) -> dict[str, str]:
    """Return {uid: JSON} of every dashboard in one query language."""
    pages = type_pages(plant)
    boards = [overviews.plant_overview(plant, speaks, pages), overviews.alarms(plant, speaks)]
    boards += [_of_type(plant.types[name], page, speaks) for name, page in pages.items()]
    boards.append(overviews.server_health(plant, speaks))
    return {board.uid: _text(board) for board in boards}


def type_pages(plant: Plant) -> dict[str, Page]:
    """Return {type: page} of the types that have a dashboard: those of which there are machines."""
    own = {machine.type.name for machine in plant.machines} - set(diagnostics.TYPES)
    return {
        name: TITLES.get(name, Page(_slug(name), _words(name)))
        for name, machine_type in plant.types.items()
        if name in own and machine_type.variables
    }


def _text(board: Board) -> str:
    return json.dumps(board.build(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _of_type(machine_type: MachineType, page: Page, speaks: Speaks) -> Board:
    board = Board(speaks, page.slug, page.title, f"{machine_type.description}.", machine_type.name, page.since)
    variables = machine_type.variables
    if all(name in variables for name in _OEE):
        _oee(board, machine_type)
    if machine_type.name == "CameraType":
        overviews.gallery(board)
    _states(board, machine_type)
    _now(board, machine_type)
    _counters(board, machine_type)
    _trends(board, machine_type)
    _texts(board, machine_type)
    return board


def _oee(board: Board, machine_type: MachineType) -> None:
    """Show overall equipment effectiveness and its factors (ISO 22400-2)."""
    board.row("OEE")
    for name in _OEE:
        declaration = machine_type.variables[name]
        limits = panels.limits_of(machine_type, name) or {"low_low": 40.0, "low": 65.0}
        board.add(panels.dial(name, declaration, limits), board.speaks.last(Series(machine_type.name, (name,))))


def _states(board: Board, machine_type: MachineType) -> None:
    shown = [d for d in machine_type.variables.values() if d.enumeration or d.type is BuiltinType.Boolean]
    if not shown:
        return
    board.row("States")
    for declaration in shown:
        names = declaration.enumeration
        mappings = panels.BOOLEAN_MAPPINGS if names is None else panels.state_mappings(names)
        panel = panels.states(declaration.name, declaration.description, mappings)
        board.add(panel, board.speaks.trend(Series(machine_type.name, (declaration.name,))))


def _now(board: Board, machine_type: MachineType) -> None:
    board.row("Now")
    shown = [d for d in machine_type.variables.values() if d.type is not BuiltinType.String]
    for declaration in shown:
        limits = panels.limits_of(machine_type, declaration.name)
        targets = board.speaks.last(Series(machine_type.name, (declaration.name,)))
        if declaration.type is BuiltinType.DateTime:
            panel = panels.number(declaration.name, declaration, limits).unit("dateTimeAsIso")
            targets = [overviews.milliseconds(board.speaks, target) for target in targets]
        else:
            panel = panels.number(declaration.name, declaration, limits)
        board.add(panel, targets)


def _counters(board: Board, machine_type: MachineType) -> None:
    """Show what grew: energy, pieces."""
    counted = [d for d in machine_type.variables.values() if d.unit and d.unit.symbol in _COUNTERS]
    if not counted:
        return
    board.row("Counted")
    for declaration in counted:
        series = Series(machine_type.name, (declaration.name,))
        unit = unit_id(declaration)
        title = f"{declaration.name} in the time range"
        board.add(
            panels.count(title, declaration.description, unit=unit).span(12).height(8), board.speaks.growth(series)
        )
        bars = panels.bars(f"{declaration.name} an hour", declaration.description, unit)
        board.add(bars, board.speaks.hourly(series))


def _trends(board: Board, machine_type: MachineType) -> None:
    board.row("Trends")
    for group in _together(machine_type):
        names = tuple(declaration.name for declaration in group)
        limits = panels.limits_of(machine_type, names[0])
        panel = panels.trend(", ".join(names), group, limits)
        board.add(panel, board.speaks.trend(Series(machine_type.name, names)))


def _together(machine_type: MachineType) -> Iterator[list[VariableDeclaration]]:
    """Group numbers that read well on one panel: same unit and range, side by side in the model; with limits, alone."""

    def key(declaration: VariableDeclaration) -> tuple[Any, ...]:
        alone = declaration.name if panels.limits_of(machine_type, declaration.name) else ""
        return (declaration.unit, declaration.range, alone)

    numbers = [d for d in machine_type.variables.values() if d.type.is_numeric and not d.enumeration]
    for _, group in groupby(numbers, key):
        members = list(group)
        for start in range(0, len(members), _ON_A_PANEL):
            yield members[start : start + _ON_A_PANEL]


def _texts(board: Board, machine_type: MachineType) -> None:
    names = tuple(d.name for d in machine_type.variables.values() if d.type is BuiltinType.String)
    if names:
        board.row("Texts")
        overviews.add_texts(board, "Texts", Series(machine_type.name, names))


def _slug(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name.removesuffix("Type")).lower()[:30]


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.removesuffix("Type")).capitalize()

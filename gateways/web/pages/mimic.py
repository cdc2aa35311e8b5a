"""The mimic diagram: the plant as a single-line diagram in SVG, made from the model. Pure.

What feeds the plant is above the bus bar, what it drives below; analog values have a bar over their range with the
zones of their limits (ANSI/ISA-101.01). The browser's script fills in what carries `data-path`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from address_space.model import BuiltinType, Condition, Machine, Plant, Variable
from gateways.web.pages.describe import conditions_of, decimals, limits, unit
from gateways.web.pages.markup import Markup, el, join
from gateways.web.pages.symbols import SUPPLY, Symbol, drawing, is_shown, symbol_of
from gateways.web.pages.texts import Texts

WIDTH, GAP, HEIGHT, HALF, BUS = 304, 14, 268, 127, 56
"""Units of a cell; HALF is the height of a cell with few values, BUS the room of the bus bar."""
_BAR, _ROW, _HEAD, _HEAD_HALF = 58, 27, 68, 42
_LETTER, _DIGIT = 7.0, 9.3
"""How wide a letter of a label and a digit of a value are, about."""
MOST_ROWS = 2 * ((HEIGHT - _HEAD) // _ROW)
"""Values that the largest cell shows."""
_LIVELY = ("Speed", "LineSpeed", "ActivePower", "PowerConsumption", "Frequency", "FrameRate", "Temperature", "Humidity",
           "CO2", "AirQualityIndex", "NoiseLevel", "PowerFactor", "OilPressure", "CoolantTemperature", "FuelLevel",
           "WindingTemperature", "ProductionCount", "OEE", "Pressure", "Vibration", "GridStatus",
           "LastDetectionClass", "VoltageL1", "Power")  # fmt: skip
"""Names that an operator wants to see first; what else a type has comes after them, watched variables before others."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A machine at its place: upper left corner, size, and how many values fit."""

    machine: Machine
    symbol: Symbol
    x: int
    y: int
    width: int
    height: int

    @property
    def supplies(self) -> bool:
        """Whether it feeds the bus bar."""
        return self.symbol in SUPPLY

    @property
    def drives(self) -> bool:
        """Whether the bus bar feeds it."""
        return self.symbol in (Symbol.LINE, Symbol.MACHINE)


@dataclass(frozen=True, slots=True)
class Layout:
    """Cells in a drawing of `width` by `height` units; the bus bar is at `bus`."""

    cells: tuple[Cell, ...]
    width: int
    height: int
    bus: int


def layout(plant: Plant, columns: int) -> Layout:
    """Place every machine of the process: supplies, the bus bar, loads, and the others where there is room."""
    shown = [(machine, symbol_of(machine.type)) for machine in plant.machines if is_shown(machine)]
    supplies = [it for it in shown if it[1] in SUPPLY]
    loads = [it for it in shown if it[1] in (Symbol.LINE, Symbol.MACHINE)]
    others = [it for it in shown if it not in supplies and it not in loads]
    wide = columns >= 3
    top = _Rows(columns, 0)
    for machine, symbol in supplies:
        top.add(machine, symbol, 2 if wide and symbol is Symbol.GENERATOR else 1)
    while supplies and others and top.left and others[0][1] is not Symbol.CAMERA:
        top.add(*others.pop(0), 1)
    bus = top.bottom + BUS // 2
    below = _Rows(columns, top.bottom + BUS if supplies else 0)
    for machine, symbol in loads + others:
        below.add(machine, symbol, 1)
    width = columns * WIDTH + (columns - 1) * GAP
    return Layout((*top.cells, *below.cells), width, max(below.bottom, top.bottom), bus)


class _Rows:
    """Fills rows of cells from left to right; two cells of half a height share a place."""

    def __init__(self, columns: int, y: int) -> None:
        self._columns, self._column, self._y = columns, 0, y
        self._half: tuple[int, int] | None = None
        self.cells: list[Cell] = []
        self.bottom = y

    @property
    def left(self) -> int:
        """Columns that are free in this row."""
        return self._columns - self._column

    def add(self, machine: Machine, symbol: Symbol, span: int) -> None:
        """Place a machine over `span` columns."""
        half = symbol is Symbol.CAMERA
        if half and self._half is not None:
            (x, y), self._half = self._half, None
        else:
            if span > self.left:
                self._column, self._y = 0, self.bottom + GAP
            x, y = self._column * (WIDTH + GAP), self._y
            self._column += span
            self._half = (x, y + HALF + GAP) if half else self._half
        height = HALF if half else HEIGHT
        self.cells.append(Cell(machine, symbol, x, y, span * WIDTH + (span - 1) * GAP, height))
        self.bottom = max(self.bottom, y + height)


def shown_variables(machine: Machine, watched: Iterable[Condition], most: int) -> list[Variable]:
    """Choose what a cell shows: what operators look at first, then what alarms watch, then the rest."""
    inputs = {variable.name for condition in watched for variable in condition.inputs}

    def rank(variable: Variable) -> tuple[int, int]:
        name = variable.name
        if name in _LIVELY:
            return 0, _LIVELY.index(name)
        return (1 if name in inputs else 2), variable.id

    fitting = [v for v in machine.variables.values() if v.name != "State" and not v.name.startswith("EmergencyStop")]
    return sorted(fitting, key=rank)[:most]


def mimic(plant: Plant, columns: int, texts: Texts) -> Markup:
    """Draw the plant for a page that has room for so many cells beside each other."""
    placed = layout(plant, columns)
    watched = conditions_of(plant)
    wires = join(_wire(cell, placed) for cell in placed.cells) if any(c.supplies for c in placed.cells) else None
    bar = el("line", x1=0, x2=placed.width, y1=placed.bus, y2=placed.bus, class_="bus") if wires else None
    label = texts("mimic_label", name=texts.machine(plant.name))
    return el(
        "svg", el("g", bar, wires, class_="wires", aria_hidden="true"),
        [_cell(cell, watched.get(cell.machine.path, []), texts) for cell in placed.cells],
        viewBox=f"-2 -2 {placed.width + 4} {placed.height + 4}", class_=f"mimic columns-{columns}", role="group",
        aria_label=label,
    )  # fmt: skip


def _wire(cell: Cell, placed: Layout) -> Markup | None:
    """Draw the way from a cell to the bus bar; only cells next to it have one."""
    if not (cell.supplies or cell.drives):
        return None
    x = cell.x + cell.width // 2
    near = cell.y + cell.height if cell.supplies else cell.y
    if abs(near - placed.bus) > BUS:
        return None
    state = cell.machine.variables.get("State") or cell.machine.variables.get("GridStatus")
    on = _on_values(state)
    middle = (near + placed.bus) // 2
    return el(
        "g", el("line", x1=x, x2=x, y1=near, y2=placed.bus), el("rect", x=x - 5, y=middle - 5, width=10, height=10),
        class_="wire", data_path=state.path if state and on else None, data_show="on" if on else None,
        data_on=on or None,
    )  # fmt: skip


def _on_values(state: Variable | None) -> str:
    """Return the values of a state in which a machine runs, or the mains are there."""
    enumeration = state.declaration.enumeration if state is not None else None
    names = enumeration.values if enumeration is not None else ()
    return " ".join(str(number) for number, name in enumerate(names) if name in ("Running", "Normal", "Starting"))


def _cell(cell: Cell, watched: Sequence[Condition], texts: Texts) -> Markup:
    machine = cell.machine
    half = cell.height == HALF
    most = (cell.height - (_HEAD if not half else _HEAD_HALF)) // _ROW * (2 if cell.width > WIDTH else 1)
    chosen = shown_variables(machine, watched, most)
    top = _HEAD_HALF if half else _HEAD
    per_column = -(-len(chosen) // 2) if cell.width > WIDTH else len(chosen)
    rows = [
        _row(variable, watched, 14 + index // per_column * (WIDTH + GAP), top + index % per_column * _ROW, texts)
        for index, variable in enumerate(chosen)
    ]  # fmt: skip
    link = el(
        "a",
        el("rect", class_="panel", width=cell.width, height=cell.height, rx=6),
        _head(cell, half=half, texts=texts),
        el("rect", class_="ring", x=-1, y=-1, width=cell.width + 2, height=cell.height + 2, rx=7),
        href=f"/machine/{machine.path}", data_machine=machine.path,
    )  # fmt: skip
    return el("g", link, el("g", rows, class_="rows"), class_="cell", transform=f"translate({cell.x} {cell.y})")


def _head(cell: Cell, *, half: bool, texts: Texts) -> Markup:
    machine = cell.machine
    size = 0.62 if half else 0.92
    state = machine.variables.get("State")
    left = 50 if half else 66
    shape = el(
        "g", drawing(cell.symbol), class_="symbol", transform=f"translate({10} {8}) scale({size:g})",
        data_path=state.path if state else None, data_show="on" if state else None,
        data_on=_on_values(state) or None,
    )  # fmt: skip
    below: Markup | None
    if state is not None:
        below = el("text", "…", x=left, y=49, class_="state", data_path=state.path, data_show="value")
    else:
        below = None if half else el("text", texts.of(machine.description), x=left, y=49, class_="about")
    name = el("text", texts.machine(machine.name), x=left, y=28 if not half else 27, class_="name")
    mark = el("g", class_="mark", data_marks=machine.path, transform=f"translate({cell.width - 38} 8)")
    stop = machine.variables.get("EmergencyStopActive")
    latch = None
    if stop is not None:
        latch = el(
            "text", texts("stopped_short"), x=cell.width - 46, y=28, class_="latched", text_anchor="end",
            data_path=stop.path, data_show="on", data_on="1",
        )  # fmt: skip
    return join((shape, name, below, latch, mark))


def _row(variable: Variable, watched: Sequence[Condition], x: int, y: int, texts: Texts) -> Markup:
    declared = variable.declaration
    middle = y + _ROW // 2
    analog = declared.type.is_numeric and declared.range is not None and declared.enumeration is None
    wide = not analog or declared.type is BuiltinType.UInt64
    value = el(
        "text", "…", x=WIDTH - 28 if wide else 172, y=middle + 5, class_="value", text_anchor="end",
        data_path=variable.path, data_show="value",
    )  # fmt: skip
    units = None if wide else el("text", unit(variable), x=178, y=middle + 5, class_="unit")
    bar = None if wide else el("g", _bar(variable, watched), transform=f"translate({WIDTH - 28 - _BAR} {middle})")
    backing = el("rect", class_="backing", x=-6, y=y + 2, width=WIDTH - 16, height=_ROW - 4, rx=4)
    label = _label(texts.name(variable.name), 190 if wide else 164 - _DIGIT * _figures(variable), middle + 5)
    return el("g", backing, label, value, units, bar, transform=f"translate({x} 0)", class_="row")


def _label(words: str, room: float, y: float) -> Markup:
    """Make a label, narrower than its font has it where it would run into the value."""
    fitted: dict[str, str | float] = {}
    if len(words) * _LETTER > room:
        fitted = {"textLength": room, "lengthAdjust": "spacingAndGlyphs"}
    return el("text", words, x=0, y=y, class_="label", **fitted)


def _figures(variable: Variable) -> int:
    """Return how many characters the longest value of a variable's range has."""
    return max(len(f"{end:,.{decimals(variable)}f}") for end in variable.declaration.range or (0.0,))


def zones(variable: Variable, watched: Iterable[Condition]) -> list[tuple[str, float, float]]:
    """Return the zones of a variable's bar beyond its limits: name, and from where to where as shares of the range."""
    if variable.declaration.range is None:
        return []
    low, high = variable.declaration.range
    span = (high - low) or 1.0
    at = {name: min(max((value - low) / span, 0.0), 1.0) for name, value in limits(variable, watched).items()}
    found: list[tuple[str, float, float]] = []
    if "low_low" in at:
        found.append(("low_low", 0.0, at["low_low"]))
    if "low" in at:
        found.append(("low", at.get("low_low", 0.0), at["low"]))
    if "high" in at:
        found.append(("high", at["high"], at.get("high_high", 1.0)))
    if "high_high" in at:
        found.append(("high_high", at["high_high"], 1.0))
    return found


def _bar(variable: Variable, watched: Sequence[Condition]) -> Markup:
    drawn = [
        el("rect", class_=f"zone {name}", x=start * _BAR, width=(end - start) * _BAR, y=-5, height=10)
        for name, start, end in zones(variable, watched)
    ]
    pointer = el(
        "path", d="M0 -1 -5 -9H5z", class_="pointer", data_path=variable.path, data_show="pointer", data_width=_BAR
    )
    return join((el("rect", class_="track", y=-5, width=_BAR, height=10), drawn, pointer))

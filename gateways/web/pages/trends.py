"""Trends: curves of variables from the historian, with zoom."""

from collections.abc import Sequence

from address_space.model import BuiltinType, Variable
from gateways.web.pages.markup import el
from gateways.web.pages.mimic import shown_variables
from gateways.web.pages.shell import View, document, page_head
from gateways.web.pages.symbols import is_shown

SPANS = ("hour", "day", "week")
_DRAWABLE = frozenset(BuiltinType) - {BuiltinType.String, BuiltinType.DateTime}
MOST = 6


def page(view: View, paths: Sequence[str], span: str) -> str:
    """Make the page for variables at `paths`; for what an operator looks at first where there are none."""
    texts, plant = view.texts, view.plant
    chosen = [found for path in paths if (found := plant.find(path)) is not None and _drawable(view, found)][:MOST]
    shown = chosen or _usual(view)
    choices = [
        el("optgroup", [el("option", texts.name(it.name), value=it.path) for it in machine.variables.values()
                        if _drawable(view, it)], label=texts.machine(machine.name))
        for machine in plant.objects
    ]  # fmt: skip
    spans = [el("button", texts(it), data_span=it, aria_pressed="true" if it == span else "false") for it in SPANS]
    picker = el(
        "select", el("option", texts("add_variable"), value=""), choices, id="add", aria_label=texts("add_variable")
    )
    body = (
        page_head(texts("trends"), el("div", spans, class_="toggle", role="group", aria_label=texts("time")), picker),
        el("ul", id="curves", class_="curves"),
        el("div", id="chart", class_="chart", role="img", tabindex="0", aria_label=texts("trends"),
           data_paths=" ".join(it.path for it in shown), data_span=span if span in SPANS else SPANS[0]),
        el("p", texts("zoom_hint"), class_="hint"),
        el("p", id="trend-error", class_="error", role="alert"),
        el("details", el("summary", texts("as_table")), el("div", id="trend-table", class_="scroll", tabindex="0",
                                                             role="region", aria_label=texts("as_table"))),
    )  # fmt: skip
    known = [it for machine in plant.objects for it in machine.variables.values() if _drawable(view, it)]
    return document(view, "trends", body, known, "trends")


def _drawable(view: View, variable: Variable) -> bool:
    return variable.declaration.type in _DRAWABLE and view.has(variable.declaration.read_role)


def _usual(view: View) -> list[Variable]:
    machine = next((it for it in view.plant.machines if is_shown(it)), view.plant.root)
    found = shown_variables(machine, view.watched.get(machine.path, []), 8)
    return [it for it in found if _drawable(view, it)][:3]

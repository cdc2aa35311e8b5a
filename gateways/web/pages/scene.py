"""The plant in three dimensions, coloured by state; the list beside it says the same in words."""

import json
from typing import Any

from address_space.model import BuiltinType
from gateways.web.pages.markup import Markup, el
from gateways.web.pages.mimic import layout
from gateways.web.pages.shell import View, document, page_head

_COLUMNS = 4
_STATES = ("State", "GridStatus", "Online")
"""Variables that say how a machine is; without one, whether there is a value at all."""


def page(view: View) -> str:
    """Make the page; where machines stand is where the mimic diagram has them."""
    placed = layout(view.plant, _COLUMNS)
    machines: list[dict[str, Any]] = []
    for cell in placed.cells:
        state = next((it for name in _STATES if (it := cell.machine.variables.get(name))), None)
        state = state or next(iter(cell.machine.variables.values()), None)
        enumeration = state.declaration.enumeration if state is not None else None
        is_flag = state is not None and state.declaration.type is BuiltinType.Boolean
        names = enumeration.values if enumeration is not None else ("Stopped", "Running") if is_flag else ()
        machines.append({
            "path": cell.machine.path, "name": view.texts.machine(cell.machine.name), "symbol": cell.symbol.value,
            "x": cell.x + cell.width / 2 - placed.width / 2, "y": cell.y + cell.height / 2 - placed.height / 2,
            "state": state.path if state else None, "names": names,
        })  # fmt: skip
    rows = [
        el("li", el("a", el("span", class_="swatch", data_swatch=cell.machine.path, aria_hidden="true"),
                    el("strong", view.texts.machine(cell.machine.name)),
                    el("span", class_="value", data_path=known["state"],
                       data_show="value" if known["state"] else None),
                    href=f"/machine/{cell.machine.path}"), data_row=cell.machine.path)
        for cell, known in zip(placed.cells, machines, strict=True)
    ]  # fmt: skip
    shown = [view.plant.variable(it["state"]) for it in machines if it["state"]]
    written = json.dumps(machines).replace("<", "\\u003c")
    body = (
        page_head(view.texts("scene")),
        el("div",
           el("div", el("canvas", id="scene", tabindex="0", role="img", aria_label=view.texts("scene_label")),
              el("div", id="labels", class_="labels", aria_hidden="true"),
              el("p", view.texts("no_webgl"), id="no-webgl", hidden=True), class_="stage"),
           el("ul", rows, class_="legend", aria_label=view.texts("machines")), class_="scene"),
        el("script", Markup(written), type="application/json", id="machines"),
    )  # fmt: skip
    return document(view, "scene", body, shown, "scene")

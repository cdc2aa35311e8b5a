"""One machine: every variable with its range and quality, set-points to write, commands to run."""

from collections.abc import Iterable, Sequence

from address_space.model import Argument, BuiltinType, Command, Condition, Machine, Variable
from gateways.web.pages.describe import unit
from gateways.web.pages.markup import Markup, el, join
from gateways.web.pages.mimic import zones
from gateways.web.pages.shell import View, document, page_head
from gateways.web.pages.symbols import drawing, symbol_of

_RESERVED = ("EmergencyStop", "ResetEmergencyStop")  # every page has these at its top


def page(view: View, machine: Machine) -> str:
    """Make the page of a machine; of a folder, with what is right below it."""
    texts = view.texts
    parts = [machine, *(it for it in view.plant.children(machine) if machine is not view.plant.root)]
    shown = [variable for part in parts for variable in part.variables.values()]
    below = [
        el("a", texts.machine(it.name), href=f"/machine/{it.path}", class_="button")
        for it in view.plant.children(machine) if machine is view.plant.root
    ]  # fmt: skip
    symbol = el(
        "svg", drawing(symbol_of(machine.type)), viewBox="0 0 48 48", class_="machine-symbol", aria_hidden="true"
    )
    body = [
        el("div", symbol, page_head(texts.machine(machine.name), *_commands(view, machine)), class_="machine-head"),
        el("p", texts.of(machine.description or machine.type.description), class_="hint"),
        el("div", below, class_="children") if below else None,
        *(_part(view, part, titled=part is not machine) for part in parts),
        _nameplate(view, machine),
    ]
    return document(view, "machine", [it for it in body if it is not None], shown, "machine")


def _part(view: View, machine: Machine, *, titled: bool) -> Markup | None:
    variables = list(machine.variables.values())
    if not variables:
        return None
    watched = view.watched.get(machine.path, [])
    setpoints = [it for it in variables if it.declaration.writable]
    stops = [it for it in variables if it.name.startswith("EmergencyStop")]
    measured = [it for it in variables if it not in setpoints and it not in stops]
    texts, below = view.texts, "h3" if titled else "h2"
    return el(
        "section",
        el("h2", view.texts.machine(machine.name)) if titled else None,
        _group(below, texts("measured"), (_value(view, it, watched) for it in measured)) if measured else None,
        _group(below, texts("setpoints"), (_setpoint(view, it) for it in setpoints)) if setpoints else None,
        _group(below, texts("estop"), (_value(view, it, watched) for it in stops)) if stops else None,
        class_="part", aria_label=view.texts.machine(machine.name),
    )  # fmt: skip


def _group(heading: str, title: str, rows: Iterable[Markup]) -> Markup:
    return el("div", el(heading, title), el("ul", rows, class_="values"), class_="group")


def _value(view: View, variable: Variable, watched: Sequence[Condition]) -> Markup:
    declared, name = variable.declaration, view.texts.name(variable.name)
    if not view.has(declared.read_role):
        return el("li", el("span", name, class_="label"), el("span", view.texts("not_allowed", declared.read_role)))
    analog = declared.type.is_numeric and declared.range is not None and declared.enumeration is None
    return el(
        "li",
        el("a", name, href=f"/tree?path={variable.path}", class_="label", title=view.texts.of(declared.description)),
        el("span", "…", class_="value", data_path=variable.path, data_show="value"),
        el("span", unit(variable), class_="unit"),
        bar(variable, watched) if analog and declared.type is not BuiltinType.UInt64 else el("span", class_="no-bar"),
        el("span", class_="quality", data_path=variable.path, data_show="quality"),
        _trend(view, variable),
        class_="row",
    )  # fmt: skip


def bar(variable: Variable, watched: Sequence[Condition]) -> Markup:
    """Make the bar of an analog value: its range, the zones beyond its limits, and where it is."""
    drawn = [
        el("span", class_=f"zone {name}", style=f"left:{start * 100:.1f}%;width:{(end - start) * 100:.1f}%")
        for name, start, end in zones(variable, watched)
    ]
    low, high = variable.declaration.range or (0.0, 1.0)
    pointer = el("span", class_="pointer", data_path=variable.path, data_show="bar")
    return el("span", drawn, pointer, class_="track", title=f"{low:g} … {high:g} {unit(variable)}")


def _trend(view: View, variable: Variable) -> Markup:
    if variable.declaration.type in (BuiltinType.String, BuiltinType.DateTime):
        return el("span")
    label = f"{view.texts('trend_of')}: {view.texts.name(variable.name)}"
    shape = Markup(
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M4 4v16h16M7 15l4-5 3 3 5-7"/></svg>'
    )
    return el("a", shape, href=f"/trends?path={variable.path}", aria_label=label, title=label, class_="trend")


def _setpoint(view: View, variable: Variable) -> Markup:
    declared, texts = variable.declaration, view.texts
    allowed = declared.write_role is None or view.has(declared.write_role)
    name = texts.name(variable.name)
    hint = None if allowed else texts("not_allowed", str(declared.write_role))
    form = el(
        "form",
        el("input", **_input(declared.type, declared.range), name="value", aria_label=name, required=True,
           disabled=not allowed, autocomplete="off", placeholder=_span(declared.range)),
        el("button", texts("write"), disabled=not allowed, title=hint),
        class_="write", data_write=variable.path, data_type=declared.type.name,
    )  # fmt: skip
    return el(
        "li",
        el("a", name, href=f"/tree?path={variable.path}", class_="label", title=texts.of(declared.description)),
        el("span", "…", class_="value", data_path=variable.path, data_show="value"),
        el("span", unit(variable), class_="unit"),
        form,
        el("span", class_="quality", data_path=variable.path, data_show="quality"),
        _trend(view, variable),
        class_="row",
    )  # fmt: skip


def _span(span: tuple[float, float] | None) -> str | None:
    return None if span is None else f"{span[0]:g} … {span[1]:g}"


def _input(builtin: BuiltinType, span: tuple[float, float] | None) -> dict[str, str]:
    if not builtin.is_numeric:
        return {"type": "text"}
    limits = {} if span is None else {"min": f"{span[0]:g}", "max": f"{span[1]:g}"}
    return {"type": "number", "step": "any" if builtin in (BuiltinType.Float, BuiltinType.Double) else "1", **limits}


def _commands(view: View, machine: Machine) -> list[Markup]:
    buttons = [_command(view, it) for it in machine.commands.values() if it.declaration.name not in _RESERVED]
    if machine.type.emergency_stop is not None and (machine.source or machine is view.plant.root):
        label = f"{view.texts('estop')}: {view.texts.machine(machine.name)}"
        buttons.append(el("button", view.texts("estop"), class_="danger", data_stop=machine.path, aria_label=label))
    return buttons


def _command(view: View, command: Command) -> Markup:
    declared, texts = command.declaration, view.texts
    allowed = view.has(declared.role)
    about = texts.of(declared.description) if allowed else texts("not_allowed", declared.role)
    fields = [_field(view, argument) for argument in declared.arguments]
    return el(
        "button", texts.name(declared.name),
        el("template", fields) if fields else None,
        data_command=command.path, data_title=f"{texts.machine(command.machine.name)}: {texts.name(declared.name)}",
        disabled=not allowed, title=about,
    )  # fmt: skip


def _field(view: View, argument: Argument) -> Markup:
    about = f"{view.texts.name(argument.name)} {f'({argument.unit.symbol})' if argument.unit else ''}"
    attributes = {"name": argument.name, "title": view.texts.of(argument.description), "data_type": argument.type.name}
    if argument.choices:
        options = [el("option", it, value=it) for it in argument.choices]
        return el("label", about, el("select", options, **attributes))
    return el("label", about, el("input", required=True, **attributes, **_input(argument.type, argument.range)),
              el("small", view.texts.of(argument.description)))  # fmt: skip


def _nameplate(view: View, machine: Machine) -> Markup | None:
    if not machine.nameplate:
        return None
    entries = [join((el("dt", view.texts.name(name)), el("dd", value))) for name, value in machine.nameplate.items()]
    return el("details", el("summary", view.texts("nameplate")), el("dl", entries, class_="pairs"))

"""The tree: every object, variable, method and condition, with attributes and references; made from the model."""

from collections.abc import Iterable
from itertools import islice

from address_space.model import Command, Condition, Machine, Variable
from gateways.web.pages.markup import Markup, el
from gateways.web.pages.shell import View, document, page_head

Node = Machine | Variable | Command | Condition
Pair = tuple[str, str | Markup]

_TYPES = {True: "AnalogUnitRangeType", False: "BaseDataVariableType"}
_KINDS = {
    "level": "ExclusiveLevelAlarmType", "non_exclusive_level": "NonExclusiveLevelAlarmType",
    "rate_of_change": "RateOfChangeAlarmType", "deviation": "DeviationAlarmType",
    "discrepancy": "DiscrepancyAlarmType", "off_normal": "OffNormalAlarmType", "trip": "TripAlarmType",
}  # fmt: skip


def find(view: View, path: str) -> Node | None:
    """Return what is at a path."""
    plant = view.plant
    found = plant.find_machine(path) or plant.find(path) or plant.find_condition(path)
    return found or plant.commands.get(path)


def page(view: View, path: str) -> str:
    """Make the page with the whole tree, and the node at `path` chosen."""
    texts = view.texts
    chosen = find(view, path)
    search = el("input", type="search", id="tree-search", placeholder=texts("search"), aria_label=texts("search"))
    details = _details(view, chosen) if chosen is not None else Markup(el("p", texts("choose_node"), class_="hint"))
    body = (
        page_head(texts("tree"), search),
        el("div",
           el("div", el("ul", _machine(view, view.plant.root, path), role="tree", aria_label=texts("tree"), id="tree"),
              class_="branches"),
           el("div", details, id="node", class_="node", tabindex="-1", aria_live="polite"), class_="browser"),
    )  # fmt: skip
    return document(view, "tree", body, view.plant.variables, "tree")


def node(view: View, path: str) -> str | None:
    """Make what is shown of one node, to be put into the page; None where there is none."""
    found = find(view, path)
    return None if found is None else _details(view, found)


def _machine(view: View, machine: Machine, chosen: str) -> Markup:
    inside = [
        *(_machine(view, child, chosen) for child in view.plant.children(machine)),
        *(_leaf(view, it.path, it.name, "variable", chosen) for it in machine.variables.values()),
        *(_leaf(view, it.path, it.declaration.name, "method", chosen) for it in machine.commands.values()),
        *(_leaf(view, it.path, it.name, "condition", chosen) for it in view.watched.get(machine.path, ())),
    ]
    is_open = machine is view.plant.root or f"{chosen}.".startswith(f"{machine.path}.")
    return el(
        "li", el("span", el("span", class_="twist", aria_hidden="true"), machine.name, class_="entry object"),
        el("ul", inside, role="group"),
        role="treeitem", aria_expanded="true" if is_open else "false", data_node=machine.path, tabindex="-1",
        aria_selected="true" if chosen == machine.path else "false", aria_label=machine.name,
    )  # fmt: skip


def _leaf(view: View, path: str, name: str, kind: str, chosen: str) -> Markup:
    live: Markup | None = None
    if kind == "variable" and (found := view.plant.find(path)) is not None and view.has(found.declaration.read_role):
        live = el("span", class_="value", data_path=path, data_show="value")
    return el(
        "li", el("span", name, class_=f"entry {kind}"), live, role="treeitem", data_node=path, tabindex="-1",
        aria_selected="true" if chosen == path else "false", aria_label=name,
    )  # fmt: skip


def _details(view: View, found: Node) -> Markup:
    attributes, references = _described(view, found)
    title = found.declaration.name if isinstance(found, Command) else found.name
    heading = el("h2", title, tabindex="-1")
    return Markup(
        heading
        + el("h3", view.texts("attributes")) + el("dl", _pairs(attributes), class_="pairs")
        + el("h3", view.texts("references")) + el("dl", _pairs(references), class_="pairs")
    )  # fmt: skip


def _pairs(pairs: Iterable[Pair]) -> list[Markup]:
    return [Markup(el("dt", name) + el("dd", value)) for name, value in pairs if value]


def _described(view: View, found: Node) -> tuple[list[Pair], list[Pair]]:
    if isinstance(found, Machine):
        return _of_machine(view, found)
    if isinstance(found, Variable):
        return _of_variable(view, found)
    if isinstance(found, Command):
        return _of_command(view, found)
    return _of_condition(found)


def _base(path: str, name: str, node_class: str, description: str) -> list[Pair]:
    return [
        ("NodeId", f"ns=2;s={path}"), ("NodeClass", node_class), ("BrowseName", f"2:{name}"), ("DisplayName", name),
        ("Description", description),
    ]  # fmt: skip


def _link(path: str) -> Markup:
    return el("a", path, href=f"/tree?path={path}", data_go=path)


def _links(paths: Iterable[str]) -> Markup | str:
    items = [el("li", _link(path)) for path in paths]
    return el("ul", items, class_="links") if items else ""


def _of_machine(view: View, machine: Machine) -> tuple[list[Pair], list[Pair]]:
    parent = view.plant.parent(machine)
    attributes = _base(machine.path, machine.name, "Object", view.texts.of(machine.description))
    attributes.append(("EventNotifier", "SubscribeToEvents, HistoryRead"))
    attributes += list(machine.nameplate.items())
    page_link = el("a", view.texts("open_machine", name=machine.name), href=f"/machine/{machine.path}")
    references: list[Pair] = [
        ("HasTypeDefinition", machine.type.name),
        ("HasComponent (inverse)" if parent is not view.plant.root else "Organizes (inverse)",
         _link(parent.path) if parent is not None else "Objects"),
        ("HasNotifier", _links(it.path for it in view.plant.children(machine))),
        ("HasComponent", _links((*(it.path for it in machine.variables.values()),
                                 *(it.path for it in machine.commands.values())))),
        ("HasCondition", _links(it.path for it in view.watched.get(machine.path, ()))),
        ("", page_link),
    ]  # fmt: skip
    return attributes, references


def _of_variable(view: View, variable: Variable) -> tuple[list[Pair], list[Pair]]:
    declared, machine = variable.declaration, view.plant.owner(variable)
    analog = declared.range is not None or declared.unit is not None
    writes = declared.writable and (declared.write_role is None or view.has(declared.write_role))
    writers = [f"Write: {declared.write_role}"] if declared.write_role else []
    attributes = _base(variable.path, variable.name, "Variable", view.texts.of(declared.description))
    attributes[5:5] = [
        ("Value", el("span", "…", class_="value", data_path=variable.path, data_show="value")),
        ("StatusCode", el("span", data_path=variable.path, data_show="quality")),
        ("SourceTimestamp", el("span", data_path=variable.path, data_show="stamp")),
        ("DataType", declared.enumeration.name if declared.enumeration else declared.type.name),
        ("ValueRank", "Scalar (-1)"),
        ("AccessLevel", "CurrentRead, CurrentWrite, TimestampWrite" if declared.writable else "CurrentRead"),
        ("UserAccessLevel", "CurrentRead, CurrentWrite" if writes else
            ("CurrentRead" if view.has(declared.read_role) else "–")),
        ("RolePermissions", ", ".join((f"Read: {declared.read_role}", *writers))),
        ("Historizing", "true"),
    ]  # fmt: skip
    properties: list[Pair] = []
    if declared.range is not None:
        properties.append(("HasProperty: EURange", f"{declared.range[0]:g} … {declared.range[1]:g}"))
    if declared.unit is not None:
        properties.append(("HasProperty: EngineeringUnits", f"{declared.unit.symbol} ({declared.unit.code or '–'})"))
    if declared.enumeration is not None:
        names = ", ".join(f"{number} {name}" for number, name in islice(enumerate(declared.enumeration.values), 40))
        properties.append(("EnumStrings", names))
    if declared.expression is not None:
        properties.append(("Definition", declared.expression.text))
    watching = [it.path for it in view.watched.get(machine.path, ()) if variable in it.inputs]
    kind = "MultiStateDiscreteType" if declared.enumeration else _TYPES[analog]
    references: list[Pair] = [
        ("HasTypeDefinition", kind), ("HasComponent (inverse)", _link(machine.path)), *properties,
        ("HasCondition", _links(watching)),
        ("", el("a", view.texts("trend_of"), href=f"/trends?path={variable.path}")),
    ]  # fmt: skip
    return attributes, references


def _of_command(view: View, command: Command) -> tuple[list[Pair], list[Pair]]:
    declared = command.declaration
    attributes = _base(command.path, declared.name, "Method", view.texts.of(declared.description))
    attributes += [("Executable", "true"), ("UserExecutable", "true" if view.has(declared.role) else "false"),
                   ("RolePermissions", f"Call: {declared.role}")]  # fmt: skip
    inputs = "; ".join(f"{it.name}: {it.type.name} – {it.description}" for it in declared.arguments)
    outputs = "; ".join(f"{it.name}: {it.type.name} – {it.description}" for it in declared.outputs)
    return attributes, [
        ("HasComponent (inverse)", _link(command.machine.path)), ("HasProperty: InputArguments", inputs),
        ("HasProperty: OutputArguments", outputs),
    ]  # fmt: skip


def _of_condition(condition: Condition) -> tuple[list[Pair], list[Pair]]:
    declared = condition.declaration
    attributes = _base(condition.path, condition.name, "Object", declared.message)
    limits = ", ".join(f"{name} {value:g}" for name, value in declared.limits.items())
    attributes += [("Severity", str(declared.severity)), ("Limits", limits),
                   ("When", declared.when.text if declared.when is not None else ""),
                   ("RolePermissions", f"Acknowledge: {declared.acknowledge_role}")]  # fmt: skip
    inputs = [it.path for it in condition.inputs]
    return attributes, [
        ("HasTypeDefinition", _KINDS.get(declared.kind.value, "AlarmConditionType")),
        ("HasComponent (inverse)", _link(condition.machine.path)),
        ("InputNode", _links(inputs)),
    ]

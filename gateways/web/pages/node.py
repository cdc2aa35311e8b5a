"""One node as a client sees it: its attributes, and its references with where they lead."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from asyncua import ua

from address_space.model import Machine, Variable
from gateways.web.pages.markup import Markup, el
from gateways.web.pages.node_text import attribute_text, value_text
from gateways.web.pages.shell import View, live_value
from server.opcua.attributes import NAMESPACE
from server.opcua.inside import InsideClient
from server.quality import is_bad

Pair = tuple[str, str | Markup]

_IDS = ua.AttributeIds
_ATTRIBUTES = tuple(_IDS)
_MOST_LINKS = 300


def variable_of(view: View, node: ua.NodeId) -> Variable | None:
    """Return the plant's variable behind a node that the user may read; None for any other node."""
    found = view.plant.find(path_of(node))
    return found if found is not None and view.has(found.declaration.read_role) else None


def details(view: View, client: InsideClient, node: ua.NodeId) -> Markup:
    """Make what is shown of a node; raises CommandError where there is none."""
    references = client.references(node)
    attributes = dict(zip(_ATTRIBUTES, client.read(node, _ATTRIBUTES), strict=True))
    name, variable = attributes[_IDS.DisplayName], variable_of(view, node)
    has_value = _value_of(attributes[_IDS.NodeClass]) == ua.NodeClass.Variable
    texts = view.texts
    return Markup(
        el("h2", value_text(_value_of(name)), tabindex="-1")
        + el("p", _ways_on(view, node), class_="tools")
        + el("h3", texts("attributes"))
        + el("dl", _pairs(_attributes(view, client, attributes, variable)), class_="pairs",
             data_poll=has_value and variable is None)
        + el("h3", texts("references")) + el("dl", _pairs(_references(client, references)), class_="pairs")
    )  # fmt: skip


def path_of(node: ua.NodeId) -> str:
    """Return the path of one of the plant's nodes; empty for any other."""
    return str(node.Identifier) if node.NamespaceIndex == NAMESPACE else ""


def _ways_on(view: View, node: ua.NodeId) -> list[Markup]:
    """Return links to the other pages that show it."""
    found: Machine | Variable | None = view.plant.find_machine(path_of(node)) or variable_of(view, node)
    if isinstance(found, Variable):
        return [el("a", view.texts("trend_of"), href=f"/trends?path={found.path}")]
    if found is not None:
        return [el("a", view.texts("open_machine", name=view.texts.machine(found.name)), href=f"/machine/{found.path}")]
    return []


def _pairs(pairs: Iterable[Pair]) -> list[Markup]:
    return [Markup(el("dt", name) + el("dd", value, data_attribute=name)) for name, value in pairs]


def _attributes(
    view: View, client: InsideClient, found: dict[ua.AttributeIds, ua.DataValue], variable: Variable | None
) -> Iterable[Pair]:
    for attribute, data in found.items():
        status = data.StatusCode.value if data.StatusCode is not None else 0
        if attribute == _IDS.Value and _value_of(found[_IDS.NodeClass]) == ua.NodeClass.Variable:
            yield from _live(view, variable) if variable is not None else _value(data, status)
        elif not is_bad(status) and data.Value is not None:
            value = data.Value.Value
            is_node = isinstance(value, ua.NodeId) and attribute != _IDS.NodeId
            yield attribute.name, _link(client, value) if is_node else attribute_text(attribute, value)


def _live(view: View, variable: Variable) -> Iterable[Pair]:
    path = variable.path
    return (
        ("Value", live_value(view, variable)),
        ("StatusCode", el("span", data_path=path, data_show="quality")),
        ("SourceTimestamp", el("span", data_path=path, data_show="stamp")),
    )


def _value(data: ua.DataValue, status: int) -> Iterable[Pair]:
    yield "Value", "—" if is_bad(status) else value_text(_value_of(data))
    yield "StatusCode", ua.StatusCode(status).name
    if data.SourceTimestamp is not None:
        yield "SourceTimestamp", value_text(data.SourceTimestamp)


def _references(client: InsideClient, found: Iterable[ua.ReferenceDescription]) -> Iterable[Pair]:
    groups: dict[tuple[str, bool], list[ua.ReferenceDescription]] = {}
    for it in found:
        groups.setdefault((it.ReferenceTypeId.to_string(), bool(it.IsForward)), []).append(it)
    for (kind, forward), those in groups.items():
        links = [el("li", _target(client, it)) for it in those[:_MOST_LINKS]]
        if len(those) > _MOST_LINKS:
            links.append(el("li", f"… {len(those)}"))
        yield _kind_name(client, ua.NodeId.from_string(kind), forward=forward), el("ul", links, class_="links")


def _kind_name(client: InsideClient, kind: ua.NodeId, *, forward: bool) -> str:
    """Return how a reference reads in a direction: its own name, or its InverseName (OPC 10000-3 5.3.2)."""
    name, inverse = (_value_of(it) for it in client.read(kind, (_IDS.BrowseName, _IDS.InverseName)))
    if not forward and inverse is not None and inverse.Text:
        return str(inverse.Text)
    plain = name.Name if name is not None else kind.to_string()
    return str(plain) if forward else f"{plain} (inverse)"


def _target(client: InsideClient, it: ua.ReferenceDescription) -> list[Markup | str]:
    shown: list[Markup | str] = [anchor(it.NodeId, it.DisplayName.Text or it.NodeId.to_string())]
    is_property = it.ReferenceTypeId == ua.NodeId(ua.ObjectIds.HasProperty) and it.IsForward
    if is_property and it.NodeClass == ua.NodeClass.Variable:
        (data,) = client.read(it.NodeId, (_IDS.Value,))
        if data.StatusCode is not None and not is_bad(data.StatusCode.value):
            shown.append(f": {value_text(_value_of(data))}")
    return shown


def _link(client: InsideClient, node: ua.NodeId) -> Markup:
    (name,) = client.read(node, (_IDS.DisplayName,))
    said = _value_of(name)
    return anchor(node, said.Text if said is not None and said.Text else node.to_string())


def anchor(node: ua.NodeId, words: str) -> Markup:
    """Make a link to a node, which the page's script follows without leaving it."""
    path = node.to_string()
    return el("a", words, href=f"/tree?path={quote(path, safe='')}", data_go=path, title=path)


def _value_of(data: ua.DataValue) -> Any:
    return None if data.Value is None else data.Value.Value

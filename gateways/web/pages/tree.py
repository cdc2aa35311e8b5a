"""The tree: the server's address space as an OPC UA client sees it, a branch at a time."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import json
from collections.abc import Collection

from asyncua import ua

from gateways.web.pages.markup import Markup, el
from gateways.web.pages.node import anchor, details, path_of, variable_of
from gateways.web.pages.shell import View, document, live_value, page_head
from server import quality
from server.opcua.attributes import node_id
from server.opcua.inside import ROOT, InsideClient
from server.ports import CommandError

_MOST_CHILDREN, MOST_FOUND = 2000, 100
_CLASSES = {
    ua.NodeClass.Variable: "variable", ua.NodeClass.Method: "method", ua.NodeClass.Object: "object",
}  # fmt: skip
_NAME = (ua.AttributeIds.DisplayName,)


def client_of(view: View) -> InsideClient:
    """Return the address space as who looks sees it; raises CommandError where it is not in this process."""
    if view.web.context.inside is None:
        raise CommandError(quality.BAD_NOT_SUPPORTED, "the address space is not in this process")
    return view.web.context.inside(view.session.principal, view.texts.language)


def node_of(path: str) -> ua.NodeId:
    """Return the NodeId of a text, or of a path in the plant; raises CommandError."""
    if "=" not in path:
        return node_id(path)
    try:
        return ua.NodeId.from_string(path)
    except ua.UaError as error:
        raise CommandError(ua.StatusCodes.BadNodeIdInvalid, f"{path!r} is no NodeId") from error


def page(view: View, path: str) -> str:
    """Make the page, opened down to the plant, and to the node at `path`, which is chosen."""
    client, texts = client_of(view), view.texts
    chosen = node_of(path) if path else None
    plant = client.way(node_of(view.plant.root.path))
    way = plant if chosen is None else client.way(chosen)
    shown = Markup(el("p", texts("choose_node"), class_="hint")) if chosen is None else details(view, client, chosen)
    search = el("input", type="search", id="tree-search", placeholder=texts("search"), aria_label=texts("search"))
    body = (
        page_head(texts("tree"), search),
        el("div",
           el("div", el("ul", _branch(view, client, ROOT, {*plant, *way}, chosen), role="tree",
                        aria_label=texts("tree"), id="tree"),
              el("ul", id="found", class_="links", hidden=True, aria_label=texts("search")), class_="branches"),
           el("div", shown, id="node", class_="node", tabindex="-1", aria_live="polite"), class_="browser"),
    )  # fmt: skip
    return document(view, "tree", body, (), "tree")


def node(view: View, path: str) -> str:
    """Make what is shown of one node, to be put into the page."""
    return details(view, client_of(view), node_of(path))


def children(view: View, path: str) -> str:
    """Make the branch below a node, to be put into the page."""
    return "".join(_branch(view, client_of(view), node_of(path), frozenset(), None))


def way(view: View, path: str) -> str:
    """Return the NodeIds from below the root to a node, as JSON."""
    return json.dumps([it.to_string() for it in client_of(view).way(node_of(path))])


async def found(view: View, words: str) -> str:
    """Make the list of what a search finds."""
    client = client_of(view)
    nodes = await client.search(words, MOST_FOUND)
    items = [el("li", _hit(client, it)) for it in nodes]
    if len(nodes) in (0, MOST_FOUND):
        items.append(el("li", view.texts("nothing_found" if not nodes else "more_found"), class_="hint"))
    return "".join(items)


def _hit(client: InsideClient, node: ua.NodeId) -> list[Markup]:
    (name,) = client.read(node, _NAME)
    path = node.to_string()
    words = name.Value.Value.Text if name.Value is not None else path
    return [anchor(node, words), el("small", path)]


def _branch(
    view: View, client: InsideClient, above: ua.NodeId, opened: Collection[ua.NodeId], chosen: ua.NodeId | None
) -> list[Markup]:
    below = client.children(above)
    items = [_item(view, client, it, opened, chosen) for it in below[:_MOST_CHILDREN]]
    if len(below) > _MOST_CHILDREN:
        items.append(el("li", f"… {len(below)}", class_="hint", role="none"))
    return items


def _item(
    view: View,
    client: InsideClient,
    it: ua.ReferenceDescription,
    opened: Collection[ua.NodeId],
    chosen: ua.NodeId | None,
) -> Markup:
    name, variable = it.DisplayName.Text or it.NodeId.to_string(), variable_of(view, it.NodeId)
    is_open = it.NodeId in opened
    kind = _CLASSES.get(ua.NodeClass(it.NodeClass), "type")
    if view.plant.find_condition(path_of(it.NodeId)) is not None:
        kind = "object condition"
    return el(
        "li",
        el("span", el("span", class_="twist", aria_hidden="true"), name, class_=f"entry {kind}"),
        live_value(view, variable) if variable is not None else None,
        el("ul", _branch(view, client, it.NodeId, opened, chosen) if is_open else (), role="group",
           data_loaded="true" if is_open else None),
        role="treeitem", aria_expanded="true" if is_open else "false", data_node=it.NodeId.to_string(), tabindex="-1",
        aria_selected="true" if it.NodeId == chosen else "false", aria_label=name,
    )  # fmt: skip

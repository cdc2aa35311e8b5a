"""The audit trail, for who may see it."""

from gateways.web.pages.markup import el
from gateways.web.pages.shell import View, document, page_head

_COLUMNS = ("time", "who", "from_where", "kind", "action", "arguments", "result")


def page(view: View) -> str:
    """Make the page; the browser's script asks for entries, newest first."""
    texts = view.texts
    search = el("input", type="search", id="audit-filter", placeholder=texts("filter"), aria_label=texts("filter"))
    head = el("thead", el("tr", [el("th", texts(name), scope="col") for name in _COLUMNS]))
    body = (
        page_head(texts("audit"), search),
        el("div", el("table", el("caption", texts("audit"), class_="unseen-text"), head, el("tbody", id="audit-rows"),
                     class_="list"), class_="scroll", tabindex="0", role="region", aria_label=texts("audit")),
        el("p", el("button", texts("older"), id="older")),
        el("p", id="audit-error", class_="error", role="alert"),
    )  # fmt: skip
    return document(view, "audit", body, (), "audit")

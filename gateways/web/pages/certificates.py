"""Certificates of client applications: those that wait for trust, and those that have it."""

from gateways.web.pages.markup import Markup, el
from gateways.web.pages.shell import View, document, page_head

_COLUMNS = ("application", "subject", "thumbprint", "valid", "actions")


def page(view: View) -> str:
    """Make the page."""
    texts = view.texts
    body = (
        page_head(texts("certificates")),
        _table(view, "waiting"),
        el("p", texts("nobody_waits"), id="nobody-waits", class_="nothing", hidden=True),
        _table(view, "trusted"),
        el("p", id="certificate-error", class_="error", role="alert"),
    )
    return document(view, "certificates", body, (), "certificates")


def _table(view: View, name: str) -> Markup:
    head = el("thead", el("tr", [el("th", view.texts(column), scope="col") for column in _COLUMNS]))
    table = el("table", el("caption", view.texts(name)), head, el("tbody", id=f"rows-{name}"), class_="list")
    return el("div", table, class_="scroll", id=f"box-{name}", tabindex="0", role="region", aria_label=view.texts(name))

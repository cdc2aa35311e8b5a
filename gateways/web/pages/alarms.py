"""The alarm list; the browser's script fills it and keeps it as it is now."""

from gateways.web.pages.markup import el
from gateways.web.pages.shell import View, document, page_head

_COLUMNS = ("priority", "time", "source", "message", "state", "actions")


def page(view: View) -> str:
    """Make the page."""
    texts = view.texts
    tools = (
        el("button", texts("ack_all"), id="ack-all"),
        el("button", texts("show_all"), id="show-all", aria_pressed="false"),
    )
    head = el("thead", el("tr", [el("th", texts(name), scope="col", class_=f"column-{name}") for name in _COLUMNS]))
    body = (
        page_head(texts("alarms"), *tools),
        el("p", texts("alarm_keys"), class_="hint keys"),
        el("table", el("caption", texts("alarms"), class_="unseen-text"), head, el("tbody", id="alarm-rows"),
           class_="list alarm-list"),
        el("p", texts("loading"), id="alarm-none", class_="nothing"),
    )  # fmt: skip
    return document(view, "alarms", body, (), "alarms")

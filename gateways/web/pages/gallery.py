"""Snapshots of vision alarms; the browser's script asks for what there is."""

from address_space.model import Role
from gateways.web.pages.markup import el
from gateways.web.pages.shell import View, document, page_head


def page(view: View) -> str:
    """Make the page."""
    texts = view.texts
    if not view.has(Role.Observer):  # people may be in the pictures
        return document(view, "gallery", (page_head(texts("gallery")), el("p", texts("no_rights", Role.Observer))))
    boxes = el("button", texts("boxes"), id="boxes", aria_pressed="true")
    viewer = el(
        "dialog",
        el("h2", id="picture-title"), el("img", id="picture", alt=""), el("dl", id="picture-facts", class_="pairs"),
        el("div", el("button", texts("report_false_alarm"), id="report-false-alarm", type="button", hidden=True),
           el("button", texts("close"), type="button", class_="close"), class_="buttons"),
        id="picture-dialog", class_="wide", aria_labelledby="picture-title",
    )  # fmt: skip
    body = (
        page_head(texts("gallery"), el("div", boxes, class_="toggle")),
        el("ul", id="pictures", class_="pictures"),
        el("p", texts("no_snapshots"), id="no-pictures", class_="nothing", hidden=True),
        viewer,
    )
    return document(view, "gallery", body, (), "gallery")

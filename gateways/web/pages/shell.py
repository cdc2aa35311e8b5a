"""What every page has around it: navigation, link state, alarm line, emergency stop and its latches."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from address_space.model import Condition, Machine, Plant, Role, Variable
from gateways.web.pages.describe import conditions_of, metadata, status_names
from gateways.web.pages.icons import icon
from gateways.web.pages.markup import Markup, el, join
from gateways.web.pages.texts import Texts, table
from gateways.web.ports import Session, Web, current, language_of, web_of

if TYPE_CHECKING:
    from starlette.requests import Request

AUDIT_ROLES = (Role.SecurityAdmin, Role.Supervisor)
CERTIFICATE_ROLES = (Role.SecurityAdmin,)
NAVIGATION: tuple[tuple[str, str, tuple[Role, ...]], ...] = (
    ("overview", "/", ()), ("alarms", "/alarms", ()), ("trends", "/trends", ()), ("scene", "/3d", ()),
    ("gallery", "/gallery", ()), ("tree", "/tree", ()), ("audit", "/audit", AUDIT_ROLES),
    ("certificates", "/certificates", CERTIFICATE_ROLES),
)  # fmt: skip
_LATCH = ("Active", "Reason", "By", "Origin", "Time")


@dataclass(frozen=True)
class View:
    """Who looks at what: all that a page needs to be made."""

    request: "Request"
    web: Web
    session: Session
    texts: Texts

    @property
    def plant(self) -> Plant:
        """The plant that is shown."""
        return self.web.context.plant

    @cached_property
    def watched(self) -> Mapping[str, list[Condition]]:
        """The conditions of each machine by its path."""
        return conditions_of(self.plant)

    def has(self, *roles: Role) -> bool:
        """Whether who looks has one of these roles; without any, always."""
        principal = self.session.principal
        return not roles or any(principal.has(role) for role in roles)


def view_of(request: "Request") -> View | None:
    """Return who looks; None without a login."""
    session, web, language = current(request), web_of(request), language_of(request)
    if session is None:
        return None
    return View(request, web, session, Texts(language, web.context.plant.translation([language])))


def stoppable(plant: Plant) -> list[Machine]:
    """Return what has an emergency stop, the plant first."""
    return [it for it in plant.objects if it.type.emergency_stop is not None and (it is plant.root or it.source)]


def document(view: View, key: str, body: Iterable[str], shown: Iterable[Variable] = (), *scripts: str) -> str:
    """Make a page; `shown` are the variables that it shows live, `scripts` the modules that it needs besides."""
    texts = view.texts
    latches = [machine.variables[f"EmergencyStop{name}"] for machine in stoppable(view.plant) for name in _LATCH]
    return "<!doctype html>" + el(
        "html",
        _head(f"{texts(key)} – {texts.machine(view.plant.name)}", view.session.csrf, ("shell", *scripts)),
        el(
            "body",
            el("a", texts("skip"), href="#main", class_="skip"),
            _bar(view),
            el("div", id="latches", class_="latches", role="region", aria_label=texts("estop")),
            el("div", _navigation(view, key), el("main", body, id="main", tabindex="-1"), class_="frame"),
            _stop_dialog(view), _reset_dialog(view), _ask_dialog(view),
            el("div", id="toast", class_="toast", role="status", aria_live="polite"),
            _embedded(view, {variable.path: variable for variable in (*shown, *latches)}),
            data_link="waiting", class_=f"page-{key}",
        ),
        lang=texts.language,
    )  # fmt: skip


def bare(texts: Texts, title: str, body: Iterable[str], *scripts: str, csrf: str = "") -> str:
    """Make a page without a frame: the login, and what is not there."""
    return "<!doctype html>" + el(
        "html", _head(title, csrf, scripts), el("body", body, class_="bare"), lang=texts.language
    )


def _head(title: str, csrf: str, scripts: Iterable[str]) -> Markup:
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="csrf", content=csrf) if csrf else None,
        el("title", title),
        el("link", rel="icon", href="/static/icon.svg", type="image/svg+xml"),
        el("script", src="/static/theme.js"),  # at once: no flash of the other theme
        [el("link", rel="stylesheet", href=f"/static/{name}.css") for name in ("base", "parts", "mimic")],
        [el("script", type="module", src=f"/static/{name}.js") for name in scripts],
    )


def _bar(view: View) -> Markup:
    texts, principal = view.texts, view.session.principal
    other = "de" if texts.language == "en" else "en"
    return el(
        "header",
        el("button", icon("menu"), id="menu", class_="plain menu", aria_label=texts("menu"), aria_expanded="false",
           aria_controls="nav"),
        el("a", icon("leaf"), el("span", texts.machine(view.plant.name)), href="/", class_="brand"),
        el("p", el("span", class_="dot", aria_hidden="true"), el("span", texts("connecting"), id="link-text"),
           el("time", id="clock"), class_="link", id="link"),
        el("a", el("span", id="alarm-counts", class_="counts"), el("span", texts("loading"), id="alarm-text"),
           href="/alarms", class_="alarm-line", id="alarm-line"),
        el("button", icon("theme"), id="theme", class_="plain", aria_label=texts("theme"), title=texts("theme")),
        el("button", other.upper(), el("span", f" – {texts('language')}", class_="unseen-text"), id="language",
           class_="plain", title=texts("language"), data_language=other),
        el("details", el("summary", icon("user"), el("span", principal.name, class_="who"),
                         aria_label=f"{texts('user')}: {principal.name}"),
           el("div", el("p", ", ".join(sorted(role.value for role in principal.roles)), class_="roles"),
              el("button", texts("logout"), id="logout"), class_="card"), class_="user"),
        el("button", el("span", texts("estop")), id="estop", class_="estop", aria_haspopup="dialog"),
        class_="bar",
    )  # fmt: skip


def _navigation(view: View, key: str) -> Markup:
    return el(
        "nav",
        el("ul", [
            el("li", el("a", icon(name), el("span", view.texts(name)), href=href,
                        aria_current="page" if name == key else None))
            for name, href, roles in NAVIGATION
            if view.has(*roles)
        ]),
        id="nav", aria_label=view.texts("menu"),
    )  # fmt: skip


def _stop_dialog(view: View) -> Markup:
    texts, machines = view.texts, stoppable(view.plant)
    options = [
        el("option", texts("estop_all") if it is view.plant.root else texts.machine(it.name), value=it.path)
        for it in machines
    ]
    return el(
        "dialog",
        el("form",
           el("h2", texts("estop_title"), id="stop-title"),
           el("label", texts("estop_what"), el("select", options, name="machine", id="stop-machine")),
           el("label", texts("estop_reason"), el("input", name="reason", id="stop-reason", maxlength="200",
                                                 required=True, value=texts("estop_default"))),
           el("p", texts("safety"), class_="hint"),
           el("div", el("button", texts("cancel"), type="button", class_="close"),
              el("button", texts("estop_confirm"), id="stop-confirm", class_="danger"), class_="buttons"),
           method="dialog"),
        id="stop-dialog", aria_labelledby="stop-title",
    )  # fmt: skip


def _reset_dialog(view: View) -> Markup:
    texts = view.texts
    return _question(
        view, "reset", el("p", id="reset-text"),
        el("button", texts("reset_ask"), id="reset-ask", type="button"),
        el("button", texts("reset_confirm"), id="reset-confirm", type="button", class_="danger", hidden=True),
    )  # fmt: skip


def _ask_dialog(view: View) -> Markup:
    """Make the dialog of every question: commands, comments, trust."""
    return _question(view, "ask", el("div", id="ask-fields"), el("button", id="ask-confirm"))


def _question(view: View, name: str, body: Markup, *buttons: Markup) -> Markup:
    """Make a dialog that a script fills, shows and ends."""
    return el(
        "dialog",
        el("form",
           el("h2", id=f"{name}-title"), body, el("p", id=f"{name}-error", class_="error", role="alert"),
           el("div", el("button", view.texts("cancel"), type="button", class_="close"), buttons, class_="buttons"),
           method="dialog"),
        id=f"{name}-dialog", aria_labelledby=f"{name}-title",
    )  # fmt: skip


def _embedded(view: View, shown: Mapping[str, Variable]) -> Markup:
    """Put what the scripts need to know into the page, as JSON."""
    plant = view.plant
    variables = {path: _described(view, variable) for path, variable in shown.items()}
    known: dict[str, Any] = {
        "language": view.texts.language,
        "texts": table(view.texts.language),
        "said": _said(view),
        "statuses": status_names(),
        "root": plant.root.path,
        "roles": sorted(role.value for role in view.session.principal.roles),
        "resetArgument": _reset_argument(plant),
        "latches": [machine.path for machine in stoppable(plant)],
        "variables": variables,
    }
    # `<` would end the script element: JSON has another way to write it.
    written = json.dumps(known, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return el("script", Markup(written), type="application/json", id="known")


def _said(view: View) -> dict[str, str]:
    """Return names and messages of alarms in the language of who looks, by what they are in the plant file."""
    if view.texts.plant is None:
        return {}
    declared = [alarm for kind in view.plant.types.values() for alarm in kind.alarms.values()]
    messages = (text for alarm in declared for text in (alarm.message, f"{alarm.message}: back to normal"))
    found = {text: said for text in messages if (said := view.texts.plant.text(text)) is not None}
    return {alarm.name: view.texts.name(alarm.name) for alarm in declared} | found


def _described(view: View, variable: Variable) -> dict[str, Any]:
    """Return what a script must know of a variable, in the language of who looks."""
    machine = view.plant.owner(variable)
    meta = metadata(variable, machine, view.watched.get(machine.path, []))
    if "e" in meta:
        meta["e"] = [view.texts.state(name) for name in meta["e"]]
    meta["n"] = f"{view.texts.machine(machine.name)} · {view.texts.name(variable.name)}"
    return meta


def live_value(view: View, variable: Variable) -> Markup:
    """Make a live value that may be put into a page later: what a script must know of it comes along."""
    meta = json.dumps(_described(view, variable), ensure_ascii=False, separators=(",", ":"))
    return el("span", class_="value", data_path=variable.path, data_show="value", data_meta=meta)


def page_head(title: str, *tools: str | None) -> Markup:
    """Make a page's heading with its tools beside it."""
    return el("div", el("h1", title), el("div", join(tools), class_="tools"), class_="head")


def _reset_argument(plant: Plant) -> str:
    """Return the name of the argument that confirms a reset."""
    resets = (it for it in plant.commands.values() if it.declaration.name == "ResetEmergencyStop")
    return next((it.declaration.arguments[0].name for it in resets), "")

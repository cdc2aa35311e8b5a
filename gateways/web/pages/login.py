"""The login page."""

from typing import TYPE_CHECKING

from gateways.web.pages.icons import icon
from gateways.web.pages.markup import el
from gateways.web.pages.shell import bare
from gateways.web.pages.texts import Texts
from gateways.web.ports import language_of, web_of

if TYPE_CHECKING:
    from starlette.requests import Request


def page(request: "Request") -> str:
    """Make the page, in the browser's language."""
    texts = Texts(language_of(request))
    name = web_of(request).context.plant.name
    form = el(
        "form",
        el("h1", icon("leaf"), el("span", name), class_="brand"),
        el("p", texts("welcome")),
        el("label", texts("user"), el("input", name="user", autocomplete="username", required=True, autofocus=True,
                                      maxlength="100", autocapitalize="none")),
        el("label", texts("password"), el("input", name="password", type="password", required=True, maxlength="1000",
                                          autocomplete="current-password")),
        el("p", id="login-error", class_="error", role="alert"),
        el("button", texts("login"), class_="primary"),
        el("p", texts("safety"), class_="hint"),
        class_="login", method="post", data_failed=texts("login_failed"), data_throttled=texts("login_throttled"),
        data_unreachable=texts("login_unreachable"),
    )  # fmt: skip
    return bare(texts, f"{texts('login')} – {name}", (el("main", form),), "login")

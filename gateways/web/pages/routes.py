"""The routes of the pages: who may see which, and what is not there."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from address_space.model import Role
from gateways.web.pages import alarms, audit, certificates, gallery, login, machine, overview, scene, tree, trends
from gateways.web.pages.markup import el
from gateways.web.pages.shell import AUDIT_ROLES, CERTIFICATE_ROLES, View, document, page_head, view_of
from gateways.web.ports import current
from gateways.web.problems import http_status
from server.ports import CommandError

Made = Callable[[View], str]
STATIC = Path(__file__).parent.parent / "static"


class _Files(StaticFiles):
    """Files that a browser keeps, and asks each time whether they are still the same: an update shows at once."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        """Answer with a file, or that it is unchanged."""
        answer = super().file_response(*args, **more)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def add_routes(app: FastAPI) -> None:
    """Add the pages to an app; its API's description says nothing of them."""
    router = APIRouter(include_in_schema=False)
    for path, make, roles in (
        ("/", overview.page, ()),
        ("/alarms", alarms.page, ()),
        ("/3d", scene.page, ()),
        ("/gallery", gallery.page, ()),
        ("/audit", audit.page, AUDIT_ROLES),
        ("/certificates", certificates.page, CERTIFICATE_ROLES),
    ):
        router.add_api_route(path, _answering(make, *roles), methods=["GET"])
    router.add_api_route("/trends", _trends, methods=["GET"])
    router.add_api_route("/tree", _tree, methods=["GET"])
    for name, part in (("node", tree.node), ("children", tree.children), ("way", tree.way)):
        router.add_api_route(f"/tree/{name}", _part(part), methods=["GET"])
    router.add_api_route("/tree/found", _found, methods=["GET"])
    router.add_api_route("/machine/{path}", _machine, methods=["GET"])
    router.add_api_route("/login", _login, methods=["GET"])
    app.include_router(router)
    app.mount("/static", _Files(directory=STATIC), name="static")


def _answering(make: Made, *roles: Role) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        view = view_of(request)
        if view is None:
            return RedirectResponse("/login", 303)
        if not view.has(*roles):
            return HTMLResponse(_denied(view, *roles), 403)
        return HTMLResponse(make(view))

    # Routes are told apart by their parameters' types, which a nested function's text would not give.
    answer.__annotations__ = {"request": Request, "return": Response}
    return answer


async def _trends(request: Request, path: Annotated[list[str] | None, Query()] = None, span: str = "hour") -> Response:
    view = view_of(request)
    return RedirectResponse("/login", 303) if view is None else HTMLResponse(trends.page(view, path or [], span))


async def _tree(request: Request, path: str = "") -> Response:
    view = view_of(request)
    if view is None:
        return RedirectResponse("/login", 303)
    try:
        return HTMLResponse(tree.page(view, path))
    except CommandError as error:
        body = (page_head(view.texts("tree")), el("p", view.texts("failed", str(error))))
        return HTMLResponse(document(view, "tree", body), http_status(error.status))


def _part(make: Callable[[View, str], str]) -> Callable[..., Awaitable[Response]]:
    """Return a route that answers with a part of the tree; what is not there is a problem (`problems.HANDLERS`)."""

    async def answer(request: Request, path: str) -> Response:
        view = view_of(request)
        return RedirectResponse("/login", 303) if view is None else HTMLResponse(make(view, path))

    answer.__annotations__ = {"request": Request, "path": str, "return": Response}
    return answer


async def _found(request: Request, path: str) -> Response:
    view = view_of(request)
    return RedirectResponse("/login", 303) if view is None else HTMLResponse(await tree.found(view, path))


async def _machine(request: Request, path: str) -> Response:
    view = view_of(request)
    if view is None:
        return RedirectResponse("/login", 303)
    found = view.plant.find_machine(path)
    return HTMLResponse(_missing(view), 404) if found is None else HTMLResponse(machine.page(view, found))


async def _login(request: Request) -> Response:
    return RedirectResponse("/", 303) if current(request) is not None else HTMLResponse(login.page(request))


def _denied(view: View, *roles: Role) -> str:
    body = (page_head(view.texts("no_rights", " / ".join(roles))),)
    return document(view, "overview", body)


def _missing(view: View) -> str:
    body = (page_head(view.texts("not_found")), el("p", view.texts("not_found_about")))
    return document(view, "overview", body)

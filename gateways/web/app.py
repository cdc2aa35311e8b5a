"""The application: routes of the REST interface, the pages, live values, and what every request passes first."""

import functools
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from gateways.web import api, live_route, problems
from gateways.web.api import login
from gateways.web.api.common import Answer
from gateways.web.guard import App, Guard
from gateways.web.ports import Web

_DESCRIPTION = """\
Values, set-points, history, alarms and commands of the plant. Make a token with `POST /api/v1/tokens`, and send it as
`Authorization: Bearer …`. Paths are those of the OPC UA NodeIds: `Plant.Generator1.Speed`. Errors are problem+json
(RFC 9457); `status_name` is what OPC UA answers to the same.
"""


class Problem(Answer):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    status_code: int | None = None
    status_name: str | None = None
    errors: list[dict[str, str]] | None = None


def make_app(web: Web) -> App:
    """Return the ASGI application."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, exception_handlers=problems.HANDLERS)
    app.include_router(api.router)
    app.include_router(login.router)
    app.router.routes.append(WebSocketRoute("/live", live_route.serve))
    description = _description()

    @app.get(f"{api.PREFIX}/openapi.json", include_in_schema=False)
    async def openapi() -> Any:
        return description

    if find_spec("gateways.web.pages.routes") is not None:
        from gateways.web import pages  # noqa: PLC0415  a checkout may go without

        pages.mount(app)
    return Guard(app, web, web.tokens)


@functools.cache
def _description() -> dict[str, Any]:
    """Return the OpenAPI description, with our problems in place of FastAPI's, and how to show who asks."""
    app = FastAPI(title="Plantree", version="1", description=_DESCRIPTION)
    app.include_router(api.router)
    description: dict[str, Any] = app.openapi()
    components = description.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    description["security"] = [{"token": []}]
    description["paths"][f"{api.PREFIX}/tokens"]["post"]["security"] = []
    return description

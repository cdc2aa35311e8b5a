"""The operator page: HTML made from the model, living through one WebSocket; nothing is asked of other servers.

Pages are text: they keep nothing on the server, and cost it nothing while they are open but their share of a broadcast.
Why no framework that mirrors each page on the server: docs/adr has it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI


def mount(app: "FastAPI") -> None:
    """Add every page, GET /login and /static to an app whose requests carry `SCOPE_WEB` and `SCOPE_SESSION`."""
    from gateways.web.pages.routes import add_routes  # noqa: PLC0415  FastAPI only where it is served

    add_routes(app)

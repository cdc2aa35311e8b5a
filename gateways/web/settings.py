"""The settings of the operator page and the REST interface."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from server.settings import Host, Port, Seconds, Section
from server.supervision import StartPolicy


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class WebSettings(Section):
    """The operator page and the REST interface, on one port; its OpenAPI description is at /api/v1/openapi.json."""

    enabled: bool = Field(default=True, description="Serve the operator page and the REST interface.")
    startup: Annotated[StartPolicy, BeforeValidator(_lower)] = Field(
        default="retry",
        description="When it cannot start: `error` ends the server, `retry` tries on, `ignore` goes on without.",
    )
    host: Host = Field(
        default="127.0.0.1", description="Address to listen on; without `tls`, passwords travel in clear text."
    )
    port: Port = Field(default=8081, description="TCP port to listen on; 0 takes any free one.")
    tls: bool = Field(default=False, description="Serve https with the server's certificate, and nothing else.")
    session_timeout: Seconds = Field(
        default=28_800.0, description="Seconds after its last request or open page that a login ends."
    )
    session_lifetime: Seconds = Field(default=86_400.0, description="Seconds after which a login ends in any case.")
    token_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = Field(
        default=30.0, description="Days that a token of the REST interface is valid at most."
    )
    requests_per_minute: int = Field(
        default=1200, ge=1, description="Requests a minute of one login or token; more are answered 429."
    )
    logins_per_minute: int = Field(
        default=10, ge=1, description="Attempts to log in a minute from one address; more are answered 429."
    )
    max_pages: int = Field(default=200, ge=1, le=10_000, description="Pages with live values open at a time.")


def address(settings: WebSettings, port: int | None = None) -> str:
    """Return the URL of the operator page, as a browser on this machine opens it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    name = f"[{host}]" if ":" in host else host
    return f"http{'s' if settings.tls else ''}://{name}:{port or settings.port}/"

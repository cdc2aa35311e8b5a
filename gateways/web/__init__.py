"""The operator page and the REST interface: what people and scripts without OPC UA see and do."""

from typing import TYPE_CHECKING

from gateways.web.settings import WebSettings

if TYPE_CHECKING:
    from server.ports import Gateway, GatewayContext

__all__ = ["WebSettings", "create"]


def create(context: "GatewayContext", settings: WebSettings) -> "Gateway":
    """Make the gateway; FastAPI and NiceGUI are imported only when it runs."""
    from gateways.web.gateway import WebGateway  # noqa: PLC0415

    return WebGateway(context, settings)

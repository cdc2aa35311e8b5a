"""The time-series gateway: every change of the tree as line protocol to InfluxDB 2, InfluxDB 3 or VictoriaMetrics."""

from typing import TYPE_CHECKING

from gateways.influx.settings import InfluxSettings

if TYPE_CHECKING:
    from server.ports import Gateway, GatewayContext

__all__ = ["InfluxSettings", "create"]


def create(context: "GatewayContext", settings: InfluxSettings) -> "Gateway":
    """Make the gateway; influxdb-client is imported only now. Raises SettingsError."""
    from gateways.influx.gateway import InfluxGateway  # noqa: PLC0415

    return InfluxGateway(context, settings)

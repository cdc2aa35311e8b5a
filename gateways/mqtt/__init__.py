"""The tree over MQTT: samples in several layouts, commands, set-points, a bridge to a second broker."""

from typing import TYPE_CHECKING

from gateways.mqtt.settings import MqttSettings

if TYPE_CHECKING:
    from server.ports import Gateway, GatewayContext

__all__ = ["MqttSettings", "create"]


def create(context: "GatewayContext", settings: MqttSettings) -> "Gateway":
    """Make the gateway; paho is imported only now."""
    from gateways.mqtt.gateway import MqttGateway  # noqa: PLC0415

    return MqttGateway(context, settings)

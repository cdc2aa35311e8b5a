"""The tree over Modbus TCP: every variable in registers, in every word order, with set-points and commands."""

from typing import TYPE_CHECKING

from gateways.modbus.settings import ModbusSettings

if TYPE_CHECKING:
    from server.ports import Gateway, GatewayContext

__all__ = ["ModbusSettings", "create"]


def create(context: "GatewayContext", settings: ModbusSettings) -> "Gateway":
    """Make the gateway; pymodbus is imported only now."""
    from gateways.modbus.gateway import ModbusGateway  # noqa: PLC0415

    return ModbusGateway(context, settings)

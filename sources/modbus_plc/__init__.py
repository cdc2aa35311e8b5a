"""A PLC on Modbus TCP feeds one machine: measurements, set-points, commands and the emergency stop."""

from server.ports import Source, SourceContext
from sources.modbus_plc.source import ModbusPlc

__all__ = ["create"]


def create(context: SourceContext) -> Source:
    """Return the source; raises PlantError for options or a register map that cannot be."""
    return ModbusPlc(context)

"""The part of the tree that every plant has: how the server's own parts are doing."""

from address_space.model import BuiltinType, Feed, MachineType, VariableDeclaration
from address_space.units import UNITS

OBJECT = "ServerDiagnostics"
GATEWAYS = ("modbus", "mqtt", "influx")


def _shown(name: str, builtin: BuiltinType, description: str) -> VariableDeclaration:
    return VariableDeclaration(name, builtin, description, Feed.SERVER)


_PART = (
    _shown("State", BuiltinType.String, "Running, Restarting, Stopped or Failed"),
    _shown("Since", BuiltinType.DateTime, "When it came into that state"),
    _shown("Restarts", BuiltinType.UInt32, "How often it was restarted"),
    _shown("LastError", BuiltinType.String, "Why it was restarted last; empty if never"),
)

_GATEWAY = (
    _shown("State", BuiltinType.String, "Running, Restarting, Stopped, Failed or Disabled"),
    *_PART[1:],
    _shown("Connected", BuiltinType.Boolean, "Whether its peer is there; of a server, whether clients may connect"),
    VariableDeclaration(
        "Lag",
        BuiltinType.Double,
        "Age of the oldest sample that is not delivered yet",
        Feed.SERVER,
        UNITS["s"],
        (0.0, 604_800.0),  # a week: the age that an outbox keeps by default
    ),
    _shown("QueueDepth", BuiltinType.UInt64, "Samples that wait to be delivered"),
    _shown("Delivered", BuiltinType.UInt64, "Samples delivered since the server's start"),
    _shown("Dropped", BuiltinType.UInt64, "Samples given up since the server's start"),
)

FOLDER_TYPE = MachineType(
    "ServerDiagnosticsType", "How the server's parts are doing", {}, {}, {}, None, nameplate=False
)
SOURCE_TYPE = MachineType(
    "SourceDiagnosticsType",
    "How one source is doing",
    {declaration.name: declaration for declaration in _PART},
    {},
    {},
    None,
    nameplate=False,
)
GATEWAY_TYPE = MachineType(
    "GatewayDiagnosticsType",
    "How one gateway is doing",
    {declaration.name: declaration for declaration in _GATEWAY},
    {},
    {},
    None,
    nameplate=False,
)
TYPES = {machine_type.name: machine_type for machine_type in (FOLDER_TYPE, SOURCE_TYPE, GATEWAY_TYPE)}

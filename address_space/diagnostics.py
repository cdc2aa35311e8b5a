"""The part of the tree that every plant has: how the server's own parts are doing."""

from address_space.model import BuiltinType, Feed, MachineType, VariableDeclaration

OBJECT = "ServerDiagnostics"


def _shown(name: str, builtin: BuiltinType, description: str) -> VariableDeclaration:
    return VariableDeclaration(name, builtin, description, Feed.SERVER)


_PART = (
    _shown("State", BuiltinType.String, "Running, Restarting, Stopped or Failed"),
    _shown("Since", BuiltinType.DateTime, "When it came into that state"),
    _shown("Restarts", BuiltinType.UInt32, "How often it was restarted"),
    _shown("LastError", BuiltinType.String, "Why it was restarted last; empty if never"),
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
TYPES = {machine_type.name: machine_type for machine_type in (FOLDER_TYPE, SOURCE_TYPE)}

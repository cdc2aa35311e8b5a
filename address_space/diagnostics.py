"""The part of the tree that every plant has: how the server's own parts are doing."""

from address_space.model import (
    AlarmDeclaration,
    AlarmKind,
    BuiltinType,
    Feed,
    MachineType,
    VariableDeclaration,
)
from address_space.units import UNITS

OBJECT = "ServerDiagnostics"
GATEWAYS = ("modbus", "mqtt", "influx", "web")
ALARMS = "Alarms"


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
    _shown("Dropping", BuiltinType.Boolean, "Whether samples were given up in the last ten minutes"),
)

_SERVER = (
    _shown("Sessions", BuiltinType.UInt32, "OPC UA sessions that are open"),
    VariableDeclaration(
        "ChangesPerSecond",
        BuiltinType.Double,
        "Changes of values a second, in the last ten seconds",
        Feed.SERVER,
        UNITS["1/s"],
        (0.0, 1e8),
    ),
    _shown("ChangesBehind", BuiltinType.UInt64, "Changes that wait for the consumer that is behind most"),
    _shown("ChangesMissed", BuiltinType.UInt64, "Changes that consumers have missed since the server's start"),
    _shown("RefusedSignIns", BuiltinType.UInt64, "Sign-ins refused since the server's start"),
    _shown("RefusedCertificates", BuiltinType.UInt64, "Certificates of clients refused since the server's start"),
)

_ALARMS = (
    _shown("AlarmsPerHour", BuiltinType.UInt32, "Alarms raised in the last hour"),
    _shown("AlarmsPer10Minutes", BuiltinType.UInt32, "Alarms raised in the last ten minutes"),
    _shown("PeakPer10Minutes", BuiltinType.UInt32, "The most of these in the last day"),
    _shown("Standing", BuiltinType.UInt32, "Conditions that are active now, shelved and suppressed ones apart"),
    _shown("Unacknowledged", BuiltinType.UInt32, "Conditions and branches that wait to be acknowledged"),
    _shown("Shelved", BuiltinType.UInt32, "Conditions that an operator has shelved"),
    _shown("Suppressed", BuiltinType.UInt32, "Conditions that are suppressed or out of service"),
    _shown("Stale", BuiltinType.UInt32, "Conditions that have been active for more than a day"),
    _shown("Chattering", BuiltinType.UInt32, "Conditions that were raised three times or more in the last minute"),
    _shown("Flood", BuiltinType.Boolean, "Ten alarms in ten minutes were exceeded, and it is not five yet"),
    _shown("TopOffenders", BuiltinType.String, "The ten that were raised most in the last day: path and count"),
)
"""Figures of ANSI/ISA-18.2 and IEC 62682 clause 16."""

_COMMUNICATION_LOST = AlarmDeclaration(
    "CommunicationLost", 700, "Communication is lost", AlarmKind.COMMUNICATION, on_delay=5.0, off_delay=2.0
)
_SAMPLES_DROPPED = AlarmDeclaration(
    "SamplesDropped",
    700,
    "Samples were given up: the peer refused them, or the outbox was full",
    AlarmKind.OFF_NORMAL,
    input="Dropping",
    normal=(0,),
)
_CERTIFICATE_EXPIRY = AlarmDeclaration(
    "CertificateExpiry", 600, "The server's certificate expires soon", AlarmKind.CERTIFICATE_EXPIRY,

)  # fmt: skip

FOLDER_TYPE = MachineType(
    "ServerDiagnosticsType",
    "How the server and its parts are doing",
    {declaration.name: declaration for declaration in _SERVER},
    {},
    {_CERTIFICATE_EXPIRY.name: _CERTIFICATE_EXPIRY},
    None,
    nameplate=False,
)
SOURCE_TYPE = MachineType(
    "SourceDiagnosticsType",
    "How one source is doing",
    {declaration.name: declaration for declaration in _PART},
    {},
    {_COMMUNICATION_LOST.name: _COMMUNICATION_LOST},
    None,
    nameplate=False,
)
GATEWAY_TYPE = MachineType(
    "GatewayDiagnosticsType",
    "How one gateway is doing",
    {declaration.name: declaration for declaration in _GATEWAY},
    {},
    {declaration.name: declaration for declaration in (_COMMUNICATION_LOST, _SAMPLES_DROPPED)},
    None,
    nameplate=False,
)
ALARMS_TYPE = MachineType(
    "AlarmStatisticsType",
    "How many alarms there are, and which",
    {declaration.name: declaration for declaration in _ALARMS},
    {},
    {},
    None,
    nameplate=False,
)
TYPES = {it.name: it for it in (FOLDER_TYPE, SOURCE_TYPE, GATEWAY_TYPE, ALARMS_TYPE)}

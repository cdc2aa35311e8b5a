"""VisionAlarmType, our own subtype of OffNormalAlarmType (OPC 10000-9 5.8.18): what it adds, and fields of evidence.

Every condition of it has two files (OPC 10000-20 4.2) with the pictures of its last activation.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Callable
from typing import Any

from asyncua import ua

from address_space.alarms import VISION_ALARM_TYPE
from address_space.model import AlarmDeclaration, AlarmKind, Plant, Role
from server.alarms.ports import Snapshot
from server.evidence import READ_ROLE, Evidence
from server.opcua.attributes import NAMESPACE, node_id, text
from server.opcua.conditions.fields import NULL, Field, moment, variant
from server.opcua.conditions.members import Member, Nodes, Path, members
from server.opcua.references import HAS_COMPONENT, HAS_PROPERTY

_IDS, _V = ua.ObjectIds, ua.VariantType
NAME = VISION_ALARM_TYPE
TYPE_ID = node_id(NAME)
BASE_ID, BASE_NAME = ua.NodeId(_IDS.OffNormalAlarmType), "OffNormalAlarmType"
DECLARATION = AlarmDeclaration(NAME, 1, "Raised by what a camera has seen, with evidence", AlarmKind.VISION)
"""Stands for the type where the nodes of its members are made."""
FILES = {"Snapshot": False, "SnapshotClean": True}
"""Names of the files, and whether each is the picture without boxes."""
SNAPSHOT_URI: Path = ("SnapshotUri",)
REPORT: Path = ("ReportFalseAlarm",)
_FILE_TYPE = ua.NodeId(_IDS.FileType)
MIME_TYPE: Path = ("MimeType",)
_BOX_RANK = 1

_PROPERTIES: dict[str, int] = {
    "CameraName": _IDS.String,
    "ObjectClass": _IDS.String,
    "Confidence": _IDS.Double,
    "BoundingBox": _IDS.Double,
    "FrameTime": _IDS.UtcTime,
    "ModelName": _IDS.String,
    "ModelHash": _IDS.String,
    "InferenceLatency": _IDS.Duration,
    "SnapshotUri": _IDS.String,
    "SnapshotSha256": _IDS.String,
}
"""DataType of each; BoundingBox is x0, y0, x1, y1 in shares of the picture, InferenceLatency in ms."""


def used(plant: Plant) -> bool:
    """Whether a plant has such conditions, or types of machines that declare some."""
    return any(alarm.kind is AlarmKind.VISION for kind in plant.types.values() for alarm in kind.alarms.values())


def own_members(space: Nodes) -> dict[Path, Member]:
    """Return what the type adds to its supertype, parents first; the standard's types must be in `space`."""
    found: dict[Path, Member] = {
        (name,): Member(
            path=(name,),
            node_class=ua.NodeClass.Variable,
            by=HAS_PROPERTY,
            type_definition=ua.NodeId(_IDS.PropertyType),
            type_name="PropertyType",
            data_type=ua.NodeId(data_type),
            value_rank=_BOX_RANK if name == "BoundingBox" else -1,
            mandatory=True,
            declared=(node_id(f"{NAME}.{name}"),),
            constant=None,
            sub_states=(),
            namespace=NAMESPACE,
        )
        for name, data_type in _PROPERTIES.items()
    }
    found |= _report()
    for name in FILES:
        found |= _file(space, name)
    return found


def _report() -> dict[Path, Member]:
    given = (
        ua.Argument(Name="EventId", DataType=ua.NodeId(_IDS.ByteString), ValueRank=-1, ArrayDimensions=[],
                    Description=text("The event of the activation that was none")),
        ua.Argument(Name="Comment", DataType=ua.NodeId(_IDS.LocalizedText), ValueRank=-1, ArrayDimensions=[],
                    Description=text("What there is to say about it")),
    )  # fmt: skip
    constant = ua.Variant(list(given), _V.ExtensionObject, is_array=True)
    no_type = ua.NodeId()
    method = Member(
        path=REPORT, node_class=ua.NodeClass.Method, by=HAS_COMPONENT, type_definition=no_type, type_name="",
        data_type=no_type, value_rank=-1, mandatory=True, declared=(node_id(f"{NAME}.{REPORT[0]}"),), constant=None,
        sub_states=(), namespace=NAMESPACE,
    )  # fmt: skip
    arguments = Member(
        path=(*REPORT, "InputArguments"), node_class=ua.NodeClass.Variable, by=HAS_PROPERTY,
        type_definition=ua.NodeId(_IDS.PropertyType), type_name="PropertyType", data_type=ua.NodeId(_IDS.Argument),
        value_rank=1, mandatory=True, declared=(node_id(f"{NAME}.{REPORT[0]}.InputArguments"),), constant=constant,
        sub_states=(),
    )  # fmt: skip
    return {method.path: method, arguments.path: arguments}


def _file(space: Nodes, name: str) -> dict[Path, Member]:
    """Return a file and what FileType gives it."""
    no_type = ua.NodeId()
    itself = Member(
        path=(name,), node_class=ua.NodeClass.Object, by=HAS_COMPONENT, type_definition=_FILE_TYPE,
        type_name="FileType", data_type=no_type, value_rank=-1, mandatory=True,
        declared=(node_id(f"{NAME}.{name}"),), constant=None, sub_states=(), namespace=NAMESPACE,
    )  # fmt: skip
    found = {itself.path: itself}
    for path, member in members(space, _FILE_TYPE, {MIME_TYPE}).items():
        below = (name, *path)
        declared = (node_id(".".join((NAME, *below))), *member.declared)
        found[below] = member.moved(below, declared)
    return found


def constants() -> dict[Path, ua.Variant]:
    """Return what all files have in common."""
    found: dict[Path, ua.Variant] = {}
    for name in FILES:
        found[name, "Writable"] = found[name, "UserWritable"] = variant(False, _V.Boolean)
        found[name, "MimeType"] = variant("image/jpeg", _V.String)
    return found


def role_of(path: Path) -> Role | None:
    """Return the role that a file's methods need, None for those of the condition itself."""
    return READ_ROLE if path[0] in FILES else None


def _seen(kind: ua.VariantType, get: Callable[[Evidence], Any], *, is_array: bool = False) -> Field:
    def field(snapshot: Snapshot) -> ua.Variant:
        found = snapshot.evidence
        return NULL if found is None else ua.Variant(get(found), kind, is_array=is_array)

    return field


def _frame_time(snapshot: Snapshot) -> ua.Variant:
    return NULL if snapshot.evidence is None else moment(snapshot.evidence.frame_time)


FIELDS: dict[Path, Field] = {
    ("CameraName",): lambda it: variant(it.condition.machine.name, _V.String),
    ("ObjectClass",): _seen(_V.String, lambda it: it.detection.name),
    ("Confidence",): _seen(_V.Double, lambda it: float(it.detection.confidence)),
    ("BoundingBox",): _seen(_V.Double, lambda it: [float(edge) for edge in it.detection.box], is_array=True),
    ("FrameTime",): _frame_time,
    ("ModelName",): _seen(_V.String, lambda it: it.model_name),
    ("ModelHash",): _seen(_V.String, lambda it: it.model_sha256),
    ("InferenceLatency",): _seen(_V.Double, lambda it: float(it.latency)),
    ("SnapshotSha256",): _seen(_V.String, lambda it: it.snapshot_sha256),
}
"""What evidence tells; a condition that was never active since there is evidence has none of it."""

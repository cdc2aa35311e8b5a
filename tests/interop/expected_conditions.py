"""What a condition consists of, written down from OPC 10000-9 5.5 to 5.8: the members of its type that it has.

A camera's is of a type of our own, with files as OPC 10000-20 4.2 has them.
"""

from dataclasses import dataclass, replace

from address_space.model import AlarmDeclaration, AlarmKind

HAS_COMPONENT, HAS_PROPERTY = "ns=0;i=47", "ns=0;i=46"
HAS_CONDITION, HAS_EVENT_SOURCE, HAS_TRUE_SUB_STATE = "ns=0;i=9006", "ns=0;i=36", "ns=0;i=9004"
PROPERTY_TYPE, CONDITION_VARIABLE, TWO_STATE, FINITE_STATE = 68, 9002, 8995, 2760
SHELVED_STATE_MACHINE, LIMIT_STATE_MACHINE = 2929, 9318
BOOLEAN, UINT16, DOUBLE, STRING, BYTE_STRING, NODE_ID, STATUS, TEXT = 1, 5, 11, 12, 15, 17, 19, 21
DATE_TIME, DURATION, UTC_TIME, ARGUMENT, TIME_ZONE = 13, 290, 294, 296, 8912
UINT64, FILE_TYPE, DIRECTORY_TYPE = 9, 11575, 13353
VISION_TYPE, VISION_BASE = "VisionAlarmType", "ns=0;i=10637"
LIMITS = {"high_high": "HighHigh", "high": "High", "low": "Low", "low_low": "LowLow"}
TYPES = {
    AlarmKind.LEVEL: 9482, AlarmKind.NON_EXCLUSIVE_LEVEL: 10060, AlarmKind.RATE_OF_CHANGE: 9623,
    AlarmKind.DEVIATION: 9764, AlarmKind.DISCREPANCY: 17080, AlarmKind.OFF_NORMAL: 10637, AlarmKind.RULE: 10637,
    AlarmKind.TRIP: 10751, AlarmKind.COMMUNICATION: 11753, AlarmKind.CERTIFICATE_EXPIRY: 13225,
}  # fmt: skip
VISION = {
    "CameraName": STRING, "ObjectClass": STRING, "Confidence": DOUBLE, "BoundingBox": DOUBLE, "FrameTime": UTC_TIME,
    "ModelName": STRING, "ModelHash": STRING, "InferenceLatency": DURATION, "SnapshotUri": STRING,
    "SnapshotSha256": STRING,
}  # fmt: skip
EXCLUSIVE = {AlarmKind.LEVEL, AlarmKind.RATE_OF_CHANGE, AlarmKind.DEVIATION}
OF_KIND = {
    AlarmKind.DEVIATION: {"SetpointNode": NODE_ID},
    AlarmKind.DISCREPANCY: {"TargetValueNode": NODE_ID, "ExpectedTime": DURATION},
    AlarmKind.OFF_NORMAL: {"NormalState": NODE_ID},
    AlarmKind.RULE: {"NormalState": NODE_ID},
    AlarmKind.TRIP: {"NormalState": NODE_ID},
    AlarmKind.VISION: {"NormalState": NODE_ID},
    AlarmKind.COMMUNICATION: {"NormalState": NODE_ID},
    AlarmKind.CERTIFICATE_EXPIRY: {
        "NormalState": NODE_ID, "ExpirationDate": DATE_TIME, "CertificateType": NODE_ID, "Certificate": BYTE_STRING,
    },
}  # fmt: skip
SUB_STATES = ("AckedState", "ConfirmedState", "ActiveState", "SuppressedState", "ShelvingState")


@dataclass(frozen=True)
class Part:
    """A member: its path below the condition, and what a client sees of it."""

    path: str
    node_class: str
    link: str
    type_definition: int | None
    data_type: int = 0
    rank: int = -1
    optional: bool = False
    writable: bool = False
    namespace: int = 0
    """Of the browse name."""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


def parts(declaration: AlarmDeclaration) -> list[Part]:
    """Return every member of the conditions of a declaration, parents first."""
    mandatory = {
        "EventId": BYTE_STRING, "EventType": NODE_ID, "SourceNode": NODE_ID, "SourceName": STRING, "Time": UTC_TIME,
        "ReceiveTime": UTC_TIME, "Message": TEXT, "Severity": UINT16, "ConditionClassId": NODE_ID,
        "ConditionClassName": TEXT, "ConditionName": STRING, "BranchId": NODE_ID, "Retain": BOOLEAN,
        "ClientUserId": STRING, "InputNode": NODE_ID, "SuppressedOrShelved": BOOLEAN,
    }  # fmt: skip
    optional = {"LocalTime": TIME_ZONE, "MaxTimeShelved": DURATION, "OnDelay": DURATION, "OffDelay": DURATION}
    mandatory |= OF_KIND.get(declaration.kind, {})
    found = [_property(name, kind, optional=False) for name, kind in mandatory.items()]
    found += [_property(name, kind, optional=True) for name, kind in optional.items()]
    found += vision_parts() if declaration.kind is AlarmKind.VISION else []
    found += _limits(declaration)
    if declaration.kind is AlarmKind.DISCREPANCY:
        found.append(_property("Tolerance", DOUBLE, optional=True))
    for name, kind in {"Quality": STATUS, "LastSeverity": UINT16, "Comment": TEXT}.items():
        found.append(Part(name, "Variable", HAS_COMPONENT, CONDITION_VARIABLE, kind))
        found.append(_property(f"{name}.SourceTimestamp", UTC_TIME, optional=False))
    found += _states(declaration)
    if declaration.kind in EXCLUSIVE:
        found += _state_machine("LimitState", LIMIT_STATE_MACHINE, optional=False)
    for name in ("Enable", "Disable"):
        found += _method(name)
    for name in ("AddComment", "Acknowledge"):
        found += _method(name, arguments=True)
    found += _method("Confirm", arguments=True, optional=True) if declaration.confirm else []
    found += _method("Silence", optional=True)
    for name in ("Suppress", "Unsuppress", "RemoveFromService", "PlaceInService"):
        found += _method(name, optional=True) + _method(f"{name}2", arguments=True, optional=True)
    return found


def type_of(kind: AlarmKind) -> str:
    """Return the NodeId of a kind's type."""
    return f"ns=2;s={VISION_TYPE}" if kind is AlarmKind.VISION else f"ns=0;i={TYPES[kind]}"


def vision_parts() -> list[Part]:
    """Return what our own type adds to OffNormalAlarmType."""
    found = [
        Part(name, "Variable", HAS_PROPERTY, PROPERTY_TYPE, kind, 1 if name == "BoundingBox" else -1, namespace=2)
        for name, kind in VISION.items()
    ]
    method, *arguments = _method("ReportFalseAlarm", arguments=True)
    found += [replace(method, namespace=2), *arguments]
    properties = {"Size": UINT64, "Writable": BOOLEAN, "UserWritable": BOOLEAN, "OpenCount": UINT16}
    for file in ("Snapshot", "SnapshotClean"):
        found.append(Part(file, "Object", HAS_COMPONENT, FILE_TYPE, namespace=2))
        found += [_property(f"{file}.{name}", kind, optional=False) for name, kind in properties.items()]
        found.append(_property(f"{file}.MimeType", STRING, optional=True))
        for name in ("Open", "Close", "Read", "Write", "GetPosition", "SetPosition"):
            found += _method(f"{file}.{name}", arguments=True)
        for name in ("Open", "Read", "GetPosition"):
            outputs = f"{file}.{name}.OutputArguments"
            found.append(Part(outputs, "Variable", HAS_PROPERTY, PROPERTY_TYPE, ARGUMENT, 1))
    return found


def picture_parts() -> list[Part]:
    """Return what the folder of a camera's pictures consists of (OPC 10000-20 4.3); files come and go."""
    found: list[Part] = []
    for name in ("CreateDirectory", "CreateFile", "Delete", "MoveOrCopy"):
        found += _method(name, arguments=True)
    for name in ("CreateDirectory", "CreateFile", "MoveOrCopy"):
        found.append(Part(f"{name}.OutputArguments", "Variable", HAS_PROPERTY, PROPERTY_TYPE, ARGUMENT, 1))
    return found


def sub_states(declaration: AlarmDeclaration) -> list[tuple[str, str]]:
    """Return the pairs of states that HasTrueSubState links."""
    names = {it.path for it in parts(declaration)}
    found = [("EnabledState", name) for name in SUB_STATES if name in names]
    limits = ["LimitState", *(f"{name}State" for name in LIMITS.values())]
    return found + [("ActiveState", name) for name in limits if name in names]


def _limits(declaration: AlarmDeclaration) -> list[Part]:
    found: list[Part] = []
    for key in declaration.limits:
        name = LIMITS[key]
        found.append(_property(f"{name}Limit", DOUBLE, optional=True))
        if declaration.deadband:
            found.append(_property(f"{name}Deadband", DOUBLE, optional=True))
        if key in declaration.severities:
            found.append(_property(f"Severity{name}", UINT16, optional=True))
        if declaration.kind is AlarmKind.NON_EXCLUSIVE_LEVEL:
            found += _two_state(f"{name}State", {"Id": BOOLEAN}, optional=True)
    return found


def _states(declaration: AlarmDeclaration) -> list[Part]:
    plain = {"Id": BOOLEAN, "TransitionTime": UTC_TIME}
    effective = {**plain, "EffectiveDisplayName": TEXT, "EffectiveTransitionTime": UTC_TIME}
    found = _two_state("EnabledState", effective) + _two_state("ActiveState", effective)
    found += _two_state("AckedState", plain)
    for name in ("SuppressedState", "OutOfServiceState", "SilenceState"):
        found += _two_state(name, plain, optional=True)
    found += _two_state("ConfirmedState", plain, optional=True) if declaration.confirm else []
    found += _state_machine("ShelvingState", SHELVED_STATE_MACHINE, optional=True)
    found.append(_property("ShelvingState.UnshelveTime", DURATION, optional=False))
    for name in ("TimedShelve", "OneShotShelve", "Unshelve"):
        found += _method(f"ShelvingState.{name}", arguments=name == "TimedShelve")
        found += _method(f"ShelvingState.{name}2", arguments=True, optional=True)
    return found


def _two_state(name: str, properties: dict[str, int], *, optional: bool = False) -> list[Part]:
    state = Part(name, "Variable", HAS_COMPONENT, TWO_STATE, TEXT, optional=optional)
    return [state, *(_property(f"{name}.{key}", kind, optional=key != "Id") for key, kind in properties.items())]


def _state_machine(name: str, kind: int, *, optional: bool) -> list[Part]:
    return [
        Part(name, "Object", HAS_COMPONENT, kind, optional=optional),
        Part(f"{name}.CurrentState", "Variable", HAS_COMPONENT, FINITE_STATE, TEXT),
        _property(f"{name}.CurrentState.Id", NODE_ID, optional=False),
    ]


def _method(path: str, *, arguments: bool = False, optional: bool = False) -> list[Part]:
    found = [Part(path, "Method", HAS_COMPONENT, None, optional=optional)]
    if arguments:
        found.append(Part(f"{path}.InputArguments", "Variable", HAS_PROPERTY, PROPERTY_TYPE, ARGUMENT, 1))
    return found


def _property(path: str, data_type: int, *, optional: bool) -> Part:
    writable = path.endswith("Limit")
    return Part(path, "Variable", HAS_PROPERTY, PROPERTY_TYPE, data_type, optional=optional, writable=writable)

"""Conditions by NodeId: their fields as they are now, who follows them, and limits that are written."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace

from address_space.model import Condition, Plant, Role
from server.alarms.ports import AlarmPort, Snapshot
from server.evidence import READ_ROLE
from server.opcua.attributes import NAMESPACE, node_id
from server.opcua.conditions import vision
from server.opcua.conditions.fields import FIELDS, NULL, data_value, nodes, variant
from server.opcua.conditions.files import Files
from server.opcua.conditions.forms import LIMIT_PATHS, LIMITS_ROLE, Form, Forms, role_of
from server.opcua.conditions.members import Path
from server.opcua.conditions.nodes import ConditionNodes
from server.opcua.conditions.picture_nodes import PictureNodes
from server.opcua.conditions.pictures import Pictures
from server.ports import CommandError
from server.security.principal import Principal

_V = ua.VariantType
_CODES = ua.StatusCodes
_POLLED = ("ShelvingState", "UnshelveTime")
"""What runs on without a transition."""


class Conditions:
    """All conditions of the plant; `alarms` is the engine, None until it is there."""

    def __init__(self, plant: Plant, space: AddressSpace) -> None:
        self.alarms: AlarmPort | None = None
        self.certificate: Callable[[], bytes] = bytes
        """The server's own certificate (DER), which CertificateExpirationAlarmType shows."""
        self.files = Files()
        """The pictures of vision alarms."""
        self._plant = plant
        self.forms = Forms(space)
        self.nodes = ConditionNodes(plant, self.forms, self.read)
        self.pictures = Pictures(plant)
        """Those of alarms of the past."""
        self.nodes.pictures = PictureNodes(self.pictures, self.forms, self.nodes, self.files)
        self._followers: dict[str, dict[object, Callable[[], None]]] = {}

    def find(self, nodeid: ua.NodeId) -> tuple[Condition, Path] | None:
        """Return the condition that a NodeId is of, and where below it; None for other nodes and unknown ones."""
        if nodeid.NamespaceIndex != NAMESPACE or not isinstance(nodeid.Identifier, str):
            return None
        head, path = nodeid.Identifier, ()
        for _ in range(4):  # no member is deeper
            condition = self._plant.find_condition(head)
            if condition is not None:
                known = not path or path in self.forms.of(condition.declaration).members
                return (condition, path) if known else None
            head, dot, name = head.rpartition(".")
            if not dot:
                break
            path = (name, *path)
        return None

    def form(self, condition: Condition) -> Form:
        """Return what a condition has in common with others of its declaration."""
        return self.forms.of(condition.declaration)

    def field(self, snapshot: Snapshot, path: Path) -> ua.Variant | None:
        """Return a field of a condition, None when it has no such field."""
        form = self.form(snapshot.condition)
        constant = form.constants.get(path)
        if constant is not None:
            return constant
        if path not in form.members:
            return None
        found = FIELDS.get(path) or vision.FIELDS.get(path)
        return self._own(snapshot, path) if found is None else found(snapshot)

    def read(self, condition: Condition, path: Path) -> ua.DataValue:
        """Return the Value of a node of a condition."""
        if self.alarms is None:
            return ua.DataValue(StatusCode=ua.StatusCode(_CODES.BadWaitingForInitialData))
        snapshot = self.alarms.state(condition)
        found = self.field(snapshot, path) or NULL
        if found is NULL and self.form(condition).type_id == vision.TYPE_ID and path in self.forms.vision.members:
            return ua.DataValue(found, ua.StatusCode(_CODES.BadNoData), ServerTimestamp=datetime.now(UTC))
        return data_value(found, snapshot, path)

    def _own(self, snapshot: Snapshot, path: Path) -> ua.Variant:
        """Return a field that is the condition's own but changes with no transition."""
        condition = snapshot.condition
        if path[0] in vision.FILES:
            return self.files.field(snapshot, path)
        if path == vision.SNAPSHOT_URI:
            uri = "" if self.alarms is None else self.alarms.snapshot_uri(snapshot)
            return variant(uri, _V.String) if uri else NULL
        if path in LIMIT_PATHS:
            value = None if self.alarms is None else self.alarms.limits(condition).get(LIMIT_PATHS[path])
            return NULL if value is None else variant(value, _V.Double)
        if path in _OF_CERTIFICATE:
            return _OF_CERTIFICATE[path](self.certificate())
        if path == ("SourceName",):
            return variant(self.source_name(condition), _V.String)
        if path == ("SourceNode",):
            return nodes(self.source(condition))
        return _node(_named(condition, path))

    @staticmethod
    def source(condition: Condition) -> ua.NodeId:
        """Return the ConditionSource: the variable that is watched, else the machine."""
        return node_id(condition.machine.path if condition.input is None else condition.input.path)

    def source_name(self, condition: Condition) -> str:
        """Return the source's path below the plant: "Generator1.OilTemperature" says more than its browse name."""
        path = condition.machine.path if condition.input is None else condition.input.path
        return path.removeprefix(f"{self._plant.name}.")

    def is_pushed(self, nodeid: ua.NodeId) -> bool:
        """Whether changes of a node's Value are told to its followers."""
        found = self.find(nodeid)
        return found is not None and found[1] != _POLLED

    def follow(self, nodeid: ua.NodeId, changed: Callable[[], None]) -> Callable[[], None]:
        """Have `changed` called when the condition of a node has changed; returns what ends that."""
        found = self.find(nodeid)
        if found is None:
            raise KeyError(nodeid)
        path, key = found[0].path, object()
        followers = self._followers.setdefault(path, {})
        followers[key] = changed

        def end() -> None:
            followers.pop(key, None)
            if not followers and self._followers.get(path) is followers:
                del self._followers[path]

        return end

    def tell(self, conditions: Iterable[Condition]) -> None:
        """Tell who follows these conditions that they have changed."""
        if self._followers:
            for path in {condition.path for condition in conditions}:
                for changed in list(self._followers.get(path, {}).values()):
                    changed()

    def write_role(self, nodeid: ua.NodeId) -> Role | None:
        """Return the role that may write a node's Value, None where nobody may."""
        found = self.find(nodeid)
        return LIMITS_ROLE if found is not None and found[1] in LIMIT_PATHS else None

    def call_role(self, nodeid: ua.NodeId) -> Role | None:
        """Return the role that may call a condition's method, None for any other node."""
        found = self.find(nodeid)
        if found is None:
            return READ_ROLE if self.pictures.find(str(nodeid.Identifier)) is not None else None
        if not found[1]:
            return None
        condition, path = found
        is_method = self.form(condition).members[path].node_class is ua.NodeClass.Method
        return role_of(path, condition.declaration) if is_method else None

    async def write(self, item: ua.WriteValue, principal: Principal, origin: str) -> None:
        """Write a limit; raises CommandError."""
        found = self.find(item.NodeId)
        if found is None or self.alarms is None:
            raise CommandError(_CODES.BadNodeIdUnknown, "there is no such node")
        condition, path = found
        if item.AttributeId != ua.AttributeIds.Value or path not in LIMIT_PATHS:
            raise CommandError(_CODES.BadNotWritable, "of a condition, only limits can be written")
        if item.IndexRange:
            raise CommandError(_CODES.BadIndexRangeNoData, "a limit is a single number")
        value: Any = None if item.Value is None else item.Value.Value
        if value is None or value.VariantType is not _V.Double or value.is_array:
            raise CommandError(_CODES.BadTypeMismatch, "a limit is a Double")
        if not math.isfinite(value.Value):
            raise CommandError(_CODES.BadOutOfRange, "a limit is a finite number")
        if not principal.has(LIMITS_ROLE):
            raise CommandError(_CODES.BadUserAccessDenied, f"limits are for the role {LIMITS_ROLE.value}")
        await self.alarms.set_limit(condition, LIMIT_PATHS[path], float(value.Value), principal, origin)
        self.tell([condition])


def _named(condition: Condition, path: Path) -> str | None:
    """Return the path of the variable that a property names; None for NormalState: the plant file has that value."""
    if path == ("InputNode",):
        return None if condition.input is None else condition.input.path
    name = {
        ("SetpointNode",): condition.declaration.setpoint,
        ("TargetValueNode",): condition.declaration.target,
    }.get(path)
    return None if name is None else f"{condition.machine.path}.{name}"


def _node(path: str | None) -> ua.Variant:
    return nodes(ua.NodeId() if path is None else node_id(path))


def _expiration(certificate: bytes) -> ua.Variant:
    """Return when a certificate (DER) expires, the null DateTime without one."""
    from cryptography import x509  # noqa: PLC0415  only the one condition needs it

    never = datetime(1601, 1, 1, tzinfo=UTC)
    return variant(
        x509.load_der_x509_certificate(certificate).not_valid_after_utc if certificate else never, _V.DateTime
    )


_OF_CERTIFICATE: dict[Path, Callable[[bytes], ua.Variant]] = {
    ("Certificate",): lambda certificate: variant(certificate, _V.ByteString),
    ("CertificateType",): lambda _: variant(ua.NodeId(ua.ObjectIds.RsaSha256ApplicationCertificateType), _V.NodeId),
    ("ExpirationDate",): _expiration,
}

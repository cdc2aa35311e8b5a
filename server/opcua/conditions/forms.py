"""What the conditions of one declaration have in common: their type, their members, and what never changes."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeManagementService
from asyncua.server.standard_address_space.standard_address_space import fill_address_space

from address_space.model import AlarmDeclaration, AlarmKind, Role
from server.alarms.ports import MAX_TIME_SHELVED_MS
from server.opcua.conditions import vision
from server.opcua.conditions.fields import variant, words
from server.opcua.conditions.members import Member, Path, members

_IDS = ua.ObjectIds
_V = ua.VariantType

TYPES: dict[AlarmKind, tuple[str, ua.NodeId]] = {
    kind: (name, ua.NodeId(getattr(_IDS, name)))
    for kind, name in (
        (AlarmKind.LEVEL, "ExclusiveLevelAlarmType"),
        (AlarmKind.NON_EXCLUSIVE_LEVEL, "NonExclusiveLevelAlarmType"),
        (AlarmKind.RATE_OF_CHANGE, "ExclusiveRateOfChangeAlarmType"),
        (AlarmKind.DEVIATION, "ExclusiveDeviationAlarmType"),
        (AlarmKind.DISCREPANCY, "DiscrepancyAlarmType"),
        (AlarmKind.OFF_NORMAL, "OffNormalAlarmType"),
        (AlarmKind.RULE, "OffNormalAlarmType"),
        (AlarmKind.TRIP, "TripAlarmType"),
        (AlarmKind.COMMUNICATION, "SystemOffNormalAlarmType"),
        (AlarmKind.CERTIFICATE_EXPIRY, "CertificateExpirationAlarmType"),
    )
} | {AlarmKind.VISION: (vision.NAME, vision.TYPE_ID)}
"""Name and NodeId of the type of each kind."""

LIMITS = {"high_high": "HighHigh", "high": "High", "low": "Low", "low_low": "LowLow"}
"""Names of limits in the plant file, and in the names of OPC 10000-9."""
LIMIT_PATHS = {(f"{name}Limit",): key for key, name in LIMITS.items()}
LIMITS_ROLE = Role.Engineer
"""The role that may write limits."""

_SYSTEM = {AlarmKind.COMMUNICATION, AlarmKind.CERTIFICATE_EXPIRY}
_COMMENTED = ("Suppress", "Unsuppress", "RemoveFromService", "PlaceInService")
_SHELVING = ("TimedShelve", "OneShotShelve", "Unshelve")
_STATES = ("EnabledState", "ActiveState", "AckedState", "ConfirmedState", "SuppressedState", "OutOfServiceState")

_OPTIONAL: frozenset[Path] = frozenset(
    {
        ("LocalTime",),
        ("EnabledState", "EffectiveDisplayName"),
        ("EnabledState", "EffectiveTransitionTime"),
        ("ActiveState", "EffectiveDisplayName"),
        ("ActiveState", "EffectiveTransitionTime"),
        ("SuppressedState",),
        ("OutOfServiceState",),
        ("SilenceState",),
        ("SilenceState", "TransitionTime"),
        ("ShelvingState",),
        ("MaxTimeShelved",),
        ("OnDelay",),
        ("OffDelay",),
        ("Silence",),
        *((name,) for name in _COMMENTED),
        *((f"{name}2",) for name in _COMMENTED),
        *(("ShelvingState", f"{name}2") for name in _SHELVING),
        *((name, "TransitionTime") for name in _STATES if name != "ConfirmedState"),
    }
)
_CONFIRMATION: frozenset[Path] = frozenset({("ConfirmedState",), ("ConfirmedState", "TransitionTime"), ("Confirm",)})


@dataclass(frozen=True, slots=True)
class Form:
    """A declaration as OPC UA shows it; `constants` are the fields that all its conditions share.

    `below` are the members right below a path, `above` those whose sub-state a member is.
    """

    declaration: AlarmDeclaration
    type_name: str
    type_id: ua.NodeId
    members: Mapping[Path, Member]
    constants: Mapping[Path, ua.Variant]
    below: Mapping[Path, Sequence[Member]]
    above: Mapping[Path, Sequence[Member]]


class Forms:
    """Makes the form of each declaration once; the standard's types must be in the address space by then."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._forms: dict[int, Form] = {}
        self._members: dict[tuple[ua.NodeId, frozenset[Path]], dict[Path, Member]] = {}

    def of(self, declaration: AlarmDeclaration) -> Form:
        """Return the form of a declaration."""
        found = self._forms.get(id(declaration))  # the model keeps declarations: identity is enough
        if found is None:
            name, type_id = TYPES[declaration.kind]
            shown = self._known(type_id, _optional(declaration))
            constants = {path: it for path, it in _constants(declaration, type_id).items() if path in shown}
            found = self._forms[id(declaration)] = _form(declaration, name, type_id, shown, constants)
        return found

    @cached_property
    def vision(self) -> Form:
        """VisionAlarmType itself: what it adds to its supertype."""
        shown = vision.own_members(self._standard(vision.BASE_ID))
        return _form(vision.DECLARATION, vision.BASE_NAME, vision.BASE_ID, shown, vision.constants())

    def shared(
        self,
        declaration: AlarmDeclaration,
        type_name: str,
        constants: Mapping[Path, ua.Variant],
        optional: Collection[Path] = (),
    ) -> Form:
        """Return what instances of a type of the standard have in common; `declaration` names them."""
        type_id = ua.NodeId(getattr(_IDS, type_name))
        shown = members(self._standard(type_id), type_id, optional)
        return _form(declaration, type_name, type_id, shown, constants)

    def methods(self) -> Mapping[Path, Member]:
        """Return all methods that any condition has, with the NodeIds that their types give them."""
        type_id = ua.NodeId(_IDS.AlarmConditionType)
        known = {**self._known(type_id, _OPTIONAL | _CONFIRMATION), vision.REPORT: self.vision.members[vision.REPORT]}
        return {path: it for path, it in known.items() if it.node_class is ua.NodeClass.Method}

    def _known(self, type_id: ua.NodeId, optional: frozenset[Path]) -> dict[Path, Member]:
        found = self._members.get((type_id, optional))
        if found is None:
            base, added = type_id, dict[Path, Member]()
            if type_id == vision.TYPE_ID:
                base, added = vision.BASE_ID, dict(self.vision.members)
            found = self._members[type_id, optional] = {**members(self._standard(base), base, optional), **added}
        return found

    def _standard(self, type_id: ua.NodeId) -> AddressSpace:
        """Return where a type of the standard is."""
        if self._space.get(type_id) is None:  # only what is of the plant is there, as for an export
            self._space = standard()
        return self._space


def _form(
    declaration: AlarmDeclaration,
    type_name: str,
    type_id: ua.NodeId,
    shown: Mapping[Path, Member],
    constants: Mapping[Path, ua.Variant],
) -> Form:
    below: dict[Path, list[Member]] = {}
    above: dict[Path, list[Member]] = {}
    for member in shown.values():
        below.setdefault(member.path[:-1], []).append(member)
        for path in member.sub_states:
            above.setdefault(path, []).append(member)
    return Form(declaration, type_name, type_id, shown, constants, below, above)


def standard() -> AddressSpace:
    """Return an address space with the standard's nodes alone."""
    space = AddressSpace()
    fill_address_space(NodeManagementService(space))
    return space


def _optional(declaration: AlarmDeclaration) -> frozenset[Path]:
    """Return the optional members that conditions of a declaration have."""
    found = set(_OPTIONAL)
    if declaration.confirm:
        found |= _CONFIRMATION
    names = [LIMITS[key] for key in declaration.limits]
    found |= {(f"{name}Limit",) for name in names}
    found |= {(f"Severity{LIMITS[key]}",) for key in declaration.severities if key in declaration.limits}
    if declaration.deadband and names:
        found |= {(f"{name}Deadband",) for name in names}
    if declaration.kind is AlarmKind.NON_EXCLUSIVE_LEVEL:
        found |= {(f"{name}State",) for name in names}
    if declaration.kind is AlarmKind.DISCREPANCY:
        found.add(("Tolerance",))
    return frozenset(found)


def _constants(declaration: AlarmDeclaration, type_id: ua.NodeId) -> dict[Path, ua.Variant]:
    name = "SystemConditionClassType" if declaration.kind in _SYSTEM else "ProcessConditionClassType"
    found: dict[Path, ua.Variant] = {
        ("EventType",): variant(type_id, _V.NodeId),
        ("ConditionName",): variant(declaration.name, _V.String),
        ("ConditionClassId",): variant(ua.NodeId(getattr(_IDS, name)), _V.NodeId),
        ("ConditionClassName",): words(name),
        ("MaxTimeShelved",): variant(MAX_TIME_SHELVED_MS, _V.Double),
        ("OnDelay",): variant(declaration.on_delay * 1000.0, _V.Double),
        ("OffDelay",): variant(declaration.off_delay * 1000.0, _V.Double),
    }
    for key, name in LIMITS.items():
        found[f"{name}Deadband",] = variant(declaration.deadband, _V.Double)
        if key in declaration.severities:
            found[f"Severity{name}",] = variant(declaration.severities[key], _V.UInt16)
    if declaration.kind is AlarmKind.DISCREPANCY:
        found["ExpectedTime",] = variant(declaration.within * 1000.0, _V.Double)
        found["Tolerance",] = variant(declaration.tolerance, _V.Double)
    if declaration.kind is AlarmKind.VISION:
        found |= vision.constants()
    return found


def role_of(path: Path, declaration: AlarmDeclaration) -> Role:
    """Return the role that a method of a condition needs."""
    if (of_file := vision.role_of(path)) is not None:
        return of_file
    return Role.Engineer if path in ENGINEERS else declaration.acknowledge_role


ENGINEERS: Collection[Path] = (("Enable",), ("Disable",))
"""Methods that take an Engineer; all others take the role that may acknowledge."""

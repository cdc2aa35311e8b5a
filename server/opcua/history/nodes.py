"""HistoricalDataConfiguration of every variable, made when a client asks for it (OPC 10000-11 5.2.2, -13 4.2)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from address_space.model import VariableDeclaration
from server.history.aggregates import Configuration
from server.opcua import attributes as attrs
from server.opcua.attributes import Attributes, node_id, qualified
from server.opcua.history.policy import HistoryPolicy
from server.opcua.references import (
    HAS_COMPONENT,
    HAS_PROPERTY,
    new_node,
    property_node,
    property_reference,
    reference,
    type_reference,
)
from server.security.principal import Principal
from server.store import from_ticks

CONFIGURATION = "HA Configuration"
"""The browse name that OPC 10000-11 5.2.2 gives the object."""
_AGGREGATES = "AggregateConfiguration"
HISTORY_READ, HISTORY_WRITE = 0x04, 0x08
"""Bits of AccessLevel (OPC 10000-3 8.57)."""

_IDS = ua.ObjectIds
_HAS_CONFIGURATION = ua.NodeId(_IDS.HasHistoricalConfiguration)
_CONFIGURATION_TYPE = ua.NodeId(_IDS.HistoricalDataConfigurationType)
_AGGREGATES_TYPE = ua.NodeId(_IDS.AggregateConfigurationType)
_VARIABLE, _OBJECT = ua.NodeClass.Variable, ua.NodeClass.Object
_READ_HISTORY = ua.PermissionType.ReadHistory
_CHANGE_HISTORY = ua.PermissionType.InsertHistory | ua.PermissionType.ModifyHistory | ua.PermissionType.DeleteHistory

_V = ua.VariantType
_PROPERTIES: dict[str, tuple[_V, int]] = {
    "Stepped": (_V.Boolean, _IDS.Boolean),
    "ExceptionDeviation": (_V.Double, _IDS.Double),
    "ExceptionDeviationFormat": (_V.Int32, _IDS.ExceptionDeviationFormat),
    "MinTimeInterval": (_V.Double, _IDS.Duration),
    "StartOfArchive": (_V.DateTime, _IDS.UtcTime),
    "StartOfOnlineArchive": (_V.DateTime, _IDS.UtcTime),
    "ServerTimestampSupported": (_V.Boolean, _IDS.Boolean),
    "MaxTimeStoredValues": (_V.Double, _IDS.Duration),
}
_AGGREGATE_PROPERTIES: dict[str, tuple[_V, int]] = {
    "TreatUncertainAsBad": (_V.Boolean, _IDS.Boolean),
    "PercentDataBad": (_V.Byte, _IDS.Byte),
    "PercentDataGood": (_V.Byte, _IDS.Byte),
    "UseSlopedExtrapolation": (_V.Boolean, _IDS.Boolean),
}


@dataclass(frozen=True, slots=True)
class HistoryNodes:
    """What history adds to the plant's nodes.

    `oldest` gives the first timestamp (ticks) of the variable at a path, `kept` how long samples stay (s) there.
    """

    policy: HistoryPolicy
    oldest: Callable[[str], int | None]
    kept: Callable[[str], float]
    editable: bool = True

    def amend(self, attributes: Attributes, declaration: VariableDeclaration) -> None:
        """Say of a variable that it has history, and who may read and change it."""
        ids = ua.AttributeIds
        access = attrs.READ_WRITE if declaration.writable else attrs.READ_ONLY
        level = attrs.attribute(access | HISTORY_READ | (HISTORY_WRITE if self.editable else 0), _V.Byte)
        attributes |= {
            ids.AccessLevel: level,
            ids.UserAccessLevel: level,
            ids.Historizing: attrs.attribute(True, _V.Boolean),
        }
        permissions = attrs.permissions_of(declaration)
        permissions[self.policy.read_role] |= _READ_HISTORY
        if self.editable:
            permissions[self.policy.write_role] |= _CHANGE_HISTORY
        attributes[ids.RolePermissions] = attrs.role_permissions(permissions)

    def kept_from(self, declaration: VariableDeclaration, principal: Principal) -> int:
        """Return the bits of AccessLevel that a principal does not have."""
        if not principal.has(declaration.read_role):
            return HISTORY_READ | HISTORY_WRITE
        bits = 0 if principal.has(self.policy.read_role) else HISTORY_READ
        return bits if principal.has(self.policy.write_role) else bits | HISTORY_WRITE

    def identifiers(self, variable: str) -> Iterator[str]:
        """Yield the identifiers of what hangs on a variable."""
        top = f"{variable}.{CONFIGURATION}"
        yield top
        yield from (f"{top}.{name}" for name in _PROPERTIES)
        yield f"{top}.{_AGGREGATES}"
        yield from (f"{top}.{_AGGREGATES}.{name}" for name in _AGGREGATE_PROPERTIES)

    def references(self, variable: str) -> list[ua.ReferenceDescription]:
        """Return what a variable's node points to besides."""
        name = ua.QualifiedName(CONFIGURATION, 0)
        target = node_id(f"{variable}.{CONFIGURATION}")
        return [reference(_HAS_CONFIGURATION, target, _OBJECT, name, type_definition=_CONFIGURATION_TYPE)]

    def build(
        self, variable: str, declaration: VariableDeclaration, owner_type: ua.NodeId, rest: list[str]
    ) -> NodeData | None:
        """Return the node at `rest` below the configuration of a variable, None when there is none."""
        top = f"{variable}.{CONFIGURATION}"
        configuration = self.policy.configuration(declaration)
        if not rest:
            owner = reference(
                _HAS_CONFIGURATION, node_id(variable), _VARIABLE, qualified(declaration.name),
                type_definition=owner_type, forward=False,
            )  # fmt: skip
            data = _object(top, CONFIGURATION, "How the history of this variable is kept", _CONFIGURATION_TYPE, owner)
            data.references += [_property(f"{top}.{name}", name) for name in _PROPERTIES]
            name = ua.QualifiedName(_AGGREGATES, 0)
            below = node_id(f"{top}.{_AGGREGATES}")
            data.references.append(reference(HAS_COMPONENT, below, _OBJECT, name, type_definition=_AGGREGATES_TYPE))
            return data
        if rest[0] == _AGGREGATES:
            return self._build_aggregates(top, configuration, rest[1:])
        if len(rest) > 1 or rest[0] not in _PROPERTIES:
            return None
        values = {
            "Stepped": configuration.stepped,
            "ExceptionDeviation": 0.0,
            "ExceptionDeviationFormat": ua.ExceptionDeviationFormat.AbsoluteValue,
            "MinTimeInterval": 0.0,
            "ServerTimestampSupported": False,
            "MaxTimeStoredValues": self.kept(variable) * 1000.0,
        }
        kind, data_type = _PROPERTIES[rest[0]]
        value = ua.Variant(values.get(rest[0]), kind) if rest[0] in values else None
        node = _property_node(
            f"{top}.{rest[0]}", rest[0], data_type, value, _parent(top, CONFIGURATION, _CONFIGURATION_TYPE)
        )
        if value is None:
            found = AttributeValue(ua.DataValue())
            found.value_callback = lambda _node, _attribute: self._start(variable)
            node.attributes[ua.AttributeIds.Value] = found
        return node

    def _build_aggregates(self, top: str, configuration: Configuration, rest: list[str]) -> NodeData | None:
        identifier = f"{top}.{_AGGREGATES}"
        if not rest:
            owner = _parent(top, CONFIGURATION, _CONFIGURATION_TYPE, HAS_COMPONENT)
            described = "How aggregates of this variable are worked out"
            data = _object(identifier, _AGGREGATES, described, _AGGREGATES_TYPE, owner)
            data.references += [_property(f"{identifier}.{name}", name) for name in _AGGREGATE_PROPERTIES]
            return data
        if len(rest) > 1 or rest[0] not in _AGGREGATE_PROPERTIES:
            return None
        values = {
            "TreatUncertainAsBad": configuration.treat_uncertain_as_bad,
            "PercentDataBad": configuration.percent_bad,
            "PercentDataGood": configuration.percent_good,
            "UseSlopedExtrapolation": configuration.sloped_extrapolation,
        }
        kind, data_type = _AGGREGATE_PROPERTIES[rest[0]]
        value = ua.Variant(values[rest[0]], kind)
        owner = _parent(identifier, _AGGREGATES, _AGGREGATES_TYPE)
        return _property_node(f"{identifier}.{rest[0]}", rest[0], data_type, value, owner)

    def _start(self, variable: str) -> ua.DataValue:
        oldest = self.oldest(variable)
        if oldest is None:
            return ua.DataValue(ua.Variant(None), ua.StatusCode(ua.StatusCodes.BadNoData))
        return ua.DataValue(ua.Variant(from_ticks(oldest), _V.DateTime))


def _object(
    identifier: str, name: str, description: str, type_definition: ua.NodeId, owner: ua.ReferenceDescription
) -> NodeData:
    data = new_node(identifier, attrs.base(_OBJECT, ua.QualifiedName(name, 0), name, description))
    data.attributes[ua.AttributeIds.EventNotifier] = attrs.attribute(0, _V.Byte)
    type_name = "AggregateConfigurationType" if name == _AGGREGATES else "HistoricalDataConfigurationType"
    data.references.append(type_reference(type_definition, type_name, ua.NodeClass.ObjectType))
    data.references.append(owner)
    return data


def _property_node(
    identifier: str, name: str, data_type: int, value: ua.Variant | None, owner: ua.ReferenceDescription
) -> NodeData:
    shown = attrs.property_attributes(ua.QualifiedName(name, 0), ua.NodeId(data_type), value)
    return property_node(identifier, shown, owner, rule=False)


def _property(identifier: str, name: str) -> ua.ReferenceDescription:
    return property_reference(identifier, ua.QualifiedName(name, 0))


def _parent(
    identifier: str, name: str, type_definition: ua.NodeId, kind: ua.NodeId = HAS_PROPERTY
) -> ua.ReferenceDescription:
    found = ua.QualifiedName(name, 0)
    return reference(kind, node_id(identifier), _OBJECT, found, type_definition=type_definition, forward=False)

"""The nodes of one session's diagnostics, made when they are asked for, as their type declares them (6.3.5)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from server.opcua.references import HAS_COMPONENT, HAS_PROPERTY, HAS_TYPE, reference
from server.opcua.space import PlantAddressSpace

NAMESPACE = 1
"""The server's own: SessionIds are of it, and the NodeIds below them."""
_IDS = ua.ObjectIds
_TYPE = ua.NodeId(_IDS.SessionDiagnosticsObjectType)
SESSIONS = ua.NodeId(_IDS.Server_ServerDiagnostics_SessionsDiagnosticsSummary)
_PARTS = {
    "SessionDiagnostics": ua.NodeId(_IDS.SessionDiagnosticsObjectType_SessionDiagnostics),
    "SessionSecurityDiagnostics": ua.NodeId(_IDS.SessionDiagnosticsObjectType_SessionSecurityDiagnostics),
    "SubscriptionDiagnosticsArray": ua.NodeId(_IDS.SessionDiagnosticsObjectType_SubscriptionDiagnosticsArray),
}
SECURITY_PART = "SessionSecurityDiagnostics"

ReadPart = Callable[[uuid.UUID, str, str], ua.DataValue]


def split(node: ua.NodeId) -> tuple[uuid.UUID, str, str] | None:
    """Return session, part and field that a NodeId names, empty where it names less; None for any other NodeId."""
    if node.NamespaceIndex != NAMESPACE:
        return None
    if isinstance(node.Identifier, uuid.UUID):
        return node.Identifier, "", ""
    if not isinstance(node.Identifier, str):
        return None
    session, _, rest = node.Identifier.partition(".")
    part, _, name = rest.partition(".")
    try:
        return (uuid.UUID(session), part, name) if part in _PARTS else None
    except ValueError:
        return None


def session_reference(session: uuid.UUID, name: str, *, forward: bool = True) -> ua.ReferenceDescription:
    """Return the reference from the sessions' summary to a session's object."""
    described = ua.QualifiedName(name, NAMESPACE)
    target = ua.NodeId(session, NAMESPACE)
    return reference(HAS_COMPONENT, target, ua.NodeClass.Object, described, type_definition=_TYPE, forward=forward)


class SessionNodes:
    """Builds them; `read` gives a part's value, or that of one of its fields."""

    def __init__(self, space: PlantAddressSpace, read: ReadPart) -> None:
        self._space = space
        self._read = read

    def build(self, session: uuid.UUID, name: str, part: str, field: str) -> NodeData | None:
        """Return a node of a session's diagnostics."""
        if not part:
            return self._object(session, name)
        declared = self._space.get(_PARTS[part])
        if declared is None:
            return None
        above = session_reference(session, name, forward=False)
        if field:
            declared_part, declared = declared, self._child(declared, field)
            if declared is None:
                return None
            above = replace(_down(declared_part, _id(session, part)), IsForward=False)
        return self._variable(declared, session, part, field, above)

    def declared(self, part: str, field: str) -> ua.NodeId:
        """Return the node of the type that declares a part or its field."""
        above = self._space[_PARTS[part]]
        found = self._child(above, field) if field else above
        return above.nodeid if found is None else found.nodeid

    def _object(self, session: uuid.UUID, name: str) -> NodeData:
        made = NodeData(ua.NodeId(session, NAMESPACE))
        ids, kinds = ua.AttributeIds, ua.VariantType
        values = {
            ids.NodeId: (made.nodeid, kinds.NodeId),
            ids.NodeClass: (ua.NodeClass.Object, kinds.Int32),
            ids.BrowseName: (ua.QualifiedName(name, NAMESPACE), kinds.QualifiedName),
            ids.DisplayName: (ua.LocalizedText(name), kinds.LocalizedText),
            ids.Description: (ua.LocalizedText("Diagnostics of a session"), kinds.LocalizedText),
            ids.WriteMask: (0, kinds.UInt32),
            ids.UserWriteMask: (0, kinds.UInt32),
            ids.EventNotifier: (0, kinds.Byte),
        }
        made.attributes = {key: _holding(value, kind) for key, (value, kind) in values.items()}
        made.references = [
            reference(HAS_TYPE, _TYPE, ua.NodeClass.ObjectType, ua.QualifiedName("SessionDiagnosticsObjectType", 0)),
            reference(
                HAS_COMPONENT, SESSIONS, ua.NodeClass.Object, ua.QualifiedName("SessionsDiagnosticsSummary", 0),
                type_definition=ua.NodeId(_IDS.SessionsDiagnosticsSummaryType), forward=False,
            ),
        ]  # fmt: skip
        for part, declared in _PARTS.items():
            made.references.append(_down(self._space[declared], _id(session, part)))
        return made

    def _variable(
        self, declared: NodeData, session: uuid.UUID, part: str, field: str, above: ua.ReferenceDescription
    ) -> NodeData:
        made = NodeData(_id(session, part, field))
        value = AttributeValue(ua.DataValue())
        value.value_callback = lambda _node, _attribute: self._read(session, part, field)
        made.attributes = {
            **declared.attributes,
            ua.AttributeIds.NodeId: _holding(made.nodeid, ua.VariantType.NodeId),
            ua.AttributeIds.Value: value,
        }
        made.references = [it for it in declared.references if it.IsForward and it.ReferenceTypeId == HAS_TYPE]
        made.references.append(above)
        if not field:
            made.references += [
                _down(self._space[it.NodeId], _id(session, part, str(it.BrowseName.Name)))
                for it in declared.references
                if it.IsForward and it.ReferenceTypeId in (HAS_COMPONENT, HAS_PROPERTY)
            ]
        return made

    def _child(self, declared: NodeData, field: str) -> NodeData | None:
        for it in declared.references:
            if it.IsForward and it.ReferenceTypeId == HAS_COMPONENT and it.BrowseName.Name == field:
                return self._space.get(it.NodeId)
        return None


def _id(session: uuid.UUID, part: str, field: str = "") -> ua.NodeId:
    return ua.NodeId(f"{session}.{part}.{field}" if field else f"{session}.{part}", NAMESPACE)


def _down(declared: NodeData, target: ua.NodeId) -> ua.ReferenceDescription:
    """Return the reference to a node that is made as declared."""
    name: Any = declared.attributes[ua.AttributeIds.BrowseName].value
    kind = next(it.NodeId for it in declared.references if it.IsForward and it.ReferenceTypeId == HAS_TYPE)
    return reference(HAS_COMPONENT, target, ua.NodeClass.Variable, name.Value.Value, type_definition=kind)


def _holding(value: Any, kind: ua.VariantType) -> AttributeValue:
    return AttributeValue(ua.DataValue(ua.Variant(value, kind)))

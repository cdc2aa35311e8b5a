"""References and nodes as all nodes of the plant's namespace are made of (OPC 10000-4 7.30, OPC 10000-3 5.2)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from server.opcua import attributes as attrs
from server.opcua.attributes import Attributes, node_id

_IDS = ua.ObjectIds


def standard(number: int) -> ua.NodeId:
    """Return the NodeId of one of OPC UA's own nodes."""
    return ua.NodeId(number)


HAS_COMPONENT, HAS_PROPERTY, HAS_SUBTYPE = (
    standard(_IDS.HasComponent),
    standard(_IDS.HasProperty),
    standard(_IDS.HasSubtype),
)
HAS_TYPE, HAS_RULE, HAS_NOTIFIER = (
    standard(_IDS.HasTypeDefinition),
    standard(_IDS.HasModellingRule),
    standard(_IDS.HasNotifier),
)
ORGANIZES = standard(_IDS.Organizes)
PROPERTY_TYPE, FOLDER_TYPE = standard(_IDS.PropertyType), standard(_IDS.FolderType)
_NO_TYPE = ua.NodeId()


def reference(
    kind: ua.NodeId,
    target: ua.NodeId,
    node_class: ua.NodeClass,
    name: ua.QualifiedName,
    *,
    type_definition: ua.NodeId = _NO_TYPE,
    forward: bool = True,
) -> ua.ReferenceDescription:
    """Return one reference as Browse answers it (OPC 10000-4 7.30)."""
    own = target.NamespaceIndex == attrs.NAMESPACE
    display = attrs.text(name.Name or "") if own else ua.LocalizedText(name.Name)  # as the target's own DisplayName
    return ua.ReferenceDescription(kind, forward, target, name, display, node_class, type_definition)


def new_node(identifier: str, shared: Attributes) -> NodeData:
    """Return a node with these attributes, which others may share, and no references."""
    data = NodeData(node_id(identifier))
    data.attributes = {
        ua.AttributeIds.NodeId: AttributeValue(ua.DataValue(ua.Variant(data.nodeid, ua.VariantType.NodeId))),
        **shared,
    }
    return data


def property_node(
    identifier: str, shared: Attributes, owner: ua.ReferenceDescription, *, rule: bool, optional: bool = False
) -> NodeData:
    """Return a property's node; `rule` says whether it is one of a type."""
    data = new_node(identifier, shared)
    data.references.append(type_reference(PROPERTY_TYPE, "PropertyType", ua.NodeClass.VariableType))
    data.references.append(owner)
    if rule:
        data.references.append(modelling_rule(optional=optional))
    return data


def type_reference(target: ua.NodeId, name: str, node_class: ua.NodeClass) -> ua.ReferenceDescription:
    """Return the reference to a node's type definition."""
    return reference(HAS_TYPE, target, node_class, ua.QualifiedName(name, target.NamespaceIndex))


def property_reference(identifier: str, name: ua.QualifiedName) -> ua.ReferenceDescription:
    """Return the reference to a property."""
    return reference(HAS_PROPERTY, node_id(identifier), ua.NodeClass.Variable, name, type_definition=PROPERTY_TYPE)


def modelling_rule(*, optional: bool) -> ua.ReferenceDescription:
    """Return the reference to Mandatory or Optional (OPC 10000-3 6.4.4)."""
    number, name = (
        (_IDS.ModellingRule_Optional, "Optional") if optional else (_IDS.ModellingRule_Mandatory, "Mandatory")
    )
    rule_type = standard(_IDS.ModellingRuleType)
    return reference(
        HAS_RULE, standard(number), ua.NodeClass.Object, ua.QualifiedName(name, 0), type_definition=rule_type
    )

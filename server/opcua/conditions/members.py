"""What an instance of a condition type has, read from the standard's own types (OPC 10000-3 6.3)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from asyncua import ua
from asyncua.server.address_space import NodeData

from server.opcua.references import HAS_COMPONENT, HAS_PROPERTY, HAS_RULE, HAS_SUBTYPE, HAS_TYPE

Path = tuple[str, ...]

HAS_TRUE_SUB_STATE = ua.NodeId(ua.ObjectIds.HasTrueSubState)
_BASE_OBJECT_TYPE = ua.NodeId(ua.ObjectIds.BaseObjectType)
_MANDATORY = ua.NodeId(ua.ObjectIds.ModellingRule_Mandatory)
_NO_TYPE = ua.NodeId()


class Nodes(Protocol):
    """Where types are looked up: an address space."""

    def get(self, nodeid: ua.NodeId) -> NodeData | None:
        """Return a node, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """A component or property: `path` from the instance, `by` the reference that leads to it from its parent.

    `declared` are the nodes that declare it, that of the most derived type first; `rule` is the modelling rule there.
    `constant` is the value that the type gives: a method's arguments. `sub_states` are paths of HasTrueSubState.
    `namespace` is that of the browse name: 0, but for what the plant's own type adds.
    """

    path: Path
    node_class: ua.NodeClass
    by: ua.NodeId
    type_definition: ua.NodeId
    type_name: str
    data_type: ua.NodeId
    value_rank: int
    mandatory: bool
    declared: tuple[ua.NodeId, ...]
    constant: ua.Variant | None
    sub_states: tuple[Path, ...]
    namespace: int = 0

    @property
    def name(self) -> str:
        """The browse name without its namespace."""
        return self.path[-1]

    @property
    def browse_name(self) -> ua.QualifiedName:
        """The browse name."""
        return ua.QualifiedName(self.name, self.namespace)

    def moved(self, path: Path, declared: tuple[ua.NodeId, ...]) -> "Member":
        """Return the same as a member of something else."""
        return replace(self, path=path, declared=declared)


def members(space: Nodes, type_id: ua.NodeId, optional: Collection[Path]) -> dict[Path, Member]:
    """Return all mandatory members of a type, and those of the optional ones that are asked for, parents first."""
    chain = list(_supertypes(space, type_id))
    found = dict(_below(space, chain, (), frozenset(optional)))
    missing = set(optional) - found.keys()
    if missing:
        raise KeyError(f"{type_id} declares no {sorted(missing)}")
    return found


def _below(space: Nodes, chain: list[NodeData], path: Path, optional: frozenset[Path]) -> Iterator[tuple[Path, Member]]:
    """Yield the members below `path`; `chain` are the nodes that declare what is at `path`."""
    declared: dict[str, list[tuple[ua.NodeId, NodeData]]] = {}
    for node in chain:
        for reference in node.references:
            if reference.IsForward and reference.ReferenceTypeId in (HAS_COMPONENT, HAS_PROPERTY):
                child = space.get(reference.NodeId)
                if child is not None:
                    declared.setdefault(str(reference.BrowseName.Name), []).append((reference.ReferenceTypeId, child))
    for name, nodes in declared.items():
        rules = [_target(node, HAS_RULE) for _, node in nodes]
        mandatory = _MANDATORY in rules
        here = (*path, name)
        if not mandatory and here not in optional:
            continue
        by, first = nodes[0]
        kind = _target(first, HAS_TYPE) or _NO_TYPE
        yield here, _member(space, here, by, [node for _, node in nodes], mandatory=mandatory)
        yield from _below(space, [*(node for _, node in nodes), *_supertypes(space, kind)], here, optional)


def _member(space: Nodes, path: Path, by: ua.NodeId, nodes: list[NodeData], *, mandatory: bool) -> Member:
    first = nodes[0]
    kind = _target(first, HAS_TYPE) or _NO_TYPE
    type_node = space.get(kind)
    constant: Any = None
    if path[-1] in ("InputArguments", "OutputArguments"):
        arguments = _value(first, ua.AttributeIds.Value)  # a list that does not say it is an array
        constant = ua.Variant(list(arguments), ua.VariantType.ExtensionObject, is_array=True)
    sub_states = {
        (*path[:-1], str(reference.BrowseName.Name))
        for node in nodes
        for reference in node.references
        if reference.IsForward and reference.ReferenceTypeId == HAS_TRUE_SUB_STATE
    }
    is_variable = _value(first, ua.AttributeIds.NodeClass) == ua.NodeClass.Variable
    return Member(
        path=path,
        node_class=ua.NodeClass(_value(first, ua.AttributeIds.NodeClass)),
        by=by,
        type_definition=kind,
        type_name="" if type_node is None else str(_value(type_node, ua.AttributeIds.BrowseName).Name),
        data_type=_value(first, ua.AttributeIds.DataType) if is_variable else _NO_TYPE,
        value_rank=_value(first, ua.AttributeIds.ValueRank) if is_variable else -1,
        mandatory=mandatory,
        declared=tuple(node.nodeid for node in nodes),
        constant=constant,
        sub_states=tuple(sorted(sub_states)),
    )


def _supertypes(space: Nodes, type_id: ua.NodeId) -> Iterator[NodeData]:
    """Yield a type and what it is derived from, without BaseObjectType."""
    wanted: ua.NodeId | None = type_id
    while wanted is not None and not wanted.is_null() and wanted != _BASE_OBJECT_TYPE:
        node = space.get(wanted)
        if node is None:
            return
        yield node
        wanted = next(
            (it.NodeId for it in node.references if it.ReferenceTypeId == HAS_SUBTYPE and not it.IsForward), None
        )


def _target(node: NodeData, kind: ua.NodeId) -> ua.NodeId | None:
    return next((it.NodeId for it in node.references if it.IsForward and it.ReferenceTypeId == kind), None)


def _value(node: NodeData, attribute: ua.AttributeIds) -> Any:
    found = node.attributes[attribute].value
    return None if found is None or found.Value is None else found.Value.Value

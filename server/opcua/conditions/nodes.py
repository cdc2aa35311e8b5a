"""Nodes of condition instances, made on demand as all nodes of the plant are (OPC 10000-9 5.5 to 5.8).

A condition on a variable has that variable as its ConditionSource, any other its machine. Types of machines have their
conditions as instance declarations, with the same members.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from address_space.model import AlarmDeclaration, Condition, Machine, MachineType, Plant, Role
from server.opcua import attributes as attrs
from server.opcua.attributes import Attributes, node_id, qualified
from server.opcua.conditions import vision
from server.opcua.conditions.forms import LIMIT_PATHS, LIMITS_ROLE, Form, Forms, role_of
from server.opcua.conditions.members import HAS_TRUE_SUB_STATE, Member, Path
from server.opcua.references import HAS_COMPONENT, HAS_SUBTYPE, modelling_rule, new_node, reference, type_reference

if TYPE_CHECKING:
    from server.opcua.conditions.picture_nodes import PictureNodes

ReadField = Callable[[Condition, Path], ua.DataValue]

_IDS = ua.ObjectIds
HAS_CONDITION = ua.NodeId(_IDS.HasCondition)
HAS_EVENT_SOURCE = ua.NodeId(_IDS.HasEventSource)
_READ_WRITE = 0x03
_OBJECT, _VARIABLE, _METHOD = ua.NodeClass.Object, ua.NodeClass.Variable, ua.NodeClass.Method
_TYPE_CLASS = {_OBJECT: ua.NodeClass.ObjectType, _VARIABLE: ua.NodeClass.VariableType}


@dataclass(frozen=True, slots=True)
class Owner:
    """What conditions are below: a machine, or with `machine` None the type of machines itself."""

    path: str
    type: MachineType
    machine: Machine | None

    def reference(self, by: ua.NodeId, *, forward: bool) -> ua.ReferenceDescription:
        """Return a reference to it."""
        if self.machine is None:
            return reference(by, node_id(self.path), ua.NodeClass.ObjectType, qualified(self.path), forward=forward)
        kind, name = node_id(self.type.name), qualified(self.machine.name)
        return reference(by, node_id(self.path), _OBJECT, name, type_definition=kind, forward=forward)


@dataclass(frozen=True, slots=True)
class Top:
    """What members are below: a condition or a picture, its declaration in a type, or the condition's own type."""

    path: str
    name: ua.QualifiedName
    node_class: ua.NodeClass
    type_definition: ua.NodeId
    in_type: bool


class ConditionNodes:
    """Builds them; `read` gives variables their values."""

    def __init__(self, plant: Plant, forms: Forms, read: ReadField) -> None:
        self._forms = forms
        self._read = read
        self._has_vision = vision.used(plant)
        self._by_machine: dict[str, dict[str, Condition]] = {}
        for condition in plant.conditions:
            self._by_machine.setdefault(condition.machine.path, {})[condition.name] = condition
        self._attributes: dict[tuple[int, Path], Attributes] = {}
        self.pictures: PictureNodes | None = None
        """What makes the nodes of pictures of the past, set before any node is made."""

    def _declarations(self, owner: Owner) -> Mapping[str, AlarmDeclaration]:
        """Return the conditions of a machine, or of a type, by name."""
        if owner.machine is None:
            return owner.type.alarms
        return {name: it.declaration for name, it in self._by_machine.get(owner.path, {}).items()}

    def identifiers(self, path: str, kind: MachineType, machine: Machine | None) -> Iterator[str]:
        """Yield the identifiers of all nodes of the conditions of a machine, or of a type where `machine` is None."""
        owner = Owner(path, kind, machine)
        for name, declaration in self._declarations(owner).items():
            yield f"{owner.path}.{name}"
            for below in self._forms.of(declaration).members:
                yield ".".join((owner.path, name, *below))
        if self.pictures is not None:
            yield from self.pictures.identifiers(owner)

    def of_owner(self, path: str, kind: MachineType, machine: Machine | None) -> list[ua.ReferenceDescription]:
        """Return the references from an owner to its conditions and to the variables that are event sources."""
        owner = Owner(path, kind, machine)
        found: list[ua.ReferenceDescription] = []
        sources: dict[str, None] = {}
        for declaration in self._declarations(owner).values():
            found.append(self._to_condition(HAS_COMPONENT, owner, declaration))
            if declaration.input is None:
                found.append(self._to_condition(HAS_CONDITION, owner, declaration))
            else:
                sources[declaration.input] = None
        found += [self._to_source(owner, name) for name in sources]
        if self.pictures is not None:
            found += self.pictures.of_owner(owner)
        return found

    def of_variable(
        self, path: str, kind: MachineType, machine: Machine | None, name: str
    ) -> list[ua.ReferenceDescription]:
        """Return the references between a variable and the conditions that watch it, and to its owner."""
        owner = Owner(path, kind, machine)
        watching = [it for it in self._declarations(owner).values() if it.input == name]
        found = [self._to_condition(HAS_CONDITION, owner, it) for it in watching]
        return [*found, owner.reference(HAS_EVENT_SOURCE, forward=False)] if found else []

    def type_identifiers(self) -> Iterator[str]:
        """Yield the identifiers of VisionAlarmType's nodes, where the plant uses it."""
        if self._has_vision:
            yield vision.NAME
            for path in self._forms.vision.members:
                yield ".".join((vision.NAME, *path))

    def build_type(self, identifier: str) -> NodeData | None:
        """Return a node of VisionAlarmType, None for any other."""
        name, *rest = identifier.split(".")
        if name != vision.NAME or not self._has_vision:
            return None
        form = self._forms.vision
        if rest:
            member = form.members.get(tuple(rest))
            top = Top(name, qualified(name), ua.NodeClass.ObjectType, ua.NodeId(), in_type=True)
            return None if member is None else self.build_member(top, form, member, lambda _: no_value())
        shared = attrs.base(ua.NodeClass.ObjectType, qualified(name), name, form.declaration.message)
        shared[ua.AttributeIds.IsAbstract] = attrs.attribute(False, ua.VariantType.Boolean)
        data = new_node(name, shared)
        base = ua.QualifiedName(form.type_name, 0)
        data.references.append(reference(HAS_SUBTYPE, form.type_id, ua.NodeClass.ObjectType, base, forward=False))
        data.references += [to_member(name, it) for it in form.below[()]]
        return data

    def build(self, path: str, kind: MachineType, machine: Machine | None, rest: list[str]) -> NodeData | None:
        """Return the node at `rest` below an owner, None when its conditions have none there."""
        owner = Owner(path, kind, machine)
        declaration = self._declarations(owner).get(rest[0])
        if declaration is None:
            return None if self.pictures is None else self.pictures.build(owner, rest)
        form, below = self._forms.of(declaration), tuple(rest[1:])
        if not below:
            return self._build_instance(owner, form)
        member = form.members.get(below)
        if member is None:
            return None
        name, in_type = declaration.name, owner.machine is None
        top = Top(f"{owner.path}.{name}", qualified(name), _OBJECT, form.type_id, in_type=in_type)
        return self.build_member(top, form, member, lambda path: self._value(owner, form, path))

    def _build_instance(self, owner: Owner, form: Form) -> NodeData:
        declaration = form.declaration
        top = f"{owner.path}.{declaration.name}"
        shared = self._attributes.get((id(declaration), ()))
        if shared is None:
            shared = attrs.folder_attributes(declaration.name, declaration.message)
            self._attributes[id(declaration), ()] = shared
        data = new_node(top, shared)
        data.references.append(type_reference(form.type_id, form.type_name, ua.NodeClass.ObjectType))
        data.references.append(owner.reference(HAS_COMPONENT, forward=False))
        data.references.append(self._source(owner, declaration))
        data.references += [to_member(top, it) for it in form.below[()]]
        if owner.machine is None:
            data.references.append(modelling_rule(optional=False))
        return data

    def build_member(self, at: Top, form: Form, member: Member, value: Callable[[Path], AttributeValue]) -> NodeData:
        """Return the node of a member; `value` gives that of a variable that its form says nothing of."""
        top, path = at.path, member.path
        shared = self._attributes.get((id(form.declaration), path))
        if shared is None:
            shared = self._attributes[id(form.declaration), path] = _attributes(form, member)
        data = new_node(".".join((top, *path)), shared)
        if member.node_class is not _METHOD:
            kind = _TYPE_CLASS[member.node_class]
            data.references.append(type_reference(member.type_definition, member.type_name, kind))
        above = form.members.get(path[:-1])
        if above is None:
            data.references.append(
                reference(
                    member.by, node_id(top), at.node_class, at.name, type_definition=at.type_definition, forward=False
                )
            )
        else:
            data.references.append(to_member(top, above, by=member.by, forward=False))
        data.references += [to_member(top, it) for it in form.below.get(path, ())]
        data.references += _sub_states(top, form, member)
        if at.in_type:
            data.references.append(modelling_rule(optional=not member.mandatory))
        if member.node_class is _VARIABLE and ua.AttributeIds.Value not in shared:
            data.attributes[ua.AttributeIds.Value] = value(path)
        return data

    def _value(self, owner: Owner, form: Form, path: Path) -> AttributeValue:
        if owner.machine is None:
            return no_value()
        condition = self._by_machine[owner.path][form.declaration.name]
        value = AttributeValue(ua.DataValue())
        value.value_callback = lambda _node, _attribute: self._read(condition, path)
        return value

    def _to_condition(self, by: ua.NodeId, owner: Owner, declaration: AlarmDeclaration) -> ua.ReferenceDescription:
        target = node_id(f"{owner.path}.{declaration.name}")
        kind = self._forms.of(declaration).type_id
        return reference(by, target, _OBJECT, qualified(declaration.name), type_definition=kind)

    def _source(self, owner: Owner, declaration: AlarmDeclaration) -> ua.ReferenceDescription:
        if declaration.input is None:
            return owner.reference(HAS_CONDITION, forward=False)
        return self._to_variable(HAS_CONDITION, owner, declaration.input, forward=False)

    def _to_source(self, owner: Owner, name: str) -> ua.ReferenceDescription:
        return self._to_variable(HAS_EVENT_SOURCE, owner, name, forward=True)

    @staticmethod
    def _to_variable(by: ua.NodeId, owner: Owner, name: str, *, forward: bool) -> ua.ReferenceDescription:
        analog = owner.type.variables[name].unit is not None
        kind = ua.NodeId(_IDS.AnalogUnitRangeType if analog else _IDS.BaseDataVariableType)
        target = node_id(f"{owner.path}.{name}")
        return reference(by, target, _VARIABLE, qualified(name), type_definition=kind, forward=forward)


def _attributes(form: Form, member: Member) -> Attributes:
    """Return what the members of all instances share; a constant Value is among it."""
    ids, name = ua.AttributeIds, member.browse_name
    if member.node_class is _OBJECT:
        shared = attrs.base(_OBJECT, name, member.name, "")
        shared[ids.EventNotifier] = attrs.attribute(0, ua.VariantType.Byte)
        return shared
    if member.node_class is _METHOD:
        shared = attrs.base(_METHOD, name, member.name, "")
        permissions = dict.fromkeys(Role, ua.PermissionType.Browse)
        permissions[role_of(member.path, form.declaration)] |= ua.PermissionType.Call
        shared[ids.Executable] = shared[ids.UserExecutable] = attrs.attribute(True, ua.VariantType.Boolean)
        shared[ids.RolePermissions] = attrs.role_permissions(permissions)
        return shared
    constant = member.constant or form.constants.get(member.path)
    shared = attrs.property_attributes(name, member.data_type, constant)
    if constant is None:
        del shared[ids.Value]
        shared[ids.ValueRank] = attrs.attribute(member.value_rank, ua.VariantType.Int32)
    if member.path in LIMIT_PATHS:
        level = attrs.attribute(_READ_WRITE, ua.VariantType.Byte)
        permissions = dict.fromkeys(Role, ua.PermissionType.Browse | ua.PermissionType.Read)
        permissions[LIMITS_ROLE] |= ua.PermissionType.Write
        shared |= {
            ids.AccessLevel: level,
            ids.UserAccessLevel: level,
            ids.RolePermissions: attrs.role_permissions(permissions),
        }
    return shared


def no_value() -> AttributeValue:
    """Return the Value of a declaration in a type: there is none."""
    return AttributeValue(ua.DataValue(ua.Variant(None)))


def to_member(
    top: str, member: Member, *, by: ua.NodeId | None = None, forward: bool = True
) -> ua.ReferenceDescription:
    """Return a reference to a member of what is at `top`."""
    target, kind = node_id(".".join((top, *member.path))), member.type_definition
    name = member.browse_name
    return reference(by or member.by, target, member.node_class, name, type_definition=kind, forward=forward)


def _sub_states(top: str, form: Form, member: Member) -> Iterator[ua.ReferenceDescription]:
    for path in member.sub_states:
        if path in form.members:
            yield to_member(top, form.members[path], by=HAS_TRUE_SUB_STATE)
    for other in form.above.get(member.path, ()):
        yield to_member(top, other, by=HAS_TRUE_SUB_STATE, forward=False)

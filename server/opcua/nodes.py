"""Nodes made on demand: the model says what every node of the plant's namespace is, so none is kept until asked for."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from address_space.load import NAMEPLATE
from address_space.model import CommandDeclaration, Machine, MachineType, Plant, VariableDeclaration
from server.opcua import attributes as attrs
from server.opcua.attributes import Attributes, node_id, qualified

if TYPE_CHECKING:
    from server.opcua.conditions.nodes import ConditionNodes
    from server.opcua.history.nodes import HistoryNodes

ReadValue = Callable[[ua.NodeId, ua.AttributeIds], ua.DataValue]

IDENTIFICATION = "Identification"
"""Object that carries a machine's nameplate, named as OPC 40001-1 names it."""

_IDS = ua.ObjectIds


def _id(number: int) -> ua.NodeId:
    return ua.NodeId(number)


HAS_COMPONENT, HAS_PROPERTY, HAS_SUBTYPE = _id(_IDS.HasComponent), _id(_IDS.HasProperty), _id(_IDS.HasSubtype)
HAS_TYPE, HAS_RULE, HAS_NOTIFIER = _id(_IDS.HasTypeDefinition), _id(_IDS.HasModellingRule), _id(_IDS.HasNotifier)
ORGANIZES = _id(_IDS.Organizes)
_PROPERTY_TYPE, _FOLDER_TYPE = _id(_IDS.PropertyType), _id(_IDS.FolderType)
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
    locale = "en" if target.NamespaceIndex == attrs.NAMESPACE else None  # as the target's own DisplayName
    display = ua.LocalizedText(name.Name, locale)
    return ua.ReferenceDescription(kind, forward, target, name, display, node_class, type_definition)


class NodeFactory:
    """Builds any node of the plant's namespace from the model; `read_value` gives variables their values."""

    def __init__(self, plant: Plant, read_value: ReadValue) -> None:
        self._plant = plant
        self._read_value = read_value
        self._variable_attributes: dict[int, Attributes] = {}
        self._method_attributes: dict[int, Attributes] = {}
        self.conditions: ConditionNodes | None = None
        """What makes the nodes of conditions, set before any node is made."""
        self.history: HistoryNodes | None = None
        """What history adds to variables, set before any node is made; None without a historian."""

    def identifiers(self) -> Iterator[str]:
        """Yield the identifier of every node of the plant: types first, then instances in file order."""
        for enumeration in self._plant.enumerations:
            yield enumeration
            yield f"{enumeration}.EnumStrings"
        for name, machine_type in self._plant.types.items():
            yield from self._structure(name, machine_type, NAMEPLATE if machine_type.nameplate else ())
            if self.conditions is not None:
                yield from self.conditions.identifiers(name, machine_type, None)
        if self.conditions is not None:
            yield from self.conditions.type_identifiers()
        for machine in self._plant.objects:
            yield from self._structure(machine.path, machine.type, tuple(machine.nameplate))
            if self.conditions is not None:
                yield from self.conditions.identifiers(machine.path, machine.type, machine)
            if self.history is not None:
                for variable in machine.variables.values():
                    yield from self.history.identifiers(variable.path)

    def has(self, identifier: str) -> bool:
        """Whether the plant has such a node."""
        return self.build(identifier) is not None

    def build(self, identifier: str) -> NodeData | None:
        """Return a new node, or None when the plant has no such node."""
        found = self._resolve(identifier)
        if found is None:
            return self._build_enumeration(identifier) or self._build_condition_type(identifier)
        prefix, machine_type, machine, rest = found
        if not rest:
            return self._build_type(machine_type) if machine is None else self._build_machine(machine)
        if rest[0] in machine_type.variables:
            declaration = machine_type.variables[rest[0]]
            if len(rest) == 1:
                return self._build_variable(prefix, declaration, machine)
            if self.history is not None and machine is not None and rest[1] == "HA Configuration":
                kind = _variable_type(declaration)
                return self.history.build(f"{prefix}.{declaration.name}", declaration, kind, rest[2:])
            return self._build_variable_property(prefix, declaration, rest[1], machine) if len(rest) == 2 else None
        if rest[0] in machine_type.commands:
            command = machine_type.commands[rest[0]]
            if len(rest) == 1:
                return self._build_method(prefix, command, machine)
            return self._build_arguments(prefix, command, rest[1]) if len(rest) == 2 else None
        if rest[0] == IDENTIFICATION and machine_type.nameplate:
            return self._build_identification(prefix, machine, rest[1:])
        return None if self.conditions is None else self.conditions.build(prefix, machine_type, machine, rest)

    def _resolve(self, identifier: str) -> tuple[str, MachineType, Machine | None, list[str]] | None:
        parts = identifier.split(".")
        if parts[0] != self._plant.name:
            machine_type = self._plant.types.get(parts[0])
            return None if machine_type is None else (parts[0], machine_type, None, parts[1:])
        for length in range(len(parts), 1, -1):
            machine = self._plant.find_machine(".".join(parts[:length]))
            if machine is not None:
                return machine.path, machine.type, machine, parts[length:]
        root = self._plant.root
        return root.path, root.type, root, parts[1:]

    def _structure(self, prefix: str, machine_type: MachineType, nameplate: tuple[str, ...]) -> Iterator[str]:
        yield prefix
        for name, declaration in machine_type.variables.items():
            yield f"{prefix}.{name}"
            for key in _variable_properties(declaration):
                yield f"{prefix}.{name}.{key}"
        for name, command in machine_type.commands.items():
            yield f"{prefix}.{name}"
            for key in _method_properties(command):
                yield f"{prefix}.{name}.{key}"
        if machine_type.nameplate:
            yield f"{prefix}.{IDENTIFICATION}"
            for key in nameplate:
                yield f"{prefix}.{IDENTIFICATION}.{key}"

    def _build_machine(self, machine: Machine) -> NodeData:
        data = _node(machine.path, attrs.object_attributes(machine))
        data.references.append(_type_reference(node_id(machine.type.name), machine.type.name, ua.NodeClass.ObjectType))
        root = self._plant.root
        if machine is root:
            folder = ua.QualifiedName("Objects", 0)
            data.references.append(
                reference(ORGANIZES, _id(_IDS.ObjectsFolder), ua.NodeClass.Object, folder,
                          type_definition=_FOLDER_TYPE, forward=False)
            )  # fmt: skip
            server = ua.QualifiedName("Server", 0)
            data.references.append(
                reference(HAS_NOTIFIER, _id(_IDS.Server), ua.NodeClass.Object, server,
                          type_definition=_id(_IDS.ServerType), forward=False)
            )  # fmt: skip
        else:
            data.references += self._machine_references(self._plant.parent(machine) or root, forward=False)
        data.references += self._children(machine.path, machine.type)
        if self.conditions is not None:
            data.references += self.conditions.of_owner(machine.path, machine.type, machine)
        for child in self._plant.children(machine):
            data.references += self._machine_references(child, forward=True)
        return data

    def _machine_references(self, machine: Machine, *, forward: bool) -> list[ua.ReferenceDescription]:
        target, name, kind = node_id(machine.path), qualified(machine.name), node_id(machine.type.name)
        return [
            reference(by, target, ua.NodeClass.Object, name, type_definition=kind, forward=forward)
            for by in (HAS_COMPONENT, HAS_NOTIFIER)
        ]

    def _children(self, prefix: str, machine_type: MachineType) -> list[ua.ReferenceDescription]:
        result = [
            reference(
                HAS_COMPONENT,
                node_id(f"{prefix}.{name}"),
                ua.NodeClass.Variable,
                qualified(name),
                type_definition=_variable_type(declaration),
            )
            for name, declaration in machine_type.variables.items()
        ]
        result += [
            reference(HAS_COMPONENT, node_id(f"{prefix}.{name}"), ua.NodeClass.Method, qualified(name))
            for name in machine_type.commands
        ]
        if machine_type.nameplate:
            name = qualified(IDENTIFICATION)
            target = node_id(f"{prefix}.{IDENTIFICATION}")
            result.append(reference(HAS_COMPONENT, target, ua.NodeClass.Object, name, type_definition=_FOLDER_TYPE))
        return result

    def _build_type(self, machine_type: MachineType) -> NodeData:
        data = _node(machine_type.name, attrs.type_attributes(machine_type))
        parent = ua.QualifiedName("BaseObjectType", 0)
        data.references.append(
            reference(HAS_SUBTYPE, _id(_IDS.BaseObjectType), ua.NodeClass.ObjectType, parent, forward=False)
        )
        data.references += self._children(machine_type.name, machine_type)
        if self.conditions is not None:
            data.references += self.conditions.of_owner(machine_type.name, machine_type, None)
        return data

    def _parent(self, prefix: str, machine: Machine | None) -> ua.ReferenceDescription:
        if machine is None:
            return reference(HAS_COMPONENT, node_id(prefix), ua.NodeClass.ObjectType, qualified(prefix), forward=False)
        kind = node_id(machine.type.name)
        name = qualified(machine.name)
        return reference(HAS_COMPONENT, node_id(prefix), ua.NodeClass.Object, name, type_definition=kind, forward=False)

    def _build_variable(self, prefix: str, declaration: VariableDeclaration, machine: Machine | None) -> NodeData:
        identifier = f"{prefix}.{declaration.name}"
        shared = self._variable_attributes.get(id(declaration))  # the model keeps declarations: identity is enough
        if shared is None:
            shared = self._variable_attributes[id(declaration)] = attrs.variable_attributes(declaration)
            if self.history is not None:
                self.history.amend(shared, declaration)
        data = _node(identifier, shared)
        kind = _variable_type(declaration)
        data.references.append(_type_reference(kind, _variable_type_name(declaration), ua.NodeClass.VariableType))
        data.references.append(self._parent(prefix, machine))
        for key in _variable_properties(declaration):
            data.references.append(_property_reference(f"{identifier}.{key}", ua.QualifiedName(key, 0)))
        if self.history is not None and machine is not None:
            data.references += self.history.references(identifier)
        if self.conditions is not None:
            machine_type = self._plant.types[prefix] if machine is None else machine.type
            data.references += self.conditions.of_variable(prefix, machine_type, machine, declaration.name)
        if machine is None:
            data.references.append(_modelling_rule(optional=declaration.optional))
            data.attributes[ua.AttributeIds.Value] = AttributeValue(ua.DataValue(ua.Variant(None)))
        else:
            value = AttributeValue(ua.DataValue())
            value.value_callback = self._read_value
            data.attributes[ua.AttributeIds.Value] = value
        return data

    def _build_variable_property(
        self, prefix: str, declaration: VariableDeclaration, key: str, machine: Machine | None
    ) -> NodeData | None:
        if key not in _variable_properties(declaration):
            return None
        name = ua.QualifiedName(key, 0)
        if key == "EURange" and declaration.range is not None:
            values = attrs.property_attributes(name, _id(_IDS.Range), attrs.range_value(declaration.range))
        elif declaration.unit is not None:
            values = attrs.property_attributes(name, _id(_IDS.EUInformation), attrs.unit_value(declaration.unit))
        else:
            return None
        parent = f"{prefix}.{declaration.name}"
        kind = _variable_type(declaration)
        owner = reference(
            HAS_PROPERTY, node_id(parent), ua.NodeClass.Variable, qualified(declaration.name),
            type_definition=kind, forward=False,
        )  # fmt: skip
        return _property_node(f"{parent}.{key}", values, owner, rule=machine is None)

    def _build_method(self, prefix: str, command: CommandDeclaration, machine: Machine | None) -> NodeData:
        identifier = f"{prefix}.{command.name}"
        shared = self._method_attributes.get(id(command))
        if shared is None:
            shared = self._method_attributes[id(command)] = attrs.method_attributes(command)
        data = _node(identifier, shared)
        data.references.append(self._parent(prefix, machine))
        for key in _method_properties(command):
            data.references.append(_property_reference(f"{identifier}.{key}", ua.QualifiedName(key, 0)))
        if machine is None:
            data.references.append(_modelling_rule(optional=False))
        return data

    def _build_arguments(self, prefix: str, command: CommandDeclaration, key: str) -> NodeData | None:
        if key not in _method_properties(command):
            return None
        arguments = command.arguments if key == "InputArguments" else command.outputs
        value = attrs.arguments_value(arguments)
        values = attrs.property_attributes(ua.QualifiedName(key, 0), _id(_IDS.Argument), value)
        parent = f"{prefix}.{command.name}"
        owner = reference(HAS_PROPERTY, node_id(parent), ua.NodeClass.Method, qualified(command.name), forward=False)
        return _property_node(f"{parent}.{key}", values, owner, rule=prefix in self._plant.types)

    def _build_identification(self, prefix: str, machine: Machine | None, rest: list[str]) -> NodeData | None:
        identifier = f"{prefix}.{IDENTIFICATION}"
        keys: Mapping[str, Any] = dict.fromkeys(NAMEPLATE, "") if machine is None else machine.nameplate
        if not rest:
            data = _node(identifier, attrs.folder_attributes(IDENTIFICATION, "Nameplate, after OPC 40001-1"))
            data.references.append(_type_reference(_FOLDER_TYPE, "FolderType", ua.NodeClass.ObjectType, namespace=0))
            data.references.append(self._parent(prefix, machine))
            data.references += [_property_reference(f"{identifier}.{key}", qualified(key)) for key in keys]
            if machine is None:
                data.references.append(_modelling_rule(optional=False))
            return data
        if len(rest) != 1 or rest[0] not in keys:
            return None
        key = rest[0]
        builtin, value = _nameplate_value(key, keys[key])
        values = attrs.property_attributes(qualified(key), _id(int(builtin.value)), value)
        owner = reference(
            HAS_PROPERTY, node_id(identifier), ua.NodeClass.Object, qualified(IDENTIFICATION),
            type_definition=_FOLDER_TYPE, forward=False,
        )  # fmt: skip
        return _property_node(f"{identifier}.{key}", values, owner, rule=machine is None, optional=True)

    def _build_condition_type(self, identifier: str) -> NodeData | None:
        return None if self.conditions is None else self.conditions.build_type(identifier)

    def _build_enumeration(self, identifier: str) -> NodeData | None:
        name, dot, key = identifier.partition(".")
        enumeration = self._plant.enumerations.get(name)
        if enumeration is None or (dot and key != "EnumStrings"):
            return None
        if not key:
            data = _node(name, attrs.enumeration_attributes(enumeration))
            base = ua.QualifiedName("Enumeration", 0)
            data.references.append(
                reference(HAS_SUBTYPE, _id(_IDS.Enumeration), ua.NodeClass.DataType, base, forward=False)
            )
            data.references.append(_property_reference(f"{name}.EnumStrings", ua.QualifiedName("EnumStrings", 0)))
            return data
        strings = [attrs.text(value) for value in enumeration.values]
        value = ua.Variant(strings, ua.VariantType.LocalizedText, is_array=True)
        values = attrs.property_attributes(ua.QualifiedName("EnumStrings", 0), _id(_IDS.LocalizedText), value)
        owner = reference(HAS_PROPERTY, node_id(name), ua.NodeClass.DataType, qualified(name), forward=False)
        return _property_node(identifier, values, owner, rule=False)


def _node(identifier: str, shared: Attributes) -> NodeData:
    data = NodeData(node_id(identifier))
    data.attributes = {
        ua.AttributeIds.NodeId: AttributeValue(ua.DataValue(ua.Variant(data.nodeid, ua.VariantType.NodeId))),
        **shared,
    }
    return data


def _property_node(
    identifier: str, shared: Attributes, owner: ua.ReferenceDescription, *, rule: bool, optional: bool = False
) -> NodeData:
    data = _node(identifier, shared)
    data.references.append(_type_reference(_PROPERTY_TYPE, "PropertyType", ua.NodeClass.VariableType, namespace=0))
    data.references.append(owner)
    if rule:
        data.references.append(_modelling_rule(optional=optional))
    return data


def _type_reference(
    target: ua.NodeId, name: str, node_class: ua.NodeClass, namespace: int | None = None
) -> ua.ReferenceDescription:
    index = target.NamespaceIndex if namespace is None else namespace
    return reference(HAS_TYPE, target, node_class, ua.QualifiedName(name, index))


def _property_reference(identifier: str, name: ua.QualifiedName) -> ua.ReferenceDescription:
    return reference(HAS_PROPERTY, node_id(identifier), ua.NodeClass.Variable, name, type_definition=_PROPERTY_TYPE)


def _modelling_rule(*, optional: bool) -> ua.ReferenceDescription:
    number, name = (
        (_IDS.ModellingRule_Optional, "Optional") if optional else (_IDS.ModellingRule_Mandatory, "Mandatory")
    )
    rule_type = _id(_IDS.ModellingRuleType)
    return reference(HAS_RULE, _id(number), ua.NodeClass.Object, ua.QualifiedName(name, 0), type_definition=rule_type)


def _variable_type_name(declaration: VariableDeclaration) -> str:
    return "AnalogUnitRangeType" if declaration.unit is not None else "BaseDataVariableType"


def _variable_type(declaration: VariableDeclaration) -> ua.NodeId:
    return _id(_IDS.AnalogUnitRangeType if declaration.unit is not None else _IDS.BaseDataVariableType)


def _variable_properties(declaration: VariableDeclaration) -> tuple[str, ...]:
    return ("EURange", "EngineeringUnits") if declaration.unit is not None else ()


def _method_properties(command: CommandDeclaration) -> tuple[str, ...]:
    inputs = ("InputArguments",) if command.arguments else ()
    return (*inputs, "OutputArguments") if command.outputs else inputs


def _nameplate_value(key: str, value: str) -> tuple[ua.VariantType, ua.Variant]:
    """Return type and value of a nameplate property as MachineIdentificationType declares it."""
    if key in ("Manufacturer", "Model", "ComponentName"):
        return ua.VariantType.LocalizedText, ua.Variant(attrs.text(value), ua.VariantType.LocalizedText)
    if key == "YearOfConstruction":
        return ua.VariantType.UInt16, ua.Variant(int(value or 0), ua.VariantType.UInt16)
    return ua.VariantType.String, ua.Variant(value, ua.VariantType.String)

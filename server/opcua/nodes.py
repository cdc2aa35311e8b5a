"""Nodes made on demand: the model says what every node of the plant's namespace is, so none is kept until asked for."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from address_space.load import NAMEPLATE
from address_space.model import CommandDeclaration, Machine, MachineType, Plant, VariableDeclaration
from server.opcua import attributes as attrs
from server.opcua import enumerations, nameplates
from server.opcua.attributes import Attributes, node_id, qualified
from server.opcua.nameplates import IDENTIFICATION
from server.opcua.references import (
    FOLDER_TYPE,
    HAS_COMPONENT,
    HAS_NOTIFIER,
    HAS_PROPERTY,
    HAS_SUBTYPE,
    ORGANIZES,
    modelling_rule,
    new_node,
    property_node,
    property_reference,
    reference,
    standard,
    type_reference,
)

if TYPE_CHECKING:
    from server.opcua.conditions.nodes import ConditionNodes
    from server.opcua.history.nodes import HistoryNodes

ReadValue = Callable[[ua.NodeId, ua.AttributeIds], ua.DataValue]

_IDS = ua.ObjectIds


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
            return enumerations.build(self._plant, identifier) or self._build_condition_type(identifier)
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
            return nameplates.build(prefix, machine, self._parent(prefix, machine), rest[1:])
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
        data = new_node(machine.path, attrs.object_attributes(machine))
        data.references.append(type_reference(node_id(machine.type.name), machine.type.name, ua.NodeClass.ObjectType))
        root = self._plant.root
        if machine is root:
            folder = ua.QualifiedName("Objects", 0)
            data.references.append(
                reference(ORGANIZES, standard(_IDS.ObjectsFolder), ua.NodeClass.Object, folder,
                          type_definition=FOLDER_TYPE, forward=False)
            )  # fmt: skip
            server = ua.QualifiedName("Server", 0)
            data.references.append(
                reference(HAS_NOTIFIER, standard(_IDS.Server), ua.NodeClass.Object, server,
                          type_definition=standard(_IDS.ServerType), forward=False)
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
            result.append(reference(HAS_COMPONENT, target, ua.NodeClass.Object, name, type_definition=FOLDER_TYPE))
        return result

    def _build_type(self, machine_type: MachineType) -> NodeData:
        data = new_node(machine_type.name, attrs.type_attributes(machine_type))
        parent = ua.QualifiedName("BaseObjectType", 0)
        data.references.append(
            reference(HAS_SUBTYPE, standard(_IDS.BaseObjectType), ua.NodeClass.ObjectType, parent, forward=False)
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
        data = new_node(identifier, shared)
        kind = _variable_type(declaration)
        data.references.append(type_reference(kind, _variable_type_name(declaration), ua.NodeClass.VariableType))
        data.references.append(self._parent(prefix, machine))
        for key in _variable_properties(declaration):
            data.references.append(property_reference(f"{identifier}.{key}", ua.QualifiedName(key, 0)))
        if self.history is not None and machine is not None:
            data.references += self.history.references(identifier)
        if self.conditions is not None:
            machine_type = self._plant.types[prefix] if machine is None else machine.type
            data.references += self.conditions.of_variable(prefix, machine_type, machine, declaration.name)
        if machine is None:
            data.references.append(modelling_rule(optional=declaration.optional))
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
            values = attrs.property_attributes(name, standard(_IDS.Range), attrs.range_value(declaration.range))
        elif declaration.unit is not None:
            values = attrs.property_attributes(name, standard(_IDS.EUInformation), attrs.unit_value(declaration.unit))
        else:
            return None
        parent = f"{prefix}.{declaration.name}"
        kind = _variable_type(declaration)
        owner = reference(
            HAS_PROPERTY, node_id(parent), ua.NodeClass.Variable, qualified(declaration.name),
            type_definition=kind, forward=False,
        )  # fmt: skip
        return property_node(f"{parent}.{key}", values, owner, rule=machine is None)

    def _build_method(self, prefix: str, command: CommandDeclaration, machine: Machine | None) -> NodeData:
        identifier = f"{prefix}.{command.name}"
        shared = self._method_attributes.get(id(command))
        if shared is None:
            shared = self._method_attributes[id(command)] = attrs.method_attributes(command)
        data = new_node(identifier, shared)
        data.references.append(self._parent(prefix, machine))
        for key in _method_properties(command):
            data.references.append(property_reference(f"{identifier}.{key}", ua.QualifiedName(key, 0)))
        if machine is None:
            data.references.append(modelling_rule(optional=False))
        return data

    def _build_arguments(self, prefix: str, command: CommandDeclaration, key: str) -> NodeData | None:
        if key not in _method_properties(command):
            return None
        arguments = command.arguments if key == "InputArguments" else command.outputs
        value = attrs.arguments_value(arguments)
        values = attrs.property_attributes(ua.QualifiedName(key, 0), standard(_IDS.Argument), value)
        parent = f"{prefix}.{command.name}"
        owner = reference(HAS_PROPERTY, node_id(parent), ua.NodeClass.Method, qualified(command.name), forward=False)
        return property_node(f"{parent}.{key}", values, owner, rule=prefix in self._plant.types)

    def _build_condition_type(self, identifier: str) -> NodeData | None:
        return None if self.conditions is None else self.conditions.build_type(identifier)


def _variable_type_name(declaration: VariableDeclaration) -> str:
    return "AnalogUnitRangeType" if declaration.unit is not None else "BaseDataVariableType"


def _variable_type(declaration: VariableDeclaration) -> ua.NodeId:
    return standard(_IDS.AnalogUnitRangeType if declaration.unit is not None else _IDS.BaseDataVariableType)


def _variable_properties(declaration: VariableDeclaration) -> tuple[str, ...]:
    return ("EURange", "EngineeringUnits") if declaration.unit is not None else ()


def _method_properties(command: CommandDeclaration) -> tuple[str, ...]:
    inputs = ("InputArguments",) if command.arguments else ()
    return (*inputs, "OutputArguments") if command.outputs else inputs

"""What a client must find, derived from the plant file by its own rules and not by the server's code."""

from dataclasses import dataclass, field

from address_space import Machine, Plant
from address_space.load import NAMEPLATE
from address_space.model import AlarmDeclaration, AlarmKind, CommandDeclaration, MachineType, VariableDeclaration
from tests.interop import expected_conditions as conditions

HAS_COMPONENT, HAS_PROPERTY, HAS_SUBTYPE, ORGANIZES = "ns=0;i=47", "ns=0;i=46", "ns=0;i=45", "ns=0;i=35"
HAS_TYPE, HAS_RULE, HAS_NOTIFIER = "ns=0;i=40", "ns=0;i=37", "ns=0;i=48"
MANDATORY, OPTIONAL = "ns=0;i=78", "ns=0;i=80"
PROPERTY_TYPE, FOLDER_TYPE, BASE_OBJECT_TYPE, ENUMERATION = "ns=0;i=68", "ns=0;i=61", "ns=0;i=58", "ns=0;i=29"
BASE_DATA_VARIABLE, ANALOG_UNIT_RANGE = "ns=0;i=63", "ns=0;i=17570"
OBJECTS, SERVER = "ns=0;i=85", "ns=0;i=2253"
HAS_HISTORY, HISTORY_TYPE, AGGREGATES_TYPE = "ns=0;i=56", "ns=0;i=2318", "ns=0;i=11187"
HISTORY = {
    "Stepped": 1, "ExceptionDeviation": 11, "ExceptionDeviationFormat": 890, "MinTimeInterval": 290,
    "StartOfArchive": 294, "StartOfOnlineArchive": 294, "ServerTimestampSupported": 1, "MaxTimeStoredValues": 290,
}  # fmt: skip
AGGREGATES = {"TreatUncertainAsBad": 1, "PercentDataBad": 3, "PercentDataGood": 3, "UseSlopedExtrapolation": 1}
RANGE, EU_INFORMATION, ARGUMENT, LOCALIZED_TEXT = "ns=0;i=884", "ns=0;i=887", "ns=0;i=296", "ns=0;i=21"
NAMEPLATE_TYPES = {"Manufacturer": 21, "Model": 21, "ComponentName": 21, "YearOfConstruction": 5}  # others: String, 12

Reference = tuple[str, bool, str]
"""Reference type, whether forward, target."""


@dataclass
class Expected:
    """One node: its attributes by name, and every reference of it."""

    attributes: dict[str, object]
    references: set[Reference] = field(default_factory=set)


class ExpectedNodes(dict[str, Expected]):
    """Every node of a plant by NodeId; with `history` as a server with a historian shows them."""

    def __init__(self, plant: Plant, *, history: bool = False) -> None:
        super().__init__()
        self.plant = plant
        self.history = history
        for enumeration in plant.enumerations.values():
            node = self._add(enumeration.name, "DataType", enumeration.name, IsAbstract=False)
            node.references |= {(HAS_SUBTYPE, False, ENUMERATION)}
            self._property(enumeration.name, "EnumStrings", LOCALIZED_TEXT, 1)
        for machine_type in plant.types.values():
            node = self._add(machine_type.name, "ObjectType", machine_type.name, IsAbstract=False)
            node.references |= {(HAS_SUBTYPE, False, BASE_OBJECT_TYPE)}
            self._members(machine_type.name, machine_type, NAMEPLATE if machine_type.nameplate else (), in_type=True)
        if any(it.declaration.kind is AlarmKind.VISION for it in plant.conditions):
            self._vision_type()
        for machine in plant.objects:
            self._machine(machine)

    def _add(self, path: str, node_class: str, name: str, **attributes: object) -> Expected:
        node = Expected({"NodeClass": node_class, "BrowseName": f"2:{name}", "DisplayName": name, **attributes})
        self[f"ns=2;s={path}"] = node
        return node

    def _link(self, parent: str, child: str, *kinds: str) -> None:
        for kind in kinds:
            self[f"ns=2;s={parent}"].references.add((kind, True, f"ns=2;s={child}"))
            self[f"ns=2;s={child}"].references.add((kind, False, f"ns=2;s={parent}"))

    def _machine(self, machine: Machine) -> None:
        node = self._add(machine.path, "Object", machine.name, EventNotifier=1, Description=machine.description)
        node.references.add((HAS_TYPE, True, f"ns=2;s={machine.type.name}"))
        parent = self.plant.parent(machine)
        if parent is None:
            node.references |= {(ORGANIZES, False, OBJECTS), (HAS_NOTIFIER, False, SERVER)}
        else:
            self._link(parent.path, machine.path, HAS_COMPONENT, HAS_NOTIFIER)
        self._members(machine.path, machine.type, tuple(machine.nameplate), in_type=False)

    def _members(self, parent: str, machine_type: MachineType, nameplate: tuple[str, ...], *, in_type: bool) -> None:
        for declaration in machine_type.variables.values():
            self._variable(parent, declaration, in_type=in_type)
        for command in machine_type.commands.values():
            self._method(parent, command, in_type=in_type)
        for alarm in machine_type.alarms.values():
            self._condition(parent, alarm, in_type=in_type)
        if any(alarm.kind is AlarmKind.VISION for alarm in machine_type.alarms.values()):
            self._pictures(parent, in_type=in_type)
        if not machine_type.nameplate:
            return
        path = f"{parent}.Identification"
        node = self._add(path, "Object", "Identification", EventNotifier=0)
        node.references.add((HAS_TYPE, True, FOLDER_TYPE))
        self._link(parent, path, HAS_COMPONENT)
        self._rule(path, MANDATORY, in_type=in_type)
        for key in nameplate:
            kind = f"ns=0;i={NAMEPLATE_TYPES.get(key, 12)}"
            self._property(path, key, kind, -1, browse_name=f"2:{key}")
            self._rule(f"{path}.{key}", OPTIONAL, in_type=in_type)

    def _variable(self, parent: str, declaration: VariableDeclaration, *, in_type: bool) -> None:
        path = f"{parent}.{declaration.name}"
        data_type = f"ns=0;i={int(declaration.type)}"
        if declaration.enumeration is not None:
            data_type = f"ns=2;s={declaration.enumeration.name}"
        node = self._add(
            path, "Variable", declaration.name, Description=declaration.description, DataType=data_type, ValueRank=-1,
            AccessLevel=(0x43 if declaration.writable else 0x01) | (0x0C if self.history else 0),
            Historizing=self.history,
        )  # fmt: skip
        analog = declaration.unit is not None
        node.references.add((HAS_TYPE, True, ANALOG_UNIT_RANGE if analog else BASE_DATA_VARIABLE))
        self._link(parent, path, HAS_COMPONENT)
        self._rule(path, OPTIONAL if declaration.optional else MANDATORY, in_type=in_type)
        for key, kind in (("EURange", RANGE), ("EngineeringUnits", EU_INFORMATION)) if analog else ():
            self._property(path, key, kind, -1)
            self._rule(f"{path}.{key}", MANDATORY, in_type=in_type)
        if self.history and not in_type:
            self._historical(path)

    def _historical(self, path: str) -> None:
        top, below = f"{path}.HA Configuration", f"{path}.HA Configuration.AggregateConfiguration"
        for parent, child, link, kind in ((path, top, HAS_HISTORY, HISTORY_TYPE),
                                          (top, below, HAS_COMPONENT, AGGREGATES_TYPE)):  # fmt: skip
            name = child.rpartition(".")[2]
            node = self._add(child, "Object", name, EventNotifier=0)
            node.attributes["BrowseName"] = f"0:{name}"
            node.references.add((HAS_TYPE, True, kind))
            self._link(parent, child, link)
        for parent, properties in ((top, HISTORY), (below, AGGREGATES)):
            for name, number in properties.items():
                self._property(parent, name, f"ns=0;i={number}", -1)

    def _method(self, parent: str, command: CommandDeclaration, *, in_type: bool) -> None:
        path = f"{parent}.{command.name}"
        self._add(path, "Method", command.name, Description=command.description, Executable=True)
        self._link(parent, path, HAS_COMPONENT)
        self._rule(path, MANDATORY, in_type=in_type)
        for key, arguments in (("InputArguments", command.arguments), ("OutputArguments", command.outputs)):
            if arguments:
                self._property(path, key, ARGUMENT, 1)
                self._rule(f"{path}.{key}", MANDATORY, in_type=in_type)

    def _condition(self, parent: str, alarm: AlarmDeclaration, *, in_type: bool) -> None:
        path = f"{parent}.{alarm.name}"
        node = self._add(path, "Object", alarm.name, Description=alarm.message, EventNotifier=0)
        node.references.add((HAS_TYPE, True, conditions.type_of(alarm.kind)))
        self._link(parent, path, HAS_COMPONENT)
        self._rule(path, MANDATORY, in_type=in_type)
        source = parent if alarm.input is None else f"{parent}.{alarm.input}"
        self._link(source, path, conditions.HAS_CONDITION)
        if source != parent:
            self._link(parent, source, conditions.HAS_EVENT_SOURCE)
        for part in conditions.parts(alarm):
            self._part(path, part)
            self._rule(f"{path}.{part.path}", OPTIONAL if part.optional else MANDATORY, in_type=in_type)
        for above, below in conditions.sub_states(alarm):
            self._link(f"{path}.{above}", f"{path}.{below}", conditions.HAS_TRUE_SUB_STATE)

    def _pictures(self, parent: str, *, in_type: bool) -> None:
        path = f"{parent}.Snapshots"
        node = self._add(path, "Object", "Snapshots", EventNotifier=0)
        node.references.add((HAS_TYPE, True, f"ns=0;i={conditions.DIRECTORY_TYPE}"))
        self._link(parent, path, HAS_COMPONENT)
        self._rule(path, MANDATORY, in_type=in_type)
        for part in conditions.picture_parts():
            self._part(path, part)
            self._rule(f"{path}.{part.path}", MANDATORY, in_type=in_type)

    def _vision_type(self) -> None:
        name = conditions.VISION_TYPE
        node = self._add(name, "ObjectType", name, IsAbstract=False)
        node.references |= {(HAS_SUBTYPE, False, conditions.VISION_BASE)}
        for part in conditions.vision_parts():
            self._part(name, part)
            self._rule(f"{name}.{part.path}", OPTIONAL if part.optional else MANDATORY, in_type=True)

    def _part(self, condition: str, part: conditions.Part) -> None:
        path = f"{condition}.{part.path}"
        node = self._add(path, part.node_class, part.name)
        node.attributes["BrowseName"] = f"{part.namespace}:{part.name}"
        if part.node_class == "Variable":
            level = 0x03 if part.writable else 0x01
            node.attributes |= {"DataType": f"ns=0;i={part.data_type}", "ValueRank": part.rank, "AccessLevel": level}
        if part.type_definition is not None:
            node.references.add((HAS_TYPE, True, f"ns=0;i={part.type_definition}"))
        self._link(path.rpartition(".")[0], path, part.link)

    def _property(self, parent: str, name: str, data_type: str, rank: int, browse_name: str = "") -> None:
        path = f"{parent}.{name}"
        node = self._add(path, "Variable", name, DataType=data_type, ValueRank=rank, AccessLevel=0x01)
        node.attributes["BrowseName"] = browse_name or f"0:{name}"
        node.references.add((HAS_TYPE, True, PROPERTY_TYPE))
        self._link(parent, path, HAS_PROPERTY)

    def _rule(self, path: str, rule: str, *, in_type: bool) -> None:
        if in_type:
            self[f"ns=2;s={path}"].references.add((HAS_RULE, True, rule))

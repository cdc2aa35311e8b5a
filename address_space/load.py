"""From the plant file to the plant: resolve names, check everything, number the variables."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from address_space import diagnostics
from address_space.alarms import VISION_ALARM_TYPE
from address_space.errors import did_you_mean
from address_space.model import (
    Command,
    Condition,
    Enumeration,
    Machine,
    MachineType,
    Plant,
    SourceDeclaration,
    Variable,
)
from address_space.schema import ObjectSection, PlantFile
from address_space.translations import load_translations
from address_space.types import build_type
from address_space.vocabulary import TRANSLATED_NAMEPLATE, Vocabulary
from address_space.yaml_file import YamlFile

DEFAULT_PLANT = Path(__file__).parent / "plant.yaml"

NAMEPLATE = (
    "Manufacturer",
    "ManufacturerUri",
    "Model",
    "ProductCode",
    "SerialNumber",
    "ProductInstanceUri",
    "HardwareRevision",
    "SoftwareRevision",
    "DeviceClass",
    "YearOfConstruction",
    "AssetId",
    "ComponentName",
    "Location",
)
"""Properties of MachineIdentificationType (OPC 40001-1 8.6) that a nameplate may have."""

_OBJECT_NAME = re.compile(r"^([A-Za-z][A-Za-z0-9_]*)(?:\[(\d+)\.\.(\d+)\])?$")
_MAX_VARIABLES = 10_000_000


def load_plant(path: Path | str = DEFAULT_PLANT) -> Plant:
    """Read a plant file; raises PlantError, one sentence a fault (several faults: one a line)."""
    yaml = YamlFile(Path(path))
    if not isinstance(yaml.data, dict):
        raise yaml.error((), "a plant file is a mapping with the keys plant, types and objects")
    try:
        raw = PlantFile.model_validate(yaml.data)
    except ValidationError as error:
        raise yaml.faults(error, "is no key that a plant file has here") from error
    enumerations = {name: Enumeration(name, tuple(values)) for name, values in raw.enumerations.items()}
    for name, values in raw.enumerations.items():
        if len(set(values)) != len(values) or not values:
            raise yaml.error(("enumerations", name), "needs values that differ from each other")
    types = {name: build_type(name, section, enumerations, yaml) for name, section in raw.types.items()}
    for location in [("enumerations", name) for name in enumerations] + [("types", name) for name in types]:
        if location[1] in (*diagnostics.TYPES, VISION_ALARM_TYPE):
            raise yaml.error(location, "is a type that the server has itself")
        if location[1] == raw.plant.name:
            raise yaml.error(location, "has the name of the plant itself")
    for name in types:
        if name in enumerations:
            raise yaml.error(
                ("types", name), f"has the name of an enumeration on line {yaml.line(('enumerations', name))}"
            )
    return _Builder(yaml, raw, types, enumerations).build()


class _Builder:
    """Numbers variables in file order: the root's first, then each object's."""

    def __init__(
        self,
        yaml: YamlFile,
        raw: PlantFile,
        types: Mapping[str, MachineType],
        enumerations: Mapping[str, Enumeration],
    ) -> None:
        self.yaml, self.raw, self.types, self.enumerations = yaml, raw, types, enumerations
        self.variables: list[Variable] = []

    def build(self) -> Plant:
        plant = self.raw.plant
        root_type = self._type(plant.type, ("plant", "type"))
        root = self._machine(
            plant.name, plant.name, root_type, ObjectSection(type=plant.type, description=plant.description)
        )
        taken = set(root.variables) | set(root.commands)
        machines: list[Machine] = []
        for key, section in self.raw.objects.items():
            machine_type = self._type(section.type, ("objects", key, "type"))
            self._check(key, section, machine_type)
            for name, number in self._expand(key, machine_type):
                if name in taken:
                    raise self.yaml.error(("objects", key), f"the name {name} is taken")
                taken.add(name)
                numbered = section if number is None else _numbered(section, number)
                machines.append(self._machine(f"{plant.name}.{name}", name, machine_type, numbered))
        if diagnostics.OBJECT in taken:
            raise self.yaml.error(("objects", diagnostics.OBJECT), "is the name of the server's own diagnostics")
        machines.extend(self._diagnostics(plant.name))
        objects = (root, *machines)
        conditions = tuple(self._conditions(objects))
        children: dict[str, list[Machine]] = {}
        for machine in machines:
            children.setdefault(machine.path.rpartition(".")[0], []).append(machine)
        return Plant(
            name=plant.name,
            namespace=plant.namespace,
            description=plant.description,
            yaml=self.yaml,
            enumerations=self.enumerations,
            types={**self.types, **diagnostics.TYPES},
            root=root,
            machines=tuple(machines),
            variables=tuple(self.variables),
            commands={command.path: command for machine in objects for command in machine.commands.values()},
            conditions=conditions,
            sources={name: self._source(name) for name in self.raw.sources},
            translations=load_translations(self.yaml.path, self._vocabulary),
            _by_path={variable.path: variable for variable in self.variables},
            _machine_by_path={machine.path: machine for machine in objects},
            _children={path: tuple(below) for path, below in children.items()},
            _condition_by_path={condition.path: condition for condition in conditions},
        )

    def _vocabulary(self) -> Vocabulary:
        """Return what there is to translate."""
        raw, found = self.raw, Vocabulary()
        found.add_types((*self.types.values(), *diagnostics.TYPES.values()), self.enumerations.values())
        found.add_object(raw.plant.name, {None: raw.plant.name}, (raw.plant.description,))
        for name in (diagnostics.OBJECT, *raw.sources, *diagnostics.GATEWAYS, diagnostics.ALARMS):
            found.add_object(name, {None: name}, ())
        for key, section in raw.objects.items():
            names = {number: name for name, number in self._expand(key, self.types[section.type])}
            nameplate = (str(section.nameplate.get(name, "")) for name in TRANSLATED_NAMEPLATE)
            found.add_object(key, names, (section.description, *nameplate))
            found.names.update(dict.fromkeys(section.nameplate))
        return found

    @staticmethod
    def _conditions(objects: Iterable[Machine]) -> Iterator[Condition]:
        declared = ((machine, alarm) for machine in objects for alarm in machine.type.alarms.values())
        for number, (machine, alarm) in enumerate(declared):
            inputs = tuple(machine.variables[name] for name in alarm.inputs)
            yield Condition(number, f"{machine.path}.{alarm.name}", alarm, machine, inputs)

    def _type(self, name: str, location: tuple[str, ...]) -> MachineType:
        if name not in self.types:
            raise self.yaml.error(location, f"there is no type {name!r}{did_you_mean(name, self.types)}")
        return self.types[name]

    def _check(self, key: str, section: ObjectSection, machine_type: MachineType) -> None:
        if section.source is not None and section.source not in self.raw.sources:
            hint = did_you_mean(section.source, self.raw.sources)
            raise self.yaml.error(("objects", key, "source"), f"there is no source {section.source!r}{hint}")
        for name in section.nameplate:
            if name not in NAMEPLATE:
                hint = did_you_mean(name, NAMEPLATE)
                raise self.yaml.error(("objects", key, "nameplate", name), f"is no nameplate property{hint}")
        year = str(section.nameplate.get("YearOfConstruction", 0))
        if not (year.isdecimal() and int(year) <= 0xFFFF):
            location = ("objects", key, "nameplate", "YearOfConstruction")
            raise self.yaml.error(location, f"is a year from 0 to 65535, not {year!r}")
        if section.nameplate and not machine_type.nameplate:
            raise self.yaml.error(("objects", key, "nameplate"), f"the type {machine_type.name} has no nameplate")

    def _expand(self, key: str, machine_type: MachineType) -> Iterator[tuple[str, int | None]]:
        match = _OBJECT_NAME.match(key)
        if match is None:
            raise self.yaml.error(
                ("objects", key), "an object's name is letters, digits and _, or a range like M[1..9]"
            )
        name, first, last = match.groups()
        if first is None:
            yield name, None
            return
        low, high = int(first), int(last)
        if low > high:
            raise self.yaml.error(("objects", key), f"the range {low}..{high} is empty")
        if (high - low + 1) * max(len(machine_type.variables), 1) > _MAX_VARIABLES:
            raise self.yaml.error(("objects", key), f"would make more than {_MAX_VARIABLES:,} variables")
        for number in range(low, high + 1):
            yield f"{name}{number}", number

    def _machine(self, path: str, name: str, machine_type: MachineType, section: ObjectSection) -> Machine:
        first = len(self.variables)
        own: dict[str, Variable] = {}
        for offset, declaration in enumerate(machine_type.variables.values()):
            own[declaration.name] = Variable(first + offset, f"{path}.{declaration.name}", declaration)
        self.variables.extend(own.values())
        commands: dict[str, Command] = {}
        machine = Machine(
            path=path,
            name=name,
            type=machine_type,
            description=section.description or machine_type.description,
            source=section.source,
            nameplate={key: str(value) for key, value in section.nameplate.items()},
            first_id=first,
            variables=own,
            commands=commands,
        )
        for declaration in machine_type.commands.values():
            commands[declaration.name] = Command(f"{path}.{declaration.name}", declaration, machine)
        return machine

    def _diagnostics(self, root: str) -> Iterator[Machine]:
        path = f"{root}.{diagnostics.OBJECT}"
        section = ObjectSection(type=diagnostics.FOLDER_TYPE.name)
        yield self._machine(path, diagnostics.OBJECT, diagnostics.FOLDER_TYPE, section)
        for name in self.raw.sources:
            if name in (*diagnostics.GATEWAYS, diagnostics.ALARMS):
                raise self.yaml.error(("sources", name), "is the name of a part of the server's own diagnostics")
            yield self._machine(f"{path}.{name}", name, diagnostics.SOURCE_TYPE, section)
        for name in diagnostics.GATEWAYS:
            yield self._machine(f"{path}.{name}", name, diagnostics.GATEWAY_TYPE, section)
        yield self._machine(f"{path}.{diagnostics.ALARMS}", diagnostics.ALARMS, diagnostics.ALARMS_TYPE, section)

    def _source(self, name: str) -> SourceDeclaration:
        section = self.raw.sources[name]
        if (
            section.stale_after is not None
            and section.bad_after is not None
            and section.bad_after < section.stale_after
        ):
            raise self.yaml.error(("sources", name, "bad_after"), "is shorter than stale_after")
        options: dict[str, Any] = dict(section.model_extra or {})
        if section.map is not None:
            if section.map not in self.raw.register_maps:
                hint = did_you_mean(section.map, self.raw.register_maps)
                raise self.yaml.error(("sources", name, "map"), f"there is no register map {section.map!r}{hint}")
            options = {**self.raw.register_maps[section.map], **options}
        return SourceDeclaration(name, section.kind, options, section.stale_after, section.bad_after)


def _numbered(section: ObjectSection, number: int) -> ObjectSection:
    """Put `number` in place of `{n}` in the texts of one of many objects."""
    fill = str(number)
    nameplate = {key: str(value).replace("{n}", fill) for key, value in section.nameplate.items()}
    return section.model_copy(update={"description": section.description.replace("{n}", fill), "nameplate": nameplate})

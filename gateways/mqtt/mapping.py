"""The layout `factory`: which machine is which JSON object, with which keys; and how it is read back.

The types of the default plant have the keys that integrators know (`SHAPES`); what those leave out is in the object
`…/extended` beside it. A machine of any other type has one key a variable. Nothing of the plant is on no topic.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from address_space.model import Machine, Plant, Variable, VariableDeclaration
from gateways.mqtt.settings import FactorySettings
from gateways.mqtt.wire import escape_levels, json_value, loads_object, stored_value

_ALARM_STATES = frozenset({"Tripped", "Faulted", "EmergencyStopped"})
_TAKEN = frozenset({"timestamp", "plc_id", "generator_id", "machine_id", "alarm"})
ALARM, STATUS = "$alarm", "$status"
"""Leaves of a shape that are no variable of their own."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An object as the interface describes it: leaves name variables, `$alarm` and `$status` are derived."""

    component: str
    keys: Mapping[str, Any]


_PHASES = ("L1", "L2", "L3")
SHAPES: Mapping[str, Shape] = {
    "ProductionLineType": Shape(
        "PLC1",
        {
            "production_count": "ProductionCount",
            "line_speed": "LineSpeed",
            "temperature": "Temperature",
            "pressure": "Pressure",
            "vibration": "Vibration",
            "quality_rate": "QualityRate",
            "alarm": ALARM,
            "status": STATUS,
        },
    ),
    "EnergyMeterType": Shape(
        "PLC2",
        {
            "power_consumption": "PowerConsumption",
            "voltages": {phase: f"Voltage{phase}" for phase in _PHASES},
            "currents": {phase: f"Current{phase}" for phase in _PHASES},
            "power_factor": "PowerFactor",
            "frequency": "Frequency",
            "energy_total": "EnergyTotal",
            "grid_status": "GridStatus",
            "efficiency": "Efficiency",
        },
    ),
    "EnvironmentType": Shape(
        "PLC3",
        {
            "temperature": "Temperature",
            "humidity": "Humidity",
            "co2_level": "CO2",
            "air_quality": {"index": "AirQualityIndex", "status": "AirQualityStatus"},
            "noise_level": "NoiseLevel",
            "comfort_index": "ComfortIndex",
        },
    ),
}
_GENERATOR = "GeneratorType"


def snake(name: str) -> str:
    """Return snake case: EmergencyStopActive is emergency_stop_active, VoltageL1 voltage_l1, CO2 co2."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^0-9A-Za-z]+", "_", spaced).lower()


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of an object: a variable, or what is derived from some (`derived` is `$alarm` or `$status`)."""

    derived: str
    variables: tuple[Variable, ...]


Node = Mapping[str, Any]
"""A JSON object to be: key → Leaf, Node, or a constant."""


@dataclass(frozen=True, slots=True)
class ObjectTopic:
    """One topic with its object; `home` are the ids whose samples it carries, `watched` those that change it."""

    topic: str
    machine: Machine
    node: Node
    home: frozenset[int]
    watched: frozenset[int]


def component_of(machine: Machine) -> str:
    """Return what `status/<component>` names for a machine: its PLC, or the machine itself."""
    shape = SHAPES.get(machine.type.name)
    return machine.name if shape is None else shape.component


def object_topics(plant: Plant, settings: FactorySettings) -> list[ObjectTopic]:
    """Return every topic of the layout; every variable of the plant is at home in exactly one."""
    generators = sum(machine.type.name == _GENERATOR for machine in plant.machines)
    topics: list[ObjectTopic] = []
    for machine in plant.objects:
        if not machine.variables:
            continue
        sole = machine.type.name == _GENERATOR and generators == 1
        topic = f"{settings.prefix}/{'generator' if sole else _machine_levels(plant, machine)}"
        topics.extend(_of_machine(topic, machine))
    return topics


def _machine_levels(plant: Plant, machine: Machine) -> str:
    below = machine.path.removeprefix(plant.root.path).lstrip(".") or plant.root.name
    return escape_levels([snake(level) for level in below.split(".")])


def _of_machine(topic: str, machine: Machine) -> Iterator[ObjectTopic]:
    shape = SHAPES.get(machine.type.name)
    if shape is None or not _named(shape.keys) <= machine.variables.keys():
        identity = "generator_id" if machine.type.name == _GENERATOR else "machine_id"
        yield _topic(topic, machine, {identity: machine.name, **_plain(machine, frozenset())})
        return
    main = _topic(topic, machine, {"plc_id": shape.component, **_resolve(shape.keys, machine)})
    yield main
    rest = _plain(machine, main.home)
    if any(isinstance(leaf, Leaf) and not leaf.derived for leaf in rest.values()):
        yield _topic(f"{topic}/extended", machine, {"plc_id": shape.component, **rest})


def _topic(topic: str, machine: Machine, node: Node) -> ObjectTopic:
    home: set[int] = set()
    watched: set[int] = set()
    for _, leaf in leaves(node):
        watched.update(variable.id for variable in leaf.variables)
        if leaf.derived != ALARM:
            home.update(variable.id for variable in leaf.variables)
    return ObjectTopic(topic, machine, node, frozenset(home), frozenset(watched))


def _named(keys: Mapping[str, Any]) -> set[str]:
    """Return the variables that a shape needs."""
    names: set[str] = set()
    for leaf in keys.values():
        if isinstance(leaf, Mapping):
            names |= _named(leaf)
        elif leaf == STATUS:
            names.add("State")
        elif leaf != ALARM:
            names.add(leaf)
    return names


def _resolve(keys: Mapping[str, Any], machine: Machine) -> Node:
    return {
        key: _resolve(leaf, machine) if isinstance(leaf, Mapping) else _leaf(leaf, machine)
        for key, leaf in keys.items()
    }


def _leaf(name: str, machine: Machine) -> Leaf:
    if name == STATUS:
        return Leaf(STATUS, (machine.variables["State"],))
    if name == ALARM:
        found = (machine.variables.get(needed) for needed in ("State", "EmergencyStopActive"))
        return Leaf(ALARM, tuple(variable for variable in found if variable is not None))
    return Leaf("", (machine.variables[name],))


def _plain(machine: Machine, without: frozenset[int]) -> dict[str, Any]:
    """Return one key a variable, and what every object tells: `status` where there is a State, `alarm`."""
    keys: dict[str, Any] = {}
    has_status = "State" in machine.variables and not without
    for variable in machine.variables.values():
        if variable.id in without:
            continue
        key = snake(variable.name)
        while key in keys or key in _TAKEN or (key == "status" and has_status):
            key += "_value"
        keys[key] = Leaf("", (variable,))
    if not without:
        if has_status:
            keys["status"] = _leaf(STATUS, machine)
        keys["alarm"] = _leaf(ALARM, machine)
    return keys


def leaves(node: Node, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    """Walk an object's leaves with the keys that lead there."""
    for key, child in node.items():
        if isinstance(child, Leaf):
            yield (*above, key), child
        elif isinstance(child, Mapping):
            yield from leaves(child, (*above, key))


def render(node: Node, values: list[Any]) -> dict[str, Any]:
    """Return the object with the values by variable id, None for what has no value."""
    return {
        key: _shown(child, values)
        if isinstance(child, Leaf)
        else render(child, values)
        if isinstance(child, Mapping)
        else child
        for key, child in node.items()
    }


def _shown(leaf: Leaf, values: list[Any]) -> Any:
    if leaf.derived == ALARM:
        return any(_alarming(variable.declaration, values[variable.id]) for variable in leaf.variables)
    variable = leaf.variables[0]
    return word_or_value(variable.declaration, values[variable.id])


def _alarming(declaration: VariableDeclaration, value: Any) -> bool:
    """Whether a State or a latch stands for an alarm, until conditions are evaluated: then an active one will."""
    if declaration.enumeration is None:
        return value is True
    return value is not None and alarm_state(declaration, value) is not None


def alarm_state(declaration: VariableDeclaration, value: int) -> str | None:
    """Return the name of a state that stands for an alarm, None for any other."""
    state = _state(declaration, value)
    return state if state in _ALARM_STATES else None


def _state(declaration: VariableDeclaration, value: int) -> str | None:
    names = declaration.enumeration.values if declaration.enumeration else ()
    return names[value] if 0 <= value < len(names) else None


def word_or_value(declaration: VariableDeclaration, value: Any) -> Any:
    """Return a state as its word in snake case ("emergency_stopped"), anything else as JSON has it."""
    if declaration.enumeration is not None and value is not None:
        state = _state(declaration, value)
        return value if state is None else snake(state)
    return json_value(declaration, value)


def read_back(topic: ObjectTopic, payload: bytes) -> dict[int, Any]:
    """Return the stored form of every variable in an object by id, None where it shows none; raises ValueError."""
    document = loads_object(payload)
    found: dict[int, Any] = {}
    for keys, leaf in leaves(topic.node):
        if leaf.derived == ALARM:
            continue
        value: Any = document
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise ValueError(f"{topic.topic}: there is no key {'.'.join(keys)}")
            value = value[key]
        variable = leaf.variables[0]
        found[variable.id] = _unworded(variable.declaration, value)
    return found


def _unworded(declaration: VariableDeclaration, value: Any) -> Any:
    if declaration.enumeration is not None and isinstance(value, str):
        words = [snake(name) for name in declaration.enumeration.values]
        if value not in words:
            raise ValueError(f"{declaration.name} has no state {value!r}")
        return words.index(value)
    return stored_value(declaration, value)

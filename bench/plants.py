"""Plant files for measurements: machines with Doubles that change, set-points and a method."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from address_space.load import DEFAULT_PLANT


@dataclass(frozen=True)
class Layout:
    """Machines of `values` Doubles, `setpoints` writable Doubles and one method `Set`, the same on every server."""

    machines: int
    values: int
    setpoints: int

    @property
    def variables(self) -> int:
        """How many variables the layout has."""
        return self.machines * (self.values + self.setpoints)

    def value_paths(self) -> list[str]:
        """Return the identifiers of the Doubles that change, machine by machine."""
        return self._paths("Value", self.values)

    def setpoint_paths(self) -> list[str]:
        """Return the identifiers of the writable Doubles, machine by machine."""
        return self._paths("Setpoint", self.setpoints)

    def machine_paths(self) -> list[str]:
        """Return the identifiers of the machines."""
        return [f"Plant.Machine{machine}" for machine in range(1, self.machines + 1)]

    def _paths(self, name: str, count: int) -> list[str]:
        return [f"{machine}.{name}{number}" for machine in self.machine_paths() for number in range(1, count + 1)]


def machines_plant(layout: Layout, *, units: bool = False) -> dict[str, object]:
    """Return a plant of that layout; with `units` each variable has a unit and a range, so two property nodes."""
    described = {"unit": "kW", "range": [0, 1_000_000]} if units else {}
    variables = {
        f"Value{number}": {"type": "Double", "description": f"Measured value {number}", **described}
        for number in range(1, layout.values + 1)
    }
    variables |= {
        f"Setpoint{number}": {
            "type": "Double",
            "access": "write",
            "role": "Operator",
            "initial": 0.0,
            "description": f"Set-point {number}",
            **described,
        }
        for number in range(1, layout.setpoints + 1)
    }
    argument = {"Value": {"type": "Double", "description": "The new value"}}
    machine = {
        "description": "A machine to measure with",
        "variables": variables,
        "commands": {"Set": {"description": "Set Setpoint1", "sets": "Setpoint1", "arguments": argument}},
    }
    return {
        "plant": {"name": "Plant", "namespace": "urn:plantree:plant", "type": "PlantType"},
        "types": {"PlantType": {"description": "A plant"}, "MachineType": machine},
        "objects": {f"Machine[1..{layout.machines}]": {"type": "MachineType"}},
    }


def stop_plant(layout: Layout, generators: int, time_scale: float) -> dict[str, object]:
    """Return the machines of a layout beside simulated generators, whose time runs `time_scale` times as fast."""
    plant = machines_plant(layout)
    default = yaml.safe_load(DEFAULT_PLANT.read_text(encoding="utf-8"))
    types: dict[str, object] = plant["types"]  # type: ignore[assignment]
    types |= {name: default["types"][name] for name in ("PlantType", "GeneratorType")}
    plant["enumerations"] = {"GeneratorState": default["enumerations"]["GeneratorState"]}
    plant["sources"] = {"physics": {"kind": "physics", "seed": 1, "period": 0.1, "time_scale": time_scale}}
    objects: dict[str, object] = plant["objects"]  # type: ignore[assignment]
    objects[f"Generator[1..{generators}]"] = {"type": "GeneratorType", "source": "physics"}
    return plant


def write(plant: dict[str, object], path: Path) -> Path:
    """Write a plant file."""
    path.write_text(yaml.safe_dump(plant, sort_keys=False), encoding="utf-8")
    return path

"""A small plant file that is right, and edits that make it wrong."""

from pathlib import Path

import pytest

from address_space import PlantError, load_plant

RIGHT = """\
plant: {name: Plant, type: PlantType}
enumerations:
  State: [Off, On]
types:
  PlantType: {description: The plant}
  PumpType:
    description: A pump
    nameplate: true
    variables:
      State: {enum: State, description: What it does}
      Speed: {type: Double, unit: r/min, range: [0, 3000], description: Shaft speed}
      Label: {type: String, description: A text}
      Target:
        {type: Int16, unit: r/min, range: [0, 3000], access: write, initial: 10, description: Wanted speed}
      Twice:
        {type: Double, unit: r/min, range: [0, 6000], computed: 2 * Speed, description: Computed}
    commands:
      Start:
        description: Start it
        confirms: {State: [On]}
      Aim:
        description: Set the target
        sets: Target
        arguments: {Speed: {type: Int16, range: [0, 3000], description: The new target}}
    alarms:
      Fast: {input: Speed, high: 2900, severity: 500, message: Too fast}
    emergency_stop: {state: State, stopped: Off, standstill: Speed < 1}
register_maps:
  Map: {registers: {}}
sources:
  wire: {kind: physics}
objects:
  Pump1: {type: PumpType, source: wire, nameplate: {Model: X1}}
  Many[2..4]: {type: PumpType}
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "plant.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def edited(*changes: tuple[str, str]) -> str:
    text = RIGHT
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} comes {text.count(old)} times in the plant file"
        text = text.replace(old, new)
    return text


def refusal(folder: Path, text: str) -> list[str]:
    """Return what is said of a wrong file, a line a fault, without the folder."""
    file = write(folder, text)
    with pytest.raises(PlantError) as caught:
        load_plant(file)
    return str(caught.value).replace(f"{folder}/", "").splitlines()

"""Wrong plant files: each fault is one sentence with file, line and path."""

import os
from pathlib import Path

import pytest
from plant_files import RIGHT, edited, refusal, write

from address_space import BuiltinType, PlantError, load_plant

V = "plant.yaml:{}: types.PumpType.variables."
C = "types.PumpType.commands."
SPEED = "Speed: {type: Double, unit: r/min, range: [0, 3000], description: Shaft speed}"
TARGET = "{type: Int16, unit: r/min, range: [0, 3000], access: write, initial: 10, description: Wanted speed}"
TWICE = "computed: 2 * Speed"
CASES = {
    "unit unknown": (
        ("Speed: {type: Double, unit: r/min", "Speed: {type: Double, unit: r/mim"),
        f"{V.format(11)}Speed.unit: there is no unit 'r/mim'; did you mean 'r/min'?",
    ),
    "unit without range": (
        ("unit: r/min, range: [0, 3000], description: Shaft", "unit: r/min, description: Shaft"),
        f"{V.format(11)}Speed: has a unit, so it needs a range (EURange)",
    ),
    "key twice": (
        ("      Label:", "      Speed:"),
        "plant.yaml:12: types.PumpType.variables.Speed: duplicate name, first on line 11",
    ),
    "ranges that meet": (("Many[2..4]", "Pump[0..4]"), "plant.yaml:34: objects.Pump[0..4]: the name Pump1 is taken"),
    "range that is empty": (("Many[2..4]", "Many[4..2]"), "plant.yaml:34: objects.Many[4..2]: the range 4..2 is empty"),
    "range that is too long": (
        ("Many[2..4]", "Many[1..9999999]"),
        "plant.yaml:34: objects.Many[1..9999999]: would make more than 10,000,000 variables",
    ),
    "object with a bad name": (
        ("Many[2..4]", "Many 2"),
        "plant.yaml:34: objects.Many 2: an object's name is letters, digits and _, or a range like M[1..9]",
    ),
    "object of an unknown type": (
        ("Many[2..4]: {type: PumpType}", "Many[2..4]: {type: PumType}"),
        "plant.yaml:34: objects.Many[2..4].type: there is no type 'PumType'; did you mean 'PumpType'?",
    ),
    "object of an unknown source": (
        ("source: wire", "source: wires"),
        "plant.yaml:33: objects.Pump1.source: there is no source 'wires'; did you mean 'wire'?",
    ),
    "nameplate unknown": (
        ("Model: X1", "Modle: X1"),
        "plant.yaml:33: objects.Pump1.nameplate.Modle: is no nameplate property; did you mean 'Model'?",
    ),
    "nameplate year": (
        ("Model: X1", "YearOfConstruction: soon"),
        "plant.yaml:33: objects.Pump1.nameplate.YearOfConstruction: is a year from 0 to 65535, not 'soon'",
    ),
    "samples that stay for no time": (
        ("  PumpType:\n", "  PumpType:\n    retention_days: 0\n"),
        "plant.yaml:7: types.PumpType.retention_days: input should be greater than 0 (it is 0)",
    ),
    "object named as the diagnostics": (
        ("Pump1:", "ServerDiagnostics:"),
        "plant.yaml:33: objects.ServerDiagnostics: is the name of the server's own diagnostics",
    ),
    "source named as a gateway": (
        ("  wire: {kind: physics}", "  wire: {kind: physics}\n  mqtt: {kind: physics}"),
        "plant.yaml:32: sources.mqtt: is the name of a part of the server's own diagnostics",
    ),
    "register map unknown": (
        ("wire: {kind: physics}", "wire: {kind: physics, map: Mop}"),
        "plant.yaml:31: sources.wire.map: there is no register map 'Mop'; did you mean 'Map'?",
    ),
    "alarm on a missing variable": (
        ("input: Speed", "input: Sped"),
        "plant.yaml:26: types.PumpType.alarms.Fast.input: there is no variable 'Sped'; did you mean 'Speed'?",
    ),
    "alarm without limits": (
        ("high: 2900, ", ""),
        "plant.yaml:26: types.PumpType.alarms.Fast: needs at least one of high_high, high, low, low_low",
    ),
    "alarm with a rule and limits": (
        ("input: Speed", "when: Speed > 1"),
        "plant.yaml:26: types.PumpType.alarms.Fast.high: is no key of an alarm of the kind rule",
    ),
    "alarm severity": (
        ("severity: 500", "severity: 0"),
        "plant.yaml:26: types.PumpType.alarms.Fast.severity: input should be greater than or equal to 1 (it is 0)",
    ),
    "key unknown": (
        (SPEED, SPEED.replace("unit:", "units:")),
        f"{V.format(11)}Speed.units: is no key that a plant file has here",
    ),
    "key missing": (
        ("severity: 500, ", ""),
        "plant.yaml:26: types.PumpType.alarms.Fast.severity: is missing",
    ),
    "section missing": (("plant: {name: Plant, type: PlantType}\n", ""), "plant.yaml:1: plant: is missing"),
    "built-in type unknown": (
        ("Speed: {type: Double, unit", "Speed: {type: double, unit"),
        f"{V.format(11)}Speed.type: is no built-in type; there are {', '.join(BuiltinType.__members__)}",
    ),
    "neither type nor enum": (
        ("State: {enum: State, ", "State: {"),
        f"{V.format(10)}State: needs one of type and enum",
    ),
    "enumeration unknown": (
        ("enum: State", "enum: Stat"),
        f"{V.format(10)}State.enum: there is no enumeration 'Stat'; did you mean 'State'?",
    ),
    "enumeration repeats itself": (
        ("[Off, On]", "[Off, Off]"),
        "plant.yaml:3: enumerations.State: needs values that differ from each other",
    ),
    "type named as an enumeration": (
        ("  State: [Off, On]", "  State: [Off, On]\n  PumpType: [A, B]"),
        "plant.yaml:7: types.PumpType: has the name of an enumeration on line 4",
    ),
    "type named as the plant": (
        ("plant: {name: Plant, type", "plant: {name: PumpType, type"),
        "plant.yaml:6: types.PumpType: has the name of the plant itself",
    ),
    "enumeration named as the plant": (
        ("plant: {name: Plant, type", "plant: {name: State, type"),
        "plant.yaml:3: enumerations.State: has the name of the plant itself",
    ),
    "type of the server": (
        ("  PlantType: {description", "  SourceDiagnosticsType: {description: x}\n  PlantType: {description"),
        "plant.yaml:5: types.SourceDiagnosticsType: is a type that the server has itself",
    ),
    "variable named as the nameplate": (
        ("      Label:", "      Identification:"),
        f"{V.format(12)}Identification: is the name of the object that carries the nameplate",
    ),
    "range upside down": (
        ("range: [0, 3000], description: Shaft", "range: [3000, 0], description: Shaft"),
        f"{V.format(11)}Speed.range: the low end 3000.0 is not below the high end 0.0",
    ),
    "range without end": (
        ("range: [0, 3000], description: Shaft", "range: [0, .inf], description: Shaft"),
        f"{V.format(11)}Speed.range: ends at finite numbers",
    ),
    "range wider than the type": (
        (TARGET, TARGET.replace("3000", "40000")),
        f"{V.format(14)}Target.range: does not fit the type Int16",
    ),
    "range of a text": (
        ("Label: {type: String", "Label: {type: String, range: [0, 1]"),
        f"{V.format(12)}Label.range: a String has no range",
    ),
    "initial outside its range": (
        ("initial: 10", "initial: 3001"),
        f"{V.format(14)}Target.initial: 3001 is outside the range [0.0, 3000.0]",
    ),
    "initial of another type": (
        ("initial: 10", "initial: ten"),
        f"{V.format(14)}Target.initial: 'ten' is no Int16",
    ),
    "initial with a fraction": (("initial: 10", "initial: 1.5"), f"{V.format(14)}Target.initial: 1.5 is no Int16"),
    "initial too large for its type": (
        (TARGET, "{type: Byte, access: write, initial: 300, description: Wanted}"),
        f"{V.format(14)}Target.initial: 300 is no Byte",
    ),
    "initial that YAML cannot make": (
        ("initial: 10", "initial: 2026-13-45"),
        "plant.yaml:14: types.PumpType.variables.Target.initial: is not valid YAML: month must be in 1..12",
    ),
    "initial no value of the enumeration": (
        ("State: {enum: State,", "State: {enum: State, initial: Of,"),
        f"{V.format(10)}State.initial: there is no value of State 'Of'; did you mean 'Off'?",
    ),
    "role on what is not writable": (
        ("Label: {type: String", "Label: {type: String, role: Operator"),
        f"{V.format(12)}Label.role: is the role that may write, and this variable is not writable",
    ),
    "computed set-point": (
        ("access: write,", "access: write, computed: 2 * Speed,"),
        f"{V.format(14)}Target.computed: a set-point cannot be computed",
    ),
    "computed from the unknown": (
        (TWICE, "computed: 2 * Sped"),
        f"{V.format(16)}Twice.computed: there is no variable 'Sped'; did you mean 'Speed'?",
    ),
    "computed from the computed": (
        ("Label: {type: String", "Label: {type: Double, computed: Twice + 1"),
        f"{V.format(12)}Label.computed: Twice is itself computed: write its expression out",
    ),
    "computed from a text": ((TWICE, "computed: 2 * Label"), f"{V.format(16)}Twice.computed: Label is no number"),
    "computed from nothing": ((TWICE, 'computed: "7"'), f"{V.format(16)}Twice.computed: reads no variable"),
    "expression with an attribute": (
        (TWICE, "computed: Speed.real"),
        f"{V.format(16)}Twice.computed: may not contain 'Speed.real' (Attribute)",
    ),
    "expression that calls": (
        (TWICE, 'computed: "eval(Speed)"'),
        f"{V.format(16)}Twice.computed: may call abs, sqrt, exp, log, sin, cos, min, max, where, not eval",
    ),
    "sets no set-point": (
        ("sets: Target", "sets: Speed"),
        f"plant.yaml:23: {C}Aim.sets: needs a set-point and exactly one argument",
    ),
    "sets the unknown": (
        ("sets: Target", "sets: Targe"),
        f"plant.yaml:23: {C}Aim.sets: there is no variable 'Targe'; did you mean 'Target'?",
    ),
    "confirms an unknown value": (
        ("{State: [On]}", "{State: [Onn]}"),
        f"plant.yaml:20: {C}Start.confirms: there is no value of State 'Onn'; did you mean 'On'?",
    ),
    "confirms what is no enumeration": (
        ("{State: [On]}", "{Speed: [On]}"),
        f"plant.yaml:20: {C}Start.confirms.Speed: is no enumeration",
    ),
    "command named as a variable": (
        ("      Start:", "      Label:"),
        f"plant.yaml:18: {C}Label: is also a variable on line 12",
    ),
    "command of the emergency stop": (
        ("      Start:", "      EmergencyStop:"),
        f"plant.yaml:18: {C}EmergencyStop: is declared by emergency_stop already",
    ),
    "variable of the emergency stop": (
        ("      Label:", "      EmergencyStopActive:"),
        f"{V.format(12)}EmergencyStopActive: is a name that emergency_stop gives its own variable",
    ),
    "emergency stop without its state": (
        ("stopped: Off, ", ""),
        "plant.yaml:27: types.PumpType.emergency_stop: state is an enumeration, and stopped one of its values",
    ),
    "emergency stop's button is no switch": (
        ("standstill: Speed < 1", "button: Speed"),
        "plant.yaml:27: types.PumpType.emergency_stop.button: is no Boolean",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), CASES.values(), ids=CASES)
def test_fault(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    assert refusal(tmp_path, edited(change)) == [sentence]


def test_several_faults_are_told_at_once(tmp_path: Path) -> None:
    text = edited(("severity: 500, ", ""), ("Speed: {type: Double, unit", "Speed: {typ: Double, unit"), ("X1", "[1]"))
    lines = refusal(tmp_path, text)
    assert [line.split(": ")[0] for line in lines[:2]] == ["plant.yaml:11", "plant.yaml:26"]
    assert all(line.startswith("plant.yaml:33: objects.Pump1.nameplate.Model: ") for line in lines[2:])
    assert len(lines) > 2


TEXTS = {
    "empty": ("", "plant.yaml:1: a plant file is a mapping with the keys plant, types and objects"),
    "only a comment": ("# hello\n", "plant.yaml:1: a plant file is a mapping with the keys plant, types and objects"),
    "a list": ("- 1\n- 2\n", "plant.yaml:1: a plant file is a mapping with the keys plant, types and objects"),
    "not YAML": ("plant: [\ntypes: {", "plant.yaml:2: is not valid YAML: "),
    "a tab": ("plant:\n\tname: x\n", "plant.yaml:2: is not valid YAML: "),
    "an unknown tag": ("plant: !!python/name:os.system ''\n", "plant.yaml:1: is not valid YAML: "),
    "two documents": ("a: 1\n---\nb: 2\n", "plant.yaml:2: is not valid YAML: "),
    "a control character": ("plant: \x00\n", "plant.yaml: is not valid YAML: "),
    "an alias to itself": ("plant: &a [*a]\n", "plant.yaml: is not valid YAML: it is nested too deeply"),
    "depth": ("[" * 5000, "plant.yaml: is not valid YAML: it is nested too deeply"),
}


@pytest.mark.parametrize(("text", "start"), TEXTS.values(), ids=TEXTS)
def test_what_is_no_plant_file(tmp_path: Path, text: str, start: str) -> None:
    lines = refusal(tmp_path, text)
    assert len(lines) == 1
    assert lines[0].startswith(start)


def test_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_bytes(b"plant: {name: Gr\xfcn}\n")
    with pytest.raises(PlantError, match=r"plant\.yaml: is not UTF-8 text: invalid start byte at byte 16$"):
        load_plant(file)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PlantError, match=r"none\.yaml: cannot be read: No such file or directory$"):
        load_plant(tmp_path / "none.yaml")
    with pytest.raises(PlantError, match=r"cannot be read: Is a directory$"):
        load_plant(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file(tmp_path: Path) -> None:
    file = write(tmp_path, RIGHT)
    file.chmod(0)
    with pytest.raises(PlantError, match=r"cannot be read: Permission denied$"):
        load_plant(file)

"""Alarms in a plant file: what each kind takes, what becomes of it, and what is said of a wrong one."""

from pathlib import Path
from typing import Any

import pytest
from plant_files import RIGHT, edited, refusal, write

from address_space import Plant, Role, load_plant
from address_space.diagnostics import GATEWAYS
from address_space.model import AlarmKind

FAST = "      Fast: {input: Speed, high: 2900, severity: 500, message: Too fast}\n"
HEAD = "plant.yaml:26: types.PumpType.alarms.Fast"
BUTTON = (
    "      Label: {type: String, description: A text}\n",
    "      Label: {type: String, description: A text}\n      Button: {type: Boolean, description: A button}\n",
)


def plant_with(folder: Path, alarm: str, *changes: tuple[str, str]) -> Plant:
    return load_plant(write(folder, edited((FAST, f"      Fast: {{{alarm}, severity: 500, message: m}}\n"), *changes)))


@pytest.mark.parametrize(
    ("alarm", "expected"),
    [
        ("input: Speed, high: 1", {"kind": AlarmKind.LEVEL, "limits": {"high": 1.0}, "inputs": ("Speed",)}),
        ("input: Speed, high: 1, exclusive: false", {"kind": AlarmKind.NON_EXCLUSIVE_LEVEL}),
        ("input: Speed, high: 1, kind: non_exclusive_level", {"kind": AlarmKind.NON_EXCLUSIVE_LEVEL}),
        (
            "input: Speed, low_low: 1, low: 2, high: 3, high_high: 4, severities: {high_high: 900}, deadband: 0.5",
            {
                "limits": {"high_high": 4.0, "high": 3.0, "low": 2.0, "low_low": 1.0},
                "severities": {"high_high": 900},
                "deadband": 0.5,
            },
        ),
        ("kind: rate_of_change, input: Speed, low: -5", {"kind": AlarmKind.RATE_OF_CHANGE, "limits": {"low": -5.0}}),
        (
            "kind: deviation, input: Speed, setpoint: Target, high: 5",
            {"kind": AlarmKind.DEVIATION, "setpoint": "Target", "inputs": ("Speed", "Target")},
        ),
        (
            "kind: discrepancy, input: Speed, target: Target, tolerance: 5, within: 3",
            {"kind": AlarmKind.DISCREPANCY, "target": "Target", "tolerance": 5.0, "within": 3.0,
             "inputs": ("Speed", "Target")},
        ),
        ("kind: off_normal, input: State, normal: Off", {"kind": AlarmKind.OFF_NORMAL, "normal": (0,)}),
        ("kind: off_normal, input: State, normal: [On, Off]", {"normal": (1, 0)}),
        ("kind: off_normal, input: Button, normal: false", {"normal": (0,), "inputs": ("Button",)}),
        ("kind: trip, input: State, tripped: [On]", {"kind": AlarmKind.TRIP, "tripped": (1,)}),
        ("kind: trip, input: Button, tripped: true", {"kind": AlarmKind.TRIP, "tripped": (1,)}),
        ("when: Speed > 1 and Target < 5", {"kind": AlarmKind.RULE, "input": None, "inputs": ("Speed", "Target")}),
        (
            "input: Speed, high: 1, on_delay: 1.5, off_delay: 2, acknowledge_role: Supervisor, confirm: true",
            {"on_delay": 1.5, "off_delay": 2.0, "acknowledge_role": Role.Supervisor, "confirm": True},
        ),
        ("input: Speed, high: 1", {"on_delay": 0.0, "acknowledge_role": Role.Operator, "confirm": False}),
    ],
)  # fmt: skip
def test_what_an_alarm_becomes(tmp_path: Path, alarm: str, expected: dict[str, Any]) -> None:
    declaration = plant_with(tmp_path, alarm, BUTTON).machine("Plant.Pump1").type.alarms["Fast"]
    assert {name: getattr(declaration, name) for name in expected} == expected


WRONG = {
    "kind unknown": ("kind: levle, input: Speed, high: 1", ".kind: input should be 'level', 'non_exclusive_level', "),
    "kind of the server's own": (
        "kind: communication, input: Speed", ".kind: communication is raised by the server itself",
    ),
    "kind of the certificate": (
        "kind: certificate_expiry, input: Speed", ".kind: certificate_expiry is raised by the server itself",
    ),
    "neither input nor rule": ("high: 1", ": needs one of input and when"),
    "input and rule": ("input: Speed, when: Speed > 1", ": needs one of input and when"),
    "limit of a rule": ("when: Speed > 1, high: 1", ".high: is no key of an alarm of the kind rule"),
    "several wrong keys": (
        "when: Speed > 1, tolerance: 1, high: 1, target: Speed", ".high: is no key of an alarm of the kind rule",
    ),
    "rule that reads nothing": ("when: 1 > 2", ".when: reads no variable"),
    "rule of something unknown": (
        "when: Sped > 2", ".when: there is no variable 'Sped'; did you mean 'Speed'?",
    ),
    "rule of a text": ("when: Label > 2", ".when: Label is no number"),
    "rule as a level": ("when: Speed > 1, kind: level", ".when: is no key of an alarm of the kind level"),
    "text with a limit": ("input: Label, high: 1", ".input: Label is no number"),
    "no limit": ("kind: rate_of_change, input: Speed",
                 ": needs at least one of high_high, high, low, low_low"),
    "limits in disorder": ("input: Speed, high: 1, low: 2", ": needs limits with low_low < low < high < high_high"),
    "limits that are equal": (
        "input: Speed, high: 1, high_high: 1", ": needs limits with low_low < low < high < high_high",
    ),
    "limit that is no number": ("input: Speed, high: .nan", ".high: input should be a finite number (it is nan)"),
    "severity of a limit that it lacks": (
        "input: Speed, high: 1, severities: {low: 5}", ".severities.low: is no limit of this alarm",
    ),
    "severity of something else": (
        "input: Speed, high: 1, severities: {deadband: 5}", ".severities.deadband: is no limit of this alarm",
    ),
    "severity of a limit": (
        "input: Speed, high: 1, severities: {high: 1001}",
        ".severities.high: input should be less than or equal to 1000 (it is 1001)",
    ),
    "deadband below zero": (
        "input: Speed, high: 1, deadband: -1", ".deadband: input should be greater than or equal to 0 (it is -1)",
    ),
    "delay below zero": (
        "input: Speed, high: 1, on_delay: -1", ".on_delay: input should be greater than or equal to 0 (it is -1)",
    ),
    "delay of days": (
        "input: Speed, high: 1, off_delay: 86401",
        ".off_delay: input should be less than or equal to 86400 (it is 86401)",
    ),
    "role unknown": (
        "input: Speed, high: 1, acknowledge_role: Boss", ".acknowledge_role: input should be ",
    ),
    "deviation from nothing": (
        "kind: deviation, input: Speed, high: 1", ": needs setpoint, the variable to compare with",
    ),
    "deviation from a text": (
        "kind: deviation, input: Speed, setpoint: Label, high: 1", ".setpoint: Label is no number",
    ),
    "deviation from something unknown": (
        "kind: deviation, input: Speed, setpoint: Targt, high: 1",
        ".setpoint: there is no variable 'Targt'; did you mean 'Target'?",
    ),
    "discrepancy from nothing": ("kind: discrepancy, input: Speed", ": needs target, the variable to compare with"),
    "discrepancy with a limit": (
        "kind: discrepancy, input: Speed, target: Target, high: 1",
        ".high: is no key of an alarm of the kind discrepancy",
    ),
    "off-normal without normal": ("kind: off_normal, input: State", ": needs normal"),
    "off-normal of a number": (
        "kind: off_normal, input: Speed, normal: Off", ".input: is neither an enumeration nor a Boolean",
    ),
    "normal that is no value": (
        "kind: off_normal, input: State, normal: Onn",
        ".normal: there is no value of State 'Onn'; did you mean 'On'?",
    ),
    "normal of a Boolean that is a name": (
        "kind: off_normal, input: Button, normal: Off", ".normal: is true or false",
    ),
    "normal of an enumeration that is a Boolean": (
        "kind: off_normal, input: State, normal: true", ".normal: is a value of State, not of a Boolean",
    ),
    "trip without tripped": ("kind: trip, input: State", ": needs tripped"),
    "trip with normal": (
        "kind: trip, input: State, tripped: On, normal: Off", ".normal: is no key of an alarm of the kind trip",
    ),
    "non-exclusive rate": (
        "kind: rate_of_change, input: Speed, high: 1, exclusive: false",
        ".exclusive: is no key of an alarm of the kind rate_of_change",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("alarm", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_said_of_a_wrong_alarm(tmp_path: Path, alarm: str, sentence: str) -> None:
    text = edited((FAST, f"      Fast: {{{alarm}, severity: 500, message: m}}\n"), BUTTON)
    (said,) = refusal(tmp_path, text)
    expected = HEAD.replace(":26:", ":27:") + sentence
    assert said == expected or (sentence.endswith((" ", ", ")) and said.startswith(expected)), said


@pytest.mark.parametrize("name", ["Speed", "Start", "Identification"])
def test_an_alarm_has_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    said = refusal(tmp_path, edited(("Fast: {", f"{name}: {{")))
    place = f"plant.yaml:26: types.PumpType.alarms.{name}"
    assert said == [f"{place}: has the name of a variable or a command of the same type"]


def test_conditions_of_all_machines_are_numbered_and_found(tmp_path: Path) -> None:
    plant = load_plant(write(tmp_path, RIGHT))
    assert [it.id for it in plant.conditions] == list(range(len(plant.conditions)))
    own = [it.path for it in plant.conditions if it.name == "Fast"]
    assert own == [f"Plant.{name}.Fast" for name in ("Pump1", "Many2", "Many3", "Many4")]
    condition = plant.find_condition("Plant.Many3.Fast")
    assert condition is not None
    assert condition.input is plant.variable("Plant.Many3.Speed")
    assert condition.machine is plant.machine("Plant.Many3")
    assert plant.find_condition("Plant.Many3.Slow") is None
    assert plant.find_condition("Plant.Many3.Speed") is None


def test_every_plant_watches_its_sources_its_gateways_and_the_certificate(tmp_path: Path) -> None:
    plant = load_plant(write(tmp_path, RIGHT))
    own = {it.path: it.declaration.kind for it in plant.conditions if it.machine.path.startswith("Plant.Server")}
    dropped = {f"Plant.ServerDiagnostics.{name}.SamplesDropped" for name in GATEWAYS}
    assert {path for path, kind in own.items() if kind is AlarmKind.OFF_NORMAL} == dropped
    own = {path: kind for path, kind in own.items() if path not in dropped}
    assert own == {
        "Plant.ServerDiagnostics.CertificateExpiry": AlarmKind.CERTIFICATE_EXPIRY,
        **{
            f"Plant.ServerDiagnostics.{name}.CommunicationLost": AlarmKind.COMMUNICATION for name in ("wire", *GATEWAYS)
        },
    }
    assert all(it.input is None and it.inputs == () for it in plant.conditions if it.path in own)


def test_a_source_is_not_named_as_the_figures_of_alarms(tmp_path: Path) -> None:
    text = edited(("  wire: {kind: physics}", "  wire: {kind: physics}\n  Alarms: {kind: physics}"))
    said = refusal(tmp_path, text)
    assert said == ["plant.yaml:32: sources.Alarms: is the name of a part of the server's own diagnostics"]

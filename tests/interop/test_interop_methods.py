"""Methods of the plant, with arguments right and wrong, and what they do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.interop.conftest import Sessions
from tests.interop.node_client import Connection
from tests.process_rig import wait_until

GENERATOR = "Plant.Generator1"
STATES = ["Stopped", "Starting", "Running", "Stopping", "Tripped", "EmergencyStopped"]
GOOD_ARGUMENTS = {
    "SetLoad": [["Double", 180.0]],
    "InjectFault": [["String", "oil_leak"], ["Double", 0.0]],
    "EmergencyStop": [["String", "test"]],
    "ResetEmergencyStop": [["String", ""]],
}


def state(session: Connection, machine: str = GENERATOR) -> str:
    return STATES[session.value(f"{machine}.State")]


def in_state(session: Connection, *names: str, machine: str = GENERATOR) -> None:
    wait_until(lambda: state(session, machine) in names, f"{machine} is {' or '.join(names)}", within=40)


def reset(supervisor: Connection, machine: str) -> None:
    """Release an emergency stop in its two calls, once the machine stands still."""
    asked: list[dict[str, Any]] = []

    def given() -> bool:
        asked.append(supervisor.call(f"{machine}.ResetEmergencyStop", ["String", ""]))
        return asked[-1]["status"] == "Good"

    wait_until(given, f"{machine} may be reset", within=40)
    confirmed = supervisor.call(f"{machine}.ResetEmergencyStop", ["String", asked[-1]["outputs"][0]])
    assert (confirmed["status"], confirmed["outputs"]) == ("Good", [""])


@pytest.fixture
def released(supervisor: Connection) -> Iterator[Callable[[str], None]]:
    """Return a function that names a machine whose emergency stop is to be released after the test."""
    machines: list[str] = []
    yield machines.append
    for machine in machines:
        if supervisor.value(f"{machine}.EmergencyStopActive"):
            reset(supervisor, machine)


@pytest.mark.parametrize(
    ("path", "arguments", "status", "each"),
    [
        ("SetLoad", [], "BadArgumentsMissing", []),
        ("SetLoad", [["Double", 1.0], ["Double", 2.0]], "BadTooManyArguments", []),
        ("SetLoad", [["String", "1"]], "BadInvalidArgument", ["BadTypeMismatch"]),
        ("SetLoad", [["Float", 1.0]], "BadInvalidArgument", ["BadTypeMismatch"]),
        ("SetLoad", [["Int32", 1]], "BadInvalidArgument", ["BadTypeMismatch"]),
        ("SetLoad", [["Null", None]], "BadInvalidArgument", ["BadTypeMismatch"]),
        ("SetLoad", [["Double", [1.0], True]], "BadInvalidArgument", ["BadTypeMismatch"]),
        ("SetLoad", [["Double", 500.5]], "BadInvalidArgument", ["BadOutOfRange"]),
        ("SetLoad", [["Double", -1.0]], "BadInvalidArgument", ["BadOutOfRange"]),
        pytest.param(
            "SetLoad",
            [["Double", "NaN"]],
            "BadInvalidArgument",
            ["BadOutOfRange"],
        ),
        ("Start", [["Double", 1.0]], "BadTooManyArguments", []),
        ("EmergencyStop", [], "BadArgumentsMissing", []),
        ("EmergencyStop", [["Int32", 1]], "BadInvalidArgument", ["BadTypeMismatch"]),
        ("EmergencyStop", [["Null", None]], "BadInvalidArgument", ["BadTypeMismatch"]),
        ("ResetEmergencyStop", [], "BadArgumentsMissing", []),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(
    supervisor: Connection, path: str, arguments: list[Any], status: str, each: list[str]
) -> None:
    before = [supervisor.value(f"{GENERATOR}.{name}") for name in ("LoadSetpoint", "EmergencyStopActive")]
    result = supervisor.call(f"{GENERATOR}.{path}", *arguments)
    assert (result["status"], result["arguments"], result["outputs"]) == (status, each, [])
    assert [supervisor.value(f"{GENERATOR}.{name}") for name in ("LoadSetpoint", "EmergencyStopActive")] == before


@pytest.mark.parametrize(
    ("fault", "magnitude", "each"),
    [
        pytest.param(
            ["String", "gremlins"],
            ["Double", 0.5],
            ["BadOutOfRange", "Good"],
        ),
        (["String", "oil_leak"], ["Double", 1.5], ["Good", "BadOutOfRange"]),
        pytest.param(
            ["Int32", 1],
            ["Double", 1.5],
            ["BadTypeMismatch", "BadOutOfRange"],
        ),
        (["Int32", 1], ["String", "much"], ["BadTypeMismatch", "BadTypeMismatch"]),
    ],
)
def test_each_argument_has_a_status_of_its_own(
    sessions: Sessions, fault: list[Any], magnitude: list[Any], each: list[str]
) -> None:
    result = sessions("emil").call(f"{GENERATOR}.InjectFault", fault, magnitude)
    assert (result["status"], result["arguments"]) == ("BadInvalidArgument", each)


@pytest.mark.parametrize(
    ("owner", "method", "status"),
    [
        ("Plant.NoSuch", "Plant.Generator1.Start", "BadNodeIdUnknown"),
        ("Plant.Generator1", "Plant.Generator1.NoSuch", "BadMethodInvalid"),
        ("Plant.Generator1", "Plant.Line1.Start", "BadMethodInvalid"),
        ("Plant.Generator1", "ProductionLineType.Start", "BadMethodInvalid"),
        ("Plant.Generator1", "Plant.Generator1.Speed", "BadMethodInvalid"),
        ("Plant.Line1", "Plant.Line1.SetLoad", "BadMethodInvalid"),
        ("Plant.Environment", "EnvironmentType.EmergencyStop", "BadMethodInvalid"),
    ],
)
def test_a_method_is_called_on_its_object_only(supervisor: Connection, owner: str, method: str, status: str) -> None:
    result = supervisor.call(owner, method=method)
    assert (result["status"], result["outputs"]) == (status, [])


@pytest.mark.parametrize(
    ("user", "path", "allowed"),
    [
        (None, "EmergencyStop", False),
        ("anna", "EmergencyStop", True),
        ("anna", "Start", False),
        ("olga", "Start", False),
        ("olga", "SetLoad", False),
        ("carl", "Start", False),
        ("otto", "Start", True),
        ("otto", "InjectFault", False),
        ("otto", "ResetEmergencyStop", False),
        ("emil", "InjectFault", True),
        ("emil", "Start", False),
        ("susi", "ResetEmergencyStop", True),
        ("susi", "InjectFault", False),
    ],
)
def test_user_executable_tells_who_may_call(sessions: Sessions, user: str | None, path: str, allowed: bool) -> None:
    session = sessions(user)
    assert session.read(f"ns=2;s={GENERATOR}.{path}", "UserExecutable")["value"] is allowed
    assert session.read(f"ns=2;s={GENERATOR}.{path}", "Executable")["value"] is True
    if not allowed:
        result = session.call(f"{GENERATOR}.{path}", *GOOD_ARGUMENTS.get(path, []))
        assert (result["status"], result["outputs"]) == ("BadUserAccessDenied", [])
        assert session.value(f"{GENERATOR}.EmergencyStopActive") is False


def test_set_load_sets_the_set_point_and_the_load_follows(operator: Connection) -> None:
    in_state(operator, "Running")
    result = operator.call(f"{GENERATOR}.SetLoad", ["Double", 150.0])
    assert (result["status"], result["arguments"], result["outputs"]) == ("Good", ["Good"], [])
    assert operator.value(f"{GENERATOR}.LoadSetpoint") == 150
    wait_until(
        lambda: abs(operator.value(f"{GENERATOR}.ActivePower") - 150) < 15, "the load comes to 150 kW", within=40
    )


def test_the_types_method_works_on_an_instance(operator: Connection) -> None:
    result = operator.call(GENERATOR, ["Double", 175.0], method="GeneratorType.SetLoad")
    assert result["status"] == "Good"
    assert operator.value(f"{GENERATOR}.LoadSetpoint") == 175
    assert operator.value("Plant.Line1.SpeedSetpoint") != 175


def test_a_line_is_stopped_and_started(operator: Connection) -> None:
    in_state(operator, "Running", machine="Plant.Line3")
    assert operator.call("Plant.Line3.Stop")["status"] == "Good"
    in_state(operator, "Stopped", machine="Plant.Line3")
    wait_until(lambda: operator.value("Plant.Line3.LineSpeed") == 0, "Line3 stands still")
    assert operator.write("Plant.Line3.SpeedSetpoint", "Double", 12.0) == "Good"  # a second's acceleration
    assert operator.call("Plant.Line3.Start")["status"] == "Good"
    in_state(operator, "Running", machine="Plant.Line3")


def test_the_generator_is_stopped_and_started(operator: Connection) -> None:
    in_state(operator, "Running")
    assert operator.call(f"{GENERATOR}.Stop")["status"] == "Good"
    assert state(operator) in ("Stopping", "Stopped")
    in_state(operator, "Stopped")
    assert operator.call(f"{GENERATOR}.Start")["status"] == "Good"
    assert state(operator) in ("Starting", "Running")
    in_state(operator, "Running")


def test_anyone_signed_in_may_stop_in_an_emergency(
    sessions: Sessions, operator: Connection, supervisor: Connection, released: Callable[[str], None]
) -> None:
    machine = "Plant.Line2"
    released(machine)
    in_state(operator, "Running", machine=machine)
    before = datetime.now(UTC)
    result = sessions("anna").call(f"{machine}.EmergencyStop", ["String", "smoke at the drive"])
    assert (result["status"], result["arguments"], result["outputs"]) == ("Good", ["Good"], [])
    in_state(operator, "EmergencyStopped", machine=machine)

    latch = {name: operator.value(f"{machine}.EmergencyStop{name}") for name in ("Active", "Reason", "By", "Time")}
    assert (latch["Active"], latch["Reason"], latch["By"]) == (True, "smoke at the drive", "anna")
    assert before - timedelta(seconds=1) < datetime.fromisoformat(latch["Time"]) < datetime.now(UTC)
    assert operator.value(f"{machine}.EmergencyStopOrigin") == "opcua 127.0.0.1"
    assert operator.value("Plant.Line1.EmergencyStopActive") is False
    assert operator.value("Plant.EmergencyStopActive") is False

    again = sessions("otto").call(f"{machine}.EmergencyStop", ["String", "me too"])
    assert again["status"] == "Good"
    assert operator.value(f"{machine}.EmergencyStopReason") == "smoke at the drive"  # the first cause is kept
    assert operator.value(f"{machine}.EmergencyStopBy") == "anna"
    assert operator.call(f"{machine}.Start")["status"] == "BadInvalidState"
    assert operator.call(f"{machine}.ResetEmergencyStop", ["String", ""])["status"] == "BadUserAccessDenied"
    assert operator.value(f"{machine}.EmergencyStopActive") is True

    wrong = supervisor.call(f"{machine}.ResetEmergencyStop", ["String", "ABCDEF"])
    assert wrong["status"].startswith("Bad")
    assert wrong["outputs"] == []
    assert operator.value(f"{machine}.EmergencyStopActive") is True
    reset(supervisor, machine)
    assert operator.value(f"{machine}.EmergencyStopActive") is False
    assert operator.value(f"{machine}.EmergencyStopReason") == ""
    in_state(operator, "Stopped", machine=machine)  # a reset is no start
    assert operator.write(f"{machine}.SpeedSetpoint", "Double", 12.0) == "Good"  # a second's acceleration
    assert operator.call(f"{machine}.Start")["status"] == "Good"
    in_state(operator, "Running", machine=machine)


def test_a_reset_needs_a_stop(supervisor: Connection) -> None:
    assert supervisor.call("Plant.Line1.ResetEmergencyStop", ["String", ""])["status"] == "BadInvalidState"


def test_the_plants_emergency_stop_stops_every_machine(
    sessions: Sessions, operator: Connection, supervisor: Connection, released: Callable[[str], None]
) -> None:
    machines = [GENERATOR, "Plant.Line1", "Plant.Line2", "Plant.Line3"]
    released("Plant")
    assert sessions("anna").call("Plant.EmergencyStop", ["String", "fire alarm"])["status"] == "Good"
    for machine in machines:
        in_state(operator, "EmergencyStopped", machine=machine)
        assert operator.call(f"{machine}.Start")["status"] == "BadInvalidState"
    assert operator.value("Plant.EmergencyStopReason") == "fire alarm"
    reset(supervisor, "Plant")
    for machine in machines:
        in_state(operator, "Stopped", machine=machine)
        assert operator.call(f"{machine}.Start")["status"] == "Good"


def test_a_stop_notifies_with_the_time_at_which_it_took_effect(
    fresh: Sessions, sessions: Sessions, operator: Connection, released: Callable[[str], None]
) -> None:
    machine = "Plant.Line1"
    released(machine)
    with fresh(None) as session:
        session.ask("subscribe", nodes=[f"ns=2;s={machine}.EmergencyStopActive"], interval=10)
        session.wait_value(f"{machine}.EmergencyStopActive", lambda active: active is False, "the first value")
        before = datetime.now(UTC)
        assert sessions("anna").call(f"{machine}.EmergencyStop", ["String", "test"])["status"] == "Good"
        answered = datetime.now(UTC)
        told = session.wait_value(f"{machine}.EmergencyStopActive", lambda active: active is True, "the latch")
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(told["source"]) <= answered

"""Values, qualities and timestamps: read, subscribed to, and written."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from address_space import Plant, load_plant
from address_space.model import Feed, Variable
from tests.interop.conftest import Sessions
from tests.interop.node_client import Connection
from tests.process_rig import CHECKOUT, wait_until

LOAD = "Plant.Generator1.LoadSetpoint"
SPEED = "Plant.Generator1.Speed"


@pytest.fixture(scope="module")
def plant() -> Plant:
    return load_plant(CHECKOUT / "address_space" / "plant.yaml")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


OF_A_CAMERA = {"Online", "FrameRate", "Dropped", "Blind", "BlindReason", "EvidenceKept", "LastError"}
"""What a camera tells without a detector."""


def fed(plant: Plant, variable: Variable) -> bool:
    """Whether anything gives a variable its values."""
    return plant.owner(variable).source is not None or variable.declaration.feed in (Feed.SERVER, Feed.SETPOINT)


def detects(plant: Plant, variable: Variable) -> bool:
    """Whether it tells what a detector sees, which the default plant's camera has none of."""
    return plant.owner(variable).source == "vision" and variable.name not in OF_A_CAMERA


def test_every_variable_has_the_quality_type_and_times_that_it_should(anonymous: Connection, plant: Plant) -> None:
    nodes = [[f"ns=2;s={variable.path}", "Value"] for variable in plant.variables]

    def all_fed() -> tuple[datetime, dict[Variable, Any]] | None:
        """Return what was read, and when, once nothing is late: a machine with much to do may have held it up."""
        asked = datetime.now(UTC)
        found = dict(zip(plant.variables, anonymous.ask("read", nodes=nodes), strict=True))
        good = all(
            it["status"] == ("BadNotSupported" if detects(plant, of) else "Good")
            for of, it in found.items()
            if fed(plant, of)
        )
        fresh = good and all(
            asked - time_of(it["source"]) < timedelta(seconds=3) for of, it in found.items() if moving(of)
        )
        return (asked, found) if fresh else None

    asked, found = wait_until(all_fed, "every variable that is fed is Good, and news")
    for variable, it in found.items():
        name = variable.path
        server = time_of(it["server"])
        assert server - asked > -timedelta(seconds=5) or not moving(variable), name
        if not fed(plant, variable):
            assert (it["status"], it["value"]) == ("BadNotConnected", None), name
            continue
        if detects(plant, variable):
            assert (it["status"], it["value"]) == ("BadNotSupported", None), name
            continue
        assert (it["status"], it["type"], it["array"]) == ("Good", variable.declaration.type.name, False), name
        assert time_of(it["source"]) <= server, name
        limits = variable.declaration.range
        assert limits is None or limits[0] <= it["value"] <= limits[1], name
        states = variable.declaration.enumeration
        assert states is None or 0 <= it["value"] < len(states.values), name


def moving(variable: Variable) -> bool:
    """Whether a source samples a variable again and again."""
    return variable.declaration.feed in (Feed.SOURCE, Feed.COMPUTED) and "Camera" not in variable.path


def test_units_follow_from_the_physics(anonymous: Connection) -> None:
    """Torque is power over angular speed: three variables agree only if units and factors do."""
    wait_until(lambda: anonymous.value("Plant.Generator1.ActivePower") > 50, "the generator carries load")
    nodes = [[f"ns=2;s=Plant.Generator1.{name}", "Value"] for name in ("ActivePower", "Speed", "Torque")]
    power, speed, torque = (it["value"] for it in anonymous.ask("read", nodes=nodes))
    assert torque == pytest.approx(power * 1000 / (speed * 2 * 3.141592653589793 / 60), rel=0.05)


@pytest.mark.parametrize(
    ("name", "attribute", "status"),
    [
        ("ns=2;s=Plant.Generator1.NoSuch", "Value", "BadNodeIdUnknown"),
        ("ns=7;s=Plant.Generator1.Speed", "Value", "BadNodeIdUnknown"),
        ("ns=2;i=1", "Value", "BadNodeIdUnknown"),
        ("ns=2;s=Plant.Generator1", "Value", "BadAttributeIdInvalid"),
        ("ns=2;s=Plant.Generator1.Start", "Value", "BadAttributeIdInvalid"),
        ("ns=2;s=Plant.Generator1.Speed", "EventNotifier", "BadAttributeIdInvalid"),
        ("ns=2;s=Plant.Generator1", "DisplayName", "Good"),
    ],
)
def test_reads_of_what_is_not_there(anonymous: Connection, name: str, attribute: str, status: str) -> None:
    assert anonymous.read(name, attribute)["status"] == status


@pytest.mark.parametrize(
    ("timestamps", "with_source", "with_server"),
    [("Both", True, True), ("Source", True, False), ("Server", False, True), ("Neither", False, False)],
)
@pytest.mark.parametrize("path", [SPEED, LOAD])
def test_only_the_timestamps_asked_for_are_returned(
    anonymous: Connection, path: str, timestamps: str, with_source: bool, with_server: bool
) -> None:
    (found,) = anonymous.ask("read", nodes=[[f"ns=2;s={path}", "Value"]], timestamps=timestamps)
    assert (found["source"] is not None, found["server"] is not None) == (with_source, with_server)


@pytest.mark.parametrize("path", ["Plant.Generator1.Speed.EURange", "Plant.Generator1.Identification.Model"])
def test_a_property_has_a_server_timestamp(anonymous: Connection, path: str) -> None:
    assert anonymous.read(f"ns=2;s={path}")["server"] is not None


def test_a_moving_variable_notifies_with_its_source_timestamps(fresh: Sessions) -> None:
    with fresh(None) as session:
        assert session.ask("subscribe", nodes=[f"ns=2;s={SPEED}"]) == ["Good"]
        got = [session.wait_for("notifications", lambda _: True, "a change of speed") for _ in range(5)]
    sources = [time_of(it["source"]) for it in got]
    assert sources == sorted(set(sources))
    assert all(it["status"] == "Good" and 1300 < it["value"] < 1700 for it in got)
    assert all(time_of(it["source"]) <= time_of(it["server"]) for it in got)
    assert sources[-1] - sources[0] < timedelta(seconds=4)  # physics runs at 10 Hz


def test_a_subscription_to_what_is_not_there_is_refused(fresh: Sessions) -> None:
    with fresh(None) as session:
        assert session.ask("subscribe", nodes=["ns=2;s=Plant.Nothing", f"ns=2;s={SPEED}"]) == [
            "BadNodeIdUnknown",
            "Good",
        ]


def test_a_camera_notifies_its_bad_quality(fresh: Sessions) -> None:
    with fresh(None) as session:
        session.ask("subscribe", nodes=["ns=2;s=Plant.Camera2.FrameRate"])
        found = session.wait_for("notifications", lambda _: True, "the first value")
        assert (found["status"], found["value"]) == ("BadNotConnected", None)


def test_a_written_set_point_is_read_back_and_notifies(fresh: Sessions, operator: Connection) -> None:
    with fresh(None) as session:
        session.ask("subscribe", nodes=[f"ns=2;s={LOAD}"])
        session.wait_for("notifications", lambda _: True, "the first value")
        before = datetime.now(UTC)
        for value in (210.5, 211.5, 212.5):
            assert operator.write(LOAD, "Double", value) == "Good"
            assert operator.value(LOAD) == value
        for value in (210.5, 211.5, 212.5):
            found = session.wait_for("notifications", lambda _: True, f"{value} arrives")
            assert found["value"] == value
            assert before <= time_of(found["source"]) + timedelta(milliseconds=1)


def test_a_written_source_timestamp_is_kept(operator: Connection) -> None:
    stamp = "2026-01-02T03:04:05.678Z"
    assert operator.write(LOAD, "Double", 220, stamp=stamp) == "Good"
    assert operator.read(f"ns=2;s={LOAD}")["source"] == stamp


@pytest.mark.parametrize(
    ("path", "kind", "value", "low", "high"),
    [
        ("Plant.Generator1.LoadSetpoint", "Double", 500, "olga", "otto"),
        ("Plant.Generator1.SpeedSetpoint", "Double", 1510, "otto", "emil"),
        ("Plant.Generator1.Tariff", "Double", 0.31, "otto", "susi"),
        ("Plant.Line1.SpeedSetpoint", "Double", 90, "olga", "otto"),
    ],
)
def test_a_set_point_takes_its_role(
    sessions: Sessions, path: str, kind: str, value: float, low: str, high: str
) -> None:
    before = sessions("olga").value(path)
    assert sessions(low).write(path, kind, value) == "BadUserAccessDenied"
    assert sessions("olga").value(path) == before
    assert sessions(high).write(path, kind, value) == "Good"
    assert sessions("olga").value(path) == value


def refusal(connection: Connection, path: str, kind: str, value: object, **options: object) -> str:
    """Write, and check that nothing changed; returns the StatusCode."""
    before = connection.read(f"ns=2;s={path}")
    status = connection.write(path, kind, value, **options)
    after = connection.read(f"ns=2;s={path}")
    if path not in (SPEED, "Plant.Generator1.Torque"):  # those move by themselves
        assert (after["value"], after["status"]) == (before["value"], before["status"])
    if path == LOAD:
        assert after["source"] == before["source"]
    return status


@pytest.mark.parametrize("user", [None, "anna", "olga", "emil", "carl"])
def test_who_is_no_operator_cannot_write(sessions: Sessions, user: str | None) -> None:
    assert refusal(sessions(user), LOAD, "Double", 1.0) == "BadUserAccessDenied"


@pytest.mark.parametrize(
    ("kind", "value", "options", "status"),
    [
        ("Double", 500.1, {}, "BadOutOfRange"),
        ("Double", -0.1, {}, "BadOutOfRange"),
        ("Double", "NaN", {}, "BadOutOfRange"),
        ("Double", "Infinity", {}, "BadOutOfRange"),
        ("Float", 100, {}, "BadTypeMismatch"),
        ("Int32", 100, {}, "BadTypeMismatch"),
        ("String", "100", {}, "BadTypeMismatch"),
        ("Boolean", True, {}, "BadTypeMismatch"),
        ("Null", None, {}, "BadTypeMismatch"),
        ("Double", [100, 101], {"array": True}, "BadTypeMismatch"),
        ("Double", [100], {"array": True}, "BadTypeMismatch"),
        ("Double", [], {"array": True}, "BadTypeMismatch"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    operator: Connection, kind: str, value: object, options: dict[str, object], status: str
) -> None:
    assert refusal(operator, LOAD, kind, value, **options) == status


@pytest.mark.parametrize(
    ("path", "kind", "value"),
    [
        (SPEED, "Double", 1500.0),
        ("Plant.Generator1.Torque", "Double", 1.0),
        ("Plant.Generator1.EmergencyStopActive", "Boolean", True),
        ("Plant.Line1.EmergencyStopButton", "Boolean", True),
        ("Plant.Camera2.FrameRate", "Double", 25.0),
        ("Plant.Generator1.Identification.Model", "String", "other"),
        ("Plant.Generator1.Speed.EURange", "Double", 1.0),
    ],
)
def test_what_is_no_set_point_cannot_be_written(supervisor: Connection, path: str, kind: str, value: object) -> None:
    assert refusal(supervisor, path, kind, value) == "BadNotWritable"


@pytest.mark.parametrize(
    ("path", "attribute", "status"),
    [
        ("Plant.Generator1.NoSuch", "Value", "BadNodeIdUnknown"),
        ("Plant.Generator1", "Value", "BadAttributeIdInvalid"),
        (LOAD, "DisplayName", "BadNotWritable"),
        (LOAD, "AccessLevel", "BadNotWritable"),
        ("GeneratorType.LoadSetpoint", "Value", "BadNotWritable"),
    ],
)
def test_writes_to_what_is_no_variable(supervisor: Connection, path: str, attribute: str, status: str) -> None:
    assert supervisor.write(path, "Double", 1.0, attribute=attribute) == status


@pytest.mark.parametrize(
    ("user", "path", "level"),
    [
        (None, LOAD, 0x01),
        ("olga", LOAD, 0x05),
        ("otto", LOAD, 0x47),
        ("susi", LOAD, 0x47),
        ("emil", LOAD, 0x0D),
        ("emil", "Plant.Generator1.SpeedSetpoint", 0x4F),
        ("otto", "Plant.Generator1.Tariff", 0x05),
        ("susi", "Plant.Generator1.Tariff", 0x47),
        ("susi", SPEED, 0x05),
    ],
)
def test_user_access_level_is_the_users(sessions: Sessions, user: str | None, path: str, level: int) -> None:
    assert sessions(user).read(f"ns=2;s={path}", "UserAccessLevel")["value"] == level

"""node-opcua's alarm client: its list, refresh, acknowledge, confirm, comment, shelve; after a restart, too."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.interop.conftest import credentials
from tests.interop.node_client import Connection, Identity, NodeClient, connect
from tests.process_rig import PlantreeProcess

PLANT = """\
plant: {name: Plant, type: PlantType}
types:
  PlantType: {description: The plant}
  OvenType:
    description: An oven whose temperature is what a client writes
    variables:
      Temperature: {type: Double, unit: °C, range: [0, 500], access: write, initial: 20, description: Temperature}
    alarms:
      Hot: {input: Temperature, high: 200, high_high: 300, severity: 700, confirm: true, message: The oven is hot}
objects:
  Oven1: {type: OvenType}
  Oven2: {type: OvenType}
"""
HOT = "ns=2;s=Plant.Oven1.Hot"
LEVEL_ALARM = "ns=0;i=9482"
USERS = {"otto": "Operator", "olga": "Observer"}


class Ovens:
    """A session of the Operator, who also heats."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def heat(self, temperature: float, oven: str = "Oven1") -> None:
        assert self.connection.write(f"Plant.{oven}.Temperature", "Double", temperature) == "Good"

    def install(self) -> list[dict[str, Any]]:
        return self.connection.ask("alarms_install")

    def wait(self, what: str, **wanted: Any) -> dict[str, Any]:
        """Return the next change of the list of alarms that has these values."""
        wanted = {"condition": HOT, **wanted}
        return self.connection.wait_for("alarms", lambda it: wanted.items() <= it.items(), what)

    def call(self, method: str, event: str, comment: str = "") -> str:
        return self.connection.ask("alarms_call", method=method, condition=HOT, event=event, comment=comment)

    def active(self) -> dict[str, dict[str, Any]]:
        return {it["condition"]: it for it in self.connection.ask("alarms_active")}


@pytest.fixture(scope="module")
def oven_server(
    plantree_process: Callable[..., PlantreeProcess],
    trusting: Callable[[PlantreeProcess], PlantreeProcess],
    tmp_path_factory: pytest.TempPathFactory,
) -> PlantreeProcess:
    file = tmp_path_factory.mktemp("ovens") / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    return trusting(plantree_process(plant=file, users=USERS))


@pytest.fixture
def ovens(node: NodeClient, oven_server: PlantreeProcess, identity: Identity) -> Iterator[Ovens]:
    """Return a session on a server all of whose alarms are over."""
    with connect(node, oven_server.endpoint, identity, credentials("otto")) as connection:
        found = Ovens(connection)
        for oven in ("Oven1", "Oven2"):
            found.heat(20, oven)
        connection.ask("alarms_acknowledge_all", comment="before the test")
        connection.ask("alarms_confirm_all", comment="before the test")
        assert found.active() == {}
        yield found


def test_an_alarm_from_its_activation_to_its_end(ovens: Ovens) -> None:
    ovens.install()
    ovens.heat(250)
    alarm = ovens.wait("activation", active=True)
    assert alarm["type"] == LEVEL_ALARM
    assert (alarm["name"], alarm["source"], alarm["severity"]) == ("Hot", "Oven1.Temperature", 700)
    assert (alarm["acked"], alarm["retain"], alarm["enabled"]) == (False, True, True)
    assert (alarm["quality"], alarm["shelving"]) == ("Good", "Unshelved")
    assert ovens.call("acknowledge", alarm["event"], "going there") == "Good"
    alarm = ovens.wait("acknowledgement", acked=True)
    assert (alarm["comment"], alarm["user"], alarm["confirmed"]) == ("going there", "otto", False)
    assert ovens.call("addComment", alarm["event"], "a door was open") == "Good"
    alarm = ovens.wait("comment", comment="a door was open")
    assert ovens.call("confirm", alarm["event"], "closed") == "Good"
    alarm = ovens.wait("confirmation", confirmed=True, acked=True)
    assert alarm["retain"] is True
    ovens.heat(20)
    alarm = ovens.wait("end", active=False)
    assert alarm["retain"] is False


def test_an_alarm_from_before_is_seen(ovens: Ovens) -> None:
    ovens.heat(250)
    ovens.heat(350, "Oven2")
    ovens.install()
    for condition in (HOT, "ns=2;s=Plant.Oven2.Hot"):
        ovens.connection.wait_for(
            "alarms", lambda it, condition=condition: it["condition"] == condition and it["active"], condition
        )


def test_refusals(ovens: Ovens, node: NodeClient, oven_server: PlantreeProcess, identity: Identity) -> None:
    ovens.heat(250)
    event = ovens.active()[HOT]["event"]
    assert ovens.call("acknowledge", "00" * 16, "x") == "BadEventIdUnknown"
    with connect(node, oven_server.endpoint, identity, credentials("olga")) as observer:
        assert Ovens(observer).active()[HOT]["event"] == event
        assert Ovens(observer).call("acknowledge", event, "x") == "BadUserAccessDenied"
    assert ovens.call("acknowledge", event, "x") == "Good"
    assert ovens.call("acknowledge", ovens.active()[HOT]["event"], "x") == "BadConditionBranchAlreadyAcked"


def test_shelving(ovens: Ovens) -> None:
    ovens.install()
    ovens.heat(250)
    ovens.wait("activation", active=True)
    shelving = "Plant.Oven1.Hot.ShelvingState"
    assert ovens.connection.call(f"{shelving}.TimedShelve", ["Double", 60_000])["status"] == "Good"
    alarm = ovens.wait("shelving", shelving="Timed Shelved")
    assert alarm["suppressedOrShelved"] is True
    assert 0 < ovens.connection.value(f"{shelving}.UnshelveTime") <= 60_000
    of_type = ovens.connection.ask(
        "call", object=HOT, method="ns=0;i=2947", arguments=[]
    )  # ShelvedStateMachineType.Unshelve with the ConditionId
    assert of_type["status"] == "Good"
    ovens.wait("unshelving", shelving="Unshelved")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_state_survives_a_restart(
    ovens: Ovens, node: NodeClient, oven_server: PlantreeProcess, identity: Identity, how: signal.Signals
) -> None:
    ovens.heat(250)
    ovens.heat(250, "Oven2")
    event = ovens.active()[HOT]["event"]
    assert ovens.call("acknowledge", event, "before the restart") == "Good"
    before = ovens.active()
    oven_server.stop(how)
    oven_server.start()
    with connect(node, oven_server.endpoint, identity, credentials("otto")) as connection:
        after = Ovens(connection)
        found = after.active()
        assert found.keys() == before.keys()
        for condition, alarm in found.items():
            for key in ("event", "acked", "confirmed", "active", "comment", "user", "severity"):
                assert alarm[key] == before[condition][key]
        assert after.call("confirm", found[HOT]["event"], "after the restart") == "Good"
        assert after.active()[HOT]["confirmed"] is True

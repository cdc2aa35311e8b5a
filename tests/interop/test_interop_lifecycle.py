"""The end of a server process, expected or not, as its clients see it; and what is still there after."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.interop.conftest import Sessions, credentials
from tests.interop.node_client import Identity, NodeClient, connect
from tests.process_rig import PlantreeProcess, wait_until

STATE = "ns=0;i=2259"  # Server_ServerStatus_State
SHUTDOWN = 4  # ServerState (OPC 10000-5 12.6)
LATCH = ("Active", "Reason", "By", "Origin", "Time")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def errors(server: PlantreeProcess) -> list[str]:
    return [line["message"] for line in server.log() if line["level"] in ("error", "critical")]


def test_a_shutdown_tells_sessions_ends_clean_and_keeps_set_points(
    plantree_process: Callable[..., PlantreeProcess],
    trusting: Callable[..., PlantreeProcess],
    node: NodeClient,
    identity: Identity,
    quick_plant: Path,
) -> None:
    server = trusting(plantree_process(plant=quick_plant, users={"otto": "Operator"}))
    session = connect(node, server.endpoint, identity, credentials("otto"))
    assert session.write("Plant.Generator1.LoadSetpoint", "Double", 321.0) == "Good"
    session.ask("subscribe", nodes=[STATE], interval=50)
    first = session.wait_for("notifications", lambda _: True, "the server's state")
    assert first["value"] == 0  # Running
    assert server.process is not None
    helpers = wait_until(lambda: children(server.process.pid), "the simulated PLCs run")  # type: ignore[union-attr]

    server.process.send_signal(signal.SIGTERM)
    told = session.wait_for("notifications", lambda it: it["value"] == SHUTDOWN, "ServerState Shutdown")
    assert told["status"] == "Good"
    session.wait_for("events", lambda _: True, "the connection's end")
    assert server.process.wait(30) == 0
    wait_until(lambda: not any(map(alive, helpers)), "the simulated PLCs have ended")
    session.close()

    server.start()  # a set-point survives a restart
    with connect(node, server.endpoint, identity, credentials("otto")) as session:
        assert session.value("Plant.Generator1.LoadSetpoint") == 321
    assert server.stop(signal.SIGINT) == 0


def test_a_shutdown_with_a_subscribed_client_logs_no_error(
    plantree_process: Callable[..., PlantreeProcess], node: NodeClient, identity: Identity, small_plant: Path
) -> None:
    server = plantree_process({"PLANTREE_OPCUA__ALLOW_NONE": "true"}, small_plant)
    session = connect(node, server.endpoint, identity, None, "None", "None")
    session.ask("subscribe", nodes=["ns=2;s=Plant.Generator1.Speed"], interval=50)
    session.wait_for("notifications", lambda _: True, "a value")
    assert server.stop() == 0
    session.close()
    assert errors(server) == []


def test_a_client_that_vanishes_harms_nobody(
    server: PlantreeProcess, sessions: Sessions, fresh: Sessions, identity: Identity, tmp_path: Path
) -> None:
    victim = NodeClient(tmp_path / "victim.log")
    lost = connect(victim, server.endpoint, identity, credentials("olga"))
    lost.ask("subscribe", nodes=["ns=2;s=Plant.Generator1.Speed"], interval=50)
    lost.wait_for("notifications", lambda _: True, "a value")
    victim.kill()
    with fresh(None) as session:
        session.ask("subscribe", nodes=["ns=2;s=Plant.Generator1.Speed"], interval=50)
        for _ in range(15):  # over a second, in which the server finds out
            session.wait_for("notifications", lambda _: True, "a value")
    assert sessions("otto").write("Plant.Line2.SpeedSetpoint", "Double", 100.0) == "Good"


def test_an_emergency_stop_survives_a_kill(
    plantree_process: Callable[..., PlantreeProcess], trusting: Callable[..., PlantreeProcess],
    node: NodeClient, identity: Identity, quick_plant: Path,
) -> None:  # fmt: skip
    server = trusting(plantree_process(plant=quick_plant, users={"anna": "AuthenticatedUser"}))
    machine = "Plant.Generator1"
    session = connect(node, server.endpoint, identity, credentials("anna"))
    assert session.call(f"{machine}.EmergencyStop", ["String", "oil on the floor"])["status"] == "Good"
    latch = {name: session.value(f"{machine}.EmergencyStop{name}") for name in LATCH}
    state = "ns=2;s=Plant.Line1.State"
    wait_until(lambda: session.read(state)["status"] == "Good", "Line1's PLC is connected")
    assert session.call("Plant.Line1.EmergencyStop", ["String", "guard open"])["status"] == "Good"
    assert server.process is not None
    helpers = wait_until(lambda: children(server.process.pid), "the simulated PLCs run")  # type: ignore[union-attr]
    os.kill(server.process.pid, signal.SIGKILL)
    assert server.process.wait(5) == -signal.SIGKILL
    session.close()
    wait_until(lambda: not any(map(alive, helpers)), "the simulated PLCs have ended with their server")

    server.start()
    with connect(node, server.endpoint, identity, credentials("anna")) as session:
        assert {name: session.value(f"{machine}.EmergencyStop{name}") for name in LATCH} == latch
        assert (latch["Active"], latch["Reason"], latch["By"]) == (True, "oil on the floor", "anna")
        assert latch["Origin"] == "opcua 127.0.0.1"
        assert session.value("Plant.Line1.EmergencyStopReason") == "guard open"
        assert session.value("Plant.Line2.EmergencyStopActive") is False
        for name in (machine, "Plant.Line1"):
            wait_until(lambda: session.value(f"{name}.State") == 5, f"{name} is EmergencyStopped")  # noqa: B023
    assert server.stop() == 0

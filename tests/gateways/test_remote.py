"""A gateway alone: the tree of a server in another process, over an encrypted session; its commands and faults."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from address_space import Plant, load_plant
from address_space.model import Feed
from gateways.remote import Peer, RemotePlant
from gateways.remote_commands import RemoteCommands, RemoteIdentities
from server import quality
from server.errors import StartError
from server.ports import CommandError, Put
from server.security.certificates import OwnCertificate, load_or_create
from server.security.principal import authenticated
from server.store import Store, now_ticks, to_ticks
from server.supervision import Backoff
from tests.conftest import StartPlantree
from tests.gateways.alone_child import delivered
from tests.process_rig import CHECKOUT, PlantreeProcess, free_port, wait_until

PLANT = """\
plant: {name: Plant, type: PlantType}
enumerations:
  State: [Off, On]
types:
  PlantType: {description: The plant, emergency_stop: {reset_role: Supervisor}}
  PumpType:
    description: A pump
    variables:
      State: {enum: State, access: write, initial: "On", description: State}
      Target: {type: Double, unit: 1/min, range: [0, 100], access: write, initial: 10, description: Wanted}
      Twice: {type: Double, unit: 1/min, range: [0, 200], computed: 2 * Target, description: Computed}
      Note: {type: String, access: write, initial: hello, description: A text}
      Due: {type: DateTime, access: write, description: A time}
      Small: {type: Byte, access: write, role: Engineer, description: For engineers}
      Level: {type: Double, description: Nothing feeds it}
    commands:
      Aim:
        description: Set the target
        sets: Target
        arguments: {Speed: {type: Double, range: [0, 50], description: New target}}
objects:
  Pump1: {type: PumpType}
"""
USER = "olga"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnCertificate:
    return load_or_create(tmp_path_factory.mktemp("alone") / "certs", "urn:test:alone")


@pytest.fixture(scope="module")
def server(
    plantree_process: StartPlantree, tmp_path_factory: pytest.TempPathFactory, own: OwnCertificate
) -> PlantreeProcess:
    file = tmp_path_factory.mktemp("plant") / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    started = plantree_process(plant=file, users={USER: "Operator", "anna": "Observer"})
    trust = started.cli("certs", "trust", own.certificate_file)
    assert trust.returncode == 0, trust.stderr
    return started


class Rig:
    def __init__(self, server: PlantreeProcess, own: OwnCertificate, folder: Path, user: str = USER) -> None:
        self.plant: Plant = load_plant(Path(server.env["PLANTREE_PLANT"]))
        self.store = Store(self.plant)
        self.peer = Peer(server.endpoint, user, f"correct horse {user}", own, folder, interval=20)
        self.remote = RemotePlant(self.plant, self.store, self.peer, Backoff(initial=0.05, maximum=0.2))
        self.commands = RemoteCommands(self.plant, self.remote, user)
        self.principal = authenticated(user, frozenset())

    def id(self, name: str) -> int:
        return self.plant.variable(f"Plant.{name}").id

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            await self.store.journal.wait(ready)

    async def put(self, name: str, value: object, stamp: int | None = None) -> CommandError | None:
        put = Put(self.plant.variable(f"Plant.{name}"), value, stamp)
        (fault,) = await self.commands.put_many([put], self.principal, "test")
        return fault


@contextlib.asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    task = asyncio.create_task(rig.remote.run())
    try:
        ready = asyncio.create_task(rig.remote.ready.wait())
        await asyncio.wait([task, ready], timeout=30, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if task.done():
            task.result()
        yield rig
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_values_statuses_and_source_timestamps_are_the_server_s(
    server: PlantreeProcess, own: OwnCertificate, tmp_path: Path
) -> None:
    rig = Rig(server, own, tmp_path)
    assert rig.store.read(rig.id("Pump1.Target"))[:2] == (None, quality.BAD_WAITING_FOR_INITIAL_DATA)
    async with running(rig):
        everything = np.arange(len(rig.store))
        waiting = quality.BAD_WAITING_FOR_INITIAL_DATA
        client = rig.remote.client

        def arrived() -> bool:
            expected = [v.id for v in rig.plant.variables if v.declaration.feed is not Feed.SERVER]
            expected.remove(rig.id("Pump1.Due"))
            expected.remove(rig.id("Pump1.Small"))
            return not (rig.store.statuses(np.array(expected)) == waiting).any()

        await rig.until(arrived)
        assert rig.store.value(rig.id("Pump1.Note")) == "hello"
        assert rig.store.value(rig.id("Pump1.State")) == 1
        assert rig.store.read(rig.id("Pump1.Level"))[:2] == (None, quality.BAD_NOT_CONNECTED)
        assert await rig.put("Pump1.Due", 133_000_000_000_000_000) is None
        await rig.until(lambda: rig.store.value(rig.id("Pump1.Due")) == 133_000_000_000_000_000)
        nodes = [client.get_node(rig.remote.node_id(v.path)) for v in rig.plant.variables]
        stable = [i for i in everything.tolist() if "ServerDiagnostics" not in rig.plant.variables[i].path]
        for id_ in stable:
            truth = await nodes[id_].read_data_value(raise_on_bad_status=False)
            _, status, source, _ = rig.store.read(id_)
            assert truth.StatusCode is not None
            assert status == truth.StatusCode.value
            assert truth.SourceTimestamp is not None
            assert source == to_ticks(truth.SourceTimestamp), rig.plant.variables[id_].path


async def test_commands_and_set_points_reach_the_server(
    server: PlantreeProcess, own: OwnCertificate, tmp_path: Path
) -> None:
    async with running(Rig(server, own, tmp_path)) as rig:
        assert await rig.commands.execute("Plant.Pump1.Aim", [42.0], rig.principal, "test") == ()
        await rig.until(lambda: rig.store.value(rig.id("Pump1.Target")) == 42.0)
        await rig.until(lambda: rig.store.value(rig.id("Pump1.Twice")) == 84.0)
        assert await rig.put("Pump1.Note", "from afar") is None
        await rig.until(lambda: rig.store.value(rig.id("Pump1.Note")) == "from afar")
        assert await rig.put("Pump1.State", 0) is None
        await rig.until(lambda: rig.store.value(rig.id("Pump1.State")) == 0)


async def test_what_the_server_refuses_is_a_command_error(
    server: PlantreeProcess, own: OwnCertificate, tmp_path: Path
) -> None:
    async with running(Rig(server, own, tmp_path)) as rig:
        fault = await rig.put("Pump1.Small", 5)
        assert fault is not None
        assert fault.status == quality.BAD_USER_ACCESS_DENIED, "the server's word"
        fault = await rig.put("Pump1.Target", 101.0)
        assert fault is not None
        assert fault.status == quality.BAD_OUT_OF_RANGE
        fault = await rig.put("Pump1.Level", 1.0)
        assert fault is not None
        assert fault.status == quality.BAD_NOT_WRITABLE
        for path, arguments, status in (
            ("Plant.Pump1.Nothing", [], quality.BAD_METHOD_INVALID),
            ("Plant.Pump1.Aim", [], quality.BAD_ARGUMENTS_MISSING),
            ("Plant.Pump1.Aim", [51.0], quality.BAD_INVALID_ARGUMENT),
            ("Plant.ResetEmergencyStop", [""], quality.BAD_USER_ACCESS_DENIED),
        ):
            with pytest.raises(CommandError) as caught:
                await rig.commands.execute(path, arguments, rig.principal, "test")
            assert caught.value.status == status, path


async def test_others_than_the_session_s_user_may_only_stop(
    server: PlantreeProcess, own: OwnCertificate, tmp_path: Path
) -> None:
    identities = RemoteIdentities(Rig(server, own, tmp_path).peer)
    assert identities.named("anna") is None
    named = identities.named(USER)
    assert named is not None
    assert named.name == USER
    anna = await identities.authenticate("anna", "correct horse anna", "10.0.0.1")
    assert anna is not None
    assert anna.name == "anna"
    assert await identities.authenticate("anna", "wrong wrong wrong", "10.0.0.1") is None
    async with running(Rig(server, own, tmp_path)) as rig:
        with pytest.raises(CommandError, match="acts as olga only, not as anna"):
            await rig.commands.execute("Plant.Pump1.Aim", [1.0], anna, "test")
        (fault,) = await rig.commands.put_many([Put(rig.plant.variable("Plant.Pump1.Target"), 1.0)], anna, "test")
        assert fault is not None
        assert fault.status == quality.BAD_USER_ACCESS_DENIED
        await rig.commands.execute("Plant.EmergencyStop", ["by anna"], anna, "test")
        await rig.until(lambda: rig.store.value(rig.id("EmergencyStopActive")) is True)
        assert rig.store.value(rig.id("EmergencyStopReason")) == "by anna"


async def test_a_wrong_password_ends_it_with_a_sentence(
    server: PlantreeProcess, own: OwnCertificate, tmp_path: Path
) -> None:
    rig = Rig(server, own, tmp_path)
    rig.remote = RemotePlant(rig.plant, rig.store, Peer(server.endpoint, USER, "wrong wrong", own, tmp_path))
    with pytest.raises(StartError, match=r"refuses the user olga"):
        async with running(rig):
            pass


async def test_another_server_certificate_is_refused(
    server: PlantreeProcess, own: OwnCertificate, tmp_path: Path
) -> None:
    async with running(Rig(server, own, tmp_path)):
        kept = (tmp_path / "server.der").read_bytes()
    assert kept == (server.certs / "own" / "certificate.der").read_bytes()
    (tmp_path / "server.der").write_bytes(own.certificate_file.read_bytes())
    rig = Rig(server, own, tmp_path)
    task = asyncio.create_task(rig.remote.run())
    await rig.until(lambda: rig.store.statuses(np.array([0]))[0] == quality.BAD_NO_COMMUNICATION)
    task.cancel()
    await asyncio.wait([task])
    assert not rig.remote.ready.is_set()


async def test_a_lost_server_turns_values_bad_and_comes_back(
    plantree_process: StartPlantree, own: OwnCertificate, tmp_path: Path
) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    server = await asyncio.to_thread(plantree_process, plant=file, users={USER: "Operator"})
    assert (await asyncio.to_thread(server.cli, "certs", "trust", own.certificate_file)).returncode == 0
    async with running(Rig(server, own, tmp_path)) as rig:
        target = rig.id("Pump1.Target")
        await rig.until(lambda: rig.store.value(target) == 10.0)
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        await rig.until(lambda: rig.store.read(target)[1] == quality.BAD_NO_COMMUNICATION)
        assert rig.store.value(target) is None
        with pytest.raises(CommandError) as caught:
            await rig.commands.execute("Plant.Pump1.Aim", [1.0], rig.principal, "test")
        assert caught.value.status == quality.BAD_NO_COMMUNICATION
        fault = await rig.put("Pump1.Target", 1.0)
        assert fault is not None
        assert fault.status == quality.BAD_NO_COMMUNICATION
        await asyncio.to_thread(server.start)
        await rig.until(lambda: rig.store.value(target) == 10.0)
        assert await rig.put("Pump1.Target", 11.0) is None
        await rig.until(lambda: rig.store.value(target) == 11.0)


@pytest.fixture
def alone(server: PlantreeProcess, own: OwnCertificate, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLANTREE_")}
    environment |= {
        "PYTHONPATH": str(CHECKOUT),
        "PLANTREE_DATA_DIR": str(tmp_path / "data"),
        "PLANTREE_CERTS_DIR": str(own.certificate_file.parents[1]),
        "PLANTREE_PLANT": server.env["PLANTREE_PLANT"],
        "PLANTREE_HTTP__PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "tests.gateways.alone_child", "mqtt", "--server", server.endpoint, "--user", USER]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True
        )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


async def test_a_gateway_in_a_process_of_its_own(
    server: PlantreeProcess, own: OwnCertificate, alone: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert alone.stdin is not None
    alone.stdin.write(f"correct horse {USER}\n")
    alone.stdin.flush()

    def log() -> str:
        return (tmp_path / "log").read_text()

    def has(value: float) -> bool:
        assert alone.poll() is None, log()
        return any(row[0] == value for row in delivered(tmp_path / "data", "Plant.Pump1.Target"))

    async with running(Rig(server, own, tmp_path / "other")) as rig:
        await asyncio.to_thread(wait_until, lambda: delivered(tmp_path / "data", "Plant.Pump1.Target"), "a value", 30)
        before = now_ticks()
        assert await rig.put("Pump1.Target", 33.0) is None
        await asyncio.to_thread(wait_until, lambda: has(33.0), "the new value is delivered", 20)
    value, status, stamp = delivered(tmp_path / "data", "Plant.Pump1.Target")[-1]
    assert (value, status) == (33.0, 0)
    assert abs(stamp - before) < 20_000_000
    alone.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(alone.wait, 20) == 0, log()

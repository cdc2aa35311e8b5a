"""Gateways as parts of a whole server: what they are given, their state in the tree, their crashes, their end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.assembly import Plantree, running
from server.errors import StartError
from server.ports import GatewayContext
from server.settings import HttpSettings, OpcUaSettings, Section, Settings, SettingsError
from server.store import from_ticks, now_ticks
from server.supervision import StartPolicy, Supervisor

PLANT = """\
plant: {name: Plant, type: PlantType}
types:
  PlantType: {description: The plant}
  PumpType: {description: A pump, variables: {Speed: {type: Double, description: Speed}}}
objects:
  Pump1: {type: PumpType}
"""


class FakeSettings(Section):
    enabled: bool = True
    startup: StartPolicy = "retry"


class FakePackage:
    """A gateway's package: `run` is what the test wants, called with the context and the number of the run."""

    def __init__(self, run: Callable[[GatewayContext, int], Any]) -> None:
        self._run = run
        self.contexts: list[GatewayContext] = []
        self.runs = 0
        self.create_error: Exception | None = None

    def create(self, context: GatewayContext, settings: FakeSettings) -> "FakePackage":
        assert isinstance(settings, FakeSettings)
        self.contexts.append(context)
        if self.create_error is not None:
            raise self.create_error
        return self

    async def run(self) -> None:
        self.runs += 1
        await self._run(self.contexts[-1], self.runs)


def settings(folder: Path, **gateways: FakeSettings) -> Settings:
    class Whole(Settings):
        mqtt: FakeSettings = gateways.get("mqtt", FakeSettings(enabled=False))
        influx: FakeSettings = gateways.get("influx", FakeSettings(enabled=False))

    file = folder / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    return Whole(
        data_dir=folder / "data",
        certs_dir=folder / "certs",
        plant=file,
        opcua=OpcUaSettings(host="127.0.0.1", port=0),
        http=HttpSettings(port=0),
    )


@asynccontextmanager
async def server(folder: Path, policy: StartPolicy = "retry", **packages: FakePackage) -> AsyncIterator[Plantree]:
    whole = settings(folder, **{name: FakeSettings(startup=policy) for name in packages})
    async with running(whole, gateways=packages) as plantree:
        yield plantree


def shown(plantree: Plantree, name: str, gateway: str = "mqtt") -> Any:
    return plantree.store.value(plantree.plant.variable(f"Plant.ServerDiagnostics.{gateway}.{name}").id)


async def until(plantree: Plantree, ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        await plantree.store.journal.wait(ready)


async def forever(_context: GatewayContext, _number: int) -> None:
    await asyncio.Event().wait()


async def test_a_gateway_is_given_what_it_needs(tmp_path: Path) -> None:
    package = FakePackage(forever)
    async with server(tmp_path, mqtt=package) as plantree:
        await until(plantree, lambda: shown(plantree, "State") == "Running")
        (context,) = package.contexts
        assert (context.name, context.plant, context.store) == ("mqtt", plantree.plant, plantree.store)
        assert context.commands is plantree.commands
        await asyncio.to_thread(plantree.users.add, "anna", "correct horse", ["Operator"])
        known = context.identities.named("anna")
        assert known == await context.identities.authenticate("anna", "correct horse", "127.0.0.1")
        assert known is not None
        assert context.data_dir == tmp_path / "data" / "gateways" / "mqtt"
        assert context.data_dir.is_dir()
        assert "BEGIN CERTIFICATE" in context.certificate_file.read_text()
        assert "PRIVATE KEY" in context.private_key_file.read_text()


async def test_the_status_is_shown_in_the_tree_and_as_metrics(tmp_path: Path) -> None:
    package = FakePackage(forever)
    async with server(tmp_path, mqtt=package) as plantree:
        status = package.contexts[0].status
        status.connected, status.lag, status.last_error = True, 1.5, "no peer"
        status.queue_depth, status.delivered, status.dropped = 2**40, 7, 3
        await until(plantree, lambda: shown(plantree, "LastError") == "no peer")
        names = ("State", "Connected", "Lag", "QueueDepth", "Delivered", "Dropped", "Restarts")
        assert [shown(plantree, name) for name in names] == ["Running", True, 1.5, 2**40, 7, 3, 0]
        assert abs((from_ticks(now_ticks()) - from_ticks(shown(plantree, "Since"))).total_seconds()) < 30
        names = ("State", "LastError", "Connected", "Lag", "QueueDepth", "Delivered", "Dropped", "Restarts")
        assert [shown(plantree, name, "influx") for name in names] == ["Disabled", "", False, 0.0, 0, 0, 0, 0]
        assert shown(plantree, "State", "modbus") == "Disabled"
        text = plantree.metrics.render()[0].decode()
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if 'mqtt"' in line)
    figures = {"connected": 1, "lag_seconds": 1.5, "queue_depth": 2**40, "delivered_total": 7, "dropped_total": 3}
    for name, value in figures.items():
        assert float(found[f'plantree_gateway_{name}{{gateway="mqtt"}}']) == value
    assert float(found['plantree_restarts_total{part="gateway mqtt"}']) == 0
    assert 'gateway="influx"' not in text


async def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    async with server(tmp_path, mqtt=FakePackage(forever)) as plantree:
        await until(plantree, lambda: shown(plantree, "State") == "Running")
        plantree._diagnostics.show()  # pyright: ignore[reportPrivateUsage]
        cursor = plantree.store.journal.cursor("test")
        plantree._diagnostics.show()  # pyright: ignore[reportPrivateUsage]
        assert len(cursor.read()) == 0


async def test_a_crash_is_restarted_and_the_server_lives(tmp_path: Path) -> None:
    async def crash_once(context: GatewayContext, number: int) -> None:
        context.status.connected = True
        if number == 1:
            raise ConnectionError("the broker is gone")
        await asyncio.Event().wait()

    package = FakePackage(crash_once)
    async with server(tmp_path, mqtt=package) as plantree:
        await until(plantree, lambda: shown(plantree, "State") == "Restarting")
        assert shown(plantree, "LastError") == "ConnectionError: the broker is gone"
        assert shown(plantree, "Connected") is False
        await until(plantree, lambda: shown(plantree, "Restarts") == 1 and shown(plantree, "Connected"))
        assert shown(plantree, "State") == "Running"
        assert len(package.contexts) == 1, "the same gateway runs again: its cursor has lost nothing"


async def test_one_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    package = FakePackage(forever)
    package.create_error = ImportError("no such library")
    async with server(tmp_path, mqtt=package) as plantree:
        await until(plantree, lambda: shown(plantree, "LastError") == "ImportError: no such library")
        package.create_error = None
        await until(plantree, lambda: package.runs == 1)


async def test_wrong_settings_stop_the_start(tmp_path: Path) -> None:
    package = FakePackage(forever)
    package.create_error = SettingsError("mqtt.url: is wrong")
    with pytest.raises(SettingsError, match=r"mqtt\.url"):
        async with server(tmp_path, mqtt=package):
            pass


async def _fail(_context: GatewayContext, _number: int) -> None:
    raise OSError("port taken")


async def test_policy_error_ends_the_server(tmp_path: Path) -> None:
    async with server(tmp_path, "error", mqtt=FakePackage(_fail)) as plantree:
        with pytest.raises(StartError, match="gateway mqtt could not start: OSError: port taken"):
            await asyncio.wait_for(plantree.wait_failed(), 10)


async def test_policy_ignore_gives_it_up(tmp_path: Path) -> None:
    package = FakePackage(_fail)
    async with server(tmp_path, "ignore", mqtt=package) as plantree:
        await until(plantree, lambda: shown(plantree, "State") == "Failed")
        assert (package.runs, shown(plantree, "LastError")) == (1, "OSError: port taken")


async def test_policy_retry_tries_on(tmp_path: Path) -> None:
    package = FakePackage(_fail)
    async with server(tmp_path, "retry", mqtt=package) as plantree:
        await until(plantree, lambda: package.runs >= 2)
        assert not any(task.state == "Failed" for task in plantree.gateway_supervisor.tasks.values())


async def test_a_disabled_gateway_is_not_even_made(tmp_path: Path) -> None:
    package = FakePackage(forever)
    async with running(settings(tmp_path), gateways={"mqtt": package}) as plantree:
        await until(plantree, lambda: shown(plantree, "State") == "Disabled")
        assert package.contexts == []


async def test_at_the_end_a_gateway_sees_what_the_sources_wrote_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    async def flush(context: GatewayContext, _number: int) -> None:
        cursor = context.store.journal.cursor("test")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # it may still wait
            seen.extend(context.store.floats(cursor.read()).tolist())

    async def stop_late(supervisor: Supervisor, timeout: float = 5.0) -> list[str]:  # noqa: ASYNC109
        if supervisor is plantree.supervisor:
            id_ = plantree.plant.variable("Plant.Pump1.Speed").id
            plantree.store.write(np.array([id_]), np.array([42.0]), now_ticks())
        return await stop(supervisor, timeout)

    stop = Supervisor.stop
    monkeypatch.setattr(Supervisor, "stop", stop_late)
    async with server(tmp_path, mqtt=FakePackage(flush)) as plantree:
        await until(plantree, lambda: shown(plantree, "State") == "Running")
    assert 42.0 in seen

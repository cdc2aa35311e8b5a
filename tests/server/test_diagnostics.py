"""How the server's parts are doing, in the tree and as metrics."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from core_rig import Core

from server.diagnostics import Diagnostics, ServerFigures, task_name
from server.ports import GatewayStatus
from server.store import from_ticks, now_ticks
from server.supervision import Backoff, Supervisor

BASE = "ServerDiagnostics.fake"


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_source_s_state_is_shown_with_restarts_and_the_last_error(tmp_path: Path) -> None:
    core = Core(tmp_path)
    go_on, waiting = asyncio.Event(), asyncio.Event()

    async def pause(_seconds: float) -> None:
        waiting.set()
        await go_on.wait()

    runs: list[int] = []

    async def fails_once() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ConnectionError("no PLC")
        await forever()

    supervisor = Supervisor(Backoff(), sleep=pause)
    diagnostics = Diagnostics(core.plant, core.store, supervisor)
    diagnostics.show()
    assert core.value(f"{BASE}.State") is None, "never started: nothing to show"
    supervisor.add(task_name("fake"), fails_once)
    diagnostics.show()
    assert core.value(f"{BASE}.State") == "Running"
    assert core.value(f"{BASE}.LastError") == ""
    await waiting.wait()
    diagnostics.show()
    assert core.value(f"{BASE}.State") == "Restarting"
    assert core.value(f"{BASE}.LastError") == "ConnectionError: no PLC"
    go_on.set()
    while len(runs) < 2:  # noqa: ASYNC110  # its second run
        await asyncio.sleep(0)
    diagnostics.show()
    status = supervisor.tasks[task_name("fake")]
    assert (core.value(f"{BASE}.State"), core.value(f"{BASE}.Restarts")) == ("Running", 1)
    assert from_ticks(core.value(f"{BASE}.Since")) == status.since
    cursor = core.store.journal.cursor("test")
    diagnostics.show()
    assert len(cursor.read()) == 0, "what has not changed is not written again"
    assert await supervisor.stop() == []
    diagnostics.show()
    assert core.value(f"{BASE}.State") == "Stopped"
    assert core.value("ServerDiagnostics.other.State") is None
    core.close()


def test_the_server_s_own_figures_are_shown_when_they_change(tmp_path: Path) -> None:
    core, sessions = Core(tmp_path), [0]
    diagnostics = Diagnostics(core.plant, core.store, Supervisor(), figures=lambda: {"Sessions": sessions[0]})
    diagnostics.show()
    assert core.value("ServerDiagnostics.Sessions") == 0
    sessions[0] = 3
    diagnostics.show()
    assert core.value("ServerDiagnostics.Sessions") == 3
    core.close()


@pytest.mark.parametrize("name", ["State", "Since", "Restarts", "LastError"])
def test_every_source_of_the_plant_has_the_variable(tmp_path: Path, name: str) -> None:
    core = Core(tmp_path)
    ids = [core.id(f"ServerDiagnostics.{source}.{name}") for source in core.plant.sources]
    assert len(np.unique(ids)) == 2
    core.close()


def test_what_a_gateway_gave_up_is_shown_for_ten_minutes(tmp_path: Path) -> None:
    core, status, moment = Core(tmp_path), GatewayStatus(), [5.0]
    diagnostics = Diagnostics(core.plant, core.store, Supervisor(), {"influx": status}, clock=lambda: moment[0])

    def dropping() -> list[bool]:
        diagnostics.show()
        return [core.value(f"ServerDiagnostics.{name}.Dropping") for name in ("influx", "mqtt")]

    assert dropping() == [False, False]
    status.dropped = 3
    assert dropping() == [True, False]
    moment[0] += 400
    status.dropped = 4
    assert dropping() == [True, False]
    moment[0] += 599
    assert dropping() == [True, False]
    moment[0] += 2
    assert dropping() == [False, False]
    core.close()


def test_how_much_changes_is_told_every_ten_seconds(tmp_path: Path) -> None:
    core, now = Core(tmp_path), 100.0
    users, trust = SimpleNamespace(failures=2), SimpleNamespace(refusals=1)
    figures = ServerFigures(core.store, users, trust, lambda: now)  # type: ignore[arg-type]
    behind = core.store.journal.cursor("behind")
    core.store.journal.cursor("in time").read()

    def change(times: int) -> None:
        for value in range(times):
            core.store.write(np.array([0]), np.array([float(value)]), now_ticks())

    change(55)
    now = 109.9
    assert figures(3) == {
        "Sessions": 3, "ChangesPerSecond": 0.0, "ChangesBehind": 0, "ChangesMissed": 0, "RefusedSignIns": 2,
        "RefusedCertificates": 1,
    }  # fmt: skip
    now = 110.0
    assert (figures(3)["ChangesPerSecond"], figures(3)["ChangesBehind"]) == (5.5, 55)
    behind.read()
    change(20)
    now = 119.0
    assert (figures(3)["ChangesPerSecond"], figures(3)["ChangesBehind"]) == (5.5, 55)
    now = 130.0
    assert (figures(3)["ChangesPerSecond"], figures(3)["ChangesBehind"]) == (1.0, 20 + 55)

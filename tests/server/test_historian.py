"""The historian as a part of a whole server: fed, read, audited, counted; there after a stop and after `kill -9`."""

import asyncio
import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua

from server.assembly import Plantree, running
from server.errors import StartError
from server.historian import FILE
from server.settings import HistorianSettings, Settings, SettingsError
from tests.process_rig import PlantreeProcess
from tests.server.opcua.opcua_rig import PLANT, nid, plant_file, session, settings

TARGET = "Plant.Press1.Target"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
END = START + timedelta(days=1)
LONG = 36_500


def given(folder: Path, **historian: Any) -> Settings:
    return settings(folder, plant_file(folder)).model_copy(
        update={"historian": HistorianSettings(**{"retention_days": 36_500} | historian)}
    )


async def write(client: Client, *values: float, first: int = 0) -> None:
    """Write values to the set-point, each with a source timestamp a second after the one before."""
    for second, value in enumerate(values, first):
        stamp = START + timedelta(seconds=second)
        data = ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=stamp)
        await client.get_node(nid(TARGET)).write_value(data)


async def history(client: Client, path: str = TARGET) -> list[tuple[float, Any]]:
    """Return (seconds after START, value) of what history has of that day."""
    found = await client.get_node(nid(path)).read_raw_history(START, END, return_bounds=False)
    return [((value.SourceTimestamp - START).total_seconds(), value.Value.Value) for value in found]


async def until_kept(client: Client, *values: float) -> None:
    """Wait until history shows values that were just written."""
    async with asyncio.timeout(10):
        while [row[1] for row in await history(client)][-len(values) :] != list(values):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@asynccontextmanager
async def user(process: PlantreeProcess, name: str, password: str) -> AsyncIterator[Client]:
    client = Client(process.endpoint, timeout=10)
    client.set_user(name)
    client.set_password(password)
    async with client:
        yield client


async def value(client: Client, identifier: str, attribute: ua.AttributeIds = ua.AttributeIds.Value) -> Any:
    found = await client.get_node(nid(identifier)).read_attribute(attribute, raise_on_bad_status=False)
    return None if found.Value is None else found.Value.Value


async def test_what_is_written_just_before_a_stop_is_there_after_the_start(tmp_path: Path) -> None:
    async with running(given(tmp_path)) as plantree, session(plantree, "Operator") as client:
        await write(client, 1.0, 2.0)
        await until_kept(client, 1.0, 2.0)
        await write(client, 3.0, first=2)
    async with running(given(tmp_path)) as plantree, session(plantree, "Operator") as client:
        assert await history(client) == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]


async def test_what_history_has_shown_survives_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT + "  Press1: {type: PressType}\n", encoding="utf-8")
    process = PlantreeProcess(
        tmp_path, {"PLANTREE_OPCUA__ALLOW_NONE": "true", "PLANTREE_HISTORIAN__RETENTION_DAYS": "36500"}, file
    )
    password = process.add_users({"otto": "Operator"})["otto"]
    shown: list[tuple[float, Any]] = []
    try:
        for turn in range(2):
            process.start()
            async with user(process, "otto", password) as client:
                assert await history(client) == shown
                values = [float(10 * turn + number) for number in range(10)]
                await write(client, *values, first=len(shown))
                await until_kept(client, *values)
                shown = await history(client)
                assert len(shown) == 10 * (turn + 1)
                assert process.process is not None
                process.process.send_signal(signal.SIGKILL)
                assert process.process.wait(5) == -signal.SIGKILL
                client._closing = True  # the client must not mind
    finally:
        process.end()
    process.start()
    try:
        async with user(process, "otto", password) as client:
            assert await history(client) == shown
    finally:
        assert process.stop() == 0


async def test_the_tree_says_what_there_is(tmp_path: Path) -> None:
    keeps = PLANT.replace("description: A press", "description: A press\n    retention_days: 30")
    file = tmp_path / "plant.yaml"
    file.write_text(keeps + "  Press1: {type: PressType}\n", encoding="utf-8")
    ids = ua.AttributeIds
    async with running(settings(tmp_path, file)) as plantree, session(plantree, "Operator") as client:
        assert await value(client, TARGET, ids.Historizing) is True
        assert await value(client, TARGET, ids.AccessLevel) & 0x0C == 0x0C  # HistoryRead, HistoryWrite
        configuration = f"{TARGET}.HA Configuration"
        assert await value(client, f"{configuration}.MaxTimeStoredValues") == 30 * 86_400_000.0
        other = f"{plantree.plant.variables[-1].path}.HA Configuration"
        assert await value(client, f"{other}.MaxTimeStoredValues") == 7 * 86_400_000.0
        capability = ua.NodeId(ua.ObjectIds.HistoryServerCapabilities_AccessHistoryDataCapability)
        assert await client.get_node(capability).read_value() is True


async def test_without_a_historian_there_is_no_history(tmp_path: Path) -> None:
    async with running(given(tmp_path, enabled=False)) as plantree, session(plantree, "Operator") as client:
        assert await value(client, TARGET, ua.AttributeIds.Historizing) is False
        assert await value(client, TARGET, ua.AttributeIds.AccessLevel) & 0x0C == 0
        assert await value(client, f"{TARGET}.HA Configuration.Stepped") is None
        assert await history(client) == []
    assert not (tmp_path / "data" / FILE).exists()


async def test_a_change_by_hand_is_on_the_audit_trail(tmp_path: Path) -> None:
    plantree = Plantree(given(tmp_path))
    try:
        await plantree.start()
        async with session(plantree, "Engineer") as client:
            details = ua.UpdateDataDetails(NodeId=nid(TARGET), PerformInsertReplace=ua.PerformUpdateType.Insert)
            late = ua.DataValue(ua.Variant(4.0, ua.VariantType.Double), SourceTimestamp=START + timedelta(seconds=9))
            details.UpdateValues = [late]
            request = ua.HistoryUpdateRequest()
            request.Parameters.HistoryUpdateDetails = [details]
            await client.uaclient.protocol.send_request(request)
            assert (9.0, 4.0) in await history(client)
    finally:
        await plantree.stop()
    with sqlite3.connect(tmp_path / "data" / "state.sqlite") as database:
        sql = "SELECT who, action, arguments, status FROM audit WHERE action LIKE 'HistoryUpdate%'"
        ((who, action, arguments, status),) = database.execute(sql).fetchall()
    database.close()
    assert (who, action, status) == ("Engineer", f"HistoryUpdate {TARGET}", 0)
    assert json.loads(arguments)[:3] == ["update", 1, 1]


async def test_metrics_show_what_is_kept(tmp_path: Path) -> None:
    async with running(given(tmp_path)) as plantree, session(plantree, "Operator") as client:
        await write(client, 1.0)
        await until_kept(client, 1.0)
        text = plantree.metrics.render()[0].decode()
        figures = dict(line.split(" ") for line in text.splitlines() if line.startswith("plantree_history"))
        assert float(figures["plantree_history_rows_total"]) >= 2
        assert float(figures["plantree_history_bytes"]) > 0
        assert 'plantree_cursor_lost_total{consumer="historian"} 0.0' in text


async def test_a_file_that_is_no_database_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / FILE).write_bytes(b"this is no database, " * 100)
    with pytest.raises(StartError, match=r"history\.sqlite: history cannot be kept here: file is not a database"):
        async with running(given(tmp_path)):
            pass


def test_the_other_backend_needs_its_gateway(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"historian\.backend is influx, which needs influx\.url"):
        Plantree(given(tmp_path, backend="influx"))

"""Alarms and audit read back together with HistoryRead, before and after a restart."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from asyncua import Client, ua

from server.assembly import Plantree, running
from server.store import now_ticks
from tests.server.audit.test_audit_history import history
from tests.server.opcua import opcua_rig
from tests.server.opcua_events.events_rig import OP, SERVER, event_filter, field, literal, watch, where

ALARM = (
    "    alarms:\n      Fast: {kind: level, input: Speed, high: 100, severity: 700, message: too fast}\n    commands:\n"
)
FIELDS = ["Message", "EventType", "EventId", "Time", "ActiveState/Id"]
TARGET = opcua_rig.nid("Plant.Press1.Target")
CONDITIONS = where((OP.OfType, literal(ua.NodeId(ua.ObjectIds.ConditionType))))
BOTH = where(
    (OP.Or, ua.ElementOperand(1), ua.ElementOperand(2)),
    (OP.OfType, literal(ua.NodeId(ua.ObjectIds.ConditionType))),
    (OP.Equals, field("SourceNode"), literal(TARGET)),
)


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    text = opcua_rig.PLANT.replace("    commands:\n", ALARM, 1) + "  Press1: {type: PressType}\n"
    file = tmp_path / "alarmed.yaml"
    file.write_text(text, encoding="utf-8")
    (tmp_path / "alarmed.de.yaml").write_text("texts: {too fast: zu schnell}", encoding="utf-8")
    return file


def turn(plantree: Plantree, speed: float) -> None:
    variable = plantree.plant.variable("Plant.Press1.Speed")
    plantree.store.write(np.array([variable.id]), np.array([speed]), now_ticks())


async def read(
    client: Client, began: datetime, clause: ua.ContentFilter, node: ua.NodeId = SERVER
) -> list[list[object]]:
    ends = datetime.now(UTC) + timedelta(minutes=1)
    _, rows = await history(client, event_filter(FIELDS, clause), began, ends, node=node)
    _, backward = await history(client, event_filter(FIELDS, clause), ends, began, node=node)
    assert backward == rows[::-1]
    return rows


async def test_alarms_and_writes_are_read_back_in_their_order(tmp_path: Path, plant: Path) -> None:
    began = datetime.now(UTC)
    settings = opcua_rig.settings(tmp_path, plant)
    async with running(settings) as plantree, opcua_rig.session(plantree, "Supervisor") as client:
        seen = await watch(client, event_filter(FIELDS, BOTH))
        turn(plantree, 150.0)
        await seen.until(lambda: len(seen.rows) == 1)
        await client.get_node(TARGET).write_value(11.0)
        await seen.until(lambda: len(seen.rows) == 2)
        turn(plantree, 50.0)
        await seen.until(lambda: len(seen.rows) == 3)
        assert await read(client, began, BOTH) == seen.rows
        alarms = [row for row in seen.rows if row[4] is not None]
        assert await read(client, began, CONDITIONS, opcua_rig.nid("Plant.Press1")) == alarms
    async with running(settings) as plantree, opcua_rig.session(plantree, "Supervisor") as client:
        found = await read(client, began, BOTH)
        assert found[:3] == seen.rows
    async with (
        running(settings) as plantree, opcua_rig.session(plantree, "Observer") as client,
        opcua_rig.session(plantree, "Observer", ["de"]) as german,
    ):  # fmt: skip
        assert (await read(client, began, BOTH))[:2] == alarms  # no audit events for an Observer
        messages = [row[0] for row in (await read(german, began, BOTH))[:2]]
        assert messages == [ua.LocalizedText(it, "de") for it in ("zu schnell", "zu schnell: wieder normal")]

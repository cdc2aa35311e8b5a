"""node-opcua sees a vision alarm with its evidence, reads the picture as a file, and reports a false alarm."""

import asyncio
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from tests.interop.node_client import Connection, Identity, NodeClient, connect
from tests.server.evidence_rig import SEEN
from tests.server.opcua.opcua_rig import PASSWORD
from tests.server.opcua_conditions.vision_conditions_rig import FIRE, Cameras, cameras

PICTURE = f"{FIRE}.Snapshot"


def look(connection: Connection, rig: Cameras, stored: Any) -> None:
    """Do what a client does that shows the alarm; node-opcua blocks, so this is in a thread."""
    wanted = {"condition": f"ns=2;s={FIRE}", "active": True}
    alarm = connection.wait_for("alarms", lambda it: wanted.items() <= it.items(), "the alarm")
    assert (alarm["type"], alarm["severity"]) == ("ns=2;s=VisionAlarmType", 950)
    shown = {name: connection.value(f"{FIRE}.{name}") for name in ("ObjectClass", "BoundingBox", "SnapshotSha256")}
    assert shown == {"ObjectClass": "fire", "BoundingBox": list(SEEN.box), "SnapshotSha256": stored.snapshot_sha256}

    opened = connection.call(f"{PICTURE}.Open", ["Byte", 1])
    assert opened["status"] == "Good"
    (handle,) = opened["outputs"]
    data = b""
    while part := connection.call(f"{PICTURE}.Read", ["UInt32", handle], ["Int32", 1 << 20])["outputs"][0]:
        data += bytes(part)
    assert hashlib.sha256(data).hexdigest() == stored.snapshot_sha256
    assert len(data) == connection.value(f"{PICTURE}.Size")
    assert connection.call(f"{PICTURE}.Close", ["UInt32", handle])["status"] == "Good"
    assert connection.call(f"{PICTURE}.Open", ["Byte", 2])["status"] == "BadNotWritable"

    event = ["ByteString", alarm["event"]]
    reported = connection.call(f"{FIRE}.ReportFalseAlarm", event, ["LocalizedText", {"text": "a red jacket"}])
    assert reported["status"] == "Good"
    marked = json.loads((rig.folder / "false_alarms" / f"{stored.id}.json").read_text())
    assert marked["false_alarm"]["comment"] == "a red jacket"


async def test_a_vision_alarm_and_its_picture(node: NodeClient, identity: Identity, tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig:
        shutil.copy(identity.certificate, tmp_path / "certs" / "trusted" / f"{identity.name}.pem")
        await asyncio.to_thread(rig.plantree.users.add, "otto", PASSWORD, ["Operator"])
        connection = await asyncio.to_thread(connect, node, rig.plantree.opcua.endpoint, identity, ("otto", PASSWORD))
        try:
            await asyncio.to_thread(connection.ask, "alarms_install")
            await asyncio.to_thread(look, connection, rig, rig.see())
        finally:
            await asyncio.to_thread(connection.close)

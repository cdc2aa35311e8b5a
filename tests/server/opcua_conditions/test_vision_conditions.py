"""Vision alarms over OPC UA: their type, their events with evidence, the pictures as files, false alarms."""

import asyncio
import hashlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asyncua import Client, ua

from address_space import load_plant
from server.opcua.nodeset import write_nodeset
from server.opcua.space import PlantAddressSpace
from server.store import Store, from_ticks
from tests.server.evidence_rig import PLANT, SEEN
from tests.server.opcua.opcua_rig import PASSWORD, browse, nid, read, session
from tests.server.opcua_conditions.conditions_rig import (
    FIELDS,
    Watching,
    call,
    event_arguments,
    event_item,
    operand,
    status_of,
    value,
    watching,
)
from tests.server.opcua_conditions.conditions_rig import PLANT as PRESSES
from tests.server.opcua_conditions.vision_conditions_rig import FIRE, Cameras, File, cameras

_IDS = ua.ObjectIds
_OWN = (
    "CameraName", "ObjectClass", "Confidence", "BoundingBox", "FrameTime", "ModelName", "ModelHash",
    "InferenceLatency", "SnapshotUri", "SnapshotSha256",
)  # fmt: skip
_FILE = ("Size", "Writable", "UserWritable", "OpenCount", "MimeType", "Open", "Close", "Read", "Write", "GetPosition",
         "SetPosition")  # fmt: skip


_OPERATOR = {"Authorization": aiohttp.encode_basic_auth("Operator", PASSWORD)}


async def raised(watch: Watching, path: str = FIRE) -> dict[str, Any]:
    return await watch.seen.next(lambda it: it["ConditionId"] == nid(path) and it["ActiveState/Id"])


async def test_the_type_is_below_off_normal_with_all_that_it_declares(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree) as client:
        kind = nid("VisionAlarmType")
        below = (await browse(client, [ua.NodeId(_IDS.OffNormalAlarmType)]))[ua.NodeId(_IDS.OffNormalAlarmType)]
        assert [it.BrowseName.to_string() for it in below if it.IsForward and it.NodeId == kind] == [
            "2:VisionAlarmType"
        ]
        references = (await browse(client, [kind]))[kind]
        (above,) = [it for it in references if not it.IsForward]
        assert (above.NodeId, above.ReferenceTypeId) == (
            ua.NodeId(_IDS.OffNormalAlarmType), ua.NodeId(_IDS.HasSubtype),
        )  # fmt: skip
        declared = {it.BrowseName.Name: it for it in references if it.IsForward}
        assert declared.keys() == {*_OWN, "ReportFalseAlarm", "Snapshot", "SnapshotClean"}
        assert {it.BrowseName.NamespaceIndex for it in declared.values()} == {2}
        for name, it in declared.items():
            (node,) = (await browse(client, [nid(f"VisionAlarmType.{name}")])).values()
            rules = [one.NodeId for one in node if one.ReferenceTypeId == ua.NodeId(_IDS.HasModellingRule)]
            assert rules == [ua.NodeId(_IDS.ModellingRule_Mandatory)]
            if name in ("Snapshot", "SnapshotClean"):
                assert it.TypeDefinition == ua.NodeId(_IDS.FileType)
                found = {one.BrowseName.Name for one in node if one.IsForward and one.BrowseName.Name in _FILE}
                assert found == {*_FILE}
        rank = await read(client, [(nid("VisionAlarmType.BoundingBox"), ua.AttributeIds.ValueRank)])
        assert rank[0].Value is not None
        assert rank[0].Value.Value == 1


async def test_an_instance_is_of_the_type_and_says_that_it_has_seen_nothing_yet(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client:
        assert await client.get_node(nid(FIRE)).read_type_definition() == nid("VisionAlarmType")
        assert await value(client, f"{FIRE}.EventType") == nid("VisionAlarmType")
        assert await value(client, f"{FIRE}.CameraName") == "Camera1"
        unknown = [name for name in _OWN if name != "CameraName"] + ["Snapshot.Size", "SnapshotClean.Size"]
        for found in await read(client, [(nid(f"{FIRE}.{name}"), ua.AttributeIds.Value) for name in unknown]):
            assert found.StatusCode is not None
            assert found.StatusCode.name == "BadNoData"
        assert await value(client, f"{FIRE}.Snapshot.Writable") is False
        assert await value(client, f"{FIRE}.Snapshot.UserWritable") is False
        assert await value(client, f"{FIRE}.SnapshotClean.MimeType") == "image/jpeg"
        assert await File(client, f"{FIRE}.Snapshot").open() == "BadNotFound"


def told(rig: Cameras, stored: Any) -> dict[str, Any]:
    """Return what the fields must say."""
    return {
        "CameraName": "Camera1", "ObjectClass": "fire", "Confidence": 0.875, "BoundingBox": list(SEEN.box),
        "FrameTime": from_ticks(stored.frame_time).replace(tzinfo=None), "ModelName": "fire v1",
        "ModelHash": "ab" * 32, "InferenceLatency": 41.5,
        "SnapshotUri": f"http://127.0.0.1:{rig.plantree.http.port}/snapshots/{stored.id}.jpg",
        "SnapshotSha256": stored.snapshot_sha256,
    }  # fmt: skip


def naive(found: Any) -> Any:
    return found.replace(tzinfo=None) if hasattr(found, "tzinfo") else found


class Own:
    """The type's own fields of events, as an item of its own selects them."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def take(self, fields: list[ua.Variant]) -> None:
        if len(fields) == 1 + len(_OWN):  # else it is of the other item
            names = ("ConditionId", *_OWN)
            self.events.put_nowait({name: naive(it.Value) for name, it in zip(names, fields, strict=True)})


async def watch_own(client: Client, watch: Watching, *, namespace: int) -> Own:
    """Add an item that selects the type's own fields, and ConditionId; returns what gets its events."""
    item, found = event_item(ua.NodeId(_IDS.Server), None), Own()
    select = [operand(attribute=ua.AttributeIds.NodeId)]
    for name in _OWN:
        clause = operand(name)
        clause.TypeDefinitionId = nid("VisionAlarmType")
        clause.BrowsePath = [ua.QualifiedName(name, namespace)]
        select.append(clause)
    given: Any = item.RequestedParameters
    given.Filter = ua.EventFilter(SelectClauses=select, WhereClause=ua.ContentFilter())
    watch.seen = found  # type: ignore[assignment]
    made = await client.uaclient.create_monitored_items(
        ua.CreateMonitoredItemsParameters(
            SubscriptionId=watch.id, TimestampsToReturn=ua.TimestampsToReturn.Both, ItemsToCreate=[item]
        )
    )
    made[0].StatusCode.check()
    return found


async def test_an_event_has_the_evidence_and_the_nodes_say_the_same(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        stored = rig.see()
        event = await raised(watch)
        assert event["EventType"] == nid("VisionAlarmType")
        assert (event["Severity"], event["SourceName"]) == (950, "Camera1.Fire")
        assert naive(event["Time"]) == from_ticks(stored.frame_time).replace(tzinfo=None)
        assert {*event} == {*FIELDS, "ConditionId"}
        wanted = told(rig, stored)
        for name, expected in wanted.items():
            assert (name, naive(await value(client, f"{FIRE}.{name}"))) == (name, expected)
        assert await value(client, f"{FIRE}.Snapshot.Size") == len(rig.plantree.evidence.read(stored))


@pytest.mark.parametrize("namespace", [0, 2])
async def test_the_types_own_fields_can_be_selected(tmp_path: Path, namespace: int) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        own = await watch_own(client, watch, namespace=namespace)
        stored = rig.see()
        async with asyncio.timeout(10):
            while (event := await own.events.get())["ConditionId"] != nid(FIRE) or event["ObjectClass"] is None:
                """Another condition, or its quality before."""
        assert event == {"ConditionId": nid(FIRE), **told(rig, stored)}


async def test_acknowledge_and_end(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        rig.see()
        event = await raised(watch)
        assert await status_of(client, FIRE, "Acknowledge", *event_arguments(event["EventId"], "called")) == "Good"
        assert (await watch.seen.next(lambda it: it["AckedState/Id"]))["Comment"].Text == "called"
        rig.lose()
        assert (await watch.seen.next(lambda it: not it["ActiveState/Id"]))["Retain"] is False


async def test_both_pictures_are_read_back_as_they_were_stored(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        stored = rig.see()
        await raised(watch)
        boxed = await File(client, f"{FIRE}.Snapshot").whole()
        assert hashlib.sha256(boxed).hexdigest() == stored.snapshot_sha256
        assert len(boxed) == await value(client, f"{FIRE}.Snapshot.Size")
        uri = await value(client, f"{FIRE}.SnapshotUri")
        async with aiohttp.ClientSession(headers=_OPERATOR) as http:
            assert await (await http.get(uri)).read() == boxed
            assert (await http.get(uri.replace(stored.id, "20260101T000000000Z-none"))).status == 404
        clean = await File(client, f"{FIRE}.SnapshotClean").whole()
        assert hashlib.sha256(clean).hexdigest() == stored.clean_sha256
        by_type = await call(
            client, nid(f"{FIRE}.Snapshot"), ua.NodeId(_IDS.FileType_Open), ua.Variant(1, ua.VariantType.Byte)
        )
        assert by_type.StatusCode.is_good()
        assert await value(client, f"{FIRE}.Snapshot.OpenCount") == 1


async def test_positions_lengths_and_wrong_use(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        data = rig.plantree.evidence.read(rig.see())
        await raised(watch)
        file, other = File(client, f"{FIRE}.Snapshot"), File(client, f"{FIRE}.SnapshotClean")
        for mode, status in ((2, "BadNotWritable"), (3, "BadNotWritable"), (0, "BadInvalidArgument"),
                             (5, "BadInvalidArgument"), (0x11, "BadInvalidArgument")):  # fmt: skip
            assert (mode, await file.open(mode)) == (mode, status)
        assert await file.open() == "Good"
        assert await file.read(10) == data[:10]

        async def status(method: str, *given: tuple[Any, ua.VariantType], of: File = file) -> str:
            variants = [ua.Variant(it, kind) for it, kind in given]
            return (await of.ask(method, file.handle, *variants)).StatusCode.name

        uint64, int32 = ua.VariantType.UInt64, ua.VariantType.Int32
        position = await file.ask("GetPosition", file.handle)
        assert position.OutputArguments == [ua.Variant(10, uint64)]
        assert await status("SetPosition", (len(data) - 4, uint64)) == "Good"
        assert await file.read(10) == data[-4:]
        assert await file.read(10) == b""
        assert await status("SetPosition", (1 << 40, uint64)) == "Good"
        assert (await file.ask("GetPosition", file.handle)).OutputArguments[0].Value == len(data)
        for length in (0, -1):
            assert await status("Read", (length, int32)) == "BadInvalidArgument"
        assert await status("Write", (b"x", ua.VariantType.ByteString)) == "BadInvalidState"
        assert await status("Read", (1, uint64)) == "BadInvalidArgument"
        assert await status("Read") == "BadArgumentsMissing"
        assert await status("Close", of=other) == "BadInvalidArgument", "a handle is of one file"
        wrong = await call(client, nid(file.path), nid(f"{other.path}.Close"), file.handle)
        assert wrong.StatusCode.name == "BadMethodInvalid"
        assert await file.close() == "Good"
        assert await file.close() == "BadInvalidArgument"
        assert await file.open(9) == "Good"  # append: at the end
        assert await file.read(1) == b""


async def test_a_handle_is_its_sessions_and_ends_with_it(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        rig.see()
        await raised(watch)
        async with session(rig.plantree, "Observer") as another:
            theirs = File(another, f"{FIRE}.Snapshot")
            assert await theirs.open() == "Good"
            mine = File(client, f"{FIRE}.Snapshot")
            mine.handle = theirs.handle
            assert await mine.close() == "BadInvalidArgument"
            assert await value(client, f"{FIRE}.Snapshot.OpenCount") == 1
        assert await value(client, f"{FIRE}.Snapshot.OpenCount") == 0
        results = [await File(client, f"{FIRE}.Snapshot").open() for _ in range(17)]
        assert results == ["Good"] * 16 + ["BadResourceUnavailable"]


async def test_who_may_not_see_people_does_not(tmp_path: Path) -> None:
    intruder = "Plant.Camera1.IntruderAlarm"
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        rig.see()
        rig.see("Intruder")
        await raised(watch, intruder)
        async with session(rig.plantree) as anonymous, session(rig.plantree, "AuthenticatedUser") as anybody:
            for one in (anonymous, anybody):
                assert await File(one, f"{FIRE}.Snapshot").open() == "BadUserAccessDenied"
        assert await File(client, f"{intruder}.Snapshot").open() == "BadUserAccessDenied", "it is for Engineers"
        async with session(rig.plantree, "Engineer") as engineer:
            assert await File(engineer, f"{intruder}.Snapshot").open() == "Good"


async def test_a_file_that_is_open_stays_what_it_was(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        first = rig.plantree.evidence.read(rig.see())
        await raised(watch)
        file = File(client, f"{FIRE}.Snapshot")
        assert await file.open() == "Good"
        half = await file.read(1000)
        rig.lose()
        await watch.seen.next(lambda it: not it["ActiveState/Id"])
        second = rig.see()
        await raised(watch)
        assert half + await file.read(1000) == first[:2000]
        again = await File(client, f"{FIRE}.Snapshot").whole()
        assert hashlib.sha256(again).hexdigest() == second.snapshot_sha256


async def test_a_picture_that_is_gone_or_changed_is_told(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        stored = rig.see()
        await raised(watch)
        (rig.folder / stored.clean).write_bytes(b"retouched")
        assert await File(client, f"{FIRE}.SnapshotClean").open() == "BadNotReadable"
        aged = rig.store.__class__(rig.folder, rig.store._settings.model_copy(update={"max_bytes": 1}))
        assert aged.prune() == 1
        uri = await value(client, f"{FIRE}.SnapshotUri")
        async with aiohttp.ClientSession() as http:
            assert (await http.get(uri)).status == 401
            assert (await http.get(uri, headers=_OPERATOR)).status == 410
        assert await File(client, f"{FIRE}.Snapshot").open() == "BadNotFound"
        assert await value(client, f"{FIRE}.SnapshotSha256") == stored.snapshot_sha256, "the event stays complete"


async def test_after_a_restart_it_is_all_there(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        stored = rig.see()
        await raised(watch)
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        await watch.refresh()
        assert (await raised(watch))["EventType"] == nid("VisionAlarmType")
        for name, expected in told(rig, stored).items():
            assert (name, naive(await value(client, f"{FIRE}.{name}"))) == (name, expected)
        assert await File(client, f"{FIRE}.Snapshot").whole() == rig.plantree.evidence.read(stored)


async def test_an_operator_reports_a_false_alarm(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Operator") as client, watching(client) as watch:
        stored = rig.see()
        event = await raised(watch)
        given = event_arguments(event["EventId"], "a red jacket")
        async with session(rig.plantree, "Observer") as observer:
            assert await status_of(observer, FIRE, "ReportFalseAlarm", *given) == "BadUserAccessDenied"
        unknown = event_arguments(b"\0" * 16, None)
        assert await status_of(client, FIRE, "ReportFalseAlarm", *unknown) == "BadEventIdUnknown"
        assert await status_of(client, FIRE, "ReportFalseAlarm", given[0]) == "BadArgumentsMissing"
        assert await status_of(client, FIRE, "ReportFalseAlarm", *given) == "Good"
        assert (await watch.seen.next(lambda it: it["Comment"].Text == "a red jacket"))["ClientUserId"] == "Operator"
        marked = json.loads((rig.folder / "false_alarms" / f"{stored.id}.json").read_text())
        assert marked["false_alarm"]["user"] == "Operator"
        by_type = await call(client, nid(FIRE), nid("VisionAlarmType.ReportFalseAlarm"), *given)
        assert by_type.StatusCode.is_good()
        executable = [(nid(f"{FIRE}.ReportFalseAlarm"), ua.AttributeIds.UserExecutable)]
        async with session(rig.plantree, "Observer") as observer:
            for one, wanted in ((client, True), (observer, False)):
                (found,) = await read(one, executable)
                assert found.Value is not None
                assert found.Value.Value is wanted


def space_of(folder: Path, text: str) -> PlantAddressSpace:
    file = folder / "plant.yaml"
    file.write_text(text, encoding="utf-8")
    plant = load_plant(file)
    return PlantAddressSpace(plant, Store(plant, 1024))


def test_the_nodeset_has_the_type(tmp_path: Path) -> None:
    file = tmp_path / "plant.xml"
    count = write_nodeset(space_of(tmp_path, PLANT), file)
    root = ET.parse(file).getroot()  # noqa: S314  what this test has written
    nodes = {it.get("NodeId"): it for it in root if it.get("NodeId")}
    assert len(nodes) == count
    kind = nodes["ns=1;s=VisionAlarmType"]
    assert kind.tag.endswith("UAObjectType")
    assert f"i={_IDS.OffNormalAlarmType}" in ET.tostring(kind, encoding="unicode")
    for path in ("VisionAlarmType.Snapshot.Open.InputArguments", f"{FIRE}.BoundingBox", f"{FIRE}.Snapshot.Size"):
        assert f"ns=1;s={path}" in nodes
    text = ET.tostring(nodes[f"ns=1;s={FIRE}.Snapshot.Writable"], encoding="unicode")
    assert ">false<" in text, "xs:boolean"


def test_a_plant_without_cameras_has_no_such_type(tmp_path: Path) -> None:
    assert space_of(tmp_path, PLANT).get(nid("VisionAlarmType")) is not None
    without = space_of(tmp_path, PRESSES)
    assert without.get(nid("VisionAlarmType")) is None
    assert not [it for it in without.factory.identifiers() if it.startswith("VisionAlarmType")]

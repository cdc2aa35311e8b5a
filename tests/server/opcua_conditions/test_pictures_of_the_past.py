"""A camera's folder of pictures: the newest are files in the tree, with rights, and gone when retention took them."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asyncua import Client, ua

from server.evidence import Evidence
from server.opcua.conditions import pictures
from server.store import from_ticks
from server.supervision import TaskState
from tests.server.opcua.opcua_rig import PASSWORD, browse, nid, read, session, small_server
from tests.server.opcua_conditions.conditions_rig import call, value
from tests.server.opcua_conditions.vision_conditions_rig import File, cameras

_IDS = ua.ObjectIds
FOLDER = "Plant.Camera1.Snapshots"
_METHODS = {"CreateDirectory", "CreateFile", "Delete", "MoveOrCopy"}


async def below(client: Client, path: str) -> dict[str, ua.ReferenceDescription]:
    found = (await browse(client, [nid(path)]))[nid(path)]
    return {str(it.BrowseName.Name): it for it in found if it.IsForward and it.NodeClass is not ua.NodeClass.ObjectType}


async def until(client: Client, holds: Callable[[list[str]], bool], folder: str = FOLDER) -> list[str]:
    """Return the names of a folder's files, in order, once that is true of them."""
    deadline = time.monotonic() + 20
    while True:
        names = [name for name in await below(client, folder) if name not in _METHODS]
        if holds(names):
            return names
        assert time.monotonic() < deadline, names
        await asyncio.sleep(0.02)


def files(*stored: Evidence) -> list[str]:
    return [f"{it.id}{part}" for it in stored for part in (".jpg", ".clean.jpg")]


async def test_pictures_of_alarms_that_are_over_stay_in_the_folder_newest_first(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Observer") as client:
        first = rig.see()
        rig.lose()
        second = rig.see()
        names = await until(client, lambda names: len(names) == 4)
        assert names == files(second, first)
        assert await client.get_node(nid(FOLDER)).read_type_definition() == ua.NodeId(_IDS.FileDirectoryType)
        path = f"{FOLDER}.{first.id}.jpg"
        assert await client.get_node(nid(path)).read_type_definition() == ua.NodeId(_IDS.FileType)
        assert await value(client, f"{path}.MimeType") == "image/jpeg"
        assert await value(client, f"{path}.Writable") is False
        assert await value(client, f"{path}.LastModifiedTime") == from_ticks(first.frame_time)
        file = File(client, path)
        assert await file.open() == "Good"
        assert await value(client, f"{path}.OpenCount") == 1
        assert await file.close() == "Good"
        data = await file.whole()
        assert hashlib.sha256(data).hexdigest() == first.snapshot_sha256
        assert await value(client, f"{path}.Size") == len(data)
        clean = await File(client, f"{FOLDER}.{first.id}.clean.jpg").whole()
        assert hashlib.sha256(clean).hexdigest() == first.clean_sha256
        assert await until(client, lambda names: not names, "Plant.Camera2.Snapshots") == [], "each has its own"


async def test_they_are_there_again_after_a_restart_until_retention_takes_them(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig:
        first = rig.see()
    async with cameras(tmp_path, {"max_bytes": 700_000}) as rig, session(rig.plantree, "Observer") as client:
        rig.plantree.evidence.changed()  # what the source does with its first word
        assert await until(client, lambda names: len(names) == 2) == files(first)
        second = rig.see()
        path = f"{FOLDER}.{first.id}.jpg"
        await until(client, lambda names: names == files(second, first))
        file = File(client, path)
        assert await file.open() == "Good"
        third = rig.see()  # there is no room for three
        await until(client, lambda names: names == files(third, second, first))
        rig.plantree.evidence.changed()  # what the source does when the vision process tells that some went
        await until(client, lambda names: names == files(third, second))
        assert (await client.uaclient.browse(_browse(path)))[0].StatusCode.name == "BadNodeIdUnknown"
        (size,) = await read(client, [(nid(f"{path}.Size"), ua.AttributeIds.Value)])
        assert size.StatusCode is not None
        assert size.StatusCode.name == "BadNodeIdUnknown"
        assert await file.open() in {"BadNodeIdUnknown", "BadMethodInvalid"}


def _browse(path: str) -> ua.BrowseParameters:
    wanted = ua.BrowseDescription(
        NodeId=nid(path), BrowseDirection=ua.BrowseDirection.Both, IncludeSubtypes=True,
        ResultMask=ua.BrowseResultMask.All,
    )  # fmt: skip
    return ua.BrowseParameters(NodesToBrowse=[wanted])


async def test_only_the_newest_are_in_the_tree_all_are_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST", 2)
    async with cameras(tmp_path) as rig, session(rig.plantree, "Observer") as client:
        stored = [rig.see() for _ in range(4)]
        await until(client, lambda names: names == files(stored[3], stored[2]))
        base = f"http://127.0.0.1:{rig.plantree.http.port}/snapshots"
        header = {"Authorization": aiohttp.encode_basic_auth("Observer", PASSWORD)}
        async with aiohttp.ClientSession(headers=header) as http, http.get(f"{base}/{stored[0].id}.jpg") as answer:
            assert answer.status == 200
            assert hashlib.sha256(await answer.read()).hexdigest() == stored[0].snapshot_sha256


async def test_pictures_take_the_role_of_history_and_that_of_their_rule(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig:
        fire, intruder = rig.see(), rig.see("Intruder")
        async with session(rig.plantree) as anonymous:
            await until(anonymous, lambda names: len(names) == 4)
            assert await File(anonymous, f"{FOLDER}.{fire.id}.jpg").open() == "BadUserAccessDenied"
            assert await may_open(anonymous, fire) is False
        async with session(rig.plantree, "Observer") as client:
            assert await File(client, f"{FOLDER}.{fire.id}.jpg").whole()
            assert await may_open(client, fire) is True
            assert await File(client, f"{FOLDER}.{intruder.id}.clean.jpg").open() == "BadUserAccessDenied"
        async with session(rig.plantree, "Engineer") as client:
            assert await File(client, f"{FOLDER}.{intruder.id}.clean.jpg").whole()


async def may_open(client: Client, stored: Evidence) -> Any:
    opened = nid(f"{FOLDER}.{stored.id}.jpg.Open")
    (found,) = await read(client, [(opened, ua.AttributeIds.UserExecutable)])
    return None if found.Value is None else found.Value.Value


async def test_nobody_changes_the_archive_through_the_tree(tmp_path: Path) -> None:
    async with cameras(tmp_path) as rig, session(rig.plantree, "Supervisor") as client:
        stored = rig.see()
        await until(client, lambda names: len(names) == 2)
        children = await below(client, FOLDER)
        assert children.keys() >= _METHODS
        for name in _METHODS:
            found = await read(client, [(nid(f"{FOLDER}.{name}"), ua.AttributeIds.Executable)])
            assert found[0].Value is not None
            assert found[0].Value.Value is False
        victim = ua.Variant(nid(f"{FOLDER}.{stored.id}.jpg"), ua.VariantType.NodeId)
        for method in (nid(f"{FOLDER}.Delete"), ua.NodeId(_IDS.FileDirectoryType_DeleteFileSystemObject)):
            assert (await call(client, nid(FOLDER), method, victim)).StatusCode.name == "BadNotExecutable"
        assert await File(client, f"{FOLDER}.{stored.id}.jpg").open(2) == "BadNotWritable"
        assert rig.plantree.evidence.read(stored)

        found = (await browse(client, [nid("CameraType.Snapshots")]))[nid("CameraType.Snapshots")]
        rules = [it.NodeId for it in found if it.ReferenceTypeId == ua.NodeId(_IDS.HasModellingRule)]
        assert rules == [ua.NodeId(_IDS.ModellingRule_Mandatory)]
        assert (await below(client, "CameraType"))["Snapshots"].TypeDefinition == ua.NodeId(_IDS.FileDirectoryType)
        assert "Snapshots" not in await below(client, "PlantType")


async def test_a_plant_without_cameras_waits_for_none(tmp_path: Path) -> None:
    async with small_server(tmp_path) as plantree:
        await asyncio.sleep(0)  # its tasks have begun
        task = plantree.supervisor.tasks["pictures of alarms"]
        assert (task.state, task.restarts, task.last_error) == (TaskState.Running, 0, None)

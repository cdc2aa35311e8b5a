"""A whole server with cameras, real clips and a real detector: what its conditions and its clients see."""

import hashlib
import os
import signal
from pathlib import Path

import cv2
import numpy as np
from vision_rig import QUICK, http_camera, pictures, write_clip
from vision_server_rig import file_of, vision, watched

from server.diagnostics import task_name
from server.quality import BAD_NO_COMMUNICATION, GOOD
from tests.server.opcua.opcua_rig import nid, session
from tests.server.opcua_conditions.conditions_rig import event_arguments, status_of

ALARM = "Plant.Camera1.ForbiddenZoneAlarm"
FLOOR = [[0.05, 0.3], [0.95, 0.3], [0.95, 1], [0.05, 1]]
WATCH = {
    "models": "person",
    "zones": {"floor": FLOOR},
    "rules": {"ForbiddenZone": {**QUICK, "classes": ["person"], "zones": ["floor"]}},
}
WORKER = "worker-zone.gif"


async def test_a_worker_in_a_forbidden_zone_raises_an_alarm_with_evidence(vision_data: Path, tmp_path: Path) -> None:
    worker = pictures(vision_data / "video" / WORKER)[10:40]
    grain = np.random.default_rng(1).integers(60, 120, worker[0].shape, np.uint8)
    clip = write_clip(tmp_path / "clip.avi", [*worker, *[np.roll(grain, k, axis=1) for k in range(60)]])
    camera = {"input": {"file": str(clip), "fps": 20, "loop": False}, "blind": {"late": 60}, **WATCH}
    async with watched(tmp_path, vision_data, {"Camera1": camera}) as heard:
        [raised] = await heard.until(lambda: heard.of(ALARM, "active"), "raised")
        evidence = raised.evidence
        assert evidence is not None
        assert (raised.active_time, raised.time) == (evidence.frame_time, evidence.frame_time)
        assert evidence.detection.name == "person"
        [cleared] = await heard.until(lambda: heard.of(ALARM, "inactive"), "cleared")
        assert cleared.retain, "it still wants to be acknowledged"

        async with session(heard.plantree, "Observer") as client:
            names = ("SnapshotSha256", "ObjectClass", "ModelHash", "CameraName")
            shown = [await client.get_node(nid(f"{ALARM}.{name}")).read_value() for name in names]
            assert shown == [evidence.snapshot_sha256, "person", evidence.model_sha256, "Camera1"]
            picture = await file_of(client, f"{ALARM}.Snapshot")
            assert hashlib.sha256(picture).hexdigest() == evidence.snapshot_sha256
            assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == worker[0].shape
            clean = await file_of(client, f"{ALARM}.SnapshotClean")
            assert hashlib.sha256(clean).hexdigest() == evidence.clean_sha256
        async with session(heard.plantree, "Operator") as client:
            assert await status_of(client, ALARM, "Acknowledge", *event_arguments(raised.event_id, "seen")) == "Good"
        [acknowledged] = heard.of(ALARM, "acknowledged")
        assert not acknowledged.retain


async def test_a_camera_that_is_lost_is_a_condition_until_it_is_back(vision_data: Path, tmp_path: Path) -> None:
    frames = pictures(vision_data / "video" / WORKER)[10:40]
    with http_camera(frames, fps=10) as camera:
        link = {"url": camera.url, "timeout": 1.0, "backoff": {"minimum": 0.1, "maximum": 0.2}}
        cameras = {
            "Camera1": {"input": link, "blind": {"clear_after": 0.2}, **WATCH},
            "Camera2": {"input": {"file": str(vision_data / "video" / WORKER)}, "blind": {"late": 60}, **WATCH},
        }
        async with watched(tmp_path, vision_data, cameras) as heard:
            await heard.until(lambda: heard.of(ALARM, "active"), "raised at the first")
            await heard.until(lambda: heard.of("Plant.Camera2.ForbiddenZoneAlarm", "active"), "and at the second")
            camera.plugged.clear()
            await heard.until(lambda: heard.of("Plant.Camera1.OfflineAlarm", "active"), "lost")
            await heard.until(lambda: heard.of("Plant.Camera1.BlindAlarm", "active"), "so it sees nothing")
            assert heard.value("Plant.Camera1.BlindReason")[:2] == ("lost", GOOD)
            assert heard.value("Plant.Camera1.ForbiddenZone")[:2] == (None, BAD_NO_COMMUNICATION)
            camera.plugged.set()
            await heard.until(lambda: heard.of("Plant.Camera1.OfflineAlarm", "inactive"), "back")
            await heard.until(lambda: heard.of("Plant.Camera1.BlindAlarm", "inactive"), "and sees")
            assert heard.of(ALARM, "inactive") == [], "what cannot be seen is not over"
            others = [one for one in heard.told if one.condition.machine.name == "Camera2"]
            assert {one.condition.name for one in others} == {"ForbiddenZoneAlarm"}


async def test_a_vision_process_that_is_killed_is_started_again(vision_data: Path, tmp_path: Path) -> None:
    worker = pictures(vision_data / "video" / WORKER)[10:40]
    rule = {**WATCH["rules"]["ForbiddenZone"], "clear_after": 60}
    clip = write_clip(tmp_path / "clip.avi", worker)
    camera = {"input": str(clip), **WATCH, "rules": {"ForbiddenZone": rule}}
    async with watched(tmp_path, vision_data, {"Camera1": camera}) as heard:
        await heard.until(lambda: heard.of(ALARM, "active"), "raised")
        detected = heard.value("Plant.Camera1.DetectionCount")[0]
        before = vision(heard.plantree).pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await heard.until(lambda: heard.value("Plant.Camera1.Online")[1] == BAD_NO_COMMUNICATION, "nobody watches")
        assert heard.value("Plant.Camera1.ForbiddenZone")[1] == BAD_NO_COMMUNICATION
        await heard.until(lambda: heard.value("Plant.Camera1.ForbiddenZone")[:2] == (True, GOOD), "watched again")
        assert vision(heard.plantree).pid not in {None, before}
        assert heard.value("Plant.Camera1.DetectionCount")[0] > detected, "a count goes on"
        assert heard.plantree.supervisor.tasks[task_name("vision")].restarts == 1
        transitions = [one for one in heard.told if one.condition.path == ALARM and one.kind_of_event != "quality"]
        assert [one.kind_of_event for one in transitions] == ["active"], "neither cleared nor raised anew"


async def test_an_alarm_that_stands_is_still_the_same_after_a_restart(vision_data: Path, tmp_path: Path) -> None:
    worker = pictures(vision_data / "video" / WORKER)[10:40]
    empty = np.random.default_rng(1).integers(60, 120, worker[0].shape, np.uint8)
    with http_camera(worker, fps=10) as camera:
        link = {"url": camera.url, "timeout": 1.0, "backoff": {"minimum": 0.1, "maximum": 0.2}}
        cameras = {"Camera1": {"input": link, "blind": {"clear_after": 0.2, "late": 0.6}, **WATCH}}
        async with watched(tmp_path, vision_data, cameras) as heard:
            [raised] = await heard.until(lambda: heard.of(ALARM, "active"), "raised")
        camera.plugged.clear()  # the camera is there later than the server
        async with watched(tmp_path, vision_data, cameras) as heard:
            condition = heard.plantree.plant.find_condition(ALARM)
            assert condition is not None
            await heard.until(lambda: heard.value("Plant.Camera1.BlindReason")[0] == "lost", "not there yet")
            stands = heard.plantree.alarms.state(condition)
            assert stands.active
            assert (stands.active_time, stands.evidence) == (raised.active_time, raised.evidence)
            camera.plugged.set()
            await heard.until(lambda: heard.value("Plant.Camera1.ForbiddenZone")[:2] == (True, GOOD), "seen again")
            async with session(heard.plantree, "Operator") as client:
                picture = await file_of(client, f"{ALARM}.Snapshot")
                assert hashlib.sha256(picture).hexdigest() == raised.evidence.snapshot_sha256
                answer = await status_of(client, ALARM, "Acknowledge", *event_arguments(raised.event_id, "seen before"))
                assert answer == "Good", "by the EventId that was told before the restart"
            assert heard.of(ALARM, "active") + heard.of(ALARM, "inactive") + heard.of(ALARM, "branch") == []
            camera.jpegs = [cv2.imencode(".jpg", np.roll(empty, k, axis=1))[1].tobytes() for k in range(10)]
            [cleared] = await heard.until(lambda: heard.of(ALARM, "inactive"), "over when the rule says so")
            assert not cleared.retain
            assert heard.plantree.alarms.branches(condition) == ()

"""The whole source, with its process, on real clips and the reference model."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from vision_rig import (
    QUICK,
    VARIABLES,
    WHOLE,
    Rig,
    http_camera,
    make_plant,
    person_model,
    pictures,
    running,
    until,
    write_clip,
)

from address_space import load_plant
from address_space.errors import PlantError
from server.quality import BAD_NO_COMMUNICATION, BAD_NOT_SUPPORTED, BAD_SENSOR_FAILURE, GOOD
from server.store import now_ticks
from sources.vision.priority import let_end, stand_behind
from sources.vision.source import VisionError
from sources.vision.start import Start
from sources.vision.wire import Ready, decode

RULE = {**QUICK, "classes": ["person"], "zones": ["floor"]}


async def test_a_person_in_a_zone_is_seen_with_evidence_and_cleared(vision_data: Path, tmp_path: Path) -> None:
    seen = pictures(vision_data / "video" / "worker-zone.gif")[10:40]
    empty = [np.full_like(seen[0], 90) + np.random.default_rng(1).integers(0, 60, seen[0].shape, np.uint8)] * 2
    clip = write_clip(tmp_path / "clip.avi", [*seen, *[np.roll(empty[0], k, axis=1) for k in range(30)]])
    camera = {
        "input": {"file": str(clip), "fps": 20},
        "models": "person",
        "zones": {"floor": WHOLE},
        "rules": {"PersonInZone": RULE},
    }
    before = now_ticks()
    async with running(make_plant(tmp_path, {"Camera1": camera}, {"person": person_model(vision_data)})) as rig:
        [event] = await until(rig, lambda: rig.ears.raised("PersonInZone"), "raised")
        evidence = event.evidence
        assert evidence is not None
        await until(rig, lambda: rig.value("Plant.Camera1.PersonInZone") is True, "shown")
        assert rig.status("Plant.Camera1.PersonInZone") == GOOD
        assert rig.value("Plant.Camera1.Online") is True
        assert rig.value("Plant.Camera1.LastDetectionClass") == "person"
        assert rig.value("Plant.Camera1.LastDetectionConfidence") > 0.5
        assert before < rig.stamp("Plant.Camera1.PersonInZone") <= now_ticks()
        assert before < evidence.frame_time == event.time

        assert evidence.camera == "Plant.Camera1"
        assert evidence.detection.name == "person"
        assert evidence.model_name == "person"
        model = (vision_data / "models" / "yolox_nano.onnx").read_bytes()
        assert evidence.model_sha256 == hashlib.sha256(model).hexdigest()
        assert evidence.latency > 0
        for data, expected in (
            (rig.source.archive.read(evidence), evidence.snapshot_sha256),
            (rig.source.archive.read(evidence, clean=True), evidence.clean_sha256),
        ):
            assert hashlib.sha256(data).hexdigest() == expected
            assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == seen[0].shape

        await until(rig, lambda: rig.ears.cleared("PersonInZone"), "cleared")
        await until(rig, lambda: rig.value("Plant.Camera1.PersonInZone") is False, "shown")
        await until(rig, lambda: len(rig.ears.raised("PersonInZone")) == 2, "raised anew: the clip is looped")
        assert len(rig.source.archive.ids()) == 2


async def test_outside_the_zone_nobody_is_seen(vision_data: Path, tmp_path: Path) -> None:
    corner = [[0.0, 0.0], [0.15, 0.0], [0.15, 0.3], [0.0, 0.3]]
    camera = {
        "input": {"file": str(vision_data / "video" / "worker-zone.gif"), "fps": 20},
        "models": "person",
        "zones": {"floor": corner},
        "rules": {"PersonInZone": RULE, "Person": {**QUICK, "classes": ["person"]}},
    }
    async with running(make_plant(tmp_path, {"Camera1": camera}, {"person": person_model(vision_data)})) as rig:
        await until(rig, lambda: rig.ears.raised("Person"), "a person somewhere")
        await until(rig, lambda: rig.value("Plant.Camera1.DetectionCount") > 40, "the clip is over")
        assert rig.ears.raised("PersonInZone") == []
        assert rig.value("Plant.Camera1.PersonInZone") is False


async def test_two_cameras_at_once_one_of_them_lost_and_back(vision_data: Path, tmp_path: Path) -> None:
    frames = pictures(vision_data / "video" / "vtest.avi", 30)
    blind = {"late": 0.6, "clear_after": 0.3}
    with http_camera(frames) as camera:
        cameras = {
            "Camera1": {
                "input": {"url": camera.url, "timeout": 1.0, "backoff": {"minimum": 0.1, "maximum": 0.2}},
                "models": "person",
                "blind": blind,
                "rules": {"Person": {**QUICK, "classes": ["person"]}},
            },
            "Camera2": {"input": str(vision_data / "video" / "worker-zone.gif"), "models": "person", "blind": blind},
        }
        async with running(make_plant(tmp_path, cameras, {"person": person_model(vision_data)})) as rig:
            await until(rig, lambda: rig.ears.raised("Person"), "seen")
            await until(rig, lambda: rig.value("Plant.Camera2.Online"), "the other too")
            assert rig.status("Plant.Camera1.Person") == GOOD
            camera.plugged.clear()
            await until(rig, lambda: rig.value("Plant.Camera1.Online") is False, "lost")
            assert rig.value("Plant.Camera1.BlindReason") == "lost"
            assert rig.value("Plant.Camera1.LastError")
            assert rig.status("Plant.Camera1.Person") == BAD_NO_COMMUNICATION
            assert rig.status("Plant.Camera1.DetectionCount") == BAD_NO_COMMUNICATION
            assert rig.value("Plant.Camera2.Online") is True
            assert rig.status("Plant.Camera2.DetectionCount") == GOOD
            assert rig.ears.cleared("Person") == [], "a lost camera clears nothing"
            camera.plugged.set()
            await until(rig, lambda: rig.value("Plant.Camera1.Online"), "back")
            assert rig.status("Plant.Camera1.Person") == GOOD
            assert rig.value("Plant.Camera1.LastError") == ""
            assert [entry for entry in rig.ears.blind if entry[0] == "Plant.Camera1.BlindReason"] == [
                ("Plant.Camera1.BlindReason", "lost"),
                ("Plant.Camera1.BlindReason", ""),
            ]


async def test_a_camera_that_was_never_there_is_never_online(tmp_path: Path) -> None:
    async with running(make_plant(tmp_path, {"Camera1": {"input": "none.avi", "blind": {"late": 0.5}}})) as rig:
        cursor = rig.store.journal.cursor("test")
        await until(rig, lambda: rig.value("Plant.Camera1.BlindReason") == "lost", "lost")
        assert "there is no file" in rig.value("Plant.Camera1.LastError")
        online, batch = rig.plant.variable("Plant.Camera1.Online").id, cursor.read()
        shown = [value for id_, value in zip(batch.ids, rig.store.objects(batch), strict=True) if id_ == online]
        assert set(shown) == {False}


async def test_a_dark_camera_is_blind_and_says_so(vision_data: Path, tmp_path: Path) -> None:
    bright = pictures(vision_data / "video" / "worker-zone.gif")[:20]
    clip = write_clip(tmp_path / "clip.avi", [*bright, *[frame // 30 for frame in bright]], fps=20)
    camera = {"input": str(clip), "models": "person", "blind": {"raise_after": 0.2, "clear_after": 0.2}}
    async with running(make_plant(tmp_path, {"Camera1": camera}, {"person": person_model(vision_data)})) as rig:
        await until(rig, lambda: rig.value("Plant.Camera1.Blind") is True, "blind")
        assert rig.value("Plant.Camera1.BlindReason") == "dark"
        assert rig.value("Plant.Camera1.Online") is True
        assert rig.status("Plant.Camera1.DetectionCount") == BAD_SENSOR_FAILURE
        assert rig.status("Plant.Camera1.FrameRate") == GOOD
        await until(rig, lambda: rig.value("Plant.Camera1.Blind") is False, "sees again")
        assert rig.status("Plant.Camera1.DetectionCount") == GOOD


async def test_what_a_camera_does_not_have_is_not_supported(vision_data: Path, tmp_path: Path) -> None:
    clip = str(vision_data / "video" / "worker-zone.gif")
    off = {**QUICK, "classes": ["person"], "enabled": False}
    cameras = {
        "Camera1": {"input": clip, "models": "person", "rules": {"Person": RULE | {"zones": []}, "Fire": off}},
        "Camera2": {"input": clip},
    }
    async with running(make_plant(tmp_path, cameras, {"person": person_model(vision_data)})) as rig:
        await until(rig, lambda: rig.value("Plant.Camera1.Online") and rig.value("Plant.Camera2.Online"), "online")
        looks = {name for name in VARIABLES if rig.status(f"Plant.Camera1.{name}") != BAD_NOT_SUPPORTED}
        assert looks == set(VARIABLES) - {"PersonInZone", "Fire"}
        shows = {name for name in VARIABLES if rig.status(f"Plant.Camera2.{name}") != BAD_NOT_SUPPORTED}
        assert shows == {"Online", "Blind", "BlindReason", "FrameRate", "Dropped", "EvidenceKept", "LastError"}
        assert all(rig.status(f"Plant.Camera2.{name}") == GOOD for name in shows)


def test_a_rule_without_its_variable_is_named(vision_data: Path, tmp_path: Path) -> None:
    camera = {"input": "clip.avi", "models": "person", "rules": {"Intruder": RULE | {"zones": []}}}
    plant = make_plant(tmp_path, {"Camera1": camera}, {"person": person_model(vision_data)})
    with pytest.raises(PlantError, match=r"plant\.yaml:\d+.*rules.*needs a Boolean variable Intruder of CameraType"):
        Rig(plant)


async def test_a_process_that_dies_is_an_error_and_its_cameras_turn_bad(vision_data: Path, tmp_path: Path) -> None:
    clip = str(vision_data / "video" / "worker-zone.gif")
    async with running(make_plant(tmp_path, {"Camera1": {"input": clip}})) as rig:
        await until(rig, lambda: rig.value("Plant.Camera1.Online"), "online")
        assert rig.source.pid is not None
        os.kill(rig.source.pid, signal.SIGKILL)
        with pytest.raises(VisionError, match="ended with code -9"):
            await until(rig, lambda: rig.task.done() and rig.task.result(), "ended")
        assert rig.status("Plant.Camera1.Online") == BAD_NO_COMMUNICATION


def threads_of(pid: int | None) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]


@pytest.mark.timeout(120)  # under SCHED_IDLE it waits until the machine has time
@pytest.mark.skipif(sys.platform != "linux", reason="policies of single threads are Linux's")
@pytest.mark.parametrize(
    ("options", "policy", "nice"), [({}, os.SCHED_IDLE, 0), ({"priority": "batch", "nice": 7}, os.SCHED_BATCH, 7)]
)
async def test_every_thread_of_the_process_stands_behind_the_server(
    vision_data: Path, tmp_path: Path, options: dict, policy: int, nice: int
) -> None:
    camera = {"input": str(vision_data / "video" / "worker-zone.gif"), "models": "person"}
    models = {"person": person_model(vision_data, threads=2)}
    plant = make_plant(tmp_path, {"Camera1": camera}, models, **{"priority": "idle"} | options)
    async with running(plant) as rig:
        await until(rig, lambda: rig.value("Plant.Camera1.DetectionCount"), "detected", within=100)
        threads = threads_of(rig.source.pid)
        assert len(threads) > 3, "captures and the model have threads of their own"
        assert {os.sched_getscheduler(thread) for thread in threads} == {policy}
        assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {nice}
        if os.geteuid() == 0:  # others may not go back without RLIMIT_NICE
            let_end(threads[0])
            assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_OTHER}


async def test_a_process_that_gets_no_processor_time_makes_its_cameras_blind(vision_data: Path, tmp_path: Path) -> None:
    camera = {
        "input": str(vision_data / "video" / "worker-zone.gif"),
        "models": "person",
        "blind": {"late": 0.6, "clear_after": 0.3},
        "rules": {"Person": {**QUICK, "classes": ["person"], "clear_after": 60}},
    }
    async with running(make_plant(tmp_path, {"Camera1": camera}, {"person": person_model(vision_data)})) as rig:
        await until(rig, lambda: rig.ears.raised("Person"), "seen")
        assert rig.source.pid is not None
        os.kill(rig.source.pid, signal.SIGSTOP)
        held = now_ticks()
        await until(rig, lambda: rig.value("Plant.Camera1.Blind"), "blind, though nobody in the process could say so")
        assert rig.value("Plant.Camera1.BlindReason") == "late"
        assert rig.value("Plant.Camera1.Online") is False
        assert rig.stamp("Plant.Camera1.Blind") > held
        assert "does not answer" in rig.value("Plant.Camera1.LastError")
        assert rig.status("Plant.Camera1.Person") == BAD_NO_COMMUNICATION
        assert rig.status("Plant.Camera1.DetectionCount") == BAD_NO_COMMUNICATION
        os.kill(rig.source.pid, signal.SIGCONT)
        await until(rig, lambda: rig.value("Plant.Camera1.Blind") is False, "sees again")
        await until(rig, lambda: rig.status("Plant.Camera1.Person") == GOOD, "told again")
        assert rig.value("Plant.Camera1.LastError") == ""
        assert rig.ears.cleared("Person") == [], "what nobody looked at is not over"


async def test_a_process_that_hangs_is_ended(vision_data: Path, tmp_path: Path) -> None:
    camera = {"input": str(vision_data / "video" / "worker-zone.gif"), "models": "person"}
    models = {"person": person_model(vision_data)}
    async with running(make_plant(tmp_path, {"Camera1": camera}, models, restart_after=3.0)) as rig:
        await until(rig, lambda: rig.value("Plant.Camera1.DetectionCount"), "detected")
        pid = rig.source.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(VisionError, match=r"has not answered for 3 s"):
            await until(rig, lambda: rig.task.done() and rig.task.result(), "given up")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert rig.status("Plant.Camera1.Online") == BAD_NO_COMMUNICATION


async def test_a_model_that_does_not_fit_is_one_clear_sentence(vision_data: Path, tmp_path: Path) -> None:
    model = person_model(vision_data, head="yolov8")
    camera = {"input": str(vision_data / "video" / "worker-zone.gif"), "models": "person"}
    async with running(make_plant(tmp_path, {"Camera1": camera}, {"person": model})) as rig:
        with pytest.raises(VisionError, match=r"model person: .*\[1, 3549, 85\].*looks like head yolox"):
            await until(rig, lambda: False, "the model's fault")


async def test_without_room_for_evidence_there_is_no_alarm_and_that_is_said(
    vision_data: Path, tmp_path: Path, small_disk: Path
) -> None:
    clip = str(vision_data / "video" / "worker-zone.gif")
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(1 << 20))
    camera = {"input": clip, "models": "person", "rules": {"Person": {**QUICK, "classes": ["person"]}}}
    evidence = {"folder": str(small_disk / "evidence"), "min_free": 0}
    plant = make_plant(tmp_path, {"Camera1": camera}, {"person": person_model(vision_data)}, evidence=evidence)
    async with running(plant) as rig:
        await until(rig, lambda: rig.value("Plant.Camera1.EvidenceKept") is False, "the disk is full")
        assert "No space left" in rig.value("Plant.Camera1.LastError")
        detected = rig.value("Plant.Camera1.DetectionCount")
        await until(rig, lambda: (rig.value("Plant.Camera1.DetectionCount") or 0) > (detected or 0) + 10, "goes on")
        assert rig.ears.events == []
        assert rig.value("Plant.Camera1.Person") is False
        filler.unlink()
        [event] = await until(rig, lambda: rig.ears.raised("Person"), "raised once there is room")
        assert event.evidence is not None
        assert rig.source.archive.read(event.evidence)
        await until(rig, lambda: rig.value("Plant.Camera1.EvidenceKept"), "said as well")
        assert rig.value("Plant.Camera1.LastError") == ""


def test_the_process_ends_with_the_server(tmp_path: Path) -> None:
    evidence = {"folder": str(tmp_path)}
    settings = {"cameras": {"C": {"input": "none.avi"}}, "evidence": evidence, "priority": "normal"}
    start = Start.model_validate(
        {"settings": settings, "folder": tmp_path, "evidence": tmp_path / "e", "paths": {"C": "Plant.C"}}
    )
    command = [sys.executable, "-m", "sources.vision.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(start.model_dump_json().encode() + b"\n")
        process.stdin.flush()
        assert isinstance(decode(process.stdout.readline()), Ready)
        process.stdin.close()
        assert process.wait(5) == 0


def test_a_model_file_that_is_not_there_is_named_with_its_place(tmp_path: Path) -> None:
    model = {"file": "none.onnx", "head": "yolox", "classes": ["person"]}
    plant = make_plant(tmp_path, {"Camera1": {"input": "clip.avi", "models": "person"}}, {"person": model})
    with pytest.raises(PlantError, match=r"plant\.yaml.*models.*none\.onnx"):
        Rig(plant)


def test_a_camera_that_is_no_machine_is_named(tmp_path: Path) -> None:
    make_plant(tmp_path, {"Camera1": {"input": "clip.avi"}})
    file = tmp_path / "plant.yaml"
    file.write_text(file.read_text().replace("    cameras:\n      Camera1", "    cameras:\n      Camera7"))
    with pytest.raises(PlantError, match=r"Camera7.*is no machine of this source"):
        Rig(load_plant(file))


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ({"input": "a.avi", "models": "fire"}, r"plant\.yaml:\d+: sources\.eyes.*'fire' that is not under models"),
        ({"input": "a.avi", "rules": {"A": {"classes": ["x"]}}}, "has rules but no models"),
        ({"input": {"file": "a.avi", "speed": 2}}, r"cameras\.Camera1\.input\.speed"),
    ],
)
def test_wrong_options_name_their_line(tmp_path: Path, camera: dict, said: str) -> None:
    with pytest.raises(PlantError, match=said):
        Rig(make_plant(tmp_path, {"Camera1": camera}))


@pytest.mark.skipif(sys.platform != "linux", reason="SCHED_IDLE is Linux's")
def test_where_a_lower_priority_is_forbidden_it_runs_like_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_given: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    assert stand_behind(os.getpid(), "idle", 0) == (
        "like the server: it may not be lower here: [Errno 1] Operation not permitted"
    )

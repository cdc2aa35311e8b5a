"""A camera on RTSP, served by GStreamer: pictures, their times, and the end of the stream."""

import collections
import contextlib
import itertools
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import constant_model
from vision_rig import make_plant, pictures, running, until, write_clip
from vision_server_rig import watched

from server.quality import BAD_NO_COMMUNICATION, GOOD
from server.store import now_ticks
from sources.vision.heads import cells
from sources.vision.inputs import LostError, open_input
from sources.vision.settings import CameraSettings

PYTHON = "/usr/bin/python3"
NEEDED = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; Gst.init(None); assert Gst.ElementFactory.find('rtpjpegpay')"  # noqa: E501
FRAMES = 50  # 5 s; some are passed over while the stream is opened


@pytest.fixture(scope="module")
def rtsp_clip(vision_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 5 s of a clip that GStreamer can serve."""
    try:
        there = subprocess.run([PYTHON, "-c", NEEDED], capture_output=True, check=False).returncode == 0
    except OSError:
        there = False
    if not there:
        pytest.skip("GStreamer's RTSP server is not here: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0")
    frames = pictures(vision_data / "video" / "worker-zone.gif", FRAMES)
    even = [np.ascontiguousarray(frame[:264, :480]) for frame in frames]  # RTP's JPEG is in blocks of 8 pixels
    return write_clip(tmp_path_factory.mktemp("rtsp") / "clip.avi", even)


@dataclass
class RtspCamera:
    """A camera that is there."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/camera"


@contextlib.contextmanager
def rtsp_camera(clip: Path, port: int = 0) -> Iterator[RtspCamera]:
    """Serve a clip for the time of a `with` block."""
    command = [PYTHON, str(Path(__file__).with_name("rtsp_camera.py")), str(clip), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield RtspCamera(int(server.stdout.readline()), server)
        server.stdin.close()
        assert server.wait(10) == 0


@pytest.fixture
def rtsp_url(rtsp_clip: Path) -> Iterator[str]:
    """Serve it."""
    with rtsp_camera(rtsp_clip) as camera:
        yield camera.url


def test_pictures_come_with_the_times_at_which_they_were_taken(rtsp_url: str) -> None:
    before = now_ticks()
    camera = open_input(CameraSettings.model_validate({"input": {"url": rtsp_url, "timeout": 2.0}}).input, Path())
    frames = [camera.read() for _ in range(12)]
    steps = np.diff([frame.at for frame in frames])
    assert all(steps > 0)
    assert frames[0].picture.shape == (264, 480, 3)
    assert frames[-1].at <= time.monotonic()
    assert before < frames[0].captured < frames[-1].captured <= now_ticks()

    time.sleep(0.6)  # the reader is held up: this is the fault itself
    arrival = time.monotonic()
    assert camera.read().at < arrival, "sent long before it was read, and stamped so"

    count = itertools.count()
    with pytest.raises(LostError, match="gives no more pictures"):
        collections.deque((camera.read() for _ in zip(range(2 * FRAMES), count, strict=False)), maxlen=1)
    assert 0 < next(count) < FRAMES
    camera.close()


def link(camera: RtspCamera, **more: Any) -> dict[str, Any]:
    backoff = {"minimum": 0.1, "maximum": 0.3}
    return {"input": {"url": camera.url, "timeout": 1.0, "backoff": backoff}, "blind": {"clear_after": 0.2}, **more}


async def test_a_camera_that_goes_away_is_a_condition_until_its_pictures_flow_again(
    rtsp_clip: Path, vision_data: Path, tmp_path: Path
) -> None:
    with rtsp_camera(rtsp_clip) as camera:
        async with watched(tmp_path, vision_data, {"Camera1": link(camera)}) as heard:
            await heard.until(lambda: heard.value("Plant.Camera1.Online")[:2] == (True, GOOD), "pictures flow")
            assert camera.process.stdin is not None
            camera.process.stdin.close()
            assert camera.process.wait(10) == 0
            await heard.until(lambda: heard.of("Plant.Camera1.OfflineAlarm", "active"), "gone")
            await heard.until(lambda: heard.of("Plant.Camera1.BlindAlarm", "active"), "so it sees nothing")
            assert heard.value("Plant.Camera1.BlindReason")[:2] == ("lost", GOOD)
            error = heard.value("Plant.Camera1.LastError")[0]
            assert f"rtsp://127.0.0.1:{camera.port}/camera" in error
            with rtsp_camera(rtsp_clip, camera.port):
                await heard.until(lambda: heard.of("Plant.Camera1.OfflineAlarm", "inactive"), "back")
                await heard.until(lambda: heard.of("Plant.Camera1.BlindAlarm", "inactive"), "and sees")
                shown = heard.value("Plant.Camera1.FrameRate")
                assert shown[1] == GOOD
                await heard.until(lambda: heard.value("Plant.Camera1.FrameRate")[2] > shown[2], "pictures flow")
                assert heard.value("Plant.Camera1.LastError")[0] == ""


async def test_a_camera_that_hangs_is_lost_once_its_time_is_over(rtsp_clip: Path, tmp_path: Path) -> None:
    model = {"file": str(constant_model(tmp_path / "m.onnx", nothing(), (64, 64), 1)), "head": "yolov8"}
    with rtsp_camera(rtsp_clip) as camera:
        watched_by = link(camera, models="m")
        plant = make_plant(tmp_path, {"Camera1": watched_by}, {"m": {**model, "classes": ["person"]}})
        async with running(plant) as rig:
            await until(rig, lambda: rig.value("Plant.Camera1.Online"), "pictures flow")
            camera.process.send_signal(signal.SIGSTOP)
            try:
                await until(rig, lambda: rig.value("Plant.Camera1.BlindReason") == "lost", "no answer for the timeout")
                assert rig.status("Plant.Camera1.DetectionCount") == BAD_NO_COMMUNICATION
            finally:
                camera.process.send_signal(signal.SIGCONT)
            await until(rig, lambda: rig.value("Plant.Camera1.Online"), "back")
            await until(rig, lambda: rig.status("Plant.Camera1.DetectionCount") == GOOD, "and looked at")


def nothing() -> np.ndarray:
    """Return what a model of one class puts out that sees nothing (YOLOv8, 64×64)."""
    return np.zeros((5, cells(64, 64)), np.float32)

"""A camera on RTSP, served by GStreamer: pictures, their times, and the end of the stream."""

import collections
import itertools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from vision_rig import pictures, write_clip

from server.store import now_ticks
from sources.vision.inputs import LostError, open_input
from sources.vision.settings import CameraSettings

PYTHON = "/usr/bin/python3"
NEEDED = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; Gst.init(None); assert Gst.ElementFactory.find('rtpjpegpay')"  # noqa: E501
FRAMES = 50  # 5 s; some are passed over while the stream is opened


@pytest.fixture(scope="module")
def rtsp_url(vision_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve 5 s of a clip."""
    try:
        there = subprocess.run([PYTHON, "-c", NEEDED], capture_output=True, check=False).returncode == 0
    except OSError:
        there = False
    if not there:
        pytest.skip("GStreamer's RTSP server is not here: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0")
    frames = pictures(vision_data / "video" / "worker-zone.gif", FRAMES)
    even = [np.ascontiguousarray(frame[:264, :480]) for frame in frames]  # RTP's JPEG is in blocks of 8 pixels
    clip = write_clip(tmp_path_factory.mktemp("rtsp") / "clip.avi", even)
    command = [PYTHON, str(Path(__file__).with_name("rtsp_camera.py")), str(clip)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield f"rtsp://127.0.0.1:{int(server.stdout.readline())}/camera"
        server.stdin.close()
        assert server.wait(10) == 0


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

"""The demo clip: it is what its script draws, capture plays it, and the default plant shows it without a model."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from vision_rig import pictures as read_clip

from address_space import load_plant
from address_space.load import DEFAULT_PLANT
from server.ports import SourceContext
from server.store import Store
from sources.vision.blind import Sight
from sources.vision.demo.render import FPS, FRAMES, HEIGHT, WIDTH, pictures, write
from sources.vision.inputs import open_input
from sources.vision.settings import DEMO, BlindSettings, CameraSettings
from sources.vision.source import VisionSource

ROOT = Path(__file__).resolve().parents[3]
ALIKE_DB = 26.0  # the codec takes something; another picture of the clip is some 20 dB away


def test_the_clip_is_what_its_script_draws() -> None:
    shown = read_clip(DEMO)
    assert len(shown) == FRAMES
    assert DEMO.stat().st_size < 1_000_000
    for number, (drawn, picture) in enumerate(zip(pictures(), shown, strict=True)):
        assert cv2.PSNR(drawn, picture) > ALIKE_DB, number
    assert cv2.PSNR(shown[0], shown[FRAMES // 4]) < ALIKE_DB, "the bound tells pictures apart"


def test_drawn_again_it_is_the_same() -> None:
    assert all(np.array_equal(one, other) for one, other in zip(pictures(), pictures(), strict=True))


def test_it_is_written_where_one_wants_it(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4")
    assert len(read_clip(tmp_path / "clip.mp4")) == FRAMES


def test_capture_plays_it_and_a_camera_that_shows_it_sees() -> None:
    settings = CameraSettings.model_validate({"input": "demo"})
    clip = open_input(settings.input, ROOT)
    assert clip.rate == FPS
    eye = Sight(BlindSettings(raise_after=0.0), 0.0)
    for number in range(2 * FRAMES):  # looped
        picture = clip.read().picture
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert eye.look(number / FPS, picture) is None
    clip.close()


def test_the_default_plant_has_a_camera_that_shows_it() -> None:
    plant = load_plant(DEFAULT_PLANT)
    machines = tuple(machine for machine in plant.machines if machine.source == "vision")
    assert "Plant.Camera1" in [machine.path for machine in machines]
    source = VisionSource(SourceContext("vision", plant, machines, Store(plant), plant.sources["vision"].options))
    assert {camera.input.file for camera in source.settings.cameras.values()} == {DEMO}
    assert source.settings.models == {}


def test_the_server_s_process_needs_no_opencv_and_no_inference() -> None:
    """They would cost its start a second, and belong to the vision process."""
    code = (
        "import sys; import server.assembly; import sources.vision.source\n"
        "assert not {'cv2', 'onnxruntime', 'onnx'} & set(sys.modules), 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

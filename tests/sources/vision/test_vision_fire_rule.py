"""The fire rule's timing on a clip that is drawn here: from the first picture with a flame to the event, in clip time.

A stand-in detector sees what glows orange. How well our own sees fire is said by its card; what is shown here is that
the way from picture to event takes no more than the rule says.
"""

import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_models import flame_model
from vision_rig import write_clip

from sources.vision.__main__ import main
from sources.vision.analyst import Analyst
from sources.vision.demo.render import pictures
from sources.vision.evidence import EvidenceStore
from sources.vision.heads import cells
from sources.vision.inputs import Frame
from sources.vision.lane import Lane
from sources.vision.ports import VisionEvent
from sources.vision.rule_settings import Rule
from sources.vision.rules import Persistence
from sources.vision.settings import EvidenceSettings, Settings
from sources.vision.wire import Message

CLAIM_S = 2.0
QUIET, BURNING = 20, 40  # pictures without, then with a flame
RULE = Rule(classes=["fire"])
TICKS = 10_000_000


def with_flame(picture: np.ndarray, number: int) -> np.ndarray:
    """Draw a flame of some 80 × 100 pixels that leaps."""
    drawn, leap = picture.copy(), 10 * (number % 3)
    for width, height, colour in ((40, 100, (0, 120, 255)), (26, 70, (0, 190, 255)), (12, 40, (60, 230, 255))):
        tip = np.array([[480 - width, 330], [480 + width, 330], [480 + leap - 10, 330 - height - leap]], np.int32)
        cv2.fillPoly(drawn, [tip], colour, cv2.LINE_AA)
        cv2.ellipse(drawn, (480, 320), (width, width // 2), 0, 0, 360, colour, cv2.FILLED)
    return drawn


def scene(seen: Sequence[bool]) -> list[np.ndarray]:
    """Return pictures of the demo's hall, with a flame in those that `seen` says."""
    hall = zip(islice(pictures(), len(seen)), seen, strict=True)
    return [with_flame(picture, number) if burns else picture for number, (picture, burns) in enumerate(hall)]


def flame(folder: Path) -> Path:
    output = np.zeros((5, cells(64, 64)), np.float32)
    output[:4, 0] = [48, 42, 10, 12]
    return flame_model(folder / "flame.onnx", output)


@pytest.mark.parametrize("fps", [10.0, 5.0, 2.0])
@pytest.mark.parametrize("flicker", [[True], [True, False, True, True, False]], ids=["steady", "in 3 of 5"])
def test_from_the_first_picture_with_a_flame_to_the_event(tmp_path: Path, fps: float, flicker: list[bool]) -> None:
    seen = [False] * QUIET + [flicker[number % len(flicker)] for number in range(BURNING)]
    rules = {"Fire": RULE}
    given = {"models": {"flame": {"file": str(flame(tmp_path))}},
             "cameras": {"C": {"input": "demo", "models": "flame", "rules": rules}}}  # fmt: skip
    settings = Settings.model_validate(given)
    analyst = Analyst("flame", settings, tmp_path)
    store = EvidenceStore(tmp_path / "evidence", EvidenceSettings(min_free=0))
    lane = Lane("Plant.C", settings.cameras["C"], tmp_path, Event(), store)
    told: list[Message] = []
    began = time.monotonic() + 1000  # clip time: the machine's speed plays no part
    for number, picture in enumerate(scene(seen)):
        frame = Frame(picture, round(number / fps * TICKS), began + number / fps)
        lane.conclude(frame, analyst.detect([frame])[0], {}, told.append)
    raised = [one for one in told if isinstance(one, VisionEvent)]
    assert [one.active for one in raised] == [True]
    delay = raised[0].time / TICKS - QUIET / fps
    assert delay <= CLAIM_S
    pictures_needed = RULE.frames if len(flicker) == 1 else 4
    assert delay == pytest.approx((pictures_needed - 1) / fps), "no more than the rule asks for"
    assert raised[0].evidence is not None
    assert raised[0].evidence.detection.name == "fire"


@given(st.lists(st.booleans(), max_size=60), st.floats(2.0, 30.0))
def test_a_flame_in_n_of_any_m_pictures_is_told_within_the_time_of_m(shown: list[bool], fps: float) -> None:
    state = Persistence.by(RULE)
    raised = [state.update(number / fps, hit) for number, hit in enumerate(shown)]
    for first in range(len(shown) - RULE.of + 1):
        if sum(shown[first : first + RULE.of]) >= RULE.frames:
            assert any(raised[: first + RULE.of]), (RULE.of - 1) / fps
    assert (RULE.of - 1) / fps <= CLAIM_S


def test_evaluate_says_the_same_of_the_labelled_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    clips.mkdir()
    write_clip(clips / "burns.avi", scene([False] * QUIET + [True] * BURNING))
    write_clip(clips / "quiet.avi", scene([False] * QUIET))
    (clips / "events.csv").write_text("video,class,start,end\nburns.avi,fire,2.0,6.0\n")
    arguments = ["--model", str(flame(tmp_path)), "--data", str(clips), "--threshold", "0.5", "--within", "2"]
    assert main(["evaluate", *arguments, "--out", str(out)]) == 0, capsys.readouterr().err
    found = json.loads((out / "report.json").read_text())["events"]["fire"]
    assert (found["events"], found["within"], found["false_alarms"]) == (1, 1, 0)
    assert found["delays"] == pytest.approx([(RULE.frames - 1) / 10])

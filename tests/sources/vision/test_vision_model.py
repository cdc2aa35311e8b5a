"""Models: heads against slow references, suppression, the fit of a picture, checks at start, the second stage."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from onnx_models import classifier_of, constant_model
from vision_rig import person_model, pictures

from sources.vision.boxes import iou, letterbox, suppress
from sources.vision.heads import ModelError, cells, decode
from sources.vision.model import Detector, sha256_of
from sources.vision.second import Classifier
from sources.vision.settings import ModelSettings, SecondStage

MODELS = Path(__file__).resolve().parents[3] / "sources" / "vision" / "models"

corners = st_numpy.arrays(
    np.float32, st.tuples(st.integers(1, 12), st.just(4)), elements=st.floats(0, 100, width=32)
).map(lambda rows: np.hstack([np.minimum(rows[:, :2], rows[:, 2:]), np.maximum(rows[:, :2], rows[:, 2:])]))


def slow_iou(a: Any, b: Any) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / union) if union > 0 else 0.0


@given(corners, corners)
def test_iou_is_that_of_the_definition(first: np.ndarray, second: np.ndarray) -> None:
    expected = [[slow_iou(a.astype(float), b.astype(float)) for b in second] for a in first]
    assert np.allclose(iou(first, second), expected, atol=1e-3)


@given(corners, st.data())
def test_suppression_leaves_no_double_and_removes_nothing_else(boxes: np.ndarray, data: st.DataObject) -> None:
    count = len(boxes)
    scores = np.array(data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)), np.float32)
    classes = np.array(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)), np.int64)
    stay = suppress(boxes, scores, classes, 0.5)
    overlap = iou(boxes, boxes)
    assert list(scores[stay]) == sorted(scores[stay], reverse=True)
    for a in stay:
        assert not any(a != b and classes[a] == classes[b] and overlap[a, b] > 0.5 for b in stay)
    for gone in set(range(count)) - set(stay.tolist()):
        assert any(classes[s] == classes[gone] and overlap[s, gone] > 0.5 and scores[s] >= scores[gone] for s in stay)


@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from(["center", "top_left"]))
@settings(max_examples=30)
def test_boxes_find_their_way_back_into_the_picture(width: int, height: int, padding: Any) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    boxed, fit = letterbox(picture, 320, 256, padding)
    assert boxed.shape == (256, 320, 3)
    whole = np.array([[fit.left, fit.top, fit.left + width * fit.scale, fit.top + height * fit.scale]], np.float32)
    assert np.allclose(fit.back(whole), [[0, 0, width, height]], atol=1e-2 * max(width, height))


def test_yolox_is_decoded_as_its_grid_says() -> None:
    rng = np.random.default_rng(1)
    output = rng.normal(0, 0.5, (cells(64, 96), 7)).astype(np.float32)
    boxes, scores = decode("yolox", output, 64, 96)
    row = 0
    for stride in (8, 16, 32):
        for y in range(96 // stride):
            for x in range(64 // stride):
                dx, dy, w, h, sure, *classes = output[row].astype(float)
                centre = ((x + dx) * stride, (y + dy) * stride)
                half = (np.exp(w) * stride / 2, np.exp(h) * stride / 2)
                expected = [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
                assert np.allclose(boxes[row], expected, atol=1e-3)
                assert np.allclose(scores[row], [sure * c for c in classes], atol=1e-5)
                row += 1
    assert row == len(boxes)


def yolov8_output() -> np.ndarray:
    """Return an output for 64×64 and two classes with one box: centre (32, 16), 20 × 8 pixels, class 1."""
    output = np.zeros((6, cells(64, 64)), np.float32)
    output[:, 7] = [32, 16, 20, 8, 0.1, 0.9]
    return output


def options(file: Path, **more: Any) -> ModelSettings:
    return ModelSettings.model_validate({"file": str(file), "head": "yolov8", "classes": ["a", "b"], **more})


@pytest.mark.parametrize("batch", [None, 1, 2])
def test_yolov8_head_in_batches_of_any_size(tmp_path: Path, batch: int | None) -> None:
    file = constant_model(tmp_path / "m.onnx", yolov8_output(), (64, 64), batch)
    detector = Detector("m", options(file), tmp_path)
    frames = [np.zeros((128, 128, 3), np.uint8), np.zeros((64, 32, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)]
    found = detector.detect(frames)
    assert [objects.classes.tolist() for objects in found] == [[1], [1], [1]]
    assert found[0].boxes[0].tolist() == [44, 24, 84, 40]  # twice as large
    assert found[1].boxes[0].tolist() == [6, 12, 26, 20]  # 16 pixels of grey on the left
    assert found[2].scores[0] == pytest.approx(0.9)


def test_thresholds_are_those_of_the_class(tmp_path: Path) -> None:
    file = constant_model(tmp_path / "m.onnx", yolov8_output(), (64, 64), 1)
    picture = [np.zeros((64, 64, 3), np.uint8)]
    assert Detector("m", options(file, thresholds={"b": 0.95}), tmp_path).detect(picture)[0].classes.tolist() == []
    low = Detector("m", options(file, thresholds={"a": 0.05}), tmp_path)
    assert low.detect(picture)[0].classes.tolist() == [1, 0]


def test_a_model_may_say_by_itself_what_it_is(tmp_path: Path) -> None:
    said = {"head": "yolov8", "names": "{0: 'helmet', 1: 'head'}"}
    file = constant_model(tmp_path / "m.onnx", yolov8_output(), (64, 64), 1, said)
    detector = Detector("m", ModelSettings(file=file), tmp_path)
    assert detector.names == {0: "helmet", 1: "head"}
    assert detector.head == "yolov8"


def test_what_the_model_asks_for_is_taken_by_the_numbers_of_its_classes(tmp_path: Path) -> None:
    said = {"names": "{0: 'casque', 1: 'head'}", "thresholds": '{"casque": 0.05, "head": 0.95}'}
    file = constant_model(tmp_path / "m.onnx", yolov8_output(), (64, 64), 1, said)
    picture = [np.zeros((64, 64, 3), np.uint8)]
    own = Detector("m", options(file), tmp_path)
    assert own.thresholds == {"a": 0.05, "b": 0.95}
    assert own.detect(picture)[0].classes.tolist() == [1, 0], "seen is also what is not sure enough for an alarm"
    given = Detector("m", options(file, thresholds={"a": 0.2}), tmp_path)
    assert given.detect(picture)[0].classes.tolist() == [1], "the options go before it"
    assert Detector("m", options(file, threshold=0.2), tmp_path).detect(picture)[0].classes.tolist() == [1]


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": "x"}', '{"a": 1.5}', "{'a': 0.5}"])
def test_thresholds_that_cannot_be_read_are_refused(tmp_path: Path, text: str) -> None:
    file = constant_model(tmp_path / "m.onnx", yolov8_output(), (64, 64), 1, {"thresholds": text})
    with pytest.raises(ModelError, match="its metadata `thresholds`"):
        Detector("m", options(file), tmp_path)


def test_the_models_that_come_along_say_what_they_ask_for() -> None:
    for name, classes in (("helmet", {"helmet", "head", "person"}), ("fire", {"fire", "smoke"})):
        detector = Detector(name, ModelSettings(file=MODELS / f"{name}.onnx"), MODELS)
        assert set(detector.thresholds) == classes


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"head": "yolox"}, r"yolox at 64×64 with 2 classes, which is \[batch, 84, 7\]; it looks like head yolov8"),
        ({"classes": ["a"]}, "with 1 classes.*it looks like head yolov8 with 2 classes"),
        ({"classes": ["a", "b", "c"]}, "with 3 classes"),
        ({"head": None}, "does not say its head"),
        ({"sha256": "0" * 64}, "has SHA-256"),
        ({"size": [32, 32]}, "its input is 64×64"),
        ({"thresholds": {"c": 0.5}}, "thresholds names 'c'"),
        ({"providers": ["tensorrt"]}, "none of the providers tensorrt is there"),
        ({"classes": None}, "set classes"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_as_configured_is_refused(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    file = constant_model(tmp_path / "m.onnx", yolov8_output(), (64, 64), 1)
    with pytest.raises(ModelError, match=said):
        Detector("m", options(file, **more), tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="no model that ONNX Runtime runs"):
        Detector("m", options(file), tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        Detector("m", options(tmp_path / "none.onnx"), tmp_path)


def test_the_reference_model_finds_the_worker(vision_data: Path, tmp_path: Path) -> None:
    copy = shutil.copy(vision_data / "models" / "yolox_nano.onnx", tmp_path)
    model = ModelSettings.model_validate(person_model(vision_data, sha256=sha256_of(Path(copy))))
    detector = Detector("person", model, tmp_path)
    frame = pictures(vision_data / "video" / "worker-zone.gif", 15)[14]
    [objects] = detector.detect([frame])
    assert [detector.names[number] for number in objects.classes] == ["person"]
    x0, y0, x1, y1 = objects.boxes[0]
    assert 120 < x0 < 160
    assert 80 < y0 < 110
    assert 220 < x1 < 260
    assert 255 < y1 <= 270
    assert [len(each.classes) for each in detector.detect([frame, frame])] == [1, 1]


def test_a_second_stage_looks_at_the_box_it_is_shown(tmp_path: Path) -> None:
    file = classifier_of(tmp_path / "c.onnx")
    stage = SecondStage.model_validate(
        {"file": str(file), "of": ["person"], "classes": ["dark", "bright"], "margin": 0, "part": 0.5,
         "mean": [0, 0, 0], "std": [255, 255, 255], "threshold": 0.6}
    )  # fmt: skip
    classifier = Classifier("m", stage, options(file), tmp_path)
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[:50, :50] = 255
    boxes = np.array([[0, 0, 50, 100], [50, 0, 100, 100], [0, 50, 50, 100]], np.float32)
    assert [label for label, _ in classifier.classify(picture, boxes)] == ["bright", "dark", "dark"]
    assert classifier.classify(picture, boxes[:0]) == []
    with pytest.raises(ModelError, match="gives 2 scores"):
        Classifier("m", stage.model_copy(update={"classes": {2: "third"}}), options(file), tmp_path)

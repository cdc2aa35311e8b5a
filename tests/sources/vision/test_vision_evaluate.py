"""Evaluation: figures against slow references and known cases, and the command line on real data."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vision_rig import pictures as frames_of
from vision_rig import write_clip

from sources.vision import metrics
from sources.vision.__main__ import main
from sources.vision.datasets import DataError, PictureSet, VideoSet, open_data, play, read_names
from sources.vision.metrics import Span
from sources.vision.rules import Persistence

flags = st.lists(st.tuples(st.integers(0, 10), st.booleans()), max_size=40)


@given(flags, st.integers(0, 10))
def test_average_precision_is_that_of_the_definition(found: list[tuple[int, bool]], missed: int) -> None:
    scores, right = [score / 10 for score, _ in found], [hit for _, hit in found]
    objects = sum(right) + missed
    curve = metrics.curve(scores, right, objects)
    if not objects:
        assert np.isnan(curve.ap)
        return
    points = []
    for cut in sorted(set(scores), reverse=True):
        kept = [hit for score, hit in zip(scores, right, strict=True) if score >= cut]
        points.append((sum(kept) / objects, sum(kept) / len(kept)))
    area, before = 0.0, 0.0
    for recall, _ in points:
        area += (recall - before) * max(precision for other, precision in points if other >= recall)
        before = recall
    assert curve.ap == pytest.approx(area)


def test_an_object_is_found_once() -> None:
    truth = np.array([[0, 0, 10, 10]], np.float32)
    boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [5, 5, 15, 15]], np.float32)
    assert metrics.matched(boxes, np.array([0.9, 0.8, 0.7], np.float32), truth).tolist() == [True, False, False]
    assert metrics.matched(boxes, np.array([0.7, 0.8, 0.9], np.float32), truth).tolist() == [False, True, False]
    assert metrics.matched(boxes, np.array([0.7, 0.8, 0.9], np.float32), truth[:0]).tolist() == [False] * 3


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718), (0, 0, 0, 1)],
)
def test_the_interval_is_that_of_newcombe_s_table(part: int, whole: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3."""
    assert metrics.interval(part, whole) == pytest.approx((low, high), abs=5e-5)


def test_pictures_are_told_apart() -> None:
    scores, there = [0.9, 0.8, 0.0, 0.6, 0.1, 0.0], [True, True, True, False, False, False]
    found = metrics.pictures(scores, there, 0.5)
    assert (found.positives, found.negatives) == (3, 3)
    assert (found.recall, found.false_positive_rate, found.precision) == pytest.approx((2 / 3, 1 / 3, 2 / 3))
    assert found.recall_at == pytest.approx(2 / 3), "a threshold of 0.7 has no false one"


def test_events_are_raised_in_time_late_or_falsely() -> None:
    raised = [Span(1.0, 4.0), Span(12.0, 15.0), Span(31.0, 32.0)]
    found = metrics.events([Span(0.5, 5.0), Span(8.0, 14.0), Span(20.0, 25.0)], raised, 3600.0, 2.0, 3.0)
    assert (found.events, found.raised, found.within, found.false_alarms) == (3, 2, 1, 1)
    assert found.delays == pytest.approx((0.5, 4.0))
    assert found.per_hour == pytest.approx(1 / ((3600 - 4.5 - 6 - 5) / 3600))
    twice = metrics.total([found, found])
    assert (twice.events, twice.false_alarms, twice.per_hour) == (6, 2, pytest.approx(found.per_hour))


def test_alarms_follow_the_persistence_of_a_rule() -> None:
    times = [number * 0.5 for number in range(12)]
    hits = [False, True, True, False, False, False, True, True, False, False, True, True]
    spans = metrics.alarms(times, hits, Persistence(2, 2, 0.0, 0.0, 0.6))
    assert spans == [Span(1.0, 2.0), Span(3.5, 4.5), Span(5.5, 5.5)]


def write_data(folder: Path, names: list[str] | None = None) -> Path:
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    import cv2

    for number in range(3):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), np.zeros((10, 20, 3), np.uint8))
    (folder / "labels" / "0.txt").write_text("1 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.3 0.1 0.2 0.5\n")
    (folder / "labels" / "1.txt").write_text("")
    if names:
        (folder / "classes.txt").write_text("\n".join(names))
    return folder


def test_yolo_folders_are_read_with_polygons_as_boxes(tmp_path: Path) -> None:
    data = open_data(write_data(tmp_path, ["helmet", "head"]))
    assert isinstance(data, PictureSet)
    assert dict(data.names) == {0: "helmet", 1: "head"}
    assert data.unlabelled == 1
    assert data.items[0][1].classes.tolist() == [1, 0]
    assert np.allclose(data.items[0][1].boxes, [[0.4, 0.3, 0.6, 0.7], [0.1, 0.1, 0.3, 0.5]])
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "data.yaml").write_text("names: {0: helmet, 1: head}\n")
    again = open_data(tmp_path)
    assert isinstance(again, PictureSet)
    assert again.names == data.names


def test_numbered_names_are_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("0 helmet\n1 hard hat\n")
    (tmp_path / "b").write_text("helmet\nhard hat\n")
    assert read_names(tmp_path / "a") == read_names(tmp_path / "b") == ["helmet", "hard hat"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("labels/0.txt", "1 0.5 0.5\n", r"0\.txt:1: is no YOLO label"),
        ("labels/0.txt", "1 0.5 0.5 x 1\n", r"0\.txt:1: is no YOLO label"),
        ("labels/0.txt", "7 0.5 0.5 1 1\n", "labels of class 7"),
    ],
)
def test_bad_labels_are_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    write_data(tmp_path, ["helmet", "head"])
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=said):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,class,start,end\na.avi,fire,2,1\n", "before it starts"),
        ("video,class,start,end\nb.avi,fire,0,1\n", "no video b.avi"),
        ("video,class,start\na.avi,fire,0\n", "is no event"),
    ],
)
def test_bad_events_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.avi").write_bytes(b"")
    (tmp_path / "events.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        open_data(tmp_path)


def test_a_video_is_looked_at_at_the_rate_asked_for(tmp_path: Path) -> None:
    frames = [np.full((32, 32, 3), n * 8, np.uint8) for n in range(20)]
    clip = write_clip(tmp_path / "a.avi", frames, fps=20)
    times = [time for time, _ in play(clip, 5)]
    assert times == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert len(list(play(clip, None))) == 20


def yolox(data: Path) -> list[str]:
    models = data / "models"
    return ["--model", f"{models}/yolox_nano.onnx", "--head", "yolox", "--names", f"{models}/coco_classes.txt"]


def test_the_reference_model_on_labelled_pictures(
    vision_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names").write_text("person\n")
    data = vision_data / "train" / "coco_person_ccby"
    out = tmp_path / "out"
    code = main(
        ["evaluate", *yolox(vision_data), "--data", str(data), "--labels", f"{tmp_path}/names", "--out", str(out)]
    )
    assert code == 0, capsys.readouterr().err
    assert "person" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["items"] == 65
    assert report["classes"]["person"]["objects"] == 131
    assert 0.5 < report["classes"]["person"]["ap50"] < 0.65
    assert report["pictures"]["person"]["recall"] > 0.7
    assert "AP50 0.5" in (out / "pr.svg").read_text()


def test_the_reference_model_on_a_labelled_video(
    vision_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = frames_of(vision_data / "video" / "worker-zone.gif")[10:30]
    empty = np.random.default_rng(1).integers(60, 90, worker[0].shape, np.uint8)
    write_clip(tmp_path / "a.avi", [empty] * 20 + worker, fps=10)
    write_clip(tmp_path / "b.avi", [empty] * 30, fps=10)
    (tmp_path / "events.csv").write_text("video,class,start,end\na.avi,worker,2.0,4.0\n")
    out = tmp_path / "out"
    code = main(
        ["evaluate", *yolox(vision_data), "--data", str(tmp_path), "--rename", "worker=person", "--out", str(out)]
    )
    assert code == 0, capsys.readouterr().err
    found = json.loads((out / "report.json").read_text())["events"]["person"]
    assert (found["events"], found["raised"], found["within"], found["false_alarms"]) == (1, 1, 1, 0)
    assert 0.1 <= found["delays"][0] <= 0.5
    assert found["quiet_hours"] == pytest.approx(5 / 3600, rel=0.05)


def test_a_smaller_model_still_sees_persons(
    vision_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names").write_text("person\n")
    small = tmp_path / "int8.onnx"
    data = str(vision_data / "train" / "coco_person_ccby")
    arguments = ["--data", data, "--limit", "15", "--out", str(small)]
    assert main(["quantize", *yolox(vision_data), *arguments]) == 0, capsys.readouterr().err
    whole = vision_data / "models" / "yolox_nano.onnx"
    assert small.stat().st_size < whole.stat().st_size / 2
    evaluated = yolox(vision_data)
    evaluated[1] = str(small)
    more = ["--data", data, "--labels", f"{tmp_path}/names", "--out", str(tmp_path)]
    assert main(["evaluate", *evaluated, *more]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["classes"]["person"]["ap50"] > 0.35


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data", "/nowhere"], "there is no /nowhere"),
        (["--data", "{train}/neg_lomiri", "--head", "yolov8"], "it looks like head yolox with 80 classes"),
        (["--data", "{train}/hardhat_cc0", "--rename", "person=x"], "no class in common"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    vision_data: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    given = [part.replace("{train}", str(vision_data / "train")) for part in more]
    assert main(["evaluate", *yolox(vision_data), *given]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert all(part in said for part in ("events.csv", "AP50", "IoU 0.5", "examples:", "--scene"))


def test_a_folder_of_videos_is_told_from_one_of_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither pictures nor videos"):
        open_data(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"")
    assert isinstance(open_data(tmp_path), VideoSet)

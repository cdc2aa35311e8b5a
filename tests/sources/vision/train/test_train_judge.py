"""Figures, thresholds and the model card, from detections made to order."""

from pathlib import Path

import numpy as np
import pytest
from train_rig import RED, sample

from sources.vision.metrics import Pictures
from sources.vision.model import Objects
from sources.vision.train import judge
from sources.vision.train.__main__ import _repeatable
from sources.vision.train.card import Training, reached, write_card
from sources.vision.train.judge import Claim, Scores, Seen
from sources.vision.train.pictures import Sample
from sources.vision.train.recipes import Alarm
from sources.vision.train.report import Figures
from sources.vision.train.sheets import failures, sorted_out
from sources.vision.train.split import Split
from sources.vision.train.written import write_yolo

BOX = [10.0, 10.0, 50.0, 50.0]
ALARM = Alarm("red", ("red",), recall=0.85, fpr=0.05)


def objects(*rows: tuple[int, float, list[float]]) -> Objects:
    return Objects(
        np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
    )  # fmt: skip


def test_curves_count_only_pictures_where_a_class_is_labelled() -> None:
    samples = [sample(1, [BOX]), sample(2), sample(3, complete=(False, True))]
    found = [objects((0, 0.6, BOX)), objects((0, 0.9, BOX)), objects((0, 0.95, BOX))]
    curve = judge.curves(Seen(samples, found), RED.classes)["red"]
    assert curve.objects == 1
    assert curve.ap == pytest.approx(0.5), "one false box is surer than the right one, that in the third counts nothing"


def test_boxes_where_nothing_is_known_are_neither_right_nor_wrong() -> None:
    hidden = [(0, [0.0, 0.0, 100.0, 100.0])]
    seen = Seen([sample(1, [BOX]), sample(2, hidden=hidden)], [objects((0, 0.6, BOX)), objects((0, 0.9, BOX))])
    assert judge.curves(seen, RED.classes)["red"].ap == pytest.approx(1)
    half = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [6, 0, 16, 10]], np.float32)
    assert judge.unknown(half, np.array([[0, 0, 10, 20]], np.float32)).tolist() == [True, True, False]


def test_an_alarm_is_judged_where_its_absence_is_known() -> None:
    samples = [
        sample(1, [BOX]), sample(2), sample(3, complete=(False, True)), sample(4, [BOX], complete=(False, True)),
        sample(5, hidden=[(0, BOX)]),
    ]  # fmt: skip
    found = [objects((0, 0.5, BOX), (0, 0.7, BOX)), objects((1, 0.9, BOX)), *[objects()] * 3]
    scores = judge.scored(Seen(samples, found), RED.classes, ALARM)
    assert [one.file.name for one in scores.samples] == ["1.jpg", "2.jpg", "4.jpg"]
    assert scores.there.tolist() == [True, False, True]
    assert scores.sure.tolist() == pytest.approx([0.7, 0.0, 0.0])


def scores_of(sure: list[float], there: list[bool], scenes: list[str] | None = None) -> Scores:
    return Scores(np.array(sure), np.array(there), scenes or [str(n) for n in range(len(sure))], [])


def test_the_threshold_lets_no_more_false_ones_through_than_allowed() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        sure = rng.random(120).round(2).tolist()
        there = (rng.random(120) < 0.3).tolist()
        scores = scores_of(sure, there)
        threshold = judge.chosen(scores, 0.05)
        figures = judge.claim(scores, threshold).pictures
        assert figures.false_positive_rate <= 0.05
        lower = judge.claim(scores, max(0.05, threshold - 0.03)).pictures
        assert lower.false_positive_rate > 0.05 or threshold <= 0.06


def test_the_threshold_is_in_the_middle_of_the_gap() -> None:
    assert judge.chosen(scores_of([0.9, 0.8, 0.4, 0.1], [True, True, False, False]), 0.05) == pytest.approx(0.6)
    assert judge.chosen(scores_of([0.9, 0.8, 0.4, 0.2], [True, True, False, False]), 0.5) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("hits", "raised"),
    [("1", True), ("0", False), ("11", True), ("10", False), ("111", True), ("10101", True), ("1001001", False),
     ("0000010011", True), ("", True)],
)  # fmt: skip
def test_an_alarm_is_raised_by_three_of_five(hits: str, raised: bool) -> None:
    assert judge.raises([hit == "1" for hit in hits]) is raised


def test_claims_count_scenes() -> None:
    sure = [0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.9, 0.1]
    there = [True] * 6 + [False] * 3
    found = judge.claim(scores_of(sure, there, ["a"] * 3 + ["b"] * 3 + ["c", "d", "e"]), 0.5)
    assert (found.scenes, found.raised, found.quiet, found.false) == (2, 1, 3, 1)
    assert found.missed == ("b",)
    assert found.pictures.recall == pytest.approx(4 / 6)


def test_the_kept_state_is_good_at_boxes_and_at_pictures() -> None:
    samples = [sample(1, [BOX]), sample(2, [BOX], [1]), sample(3)]
    right = [objects((0, 0.9, BOX)), objects((1, 0.9, BOX)), objects()]
    aside = [objects((0, 0.9, [60.0, 60.0, 90.0, 90.0])), objects((1, 0.9, BOX)), objects()]
    blind = [objects()] * 3
    values = [
        judge.quality(Seen(samples, found), judge.curves(Seen(samples, found), RED.classes), RED)
        for found in (right, aside, blind)
    ]
    assert values[0] == pytest.approx(1)
    assert values[1] == pytest.approx(2 / 3), "the box is aside, the picture is told all the same"
    assert values[2] < 0.4


def test_names_are_sorted_as_people_do() -> None:
    assert sorted(["f10.jpg", "f9.jpg", "a.jpg", "f9b.jpg"], key=judge.natural) == [
        "a.jpg", "f9.jpg", "f9b.jpg", "f10.jpg",
    ]  # fmt: skip


def claim(recall: float, fpr: float, positives: int, scenes: tuple[int, int] = (1, 1)) -> Claim:
    return Claim(Pictures(0.5, positives, 100, recall, fpr, 0.5, 0.5), scenes[0], scenes[1], 10, 0)


def test_an_aim_is_reached_on_enough_data_only() -> None:
    assert reached(ALARM, claim(0.9, 0.04, 40))
    assert not reached(ALARM, claim(0.8, 0.04, 40))
    assert not reached(ALARM, claim(0.9, 0.06, 40))
    assert not reached(ALARM, claim(1.0, 0.0, 12)), "twelve pictures carry no claim"
    by_scene = Alarm("red", ("red",), recall=0.9, fpr=0.05, by_scene=True)
    assert reached(by_scene, claim(0.5, 0.0, 200, (20, 18)))
    assert not reached(by_scene, claim(0.99, 0.0, 200, (5, 5)))


def figures_of(samples: list[Sample], found: list[Objects]) -> Figures:
    seen = Seen(samples, found)
    curves = judge.curves(seen, RED.classes)
    claims = {"red": judge.claim(judge.scored(seen, RED.classes, RED.alarms[0]), 0.5)}
    thresholds = {"red": 0.5, "green": 0.5}
    return Figures(curves, curves, thresholds, claims, claims, (12.0, 13.4), "ab" * 32, 4_000_000, (320, 320))


def test_the_card_says_what_was_not_reached(tmp_path: Path) -> None:
    samples = [sample(1, [BOX]), sample(2, [BOX])]
    figures = figures_of(samples, [objects(), objects((0, 0.4, BOX))])
    training = Training(50, 100, 3.0, 320, 1, "python -m sources.vision.train red", "By night.")
    write_card(RED, tmp_path / "red.onnx", figures, Split([], [], samples, 4), training)
    text = (tmp_path / "red.md").read_text()
    wanted = (
        "ended early, after 50 of 100", "ships disabled", "made here", "CC0", "4 near-duplicates", "not reached",
        "red_pr.svg", "red_failures.jpg", "Squares only.", "do not count for it. By night.", "13 ms in the middle",
        "| test | 0.000 of 2 (0.00–0.66) |",
    )  # fmt: skip
    for said in wanted:
        assert said in text, said


@pytest.mark.parametrize("note", [("--note", "By night."), ("--note=By night.",), ()])
def test_the_card_s_command_can_be_given_again(note: tuple[str, ...]) -> None:
    given = ["red", "--data", "my data", *note, "--steps", "4"]
    assert _repeatable(given) == "python -m sources.vision.train red --data 'my data' --steps 4"


def test_failures_are_sorted_out_and_drawn(tmp_path: Path) -> None:
    one = sample(1, [BOX, [100, 60, 150, 110]])
    found = objects((0, 0.9, [12.0, 10.0, 52.0, 50.0]), (0, 0.8, [60.0, 60.0, 90.0, 90.0]), (0, 0.2, BOX))
    missed, false, drawn = sorted_out(one, found, RED, {"red": 0.5, "green": 0.5})
    assert (missed, false, len(drawn)) == (1, 1, 3)
    failures(Seen([one], [found]), RED, {"red": 0.5, "green": 0.5}, tmp_path / "f.jpg")
    assert (tmp_path / "f.jpg").stat().st_size > 1000


def test_a_side_is_written_as_a_yolo_folder(tmp_path: Path) -> None:
    from sources.vision.datasets import PictureSet, open_data

    write_yolo(tmp_path, [sample(1, [BOX], [1]), sample(2)], RED.classes)
    data = open_data(tmp_path)
    assert isinstance(data, PictureSet)
    assert dict(data.names) == {0: "red", 1: "green"}
    (_, labels), (_, empty) = data.items
    assert labels.classes.tolist() == [1]
    assert np.allclose(labels.boxes * [160, 120, 160, 120], [BOX], atol=0.01)
    assert len(empty.classes) == 0

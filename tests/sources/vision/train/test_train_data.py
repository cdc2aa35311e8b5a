"""Data of the training: what is read, what is known of it, what looks alike, and that no scene is on two sides."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.progress import Progress
from train_rig import RED, sample, scene, write_squares

from sources.vision.datasets import DataError
from sources.vision.train import borders, hashes
from sources.vision.train.pictures import load, scenes_of, without_doubles
from sources.vision.train.recipes import FIRE, HELMET, Part, Recipe
from sources.vision.train.split import dealt, leaks, split


def changed(picture: np.ndarray) -> np.ndarray:
    data = cv2.imencode(".jpg", cv2.resize(picture, None, fx=0.7, fy=0.7), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def test_the_same_picture_scaled_and_compressed_has_nearly_the_same_hash() -> None:
    for seed in range(5):
        same = hashes.distance(hashes.of(scene(seed))[None], hashes.of(changed(scene(seed)))[None])
        other = hashes.distance(hashes.of(scene(seed))[None], hashes.of(scene(seed + 100))[None])
        assert same[0, 0] <= 12
        assert other[0, 0] > 60


def test_pairs_are_those_of_all_with_all() -> None:
    pictures = [scene(1), scene(2), changed(scene(1)), scene(3), changed(scene(3))]
    known = np.stack([hashes.of(picture) for picture in pictures])
    assert hashes.pairs(known, 12).tolist() == [[0, 2], [3, 4]]
    assert hashes.unique(known, 12).tolist() == [True, True, False, True, False]


def test_flat_pictures_are_like_no_other() -> None:
    flat = np.stack([hashes.of(np.full((40, 40, 3), grey, np.uint8)) for grey in (10, 200)])
    assert hashes.pairs(flat, 12).tolist() == []


def test_linked_things_form_groups() -> None:
    assert hashes.joined(6, [(4, 2), (2, 1), (5, 3)]).tolist() == [0, 1, 1, 3, 1, 3]


def test_mirrored_borders_are_found() -> None:
    rng = np.random.default_rng(5)
    inner = cv2.resize(rng.integers(0, 256, (40, 60, 3), np.uint8), (200, 150), interpolation=cv2.INTER_LINEAR)
    for top, bottom, left, right in ((30, 20, 0, 0), (0, 0, 25, 25), (0, 0, 0, 0)):
        filled = cv2.copyMakeBorder(inner, top, bottom, left, right, cv2.BORDER_REFLECT)
        data = cv2.imencode(".jpg", filled, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
        found = borders.inside(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8))
        wanted = (left, top, left + 200, top + 150)
        assert np.abs(np.array(found) - wanted).max() <= 1, (found, wanted)


def test_scenes_come_from_names_and_gaps() -> None:
    part = Part("x", "", "", scene=r"^(?:(img)_(\d+)|([a-z0-9]+_mp4))", gap=12)
    names = ["img_1_a", "img_5_b", "img_40_c", "img_50_d", "fire2_mp4-7", "fire2_mp4-90", "other.jpg"]
    assert scenes_of(part, names) == [
        "img_1", "img_1", "img_40", "img_40", "fire2_mp4", "fire2_mp4", "other.jpg",
    ]  # fmt: skip


def read(recipe: Recipe, root: Path, side: int = 128) -> list:
    with Progress(disable=True) as bar:
        return load(recipe, root, side, bar)


def test_a_recipe_reads_its_folders(tmp_path: Path) -> None:
    write_squares(tmp_path)
    found = read(RED, tmp_path)
    assert len(found) == 32
    first = next(one for one in found if one.file.name == "0.png")
    x0, y0, x1, y1 = first.boxes[0].round().astype(int)
    assert (first.picture[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2] == (0, 0, 255)).all()
    assert first.complete.tolist() == [True, True]
    with pytest.raises(DataError, match="--data names the folder"):
        read(RED, tmp_path / "squares")


def test_what_a_set_does_not_label_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "set/images/a.png"), scene(1, 200, 100))
    (tmp_path / "set/labels/a.txt").write_text("0 0.5 0.5 0.2 0.4\n7 0.1 0.1 0.1 0.1\n")
    crowd = [{"file": "a.png", "crowd_ignore_xywh": [[10, 20, 30, 40]]}]
    (tmp_path / "set/attribution.json").write_text(json.dumps(crowd))
    part = Part("set", "", "", {0: "green"}, frozenset({"green"}), hidden={"red": "green"})
    recipe = Recipe("r", "r", ("red", "green"), (part,), {}, (), ())
    one = read(recipe, tmp_path, side=100)[0]
    assert one.picture.shape == (50, 100, 3)
    assert one.classes.tolist() == [1]
    assert one.boxes[0].tolist() == pytest.approx([40, 15, 60, 35], abs=0.01)
    assert one.complete.tolist() == [False, True]
    assert one.hidden_classes.tolist() == [0, 0, 1]
    assert one.hidden.round(2).tolist() == [[40, 15, 60, 35], [5, 10, 20, 30], [5, 10, 20, 30]]


def test_scenes_that_share_a_picture_or_its_mirror_image_are_one(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for name, picture in {
        "a__1": scene(1), "a__2": scene(2), "b__1": changed(scene(2)), "b__2": scene(3), "c__1": scene(3)[:, ::-1],
        "d__1": scene(4),
    }.items():  # fmt: skip
        cv2.imwrite(str(tmp_path / "set" / f"{name}.png"), picture)
    recipe = Recipe("r", "r", ("red",), (Part("set", "", "", scene="^(.+?)__"),), {}, (), ())
    assert [one.scene for one in read(recipe, tmp_path)] == ["set/a"] * 5 + ["set/d"]


def test_near_duplicates_go() -> None:
    kept = without_doubles([sample(1), sample(2), sample(3, picture=changed(scene(1)))])
    assert [one.file.name for one in kept] == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 20, 100])
def test_every_scene_is_dealt(count: int) -> None:
    sides = dealt(count)
    assert len(sides) == count
    assert 0 in sides
    if count >= 3:
        assert set(sides) == {0, 1, 2}


def test_no_scene_is_on_two_sides_and_kinds_are_shared_alike() -> None:
    samples = [sample(number, [[1, 1, 20, 20]], [number % 2], scene_name=f"set/{number // 4}") for number in range(200)]
    samples += [sample(1000 + number, scene_name=f"set/n{number}") for number in range(50)]
    parts = split(samples, 3)
    sides = [{one.scene for one in side} for side in parts.sides.values()]
    assert not (sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2])
    assert set.union(*sides) == {one.scene for one in samples}
    shown = [sum(len(one.classes) > 0 for one in side) for side in parts.sides.values()]
    assert shown == [128, 32, 40], "32, 8 and 10 of 50 scenes"
    again = split(samples, 3)
    assert [one.file for one in again.test] == [one.file for one in parts.test]
    assert [one.file for one in split(samples, 4).test] != [one.file for one in parts.test]


def test_scenes_can_be_held() -> None:
    samples = [sample(number, scene_name=f"set/{number}") for number in range(12)]
    parts = split(samples, 1, {"set/3": "test", "set/4": "validation", "set/5": "training"})
    assert "set/3" in {one.scene for one in parts.test}
    assert "set/4" in {one.scene for one in parts.validation}
    assert "set/5" in {one.scene for one in parts.train}


def test_leaks_are_counted() -> None:
    assert leaks([sample(1), sample(2)], [sample(3, picture=changed(scene(2)))]) == 1
    assert leaks([sample(1)], [sample(2)]) == 0


@pytest.mark.parametrize("recipe", [HELMET, FIRE], ids=lambda recipe: recipe.name)
def test_shipped_recipes_agree_with_themselves(recipe: Recipe) -> None:
    for part in recipe.parts:
        assert set(part.classes.values()) | part.complete | set(part.hidden) <= set(recipe.classes), part.folder
        assert part.licence
        assert part.source
    assert set(recipe.aims) | set(recipe.judged) <= set(recipe.classes)
    assert all(name in recipe.classes for alarm in recipe.alarms for name in alarm.classes)


def test_unlabelled_smoke_and_persons_are_masked() -> None:
    flames = next(part for part in FIRE.parts if part.folder == "fire_aj_ccby4")
    assert flames.complete == {"fire"}
    workers = next(part for part in HELMET.parts if part.folder == "hardhat_cc0")
    assert workers.complete == {"helmet", "head"}
    assert any("60623" in part.skip for part in FIRE.parts), "the candle is no picture without fire"


def test_the_real_helmet_set_loses_its_mirrors(vision_data: Path) -> None:
    folder = vision_data / "train" / "hardhat_cc0" / "images"
    if not folder.is_dir():
        pytest.skip("the training pictures are not here")
    cut = 0
    for file in sorted(folder.iterdir())[:24]:
        picture = np.asarray(cv2.imread(str(file)), np.uint8)
        left, top, right, bottom = borders.inside(picture)
        cut += (left, top) != (0, 0) or (right, bottom) != picture.shape[1::-1]
    assert cut >= 18, "nearly all of these pictures were filled up to a square"

"""Training pictures: boxes stay on their objects, and what is not known stays unknown."""

import cv2
import numpy as np
import pytest
from train_rig import sample

from sources.vision.train.augment import CELL, Deck, Look, carried, example, forget, recolour

RED = np.array([40, 40, 250])


def marked(seed: int, **more: object) -> object:
    picture = np.full((120, 160, 3), 30, np.uint8)
    picture[40:80, 50:110] = RED
    return sample(seed, [[50, 40, 110, 80]], picture=picture, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_stay_on_their_objects(mosaic: float) -> None:
    plain = Look(mosaic=mosaic, grey=0, hue=0)
    boxes = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        made = example(rng, [marked(number) for number in range(4)], 320, plain)
        red = made.picture[:, :, 2].astype(int) - made.picture[:, :, 0] > 60
        for x0, y0, x1, y1 in made.boxes.round().astype(int):
            inside = red[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
            assert inside.size == 0 or inside.mean() > 0.9
            red[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = False
            boxes += 1
        # The outermost pixels are blurred into the next cell.
        rest = cv2.erode(red.astype(np.uint8), np.ones((5, 5), np.uint8))
        for row, column in np.argwhere(rest):
            assert not made.known[0, row // CELL, column // CELL], "an object too cut for a box is unknown"
    assert boxes > 20


def test_unlabelled_classes_are_unknown_in_their_quarter_only() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        four = [marked(0, complete=(True, False)), *(marked(number) for number in range(1, 4))]
        made = example(rng, four, 320, Look(mosaic=1.0))
        unknown = ~made.known[1]
        assert unknown[0, 0]
        rows, columns = np.flatnonzero(unknown.any(axis=1)), np.flatnonzero(unknown.any(axis=0))
        assert unknown[: rows[-1] + 1, : columns[-1] + 1].all()
        assert not unknown[-1, -1]
        assert (rows[-1] + 1) * CELL % 32 == 0, "quarters end where cells of the coarsest stride end"


def test_hidden_places_travel_with_the_picture() -> None:
    hidden = sample(1, hidden=[(1, [0, 0, 160, 120])])
    made = example(np.random.default_rng(0), [hidden] * 4, 320, Look(mosaic=0.0))
    assert made.known[0].all()
    assert not made.known[1].all()


def test_flips_turn_boxes_round() -> None:
    flip = np.array([[-2.0, 0, 100], [0, 1, 5]])
    assert carried(np.array([[10, 20, 30, 40]], np.float32), flip).tolist() == [[40, 25, 80, 45]]


def test_cells_that_a_box_touches_are_forgotten() -> None:
    known = np.ones((4, 4), np.bool_)
    forget(known, [9, -5, 17, 8])
    assert np.argwhere(~known).tolist() == [[0, 1], [0, 2]]


def test_the_same_numbers_make_the_same_example() -> None:
    four = [marked(number) for number in range(4)]
    first, second = (example(np.random.default_rng(7), four, 320, Look()) for _ in range(2))
    assert (first.picture == second.picture).all()
    assert (first.boxes == second.boxes).all()


def test_recolouring_keeps_the_shape_and_changes_the_picture() -> None:
    picture = sample(1).picture
    changed = [recolour(np.random.default_rng(seed), picture, Look(grey=0.5)) for seed in range(20)]
    assert all(one.shape == picture.shape and one.dtype == np.uint8 for one in changed)
    assert sum((one != picture).mean() > 0.3 for one in changed) > 12
    assert any((one[:, :, 0] == one[:, :, 2]).all() for one in changed), "some are grey"


def test_a_long_scene_and_a_common_class_do_not_crowd_out_the_others() -> None:
    box = [[10, 10, 60, 60]]
    samples = [sample(number, box, [0], scene_name="set/long") for number in range(64)]
    samples += [sample(100 + number, box, [0]) for number in range(8)]
    samples += [sample(200 + number, box, [1]) for number in range(4)]
    samples += [sample(300 + number) for number in range(100)]
    shares = Deck(samples).shares
    assert shares.sum() == pytest.approx(1)
    assert shares[:64].sum() == pytest.approx(shares[64:72].sum()), "√64 is 8"
    assert shares[72:76].sum() == pytest.approx(shares[:72].sum() / 2), "a quarter of the pictures, half of the draws"
    assert shares[76:].sum() == pytest.approx(0.25)

"""Flames of one picture in another: labelled where they are, and put nowhere else."""

import numpy as np
import pytest
from train_rig import sample

from sources.vision.train.augment import Deck
from sources.vision.train.flames import Flames, glow

FIRE = 0


def burning(seed: int) -> object:
    """Return a sample with a flame of 40 x 40 pixels in the middle of a box of 60 x 60."""
    picture = np.full((160, 160, 3), 20, np.uint8)
    picture[60:100, 60:100] = (30, 140, 250)
    return sample(seed, [[50, 50, 110, 110]], picture=picture)


def dark(seed: int, **more: object) -> object:
    return sample(seed, picture=np.full((200, 300, 3), 40, np.uint8), **more)  # type: ignore[arg-type]


def test_only_what_glows_is_taken() -> None:
    (flame,) = Flames([burning(1)], FIRE).cut
    assert 38 <= flame.shape[0] <= 50
    assert flame[2:-2, 2:-2].max() > 0.9
    cold = sample(2, [[50, 50, 110, 110]], picture=np.full((160, 160, 3), (200, 60, 60), np.uint8))
    assert not Flames([cold], FIRE).cut


def test_a_flame_that_goes_on_beyond_its_box_is_not_taken() -> None:
    cut_off = sample(3, [[65, 65, 95, 95]], picture=burning(3).picture)
    assert not Flames([cut_off], FIRE).cut


def test_flames_are_labelled_where_they_are() -> None:
    flames, found = Flames([burning(1)], FIRE), 0
    for seed in range(20):
        lit = flames.put(np.random.default_rng(seed), dark(2))
        assert len(lit.boxes) == len(lit.classes) > 0
        changed = (lit.picture != 40).any(axis=2)
        for left, top, right, bottom in lit.boxes.round().astype(int):
            assert glow(lit.picture)[top:bottom, left:right].max() > 0.5
            changed[top:bottom, left:right] = False
            found += 1
        assert not changed.any()
    assert found > 20


@pytest.mark.parametrize(
    "untouched",
    [
        burning(4),
        dark(5, complete=(False, True)),
        dark(6, hidden=[(FIRE, [0, 0, 100, 100])]),
    ],
    ids=["burns", "may burn unlabelled", "may burn in a place"],
)
def test_no_flame_is_put_where_fire_is_or_may_be(untouched: object) -> None:
    flames = Flames([burning(1)], FIRE)
    assert flames.put(np.random.default_rng(0), untouched) is untouched


def test_a_deck_lights_its_share() -> None:
    deck = Deck([dark(number) for number in range(10)], flames=Flames([burning(1)], FIRE), lit=0.4)
    drawn = deck.draw(np.random.default_rng(0), 400)
    assert 0.3 < np.mean([one.has(FIRE) for one in drawn]) < 0.5

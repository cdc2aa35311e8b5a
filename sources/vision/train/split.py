"""Splits samples by scene into training, validation and test: no scene is on two sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sources.vision.train import hashes
from sources.vision.train.pictures import SCENE, Sample, stacked, without_doubles

VALIDATION, TEST = 0.15, 0.2  # shares of the scenes
_SIDES = ("training", "validation", "test")


@dataclass(frozen=True, slots=True)
class Split:
    """The three sides, near-duplicates removed in each, and how many these were."""

    train: list[Sample]
    validation: list[Sample]
    test: list[Sample]
    doubles: int

    @property
    def sides(self) -> Mapping[str, list[Sample]]:
        """The sides by name."""
        return dict(zip(_SIDES, (self.train, self.validation, self.test), strict=True))


def split(samples: Sequence[Sample], seed: int, held: Mapping[str, str] | None = None) -> Split:
    """Deal out scenes, seeded, those of each kind (folder, classes, one picture or many) in the same shares.

    `held` says the side ("training", "validation", "test") of some scenes.
    """
    scenes: dict[str, list[Sample]] = {}
    for sample in samples:
        scenes.setdefault(sample.scene, []).append(sample)
    kinds: dict[tuple[object, ...], list[str]] = {}
    sides: tuple[list[Sample], list[Sample], list[Sample]] = ([], [], [])
    for name, members in sorted(scenes.items()):
        if held and name in held:
            sides[_SIDES.index(held[name])].extend(members)
            continue
        shown = tuple(sorted({int(number) for sample in members for number in sample.classes}))
        kinds.setdefault((members[0].folder, shown, len(members) > 2), []).append(name)
    rng = np.random.default_rng(seed)
    for kind in sorted(kinds, key=repr):
        names = kinds[kind]
        for name, side in zip(rng.permutation(names).tolist(), dealt(len(names)), strict=True):
            sides[side].extend(scenes[name])
    train, validation, test = (without_doubles(side) for side in sides)
    return Split(train, validation, test, len(samples) - len(train) - len(validation) - len(test))


def dealt(count: int) -> list[int]:
    """Return the side, 0 training, 1 validation, 2 test, of each of `count` scenes; the first go to the test."""
    test = round(count * TEST) if count > 3 else int(count == 3)
    validation = round(count * VALIDATION) if count > 3 else int(count >= 2)
    return [2] * test + [1] * validation + [0] * (count - test - validation)


def leaks(first: Sequence[Sample], second: Sequence[Sample]) -> int:
    """Return how many pictures of one side look like one of another: 0 for a clean split."""
    if not first or not second:
        return 0
    ours, theirs = stacked(first), stacked(second)
    return int((hashes.distance(ours, theirs) <= SCENE).any(axis=1).sum())

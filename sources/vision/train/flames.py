"""Puts flames of the training's fires into pictures without: what burns is learnt apart from where it burnt."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from sources.vision.boxes import Boxes, Image, iou
from sources.vision.train.pictures import Sample

_LEAST_SIDE, _LEAST_SHARE = 24, 0.12  # of a flame that is worth taking: pixels a side, share of its box that glows
_CUT_OFF = 0.2  # share of its box's border that glows, from which on a flame goes on beyond it
_SMALL, _LARGE, _BLOWN_UP = 0.05, 0.35, 1.5  # side of a flame in shares of the picture's, and most that it is enlarged
_BRIGHT = 140  # where it is brighter than this, light that is added shows no flame
_FIRES = 3  # in one picture at most


class Flames:
    """The flames of class `number` in training samples."""

    def __init__(self, samples: Sequence[Sample], number: int) -> None:
        self._number = number
        cut = (_cut(sample, box) for sample in samples for box in sample.boxes[sample.classes == number].tolist())
        self.cut: list[NDArray[np.float32]] = [flame for flame in cut if flame is not None]
        """Flames on black, float32[h, w, 3] from 0 to 1."""

    def put(self, rng: np.random.Generator, sample: Sample) -> Sample:
        """Return a sample with one flame or more in it, labelled; as it is where it burns or may burn already."""
        taken = sample.has(self._number) or bool((sample.hidden_classes == self._number).any())
        if not self.cut or taken or not sample.complete[self._number]:
            return sample
        picture, boxes = sample.picture.copy(), np.zeros((0, 4), np.float32)
        for _ in range(int(rng.integers(1, _FIRES + 1))):
            boxes = _lit(rng, picture, self.cut[int(rng.integers(len(self.cut)))], boxes)
        numbers = np.full(len(boxes), self._number, np.int64)
        return replace(
            sample, picture=picture, classes=np.concatenate([sample.classes, numbers]),
            boxes=np.concatenate([sample.boxes, boxes]).astype(np.float32),
        )  # fmt: skip


def glow(picture: Image) -> NDArray[np.float32]:
    """Return how much each pixel looks like a flame, from 0 to 1: bright, from red to yellow, or white with heat."""
    hue, saturation, value = (part.astype(np.float32) for part in cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)))
    warm = ((hue < 28) | (hue > 174)) * np.clip((saturation - 70) / 60, 0, 1) * np.clip((value - 120) / 60, 0, 1)
    white = np.clip((value - 235) / 15, 0, 1) * (hue < 35)
    return np.asarray(cv2.GaussianBlur(np.maximum(warm, white).astype(np.float32), (0, 0), 1.2), np.float32)


def _cut(sample: Sample, box: Sequence[float]) -> NDArray[np.float32] | None:
    left, top, right, bottom = (round(value) for value in box)
    part = sample.picture[max(0, top) : bottom, max(0, left) : right]
    if min(part.shape[:2]) < _LEAST_SIDE:
        return None
    mask = glow(part)
    rows, columns = (np.flatnonzero(mask.max(axis=axis) > 0.3) for axis in (1, 0))
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    if border > _CUT_OFF or mask.mean() < _LEAST_SHARE or len(rows) < _LEAST_SIDE or len(columns) < _LEAST_SIDE:
        return None
    flame = part.astype(np.float32) / 255 * mask[:, :, None]
    return np.asarray(flame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.float32)


def _lit(rng: np.random.Generator, picture: Image, flame: NDArray[np.float32], before: Boxes) -> Boxes:
    """Put a flame somewhere and return the boxes with its own; it adds light, so that dark parts of it show nothing."""
    height, width = picture.shape[:2]
    side = float(np.exp(rng.uniform(np.log(_SMALL), np.log(_LARGE)))) * max(height, width)
    scale = min(side / max(flame.shape[:2]), _BLOWN_UP)
    size = [max(8, round(length * scale * float(np.exp(rng.uniform(-0.2, 0.2))))) for length in flame.shape[1::-1]]
    size = min(size[0], width - 1), min(size[1], height - 1)
    left, top = int(rng.integers(0, width - size[0])), int(rng.integers(0, height - size[1]))
    box = np.array([left, top, left + size[0], top + size[1]], np.float32)
    place = picture[top : top + size[1], left : left + size[0]]
    if iou(box[None], before).max(initial=0.0) > 0.1 or place.mean() > _BRIGHT:
        return before
    shown = cv2.resize(flame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    shown = shown[:, ::-1] if rng.random() < 0.5 else shown
    light = 1 - (1 - place.astype(np.float32) / 255) * (1 - np.clip(shown * rng.uniform(0.8, 1.2), 0, 1))
    place[:] = np.clip(light * 255, 0, 255).astype(np.uint8)
    return np.concatenate([before, box[None]])

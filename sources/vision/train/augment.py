"""Makes training pictures out of samples: four in one, scaled, cut, flipped, recoloured. NumPy and OpenCV only."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sources.vision.boxes import Boxes, Image, area
from sources.vision.train.flames import Flames
from sources.vision.train.pictures import Sample

CELL = 8
"""Pixels of a cell of the map of what is known: the finest stride of the head."""
_GREY = 114
_COARSE = 32  # four pictures meet at a multiple of the coarsest stride
_LEFT, _LEAST = 0.35, 5.0  # an object stays if this share of it and so many pixels a side are left


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """What the network learns from: a picture uint8[s, s, 3], classes int64[n], boxes float32[n, 4] in pixels.

    `known` bool[classes, s / 8, s / 8] says where no object of a class means that there is none.
    """

    picture: Image
    classes: NDArray[np.int64]
    boxes: Boxes
    known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Look:
    """How far pictures are changed: share of four in one, of grey ones, turn of the hue (shares of the circle)."""

    mosaic: float = 0.5
    grey: float = 0.05
    hue: float = 0.02


def example(rng: np.random.Generator, samples: Sequence[Sample], side: int, look: Look) -> Example:
    """Make one example of the first sample, or with some luck of the first four; `side` is a multiple of 32."""
    canvas = np.full((side, side, 3), _GREY, np.uint8)
    known = np.ones((len(samples[0].complete), side // CELL, side // CELL), np.bool_)
    classes: list[NDArray[np.int64]] = []
    boxes: list[Boxes] = []
    for sample, (left, top, right, bottom) in zip(samples, _tiles(rng, side, len(samples), look), strict=False):
        matrix = _placing(rng, sample.picture.shape[1::-1], right - left, bottom - top, four=right - left < side)
        size = (right - left, bottom - top)
        canvas[top:bottom, left:right] = cv2.warpAffine(
            sample.picture, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(_GREY, _GREY, _GREY)
        )
        part = known[:, top // CELL : bottom // CELL, left // CELL : right // CELL]
        part &= sample.complete[:, None, None]
        numbers, placed, lost, lost_classes = _moved(sample, matrix, size)
        for number, box in [*zip(lost_classes.tolist(), lost.tolist(), strict=True)]:
            forget(part[number], box)
        classes.append(numbers)
        boxes.append(placed + np.array([left, top, left, top], np.float32))
    recoloured = recolour(rng, canvas, look)
    return Example(recoloured, np.concatenate(classes), np.concatenate(boxes).astype(np.float32), known)


def forget(known: NDArray[np.bool_], box: Sequence[float]) -> None:
    """Make the cells that a box touches unknown."""
    x0, y0, x1, y1 = (value / CELL for value in box)
    known[max(0, int(y0)) : max(0, int(np.ceil(y1))), max(0, int(x0)) : max(0, int(np.ceil(x1)))] = False


def _tiles(rng: np.random.Generator, side: int, count: int, look: Look) -> list[tuple[int, int, int, int]]:
    if count < 4 or rng.random() >= look.mosaic:
        return [(0, 0, side, side)]
    x, y = (round(rng.uniform(0.3, 0.7) * side / _COARSE) * _COARSE for _ in range(2))
    return [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]


def _placing(
    rng: np.random.Generator, size: tuple[int, ...], width: int, height: int, *, four: bool
) -> NDArray[np.float64]:
    """Return the matrix that scales, moves and perhaps flips a picture into a tile; more often larger in a quarter."""
    low, high = (0.9, 2.0) if four else (0.65, 1.5)
    scale = min(width / size[0], height / size[1]) * float(np.exp(rng.uniform(np.log(low), np.log(high))))
    stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
    wide, high_ = scale * stretch, scale / stretch
    x, y = (rng.uniform(0, 1) * (room - length * factor)
            for room, length, factor in ((width, size[0], wide), (height, size[1], high_)))  # fmt: skip
    if rng.random() < 0.5:
        return np.array([[-wide, 0, x + size[0] * wide], [0, high_, y]], np.float64)
    return np.array([[wide, 0, x], [0, high_, y]], np.float64)


def _moved(
    sample: Sample, matrix: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.int64], Boxes, Boxes, NDArray[np.int64]]:
    """Return classes and boxes in a tile, and the places (with their classes) of which nothing may be said."""
    boxes = carried(sample.boxes, matrix)
    clipped = np.clip(boxes, 0, [*size, *size]).astype(np.float32)
    shares = area(clipped) / np.maximum(area(boxes), 1e-6)
    sides = np.minimum(clipped[:, 2] - clipped[:, 0], clipped[:, 3] - clipped[:, 1])
    stays = (shares >= _LEFT) & (sides >= _LEAST)
    rest = ~stays & (shares > 0)
    lost = np.concatenate([clipped[rest], carried(sample.hidden, matrix)])
    return sample.classes[stays], clipped[stays], lost, np.concatenate([sample.classes[rest], sample.hidden_classes])


def carried(boxes: Boxes, matrix: NDArray[np.float64]) -> Boxes:
    """Return boxes after a matrix that scales, flips and moves."""
    x, y = boxes[:, ::2] * matrix[0, 0] + matrix[0, 2], boxes[:, 1::2] * matrix[1, 1] + matrix[1, 2]
    return np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1).astype(np.float32)


def recolour(rng: np.random.Generator, picture: Image, look: Look) -> Image:
    """Change hue, saturation, brightness and contrast, take the colour, blur or compress, each now and then."""
    result = picture
    if rng.random() < 0.8:
        hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
        turn = rng.uniform(-look.hue, look.hue) * 180
        steps = np.arange(256, dtype=np.float32)
        tables = [
            ((steps + turn) % 180).astype(np.uint8),
            np.clip(steps * rng.uniform(0.6, 1.4), 0, 255).astype(np.uint8),
            np.clip((steps / 255) ** np.exp(rng.uniform(-0.4, 0.4)) * 255 * rng.uniform(0.7, 1.25), 0, 255),
        ]
        parts = [cv2.LUT(hsv[:, :, place], table.astype(np.uint8)) for place, table in enumerate(tables)]
        result = cv2.cvtColor(cv2.merge(parts), cv2.COLOR_HSV2BGR)
    if rng.random() < look.grey:
        result = cv2.cvtColor(cv2.cvtColor(result, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    kind = rng.random()
    if kind < 0.08:
        result = cv2.GaussianBlur(result, (0, 0), float(rng.uniform(0.4, 1.4)))
    elif kind < 0.16:
        data = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 70))])[1]
        result = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(result, np.uint8)


class Deck:
    """Draws samples by chance so that scenes of many pictures and common classes do not crowd out the others.

    A scene with n pictures comes √n times as often as one with one, a class with a quarter of another's pictures half
    as often as that, and at most `empty` of the draws show no object; `lit` of those that may get `flames` get some.
    """

    def __init__(
        self, samples: Sequence[Sample], empty: float = 0.25, flames: Flames | None = None, lit: float = 0.0
    ) -> None:
        self.samples = samples
        self._flames, self._lit = flames, lit
        sizes: dict[str, int] = {}
        for sample in samples:
            sizes[sample.scene] = sizes.get(sample.scene, 0) + 1
        weights = np.array([sizes[sample.scene] ** -0.5 for sample in samples], np.float64)
        shown = np.array([[sample.has(number) for number in range(len(sample.complete))] for sample in samples])
        mass = weights @ shown
        lift = np.sqrt(mass.max(initial=0.0) / np.maximum(mass, 1e-9))
        weights *= np.where(shown, lift, 0.0).max(axis=1, initial=0.0) + ~shown.any(axis=1)
        bare = ~shown.any(axis=1)
        if bare.any() and not bare.all():
            most = weights[~bare].sum() * empty / (1 - empty)
            weights[bare] *= min(1.0, most / weights[bare].sum())
        self.shares = weights / weights.sum()
        """Each sample's share of the draws, float64[n]."""

    def draw(self, rng: np.random.Generator, count: int) -> list[Sample]:
        """Return samples by chance, with repetition."""
        drawn = [self.samples[place] for place in rng.choice(len(self.samples), count, p=self.shares).tolist()]
        if self._flames is None:
            return drawn
        return [self._flames.put(rng, sample) if rng.random() < self._lit else sample for sample in drawn]

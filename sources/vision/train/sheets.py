"""A sheet of small pictures that shows where a model is wrong on held-out scenes."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from sources.vision.boxes import Image
from sources.vision.model import Objects
from sources.vision.train.judge import Seen, closest, unknown
from sources.vision.train.pictures import Sample
from sources.vision.train.recipes import Recipe

_COLUMNS, _ROWS, _TILE = 4, 3, 224
_LABEL, _MISSED, _FALSE, _RIGHT = 18, (0, 215, 255), (40, 40, 230), (60, 170, 60)


def failures(seen: Seen, recipe: Recipe, thresholds: Mapping[str, float], file: Path) -> None:
    """Write the worst pictures, one a scene: missed objects yellow, false ones red, found ones green."""
    ranked: list[tuple[float, Sample, Objects]] = []
    for sample, found in zip(seen.samples, seen.found, strict=True):
        missed, false, _ = sorted_out(sample, found, recipe, thresholds)
        if missed or false:
            ranked.append((missed + 1.5 * false, sample, found))
    ranked.sort(key=lambda row: (-row[0], row[1].file.name))
    chosen: dict[str, Image] = {}
    for _, sample, found in ranked:
        if sample.scene not in chosen and len(chosen) < _COLUMNS * _ROWS:
            chosen[sample.scene] = _tile(sample, found, recipe, thresholds)
    blank = np.full((_TILE + _LABEL, _TILE, 3), 255, np.uint8)
    tiles = [*chosen.values(), *[blank] * (-len(chosen) % _COLUMNS)] or [blank] * _COLUMNS
    rows = [np.hstack(tiles[first : first + _COLUMNS]) for first in range(0, len(tiles), _COLUMNS)]
    if not cv2.imwrite(str(file), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 80]):
        raise OSError(f"{file} cannot be written")


def sorted_out(
    sample: Sample, found: Objects, recipe: Recipe, thresholds: Mapping[str, float]
) -> tuple[int, int, list[tuple[tuple[float, ...], tuple[int, int, int], str]]]:
    """Return how many objects were missed and wrongly seen, and the boxes to draw, with colour and text."""
    drawn: list[tuple[tuple[float, ...], tuple[int, int, int], str]] = []
    missed = false = 0
    for number, name in enumerate(recipe.classes):
        if name not in recipe.judged or not sample.complete[number]:
            continue
        truths = sample.boxes[sample.classes == number]
        sure = (found.classes == number) & (found.scores >= thresholds[name])
        sure[sure] = ~unknown(found.boxes[sure], sample.hidden[sample.hidden_classes == number])
        for box, score in zip(found.boxes[sure], found.scores[sure].tolist(), strict=True):
            right = closest(box, truths) >= 0.5
            false += not right
            drawn.append((tuple(box.tolist()), _RIGHT if right else _FALSE, f"{name} {score:.2f}"))
        for box in truths:
            if closest(box, found.boxes[sure]) < 0.5:
                missed += 1
                drawn.append((tuple(box.tolist()), _MISSED, name))
    return missed, false, drawn


def _tile(sample: Sample, found: Objects, recipe: Recipe, thresholds: Mapping[str, float]) -> Image:
    height, width = sample.picture.shape[:2]
    scale = min(_TILE / width, _TILE / height)
    inner = cv2.resize(sample.picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    for box, colour, text in sorted_out(sample, found, recipe, thresholds)[2]:
        x0, y0, x1, y1 = (round(value * scale) for value in box)
        cv2.rectangle(inner, (x0, y0), (x1, y1), colour, 1)
        cv2.putText(inner, text, (x0, max(8, y0 - 2)), cv2.FONT_HERSHEY_SIMPLEX, 0.3, colour, 1, cv2.LINE_AA)
    tile = np.full((_TILE + _LABEL, _TILE, 3), 255, np.uint8)
    tile[: inner.shape[0], : inner.shape[1]] = inner
    name = sample.file.name.split("_jpg")[0].encode("ascii", "replace").decode()[:36]
    cv2.putText(tile, name, (2, _TILE + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (0, 0, 0), 1, cv2.LINE_AA)
    return tile

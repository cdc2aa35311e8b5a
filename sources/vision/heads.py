"""Output layouts of detectors: what shape they must have, and how they become boxes and scores."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sources.vision.boxes import Boxes
from sources.vision.settings import HeadName

STRIDES = (8, 16, 32)

Scored = tuple[Boxes, NDArray[np.float32]]
"""Boxes float32[n, 4] in pixels of the model's input, and scores float32[n, classes] from 0 to 1."""


class ModelError(Exception):
    """A model that cannot be used as it is configured, in one sentence."""


def cells(width: int, height: int) -> int:
    """Return how many boxes a head of three strides predicts for an input."""
    return sum((width // stride) * (height // stride) for stride in STRIDES)


def expected_shape(head: HeadName, width: int, height: int, classes: int) -> tuple[int, int]:
    """Return the shape of one picture's output."""
    count = cells(width, height)
    return (count, 5 + classes) if head == "yolox" else (4 + classes, count)


def check(head: HeadName, shape: Sequence[int], width: int, height: int, classes: int) -> None:
    """Compare a real output's shape, batch included, with what the head promises; raises ModelError."""
    expected = expected_shape(head, width, height, classes)
    if tuple(shape[1:]) == expected:
        return
    said = f"its output {list(shape)} does not fit head {head} at {width}×{height} with {classes} classes"
    raise ModelError(f"{said}, which is [batch, {expected[0]}, {expected[1]}]{_hint(shape, width, height)}")


def _hint(shape: Sequence[int], width: int, height: int) -> str:
    """Say what the output looks like instead; empty when it looks like nothing known."""
    count = cells(width, height)
    if len(shape) != 3:
        return "; it has " + ("one box a row, as after a built-in suppression" if len(shape) == 2 else "another rank")
    if shape[1] == count and shape[2] > 5:
        return f"; it looks like head yolox with {shape[2] - 5} classes"
    if shape[2] == count and shape[1] > 4:
        return f"; it looks like head yolov8 with {shape[1] - 4} classes"
    return ""


def decode(head: HeadName, output: NDArray[np.float32], width: int, height: int) -> Scored:
    """Return boxes and scores of one picture's output."""
    return _yolox(output, width, height) if head == "yolox" else _yolov8(output)


def _yolox(output: NDArray[np.float32], width: int, height: int) -> Scored:
    """Decode rows of offset, log size, objectness and class scores, both already through the sigmoid."""
    grid, strides = _grid(width, height)
    centres = (output[:, :2] + grid) * strides
    # Beyond e**20 no picture is as wide; the cap keeps a broken model's numbers finite.
    sizes = np.exp(np.minimum(output[:, 2:4], 20)) * strides
    return _corners(centres, sizes), output[:, 4:5] * output[:, 5:]


def _yolov8(output: NDArray[np.float32]) -> Scored:
    """Decode columns of centre, size (pixels) and class scores."""
    return _corners(output[:2].T, output[2:4].T), np.ascontiguousarray(output[4:].T)


def _corners(centres: NDArray[np.float32], sizes: NDArray[np.float32]) -> Boxes:
    return np.hstack([centres - sizes / 2, centres + sizes / 2]).astype(np.float32)


@lru_cache(maxsize=16)
def _grid(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return column and row of each cell, float32[n, 2], and its stride, float32[n, 1]."""
    places: list[NDArray[np.float32]] = []
    strides: list[NDArray[np.float32]] = []
    for stride in STRIDES:
        columns, rows = width // stride, height // stride
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        places.append(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32))
        strides.append(np.full((rows * columns, 1), stride, np.float32))
    return np.concatenate(places), np.concatenate(strides)

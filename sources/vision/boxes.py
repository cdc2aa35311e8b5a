"""Boxes as float32[n, 4] in pixels, x0 y0 x1 y1: overlap, suppression of doubles, and the fit of a picture."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A picture: uint8[height, width, 3], blue, green, red."""
Boxes = NDArray[np.float32]
Padding = Literal["top_left", "center"]

_GREY = 114  # what detectors of the YOLO family are trained to see around a picture
_MOST = 1000  # boxes that suppression looks at, the surest first


def iou(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """Return intersection over union of each of n boxes with each of m, float32[n, m]; 0 for empty boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    union = area(first)[:, None] + area(second)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def area(boxes: Boxes) -> NDArray[np.float32]:
    """Return the area of each box in square pixels; 0 where it is inside out."""
    return np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)


def suppress(boxes: Boxes, scores: NDArray[np.float32], classes: NDArray[np.int64], limit: float) -> NDArray[np.int64]:
    """Return which boxes stay, the surest first: none overlaps a surer one of its class by more than `limit`."""
    order = np.argsort(-scores, kind="stable")[:_MOST]
    overlaps = (iou(boxes[order], boxes[order]) > limit) & (classes[order][:, None] == classes[order][None, :])
    stays = np.ones(len(order), np.bool_)
    for place in range(len(order)):
        if stays[place]:
            stays[place + 1 :] &= ~overlaps[place, place + 1 :]
    return order[stays]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture lies in a model's input: scaled by `scale`, then moved by `left` and `top` pixels."""

    scale: float
    left: int
    top: int
    width: int
    height: int

    def back(self, boxes: Boxes) -> Boxes:
        """Return boxes of the input as boxes of the picture, cut off at its edges."""
        moved = (boxes - np.array([self.left, self.top, self.left, self.top], np.float32)) / np.float32(self.scale)
        limits = np.array([self.width, self.height, self.width, self.height], np.float32)
        return np.clip(moved, 0, limits).astype(np.float32)


def letterbox(picture: Image, width: int, height: int, padding: Padding) -> tuple[Image, Fit]:
    """Scale a picture into `width` × `height` with its proportions kept, grey around it."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inner = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    left, top = ((width - inner[0]) // 2, (height - inner[1]) // 2) if padding == "center" else (0, 0)
    result = np.full((height, width, 3), _GREY, np.uint8)
    result[top : top + inner[1], left : left + inner[0]] = cv2.resize(picture, inner, interpolation=cv2.INTER_LINEAR)
    return result, Fit(scale, left, top, picture.shape[1], picture.shape[0])

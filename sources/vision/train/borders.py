"""Finds borders that mirror a picture's inside, as tools make them that fill a picture up to a square."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sources.vision.boxes import Image

Crop = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are outside."""

_LEAST, _MOST = 0.04, 0.36  # shares of a side that a border takes
_ALIKE = 0.35  # of the difference that unrelated rows have
_TEXTURE = 3.0  # grey levels: flatter borders say nothing, and hide nothing


def inside(picture: Image) -> Crop:
    """Return the part of a picture that is no mirror image of the rest."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    height, width = grey.shape
    top, bottom = _border(grey), _border(grey[::-1])
    left, right = _border(grey.T), _border(grey.T[::-1])
    return left, top, width - right, height - bottom


def _border(grey: NDArray[np.float32]) -> int:
    """Return how many rows at the top mirror those below them, 0 for none."""
    count = len(grey)
    best, most = 0, 1.0
    for rows in range(max(2, round(count * _LEAST)), min(count // 2, round(count * _MOST)) + 1):
        border, below = grey[:rows][::-1], grey[rows : 2 * rows]
        if float(np.abs(np.diff(border, axis=1)).mean()) < _TEXTURE:
            continue
        # Shifted by some rows, a mirror image fits no longer; smooth pictures fit as well: then it is none.
        shift = max(2, rows // 4)
        unlike = float(np.abs(border[shift:] - below[:-shift]).mean())
        alike = float(np.abs(border - below).mean()) / max(unlike, 1e-6)
        if alike < min(most, _ALIKE):
            best, most = rows, alike
    return best

"""Perceptual hashes: which pictures look alike. Pure, on arrays."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sources.vision.boxes import Image

Hashes = NDArray[np.uint64]
"""uint64[n, 4]: 256 bits a picture, whether it gets brighter to the right at 16×16 places."""

BITS = 256
_SIDE = 16
_CHUNK = 512
_TELLING = 40  # bits that are set: a hash with fewer is of smoke or night, which look alike everywhere


def of(picture: Image) -> Hashes:
    """Return a picture's hash, uint64[4]; scaling, JPEG and brightness hardly change it."""
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA)
    # A step of one level is noise of the compression: flat places must not make bits by chance.
    brighter = grey[:, 1:].astype(np.int16) > grey[:, :-1].astype(np.int16) + 1
    return np.packbits(brighter.ravel()).view(np.uint64)


def pairs(hashes: Hashes, limit: int, others: Hashes | None = None) -> NDArray[np.int64]:
    """Return which pictures differ in `limit` bits at most, int64[m, 2], first < second.

    With `others`, hashes of the same pictures in another form (flipped), these count as well. Flat pictures are like
    no other.
    """
    telling = np.bitwise_count(hashes).sum(axis=1, dtype=np.int64) >= _TELLING
    found: list[NDArray[np.int64]] = []
    for first in range(0, len(hashes), _CHUNK):
        rows = hashes[first : first + _CHUNK]
        near = distance(rows, hashes) <= limit
        if others is not None:
            near |= distance(rows, others) <= limit
        near &= telling[first : first + _CHUNK, None] & telling[None, :]
        which = np.argwhere(near)
        which[:, 0] += first
        found.append(which[which[:, 0] < which[:, 1]])
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def distance(first: Hashes, second: Hashes) -> NDArray[np.int64]:
    """Return in how many bits each of n hashes differs from each of m, int64[n, m]."""
    return np.bitwise_count(first[:, None, :] ^ second[None, :, :]).sum(axis=2, dtype=np.int64)


def joined(count: int, links: Iterable[Sequence[int]]) -> NDArray[np.int64]:
    """Return the group of each of `count` things after joining those linked: the lowest number in it, int64[count]."""
    parent = list(range(count))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for first, second in links:
        low, high = sorted((root(int(first)), root(int(second))))
        parent[high] = low
    return np.array([root(one) for one in range(count)], np.int64)


def unique(hashes: Hashes, limit: int) -> NDArray[np.bool_]:
    """Return which pictures stay when each that looks like an earlier one that stays goes, bool[n]."""
    stays = np.ones(len(hashes), np.bool_)
    for place in range(1, len(hashes)):
        kept = hashes[:place][stays[:place]]
        stays[place] = not (distance(hashes[place : place + 1], kept) <= limit).any()
    return stays

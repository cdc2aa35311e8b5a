"""`python -m sources.vision.demo.render` draws the demo clip: a hall with a conveyor, two workers, and a lamp.

The pictures follow from the numbers here alone; the clip ends where it begins, so that it can be looped.
"""

import sys
from collections.abc import Iterator
from math import pi, sin
from pathlib import Path

import cv2
import numpy as np

from sources.vision.boxes import Image
from sources.vision.settings import DEMO

WIDTH, HEIGHT, FPS, SECONDS = 640, 360, 8, 12
FRAMES = FPS * SECONDS
_HORIZON, _BELT = 150, 232  # rows: where the floor begins, and the top of the conveyor
_PITCH, _PASSING = 160, 6  # columns between two boxes on the belt, and how many pass in a turn of the clip
_STRIDES = 14  # steps that a worker makes in a turn
_SKIN, _YELLOW, _HAIR = (150, 180, 215), (20, 205, 250), (40, 50, 70)
_ORANGE, _BLUE, _DARK = (30, 110, 235), (150, 90, 40), (60, 50, 45)


def pictures() -> Iterator[Image]:
    """Yield the pictures of one turn."""
    hall = _hall()
    for number in range(FRAMES):
        turn = number / FRAMES
        picture = hall.copy()
        _worker(picture, turn, 214, vest=_ORANGE, helmet=True)
        _conveyor(picture, turn)
        _worker(picture, 1 - (turn + 0.4) % 1, 332, vest=_BLUE, helmet=False)
        _lamp(picture, on=number % FPS < FPS // 2)
        cv2.putText(
            picture, "Plantree demo: drawn, not filmed", (10, 350), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1
        )
        yield picture


def write(file: Path) -> None:
    """Write the clip as MPEG-4 Part 2, which FFmpeg encodes and decodes everywhere; raises OSError."""
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise OSError(f"{file} cannot be written")
    for picture in pictures():
        writer.write(picture)
    writer.release()


def _hall() -> Image:
    """Draw what does not move: wall, windows, floor with tiles and a yellow line; its grain is always the same."""
    hall = np.full((HEIGHT, WIDTH, 3), (128, 120, 112), np.uint8)
    hall[_HORIZON:] = (104, 108, 110)
    for left in range(30, WIDTH, 150):
        cv2.rectangle(hall, (left, 26), (left + 90, 96), (215, 205, 190), cv2.FILLED)
        cv2.line(hall, (left + 45, 26), (left + 45, 96), (110, 105, 100), 3)
    for column in range(-640, 1281, 80):
        cv2.line(hall, (WIDTH // 2 + (column - WIDTH // 2) // 3, _HORIZON), (column, HEIGHT), (92, 96, 98), 1)
    for row in (170, 200, 245, 300):
        cv2.line(hall, (0, row), (WIDTH, row), (92, 96, 98), 1)
    cv2.line(hall, (0, 290), (WIDTH, 290), (40, 190, 225), 4)
    grain = np.random.default_rng(1).integers(-2, 3, (HEIGHT, WIDTH, 1))
    return np.clip(hall.astype(np.int16) + grain, 0, 255).astype(np.uint8)


def _conveyor(picture: Image, turn: float) -> None:
    moved = round(turn * _PITCH * _PASSING)
    cv2.rectangle(picture, (0, _BELT), (WIDTH, _BELT + 16), (50, 50, 52), cv2.FILLED)
    for left in range(-_PITCH, WIDTH + _PITCH, _PITCH):
        x = left + moved % _PITCH
        cv2.rectangle(picture, (x, _BELT - 34), (x + 52, _BELT - 1), (95, 145, 185), cv2.FILLED)
        cv2.line(picture, (x + 26, _BELT - 34), (x + 26, _BELT - 1), (75, 115, 150), 3)
    for left in range(-20, WIDTH + 20, 20):
        cv2.circle(picture, (left + moved % 20, _BELT + 8), 5, (120, 122, 125), cv2.FILLED)
    for left in range(60, WIDTH, 170):
        cv2.rectangle(picture, (left, _BELT + 16), (left + 10, _BELT + 58), (70, 70, 74), cv2.FILLED)


def _worker(picture: Image, turn: float, feet: int, vest: tuple[int, int, int], *, helmet: bool) -> None:
    """Draw somebody who walks through the picture, standing in row `feet`; further down is nearer, and larger."""
    tall = round(0.3 * feet + 20)
    x = round(-40 + (WIDTH + 80) * (turn % 1))
    swing = sin(2 * pi * _STRIDES * turn) * tall * 0.14
    hip, neck = feet - round(tall * 0.47), feet - round(tall * 0.82)
    thick = max(3, tall // 12)
    for side in (-1, 1):
        foot = (round(x + side * swing), feet)
        cv2.line(picture, (x, hip), foot, _DARK, thick + 2, cv2.LINE_AA)
        hand = (round(x - side * swing), hip - tall // 20)
        cv2.line(picture, (x, neck + tall // 12), hand, vest, thick, cv2.LINE_AA)
    cv2.line(picture, (x, neck + tall // 20), (x, hip), vest, tall // 5, cv2.LINE_AA)
    cv2.line(picture, (x - tall // 9, hip - tall // 7), (x + tall // 9, hip - tall // 7), (200, 235, 235), 2)
    head = (x, neck - tall // 12)
    cv2.circle(picture, head, tall // 11, _SKIN, cv2.FILLED, cv2.LINE_AA)
    top = (x, head[1] - tall // 30)
    size = (tall // 9, tall // 9) if helmet else (tall // 11, tall // 12)
    cv2.ellipse(picture, top, size, 0, 180, 360, _YELLOW if helmet else _HAIR, cv2.FILLED, cv2.LINE_AA)
    if helmet:
        cv2.line(picture, (x - tall // 7, top[1]), (x + tall // 7, top[1]), _YELLOW, 2, cv2.LINE_AA)


def _lamp(picture: Image, *, on: bool) -> None:
    cv2.rectangle(picture, (596, 150), (600, _BELT), (60, 60, 62), cv2.FILLED)
    for row, colour in ((112, (60, 60, 90)), (125, (40, 120, 140)), (138, (90, 235, 90) if on else (40, 90, 40))):
        cv2.rectangle(picture, (591, row), (605, row + 12), colour, cv2.FILLED)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO)

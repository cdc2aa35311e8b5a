"""Pictures and samples made to order, and a small set of pictures that a recipe reads."""

from pathlib import Path

import cv2
import numpy as np

from sources.vision.train import hashes
from sources.vision.train.pictures import Sample
from sources.vision.train.recipes import Alarm, Part, Recipe


def scene(seed: int, width: int = 160, height: int = 120) -> np.ndarray:
    """Return a picture with structure of its own: soft blots of any colour."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (9, 12, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def sample(
    seed: int,
    boxes: list[list[float]] | None = None,
    classes: list[int] | None = None,
    *,
    scene_name: str | None = None,
    folder: str = "set",
    name: str | None = None,
    complete: tuple[bool, ...] = (True, True),
    hidden: list[tuple[int, list[float]]] | None = None,
    picture: np.ndarray | None = None,
) -> Sample:
    """Return a sample with `boxes` in pixels, all of class 0 unless said."""
    shown = scene(seed) if picture is None else picture
    corners = np.array(boxes or [], np.float32).reshape(-1, 4)
    places = hidden or []
    return Sample(
        Path(name or f"{seed}.jpg"), folder, scene_name or f"{folder}/{seed}", shown,
        np.array(classes if classes is not None else [0] * len(corners), np.int64), corners,
        np.array(complete, np.bool_), np.array([kind for kind, _ in places], np.int64),
        np.array([box for _, box in places], np.float32).reshape(-1, 4),
        hashes.of(shown), hashes.of(np.ascontiguousarray(shown[:, ::-1])),
    )  # fmt: skip


RED = Recipe(
    name="red",
    title="Red and green squares",
    classes=("red", "green"),
    parts=(
        Part("squares", "CC0", "made here", {0: "red", 1: "green"}, frozenset({"red", "green"})),
        Part("plain", "CC0", "made here", complete=frozenset({"red", "green"})),
    ),
    aims={"red": 0.5},
    alarms=(Alarm("red", ("red",), recall=0.5, fpr=0.5),),
    limits=("Squares only.",),
    judged=("red", "green"),
)


def write_squares(root: Path, count: int = 24, plain: int = 8) -> None:
    """Write pictures with a red or green square each, and some without."""
    rng = np.random.default_rng(3)
    for folder in ("squares/images", "squares/labels", "plain"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        picture = scene(1000 + number, 128, 96) // 2 + 60
        size = int(rng.integers(24, 48))
        x, y = int(rng.integers(0, 128 - size)), int(rng.integers(0, 96 - size))
        kind = number % 2
        picture[y : y + size, x : x + size] = (0, 0, 255) if kind == 0 else (0, 255, 0)
        cv2.imwrite(str(root / f"squares/images/{number}.png"), picture)
        values = ((x + size / 2) / 128, (y + size / 2) / 96, size / 128, size / 96)
        line = " ".join(f"{value:.6f}" for value in values)
        (root / f"squares/labels/{number}.txt").write_text(f"{kind} {line}\n")
    for number in range(plain):
        cv2.imwrite(str(root / f"plain/{number}.png"), scene(2000 + number, 128, 96) // 2 + 60)

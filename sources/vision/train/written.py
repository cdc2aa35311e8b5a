"""Writes one side of a split as a YOLO folder, so that `python -m sources.vision evaluate` can look at it too."""

from collections.abc import Sequence
from pathlib import Path

import cv2

from sources.vision.train.pictures import Sample


def write_yolo(folder: Path, samples: Sequence[Sample], classes: Sequence[str]) -> None:
    """Write pictures as they are trained on (borders cut, scaled down), their labels and classes.txt; raises OSError.

    What is unlabelled in a sample is so here as well: a class that its set does not label looks absent.
    """
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
    for sample in samples:
        stem = f"{sample.folder}__{sample.file.stem}"
        height, width = sample.picture.shape[:2]
        if not cv2.imwrite(str(folder / "images" / f"{stem}.png"), sample.picture):
            raise OSError(f"{folder} cannot be written to")
        lines = [
            f"{number} {(x0 + x1) / 2 / width:.6f} {(y0 + y1) / 2 / height:.6f} {(x1 - x0) / width:.6f} "
            f"{(y1 - y0) / height:.6f}\n"
            for number, (x0, y0, x1, y1) in zip(sample.classes.tolist(), sample.boxes.tolist(), strict=True)
        ]
        (folder / "labels" / f"{stem}.txt").write_text("".join(lines), encoding="utf-8")

"""Labelled data: folders of pictures with YOLO labels, and videos with events in a CSV file."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from sources.vision.boxes import Boxes, Image
from sources.vision.inputs import PICTURES, VIDEOS
from sources.vision.metrics import Span

EVENTS = "events.csv"


class DataError(Exception):
    """Data that cannot be read, in one sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The objects in one picture: class numbers int64[n], boxes float32[n, 4] in shares of the picture."""

    classes: NDArray[np.int64]
    boxes: Boxes


@dataclass(frozen=True, slots=True, eq=False)
class PictureSet:
    """Pictures and their labels; a picture without a label file shows nothing (`unlabelled` counts these)."""

    names: Mapping[int, str]
    items: list[tuple[Path, Labels]]
    unlabelled: int


@dataclass(frozen=True, slots=True, eq=False)
class VideoSet:
    """Videos, and what goes on in each by class; a video that the events do not name shows none of the classes."""

    items: list[Path]
    events: Mapping[Path, Mapping[str, list[Span]]] = field(default_factory=dict[Path, "Mapping[str, list[Span]]"])


def open_data(path: Path, names: list[str] | None = None) -> PictureSet | VideoSet:
    """Find out what a path holds: videos where there are any, else pictures; raises DataError."""
    if not path.exists():
        raise DataError(f"there is no {path}")
    if path.is_file():
        if path.suffix.lower() not in VIDEOS:
            raise DataError(f"{path} is no video; pictures come as a folder")
        return VideoSet([path], _read_events(path.parent / EVENTS, [path], strict=False))
    videos = sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEOS)
    if videos:
        return VideoSet(videos, _read_events(path / EVENTS, videos, strict=True))
    return _open_pictures(path, names)


def _open_pictures(path: Path, names: list[str] | None) -> PictureSet:
    folder = path / "images" if (path / "images").is_dir() else path
    files = all_pictures(folder)
    if not files:
        raise DataError(f"there are neither pictures nor videos in {path}")
    known = dict(enumerate(names)) if names else _names(path)
    items = [(file, _read_labels(_label_file(path, folder, file))) for file in files]
    used = {int(number) for _, labels in items if labels for number in labels.classes}
    if missing := used - set(known):
        raise DataError(f"{path} has labels of class {min(missing)}, which no classes.txt or data.yaml names: --labels")
    empty = Labels(np.zeros(0, np.int64), np.zeros((0, 4), np.float32))
    return PictureSet(known, [(file, labels or empty) for file, labels in items], sum(not one for _, one in items))


def all_pictures(folder: Path) -> list[Path]:
    """Return the picture files of a folder and those below it, by name."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURES)


def _label_file(root: Path, folder: Path, file: Path) -> Path:
    """Return where YOLO keeps a picture's labels: in `labels` where there are `images`, else beside it."""
    if folder == root:
        return file.with_suffix(".txt")
    return (root / "labels" / file.relative_to(folder)).with_suffix(".txt")


def _names(path: Path) -> dict[int, str]:
    described, listed = path / "data.yaml", path / "classes.txt"
    if described.is_file():
        names: Any = (yaml.safe_load(described.read_text(encoding="utf-8")) or {}).get("names", {})
        pairs: Any = enumerate(names) if isinstance(names, list) else dict(names).items()
        return {int(number): str(name) for number, name in pairs}
    if listed.is_file():
        return dict(enumerate(read_names(listed)))
    return {}


def read_names(file: Path) -> list[str]:
    """Return the class names of a file, one a line, numbered (`0 helmet`) or not; raises OSError."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if all(line.split()[0] == str(place) for place, line in enumerate(lines)):
        return [line.partition(" ")[2].strip() for line in lines]
    return lines


def _read_labels(file: Path) -> Labels | None:
    """Read `class x y width height` a line (shares; polygons become their boxes); None where there is no file."""
    if not file.is_file():
        return None
    classes: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            kind, *rest = [float(part) for part in line.split()]
            if len(rest) == 4:
                x, y, width, height = rest
                box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            elif len(rest) >= 6 and len(rest) % 2 == 0:
                box = (min(rest[::2]), min(rest[1::2]), max(rest[::2]), max(rest[1::2]))
            else:
                raise ValueError(f"{len(rest) + 1} numbers")
        except ValueError as error:
            raise DataError(f"{file}:{number}: is no YOLO label, class x y width height: {error}") from error
        classes.append(int(kind))
        boxes.append(box)
    return Labels(np.array(classes, np.int64), np.array(boxes, np.float32).reshape(-1, 4))


def _read_events(file: Path, videos: list[Path], *, strict: bool) -> dict[Path, dict[str, list[Span]]]:
    """Read `video,class,start,end` (s) a line; without the file nothing goes on in the videos."""
    found: dict[Path, dict[str, list[Span]]] = {video: {} for video in videos}
    if not file.is_file():
        return found
    by_name = {video.name: video for video in videos}
    with file.open(newline="", encoding="utf-8") as opened:
        for number, row in enumerate(csv.DictReader(opened), 2):
            try:
                name, kind = row["video"].strip(), row["class"].strip()
                span = Span(float(row["start"]), float(row["end"]))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DataError(f"{file}:{number}: is no event, video,class,start,end in seconds: {error}") from error
            if span.end <= span.start:
                raise DataError(f"{file}:{number}: ends at {span.end:g} s, before it starts")
            if name in by_name:
                found[by_name[name]].setdefault(kind, []).append(span)
            elif strict:
                raise DataError(f"{file}:{number}: there is no video {name} beside it")
    return found


def play(video: Path, fps: float | None) -> Iterator[tuple[float, Image]]:
    """Yield a video's pictures and their times in seconds, at most `fps` a second; raises DataError."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise DataError(f"{video} is no video that can be read")
    try:
        rate = float(capture.get(cv2.CAP_PROP_FPS)) or 25.0
        due, number = 0.0, 0
        while capture.grab():
            time = number / rate
            number += 1
            if time + 1e-9 >= due:
                due = due + 1 / fps if fps else 0.0
                there, picture = capture.retrieve()
                if there:
                    yield time, np.asarray(picture, np.uint8)
    finally:
        capture.release()


def frames(video: Path, fps: float | None) -> int:
    """Return about how many pictures `play` yields."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    count, rate = float(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS)) or 25.0
    capture.release()
    return max(1, int(count * min(1.0, fps / rate) if fps else count))

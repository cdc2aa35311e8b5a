"""Reads a recipe's data: pictures with their boxes, what is known of them, and which scene they belong to."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from sources.vision.boxes import Boxes, Image, area
from sources.vision.datasets import DataError, PictureSet, open_data
from sources.vision.inputs import read_picture
from sources.vision.train import borders, hashes
from sources.vision.train.recipes import Part, Recipe

SAME = 12  # bits of 256: the same picture again
SCENE = 40  # bits of 256: the same camera in the same place
_CUT = 0.3  # share of a box that must be left by the cutting of a border


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture (uint8[h, w, 3], no side longer than asked for) and what is known of it.

    `classes` int64[n] and `boxes` float32[n, 4] in pixels are its objects; `complete` bool[classes] says which classes
    are labelled wherever they are seen; in `hidden` float32[m, 4] of the classes `hidden_classes` int64[m] that is
    unknown. `scale` is its size in shares of the file's.
    """

    file: Path
    folder: str
    scene: str
    picture: Image
    classes: NDArray[np.int64]
    boxes: Boxes
    complete: NDArray[np.bool_]
    hidden_classes: NDArray[np.int64]
    hidden: Boxes
    hash: hashes.Hashes
    flipped: hashes.Hashes

    def has(self, number: int) -> bool:
        """Whether an object of a class is labelled."""
        return bool((self.classes == number).any())


def load(recipe: Recipe, root: Path, side: int, bar: Progress) -> list[Sample]:
    """Read all pictures of a recipe, scenes that look alike joined; raises DataError."""
    found: list[Sample] = []
    for part in recipe.parts:
        found.extend(_read(part, recipe.classes, root / part.folder, side, bar))
    return _join(found)


def _read(part: Part, classes: Sequence[str], folder: Path, side: int, bar: Progress) -> list[Sample]:
    if not folder.is_dir():
        raise DataError(f"there is no {folder}: --data names the folder that holds {part.folder}")
    data = open_data(folder, ["-"] * 100)
    if not isinstance(data, PictureSet):
        raise DataError(f"{folder} holds videos; training takes pictures")
    items = [item for item in data.items if not (part.skip and re.search(part.skip, item[0].name))]
    scenes = scenes_of(part, [file.name for file, _ in items])
    crowds = _crowds(folder)
    task = bar.add_task(part.folder, total=len(items))
    samples: list[Sample] = []
    for (file, labels), scene in zip(items, scenes, strict=True):
        whole = read_picture(file)
        size = np.tile(np.array(whole.shape[1::-1], np.float32), 2)
        known = [number in part.classes for number in labels.classes.tolist()]
        numbers = np.array([classes.index(part.classes[n]) for n in labels.classes[known].tolist()], np.int64)
        boxes = labels.boxes[known] * size
        kinds, unknown = _hidden(part, classes, numbers, boxes, crowds.get(file.name, []))
        crop = borders.inside(whole) if part.mirrored else (0, 0, whole.shape[1], whole.shape[0])
        picture, scale = _fitted(whole, crop, side)
        numbers, boxes, cut = _cropped(numbers, boxes, crop, scale)
        samples.append(
            Sample(
                file, part.folder, f"{part.folder}/{scene}", picture, numbers, boxes,
                np.array([name in part.complete for name in classes], np.bool_),
                np.concatenate([kinds, cut[0]]),
                np.concatenate([(unknown - np.array(crop[:2] * 2, np.float32)) * np.float32(scale), cut[1]]),
                hashes.of(picture), hashes.of(np.ascontiguousarray(picture[:, ::-1])),
            )
        )  # fmt: skip
        bar.advance(task)
    bar.remove_task(task)
    return samples


def scenes_of(part: Part, names: Sequence[str]) -> list[str]:
    """Return the scene of each file name."""
    found = [re.search(part.scene, name) if part.scene else None for name in names]
    groups = [[group for group in match.groups() if group] if match else [] for match in found]
    numbers: dict[str, list[int]] = {}
    for group in groups:
        if len(group) == 2:
            numbers.setdefault(group[0], []).append(int(group[1]))
    starts = {key: _starts(sorted(values), part.gap) for key, values in numbers.items()}
    scenes: list[str] = []
    for name, group in zip(names, groups, strict=True):
        if len(group) == 2:
            first = max(start for start in starts[group[0]] if start <= int(group[1]))
            scenes.append(f"{group[0]}_{first}")
        else:
            scenes.append(group[0] if group else name)
    return scenes


def _starts(numbers: Sequence[int], gap: int) -> list[int]:
    return [n for n, before in zip(numbers, [-(gap + 2), *numbers[:-1]], strict=True) if n - before > gap]


def _crowds(folder: Path) -> Mapping[str, list[list[float]]]:
    """Return the places with many objects that are not labelled one by one, x y width height in pixels, by file."""
    file = folder / "attribution.json"
    if not file.is_file():
        return {}
    return {one["file"]: one.get("crowd_ignore_xywh", []) for one in json.loads(file.read_text(encoding="utf-8"))}


def _hidden(
    part: Part, classes: Sequence[str], numbers: NDArray[np.int64], boxes: Boxes, crowds: Iterable[Sequence[float]]
) -> tuple[NDArray[np.int64], Boxes]:
    """Return where classes may be seen without a label: in boxes of another class, and all of them in crowds."""
    kinds: list[int] = []
    places: list[Sequence[float]] = []
    for name, holder in part.hidden.items():
        for box in boxes[numbers == classes.index(holder)].tolist():
            kinds.append(classes.index(name))
            places.append(box)
    for x, y, width, height in crowds:
        kinds.extend(range(len(classes)))
        places.extend([[x, y, x + width, y + height]] * len(classes))
    return np.array(kinds, np.int64), np.array(places, np.float32).reshape(-1, 4)


def _fitted(whole: Image, crop: borders.Crop, side: int) -> tuple[Image, float]:
    """Cut a picture and scale it down so that no side is longer than `side`; return it and the scale."""
    left, top, right, bottom = crop
    part = whole[top:bottom, left:right]
    scale = min(1.0, side / max(part.shape[:2]))
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _cropped(
    numbers: NDArray[np.int64], boxes: Boxes, crop: borders.Crop, scale: float
) -> tuple[NDArray[np.int64], Boxes, tuple[NDArray[np.int64], Boxes]]:
    """Return classes and boxes inside a crop, and those of which too little is left to be one."""
    left, top, right, bottom = crop
    clipped = np.clip(boxes, [left, top, left, top], [right, bottom, right, bottom]).astype(np.float32)
    share = area(clipped) / np.maximum(area(boxes), 1e-6)
    moved = (clipped - np.array([left, top, left, top], np.float32)) * np.float32(scale)
    stays, rest = share >= _CUT, (share > 0) & (share < _CUT)
    return numbers[stays], moved[stays], (numbers[rest], moved[rest])


def _join(samples: list[Sample]) -> list[Sample]:
    """Give pictures one scene whose scenes share pictures that look alike, seen from either side."""
    if not samples:
        return samples
    names = list(dict.fromkeys(sample.scene for sample in samples))
    number = {name: place for place, name in enumerate(names)}
    of = np.array([number[sample.scene] for sample in samples], np.int64)
    alike = hashes.pairs(stacked(samples), SCENE, np.stack([sample.flipped for sample in samples]))
    groups = hashes.joined(len(names), np.unique(of[alike], axis=0).tolist())
    return [replace(sample, scene=names[groups[place]]) for sample, place in zip(samples, of.tolist(), strict=True)]


def stacked(samples: Sequence[Sample]) -> hashes.Hashes:
    """Return the hashes of pictures, uint64[n, 4]."""
    return np.stack([sample.hash for sample in samples])


def without_doubles(samples: Sequence[Sample], limit: int = SAME) -> list[Sample]:
    """Return the pictures without those that look like an earlier one."""
    stays = hashes.unique(stacked(samples), limit) if samples else []
    return [sample for sample, stay in zip(samples, stays, strict=True) if stay]

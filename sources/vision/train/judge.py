"""Judges detections on one side of a split: AP50 of each class, pictures and scenes told apart, thresholds. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sources.vision import metrics
from sources.vision.boxes import Boxes, iou
from sources.vision.metrics import Curve, Pictures
from sources.vision.model import Objects
from sources.vision.train.pictures import Sample
from sources.vision.train.recipes import Alarm, Recipe

FLOOR = 0.01
"""Confidence from which on detections are kept, so that a curve is whole."""
_FRAMES, _OF = 3, 5  # an alarm is raised when so many of so many pictures in a row show it
_INSIDE = 0.5  # share of a box in a place where its class is unknown, from which on it is neither right nor wrong


@dataclass(frozen=True, slots=True)
class Seen:
    """Samples and what a detector saw in each, boxes in the sample's pixels."""

    samples: Sequence[Sample]
    found: Sequence[Objects]


@dataclass(frozen=True, slots=True)
class Claim:
    """How an alarm did on one side of a split at a threshold: pictures, and scenes raised of those that show it."""

    pictures: Pictures
    scenes: int
    raised: int
    quiet: int
    false: int
    """Scenes without it, and those of them that would have raised it."""
    missed: tuple[str, ...] = ()


def curves(seen: Seen, classes: Sequence[str]) -> dict[str, Curve]:
    """Return the precision-recall curve of each class, on the pictures where it is labelled wherever it is seen."""
    result: dict[str, Curve] = {}
    for number, name in enumerate(classes):
        scores: list[float] = []
        right: list[bool] = []
        objects = 0
        for sample, found in zip(seen.samples, seen.found, strict=True):
            if not sample.complete[number]:
                continue
            truths = sample.boxes[sample.classes == number]
            mine = found.classes == number
            boxes, sure = found.boxes[mine], found.scores[mine]
            hit = metrics.matched(boxes, sure, truths)
            counts = hit | ~unknown(boxes, sample.hidden[sample.hidden_classes == number])
            scores.extend(sure[counts].tolist())
            right.extend(hit[counts].tolist())
            objects += len(truths)
        result[name] = metrics.curve(scores, right, objects)
    return result


def unknown(boxes: Boxes, places: Boxes) -> NDArray[np.bool_]:
    """Return which boxes lie by half or more in a place of which nothing is known, bool[n]."""
    if not len(boxes) or not len(places):
        return np.zeros(len(boxes), np.bool_)
    low = np.maximum(boxes[:, None, :2], places[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], places[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    size = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 1e-6, None), axis=1)
    return (shared / size[:, None]).max(axis=1) >= _INSIDE


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Of each picture of which an alarm can be judged: the surest detection, whether it shows it, its scene."""

    sure: NDArray[np.float64]
    there: NDArray[np.bool_]
    scenes: list[str]
    samples: list[Sample]


def scored(seen: Seen, classes: Sequence[str], alarm: Alarm) -> Scores:
    """Return what an alarm saw, pictures of a scene in the order of their numbers."""
    numbers = [classes.index(name) for name in alarm.classes]
    rows: list[tuple[float, bool, Sample]] = []
    for sample, found in zip(seen.samples, seen.found, strict=True):
        there = any(sample.has(number) for number in numbers)
        if not there and not (sample.complete[numbers].all() and not np.isin(sample.hidden_classes, numbers).any()):
            continue
        rows.append((float(found.scores[np.isin(found.classes, numbers)].max(initial=0.0)), there, sample))
    rows.sort(key=lambda row: (row[2].scene, natural(row[2].file.name)))
    return Scores(
        np.array([row[0] for row in rows], np.float64), np.array([row[1] for row in rows], np.bool_),
        [row[2].scene for row in rows], [row[2] for row in rows],
    )  # fmt: skip


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names with numbers as people do."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def chosen(scores: Scores, fpr: float) -> float:
    """Return the lowest threshold at which at most `fpr` of the pictures without it are taken for ones with it.

    It lies in the middle between the scores beside it, for it is used on other pictures.
    """
    quiet = np.sort(scores.sure[~scores.there])[::-1]
    allowed = int(fpr * len(quiet))
    limit = quiet[allowed] if allowed < len(quiet) else 0.0
    above = scores.sure[scores.sure > limit]
    return float(np.clip((limit + above.min()) / 2 if len(above) else limit + 0.01, 0.05, 0.99))


def best_f1(curve: Curve) -> float:
    """Return the threshold with the best balance of precision and recall, 0.5 where there is no object."""
    if not curve.objects or not len(curve.confidence):
        return 0.5
    f1 = 2 * curve.precision * curve.recall / np.maximum(curve.precision + curve.recall, 1e-9)
    return float(np.clip(curve.confidence[int(np.argmax(f1))], 0.05, 0.99))


def claim(scores: Scores, threshold: float) -> Claim:
    """Return how an alarm does at a threshold."""
    figures = metrics.pictures(scores.sure, scores.there.tolist(), threshold)
    by_scene: dict[str, list[int]] = {}
    for place, scene in enumerate(scores.scenes):
        by_scene.setdefault(scene, []).append(place)
    raised: dict[bool, list[bool]] = {True: [], False: []}
    missed: list[str] = []
    for scene, places in by_scene.items():
        shown = bool(scores.there[places].any())
        up = raises((scores.sure[places] >= threshold).tolist())
        raised[shown].append(up)
        if shown and not up:
            missed.append(scene)
    return Claim(
        figures, len(raised[True]), sum(raised[True]), len(raised[False]), sum(raised[False]), tuple(missed)
    )  # fmt: skip


def raises(hits: Sequence[bool]) -> bool:
    """Whether pictures in a row raise an alarm: 3 of 5, all of fewer than 3."""
    if len(hits) < _FRAMES:
        return all(hits)
    return any(sum(hits[first : first + _OF]) >= _FRAMES for first in range(max(1, len(hits) - _OF + 1)))


def quality(seen: Seen, found: Mapping[str, Curve], recipe: Recipe) -> float:
    """Return how good a state of the training is: the mean of the judged classes' AP50 and of the alarms' pictures.

    For pictures it is the average precision of telling those with it from those without.
    """
    values = [found[name].ap for name in recipe.judged if found[name].objects]
    for alarm in recipe.alarms:
        scores = scored(seen, recipe.classes, alarm)
        if scores.there.any():
            values.append(metrics.curve(scores.sure, scores.there, int(scores.there.sum())).ap)
    return float(np.mean(values)) if values else 0.0


def closest(box: Boxes, others: Boxes) -> float:
    """Return how far a box float32[4] overlaps any of others, 0 without any."""
    return float(iou(box[None], others).max(initial=0.0))

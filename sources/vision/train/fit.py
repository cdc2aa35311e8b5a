"""The training itself: first the head on what a fixed backbone sees, then the later stages of the backbone with it."""
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownParameterType=false

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from sources.vision.train.augment import Deck, Look
from sources.vision.train.batches import Bank, Batch, batch_of, collate
from sources.vision.train.loss import loss
from sources.vision.train.network import Net, centres, fold, load_backbone, weights_file

CHECKPOINT = "checkpoint.pt"
_AVERAGE = 0.995  # of the weights' running average, less in the beginning
_WARM, _COOL = 40, 0.4  # steps in which the rate rises, share of a phase in which it falls
_BACKBONE = 0.2  # of the rate: what ImageNet taught is changed with care

Judge = Callable[[Net], Mapping[str, float]]
"""Gives a network's figures on the validation pictures; `quality`, higher is better, decides which is kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how: `head` steps on `bank` prepared pictures with a fixed backbone, then `steps` on new ones.

    `frozen` stages of the backbone never change; `minutes` ends a training sooner, 0: no limit.
    """

    head: int = 3000
    bank: int = 4000
    steps: int = 6000
    minutes: float = 0.0
    batch: int = 8
    side: int = 320
    rate: float = 1.5e-3
    seed: int = 1
    every: int = 250
    frozen: int = 4

    @property
    def total(self) -> int:
        """Steps of both phases."""
        return self.head + self.steps

    def rate_at(self, step: int, spent: float) -> float:
        """Return the learning rate of a step: it rises, stays, and falls to 3 % in each phase (s: `spent`)."""
        first = step < self.head
        place, length = (step, self.head) if first else (step - self.head, self.steps)
        done = (place + 1) / length
        if self.minutes and not first:
            done = max(done, spent / (self.minutes * 60))
        cool = max(0.0, min(1.0, (1 - done) / _COOL)) * 0.97 + 0.03
        return self.rate * (1.0 if first else 0.4) * min(1.0, (place + 1) / _WARM) * cool


class Trainer:
    """Trains a detector for `classes`; `folder` keeps checkpoint, best weights and log; `resume` goes on from there."""

    def __init__(self, classes: int, plan: Plan, look: Look, folder: Path, *, resume: bool) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.look, self.folder = plan, look, folder
        self.step, self.spent, self.best, self.planned = 0, 0.0, -1.0, plan.total
        self.net = Net(classes).to(memory_format=torch.channels_last)
        load_backbone(self.net.backbone, weights_file())
        fold(self.net.backbone)
        self.net.backbone.freeze(plan.frozen)
        self.average = copy.deepcopy(self.net).requires_grad_(False).eval()
        groups = [
            {"params": [value], "weight_decay": 0.02 if value.ndim > 1 else 0.0, "part": name.partition(".")[0]}
            for name, value in self.net.named_parameters() if value.requires_grad
        ]  # fmt: skip
        self._optimizer: Any = torch.optim.AdamW(groups, lr=plan.rate)
        self._points, self._strides = centres(plan.side)
        folder.mkdir(parents=True, exist_ok=True)
        if resume:
            self._restore()

    def run(self, deck: Deck, judge: Judge, bar: Progress) -> None:
        """Train to the end of the plan; every `every` steps it is judged and a checkpoint is written."""
        task = bar.add_task("training", total=self.plan.total, completed=self.step)
        sums, since = np.zeros(2), 0
        before, began = self.spent, time.monotonic()
        for batch in self._batches(deck, bar):
            sums, since = sums + self._learn(batch), since + 1
            self.step += 1
            self.spent = before + time.monotonic() - began
            bar.update(task, completed=self.step)
            last = self.step == self.plan.total or self._late
            if self.step % self.plan.every == 0 or last:
                line = {"step": self.step, "minutes": round(self.spent / 60, 2)}
                line |= {"classes": round(sums[0] / since, 3), "boxes": round(sums[1] / since, 3)}
                sums, since = np.zeros(2), 0
                self._note({**line, **self._judge(judge)}, bar)
                self._save()
            if last:
                break

    @property
    def _late(self) -> bool:
        return bool(self.plan.minutes) and self.spent >= self.plan.minutes * 60

    def _batches(self, deck: Deck, bar: Progress) -> Iterator[Batch]:
        """Yield the batches of the steps that are left, each from its own random numbers."""
        if self.step < self.plan.head:
            bank = Bank(self.net, deck, self.look, self.plan.bank, self.plan.side, self.plan.seed, bar)
            while self.step < self.plan.head:
                yield bank.batch(np.random.default_rng([self.plan.seed, 1, self.step]), self.plan.batch)
        with ThreadPoolExecutor(1) as pool:

            def make(step: int) -> Batch:
                rng = np.random.default_rng([self.plan.seed, 2, step])
                return collate(batch_of(rng, deck, self.look, self.plan.batch, self.plan.side))

            ready = pool.submit(make, self.step)
            while self.step < self.plan.total:
                made = ready.result()
                ready = pool.submit(make, self.step + 1)
                yield made

    def _learn(self, batch: Batch) -> np.ndarray[Any, Any]:
        rate = self.plan.rate_at(self.step, self.spent)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * (_BACKBONE if group["part"] == "backbone" else 1.0)
        self.net.train()
        logits, sides = self.net(batch.images) if batch.features is None else self.net.answer(batch.features)
        kind, place = loss(logits, sides, batch.truth, self._points, self._strides)
        self._optimizer.zero_grad(set_to_none=True)
        (kind + place).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
        self._optimizer.step()
        keep = min(_AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - keep)
        return np.array([float(kind.detach()), float(place.detach())])

    def _judge(self, judge: Judge) -> Mapping[str, float]:
        figures = judge(self.average)
        if figures["quality"] > self.best:
            self.best = figures["quality"]
            torch.save(self.average.state_dict(), self.folder / "best.pt")
        return figures

    def best_network(self) -> Net:
        """Return the network that was best on the validation pictures."""
        self.average.load_state_dict(torch.load(self.folder / "best.pt", weights_only=True))
        return self.average

    def _save(self) -> None:
        state = {
            "net": self.net.state_dict(), "average": self.average.state_dict(), "step": self.step,
            "optimizer": self._optimizer.state_dict(), "spent": self.spent, "best": self.best,
            "plan": asdict(self.plan),
        }  # fmt: skip
        fresh = self.folder / f"{CHECKPOINT}.new"
        torch.save(state, fresh)
        fresh.replace(self.folder / CHECKPOINT)

    def _restore(self) -> None:
        state = torch.load(self.folder / CHECKPOINT, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent, self.best = int(state["step"]), float(state["spent"]), float(state["best"])
        self.planned = max(self.plan.total, self.step) if self.step else self.planned

    def _note(self, line: Mapping[str, Any], bar: Progress) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        bar.console.print(" ".join(f"{key} {value}" for key, value in line.items()), soft_wrap=True)

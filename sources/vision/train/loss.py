"""What the detector is trained to: which cells answer for which object, and what a wrong answer costs."""
# pyright: reportMissingImports=false, reportUnknownParameterType=false

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_ALPHA, _BETA = 0.5, 4.0  # how much score and overlap weigh in the choice of cells
_MOST = 9  # cells that answer for an object at most
_LEAST = 0.3  # target score of an object's best cell, so that it is learnt before its box fits
_BOX = 3.0  # weight of boxes against classes
_FAR = 1.2  # cells answer up to so many strides from the middle of a small object


@dataclass(frozen=True, slots=True)
class Truth:
    """Objects of a batch, filled up with rows that are not real.

    classes int64[b, n], boxes float32[b, n, 4], real bool[b, n]; known bool[b, cells, classes].
    """

    classes: Tensor
    boxes: Tensor
    real: Tensor
    known: Tensor


def loss(logits: Tensor, sides: Tensor, truth: Truth, points: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cost of classes and of boxes, each a number."""
    boxes = torch.cat([points - sides[:, :, :2], points + sides[:, :, 2:]], 2)
    with torch.no_grad():
        which, strength = assign(logits.sigmoid(), boxes, truth, points, strides)
        target = torch.zeros_like(logits)
        kinds = truth.classes.gather(1, which)
        target.scatter_(2, kinds[:, :, None], strength[:, :, None])
        counts = truth.known | (target > 0)
    total = strength.sum().clamp(min=1.0)
    # Far too sure answers where nothing is cost most: the many easy cells must not outweigh the few objects.
    chances = logits.detach().sigmoid()
    weight = torch.where(target > 0, torch.ones_like(target), 0.75 * chances**2) * counts
    kind = (functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum() / total
    mine = strength > 0
    wanted = truth.boxes.gather(1, which[:, :, None].expand(-1, -1, 4))[mine]
    place = ((1 - overlap(boxes[mine], wanted, general=True)) * strength[mine]).sum() / total
    return kind, _BOX * place


def assign(scores: Tensor, boxes: Tensor, truth: Truth, points: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Return each cell's object int64[b, cells] and how strongly it answers for it float32[b, cells], 0: not at all.

    Task alignment (TOOD, Feng 2021): of the cells in an object the best by score and overlap together are taken.
    """
    count = truth.boxes.shape[1]
    if count == 0:
        return scores.new_zeros(scores.shape[:2], dtype=torch.int64), scores.new_zeros(scores.shape[:2])
    overlaps = overlap(boxes[:, None], truth.boxes[:, :, None]).clamp(min=0)
    kinds = truth.classes[:, :, None].expand(-1, -1, scores.shape[1])
    chance = scores.transpose(1, 2).gather(1, kinds)
    middle = (truth.boxes[:, :, None, :2] + truth.boxes[:, :, None, 2:]) / 2
    reach = torch.maximum((truth.boxes[:, :, None, 2:] - truth.boxes[:, :, None, :2]) / 2, strides[None, None] * _FAR)
    near = ((points[None, None] - middle).abs() <= reach).all(3) & truth.real[:, :, None]
    metric = (chance**_ALPHA * overlaps**_BETA + 1e-9) * near
    best = metric.topk(min(_MOST, metric.shape[2]), 2)
    chosen = torch.zeros_like(metric).scatter_(2, best.indices, (best.values > 0).to(metric.dtype)) > 0
    # A cell that two objects want goes to the one that it fits better.
    which = torch.where(chosen, overlaps + 1e-6, torch.zeros_like(overlaps)).argmax(1)
    won = chosen & (torch.arange(count, device=which.device)[None, :, None] == which[:, None])
    metric = metric * won
    top = (overlaps * won).amax(2, keepdim=True).clamp(min=_LEAST)
    strength = (metric / metric.amax(2, keepdim=True).clamp(min=1e-12) * top * won).amax(1)
    return which, strength


def overlap(first: Tensor, second: Tensor, *, general: bool = False) -> Tensor:
    """Return the IoU of boxes [..., 4]; `general` takes off what the hull of both leaves empty (GIoU, -1 to 1)."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1) - shared
    result = shared / union.clamp(min=1e-6)
    if general:
        low, high = torch.minimum(first[..., :2], second[..., :2]), torch.maximum(first[..., 2:], second[..., 2:])
        hull = (high - low).prod(-1).clamp(min=1e-6)
        result = result - (hull - union) / hull
    return result

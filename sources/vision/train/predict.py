"""What a network sees while it is trained, without the way over a file."""
# pyright: reportMissingImports=false, reportUnknownParameterType=false

from collections.abc import Sequence

import numpy as np
import torch

from sources.vision.boxes import letterbox, suppress
from sources.vision.heads import decode
from sources.vision.model import Objects
from sources.vision.train.batches import images_of
from sources.vision.train.judge import FLOOR
from sources.vision.train.network import Exported, Net
from sources.vision.train.pictures import Sample

_AT_ONCE = 16


def predict(net: Net, samples: Sequence[Sample], side: int) -> list[Objects]:
    """Return the objects in each sample, surest first, as a Detector would from the exported file."""
    shipped = Exported(net, side).eval()
    found: list[Objects] = []
    for first in range(0, len(samples), _AT_ONCE):
        fitted = [letterbox(one.picture, side, side, "center") for one in samples[first : first + _AT_ONCE]]
        with torch.no_grad():
            outputs = shipped(images_of([picture for picture, _ in fitted])).float().numpy()
        for output, (_, fit) in zip(outputs, fitted, strict=True):
            boxes, scores = decode("yolov8", output, side, side)
            rows, classes = np.nonzero(scores >= FLOOR)
            stay = suppress(boxes[rows], scores[rows, classes], classes, 0.5)
            found.append(Objects(classes[stay], scores[rows, classes][stay], fit.back(boxes[rows][stay])))
    return found

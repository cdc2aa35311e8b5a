"""The second stage: a classifier that looks at the boxes of a detector."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sources.vision.boxes import Boxes, Image
from sources.vision.heads import ModelError
from sources.vision.model import Network, metadata_names
from sources.vision.settings import ModelSettings, SecondStage


class Classifier:
    """A classifier of crops, checked at once; raises ModelError."""

    def __init__(self, name: str, settings: SecondStage, model: ModelSettings, folder: Path) -> None:
        self.settings = settings
        self._network = Network(
            f"{name}.second", folder / settings.file, settings.sha256, model.providers, model.threads
        )
        self._width, self._height = self._network.size(None)
        self.names = settings.classes or metadata_names(self._network)
        output = self._network.run(np.zeros((1, 3, self._height, self._width), np.float32))
        scores = output.reshape(1, -1).shape[1]
        if not self.names or max(self.names) >= scores:
            said = f"it gives {scores} scores, classes names {len(self.names)}"
            raise ModelError(f"model {name}.second: {said}: the number of each class must be below that of scores")

    def classify(self, picture: Image, boxes: Boxes) -> list[tuple[str, float]]:
        """Return the surest class of each box (pixels) and how sure it is; '' where it is below the threshold."""
        if not len(boxes):
            return []
        crops = np.stack([self._crop(picture, box) for box in boxes])
        scores = self._network.run(crops).reshape(len(boxes), -1)
        if self.settings.softmax:
            raised = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = raised / raised.sum(axis=1, keepdims=True)
        best = scores.argmax(axis=1)
        sure = scores[np.arange(len(best)), best]
        labels = [self.names.get(int(number), "") for number in best]
        floor = self.settings.threshold
        return [(label if score >= floor else "", float(score)) for label, score in zip(labels, sure, strict=True)]

    def _crop(self, picture: Image, box: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = picture.shape[:2]
        size = box[2:] - box[:2]
        edge = size * self.settings.margin
        bottom = box[1] + size[1] * self.settings.part
        x0, y0 = np.clip((box[:2] - edge).astype(int), 0, [width - 1, height - 1])
        x1 = int(np.clip(np.ceil(box[2] + edge[0]), x0 + 1, width))
        y1 = int(np.clip(np.ceil(bottom + edge[1]), y0 + 1, height))
        resized = cv2.resize(picture[y0:y1, x0:x1], (self._width, self._height), interpolation=cv2.INTER_AREA)
        pixels = (resized[:, :, ::-1] if self.settings.colour == "rgb" else resized).astype(np.float32)
        normal = (pixels - np.array(self.settings.mean, np.float32)) / np.array(self.settings.std, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1))


def labels_of(classifier: Classifier, names: Sequence[str]) -> NDArray[np.int64]:
    """Return the places of `names` that the classifier is to look at."""
    return np.flatnonzero(np.isin(np.array(names, np.str_), classifier.settings.of))

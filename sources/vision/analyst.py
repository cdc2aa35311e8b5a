"""A model at work in the vision process: what it sees in pictures, with its second stage."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.evidence import Detection
from sources.vision.boxes import Image
from sources.vision.inputs import Frame
from sources.vision.model import Detector, Objects
from sources.vision.second import Classifier, labels_of
from sources.vision.settings import Settings


class Analyst:
    """A detector with its second stage."""

    def __init__(self, name: str, settings: Settings, folder: Path) -> None:
        model = settings.models[name]
        self.detector = Detector(name, model, folder)
        self._classifier = Classifier(name, model.second, model, folder) if model.second is not None else None

    def detect(self, frames: list[Frame]) -> list[list[Detection]]:
        """Return what is in each picture; in one batch where the model takes several."""
        pictures = [frame.picture for frame in frames]
        return [
            self._detections(picture, objects)
            for picture, objects in zip(pictures, self.detector.detect(pictures), strict=True)
        ]

    def _detections(self, picture: Image, objects: Objects) -> list[Detection]:
        height, width = picture.shape[:2]
        name, names = self.detector.name, self.detector.names
        found = [
            Detection(names[int(number)], round(float(score), 4), shares(box, width, height), name)
            for number, score, box in zip(objects.classes, objects.scores, objects.boxes, strict=True)
        ]
        if self._classifier is not None:
            places = labels_of(self._classifier, [detection.name for detection in found])
            labels = self._classifier.classify(picture, objects.boxes[places])
            found += [
                Detection(label, round(score, 4), found[place].box, name)
                for place, (label, score) in zip(places.tolist(), labels, strict=True)
                if label
            ]
        return found


def shares(box: NDArray[np.float32], width: int, height: int) -> tuple[float, float, float, float]:
    """Return a box in pixels as shares of the picture."""
    x0, y0, x1, y1 = (box / np.array([width, height, width, height])).tolist()
    return round(x0, 5), round(y0, 5), round(x1, 5), round(y1, 5)

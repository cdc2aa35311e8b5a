"""What inference costs: a picture on each provider that there is, for each precision and number of threads."""

import os
import time
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.processes import ROOT
from bench.report import Samples
from sources.vision.datasets import play, read_names
from sources.vision.model import Detector, available
from sources.vision.quantize import QuantizeError, quantize
from sources.vision.settings import ModelSettings

_DATA = Path(os.environ.get("PLANTREE_SHARED", ROOT.parent / "shared")) / "data" / "vision"
MODEL, NAMES = _DATA / "models" / "yolox_nano.onnx", _DATA / "models" / "coco_classes.txt"
CLIP = _DATA / "video" / "worker-zone.gif"


def options(file: Path) -> dict[str, Any]:
    """Return the options of a detector of persons and other things."""
    return {"file": str(file), "head": "yolox", "classes": read_names(NAMES)}


def inference(folder: Path, rounds: int, bar: Any) -> list[list[str]]:
    """Return what a picture costs on each provider that there is, for each precision and number of threads."""
    picture = next(play(CLIP, None))[1]
    files = {"FP32": MODEL}
    notes: list[list[str]] = []
    try:
        files["INT8"] = _int8(folder, bar)
    except QuantizeError as error:
        notes.append(["INT8", str(error)])
    rows: list[list[str]] = []
    for provider in available():
        for precision, file in files.items():
            for threads in (1, 2) if provider == "cpu" else (1,):
                chosen = {**options(file), "providers": [provider], "threads": threads}
                detector = Detector("detector", ModelSettings.model_validate(chosen), folder)
                figures = Samples([_median(detector, picture) for _ in range(rounds)])
                rows.append([f"{provider}, {precision}, {threads} thread{'s'[: threads > 1]}", str(figures)])
    return rows + notes


def _median(detector: Detector, picture: Any) -> float:
    times: list[float] = []
    for _ in range(45):
        began = time.perf_counter()
        detector.detect([picture])
        times.append((time.perf_counter() - began) * 1000)
    return float(np.median(times[5:]))


def _int8(folder: Path, bar: Any) -> Path:
    frames = folder / "frames"
    frames.mkdir()
    for number, (_, picture) in enumerate(islice(play(CLIP, 5.0), 20)):
        cv2.imwrite(str(frames / f"{number:03}.png"), picture)
    output = folder / "int8.onnx"
    quantize(Detector("detector", ModelSettings.model_validate(options(MODEL)), folder), frames, output, 20, bar)
    return output

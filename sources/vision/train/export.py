"""From a trained network to a file that any ONNX runtime takes: half-size weights, and all that a reader must know."""
# pyright: reportMissingImports=false, reportUnknownParameterType=false

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch

from sources.vision.train.metadata import annotate, halve
from sources.vision.train.network import Exported, Net

_OPSET = 17


def export(net: Net, file: Path, side: int, classes: Sequence[str], said: Mapping[str, str]) -> None:
    """Write a network for inputs of `side` × `side` pixels, any number at once, with its metadata."""
    plain = net.to(memory_format=torch.contiguous_format).eval()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = Path(folder) / "raw.onnx"
        torch.onnx.export(
            Exported(plain, side).eval(), (torch.zeros(1, 3, side, side),), str(raw), opset_version=_OPSET,
            input_names=["images"], output_names=["output"], dynamo=False,
            dynamic_axes={"images": {0: "batch"}, "output": {0: "batch"}},
        )  # fmt: skip
        model: Any = onnx.load(str(raw))
    halve(model)
    metadata = {"names": str(dict(enumerate(classes))), "head": "yolov8", "padding": "center", "colour": "rgb",
                "scale": repr(1 / 255), **said}  # fmt: skip
    annotate(model, metadata)
    onnx.checker.check_model(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(file))

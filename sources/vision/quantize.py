"""An INT8 copy of a detector, for processors that are faster with it. Needs the package `onnx`, as for training."""

import os
import tempfile
from pathlib import Path
from typing import Any

from rich.progress import Progress

from sources.vision.datasets import all_pictures
from sources.vision.inputs import read_picture
from sources.vision.model import Detector

MINIMUM = 10
_OPSET = 13


class QuantizeError(Exception):
    """What keeps a model from being quantised, in one sentence."""


def quantize(detector: Detector, data: Path, output: Path, limit: int, bar: Progress) -> None:
    """Write an INT8 model (QDQ, weights a channel each), its ranges measured on pictures; raises QuantizeError."""
    try:
        from onnxruntime import quantization as quantizer  # noqa: PLC0415  it needs onnx, which running does not
        from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415
    except ImportError as error:
        raise QuantizeError("quantize needs the package onnx: pip install onnx") from error
    files = all_pictures(data)
    if len(files) < MINIMUM:
        raise QuantizeError(f"{data} has not {MINIMUM} pictures to measure ranges on")
    files = files[:: max(1, len(files) // limit)][:limit]
    task = bar.add_task("measuring", total=len(files))

    class Reader(quantizer.CalibrationDataReader):
        """Hands out pictures as the model takes them."""

        def __init__(self) -> None:
            self._left = iter(files)

        def get_next(self) -> Any:
            """Return the next input, None after the last."""
            file = next(self._left, None)
            bar.advance(task)
            return None if file is None else detector.inputs([read_picture(file)])

    with tempfile.TemporaryDirectory() as folder:
        prepared = os.fspath(Path(folder) / "prepared.onnx")
        try:
            newer = os.fspath(Path(folder) / "newer.onnx")
            _renew(detector.file, newer)
            quant_pre_process(newer, prepared, skip_symbolic_shape=True)
            quantizer.quantize_static(
                prepared, os.fspath(output), Reader(), quant_format=quantizer.QuantFormat.QDQ, per_channel=True,
                activation_type=quantizer.QuantType.QUInt8, weight_type=quantizer.QuantType.QInt8,
                nodes_to_exclude=_tail(prepared), extra_options={"CalibMovingAverage": True},
            )  # fmt: skip
        except Exception as error:
            raise QuantizeError(f"{detector.file} cannot be quantised: {error}") from error
    _keep_metadata(output, dict(detector.network.metadata))


def _renew(file: Path, output: str) -> None:
    """Write a model in an operator set that has scales a channel."""
    import onnx  # noqa: PLC0415
    import onnx.version_converter  # noqa: PLC0415

    model: Any = onnx.load(os.fspath(file))
    if max(part.version for part in model.opset_import if part.domain in {"", "ai.onnx"}) < _OPSET:
        model = onnx.version_converter.convert_version(model, _OPSET)
    onnx.save(model, output)


def _tail(file: str) -> list[str]:
    """Return the nodes behind the last convolutions: boxes in pixels and scores do not share a range of 256 steps."""
    import onnx  # noqa: PLC0415

    graph: Any = onnx.load(file).graph
    behind: set[str] = set()
    tail: list[str] = []
    feeds = {output: node for node in graph.node for output in node.output}
    waiting = [output.name for output in graph.output]
    while waiting:
        node: Any = feeds.get(waiting.pop())
        if node is None or node.name in behind or node.op_type == "Conv":
            continue
        behind.add(node.name)
        tail.append(node.name)
        waiting.extend(node.input)
    return tail


def _keep_metadata(file: Path, metadata: dict[str, str]) -> None:
    import onnx  # noqa: PLC0415

    model: Any = onnx.load(os.fspath(file))
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, os.fspath(file))

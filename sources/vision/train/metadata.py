"""What a model file says of itself, and the size of its weights. Needs `onnx`, no PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SMALL = 256  # numbers: smaller tensors stay as they are


def annotate(model: Any, metadata: Mapping[str, str]) -> None:
    """Set a model's metadata; what it has besides stays."""
    kept = {prop.key: prop.value for prop in model.metadata_props}
    helper.set_model_props(model, {**kept, **metadata})


def set_thresholds(file: Path, thresholds: Mapping[str, float]) -> None:
    """Write the thresholds chosen for each class into a model file."""
    model: Any = onnx.load(str(file))
    annotate(model, {"thresholds": json.dumps({name: round(value, 4) for name, value in thresholds.items()})})
    onnx.save(model, str(file))


def halve(model: Any) -> None:
    """Keep weights as float16 and widen them when the model is loaded: half the file, the same arithmetic."""
    graph = model.graph
    widened: list[Any] = []
    for weight in [one for one in graph.initializer if one.data_type == TensorProto.FLOAT]:
        values = numpy_helper.to_array(weight)
        if values.size < _SMALL or np.abs(values).max() > 6e4:
            continue
        name = weight.name
        graph.initializer.remove(weight)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        widened.append(helper.make_node("Cast", [f"{name}_half"], [name], name=f"widen_{name}", to=TensorProto.FLOAT))
    for node in reversed(widened):
        graph.node.insert(0, node)

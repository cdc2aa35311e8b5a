"""Small models in ONNX, made to order."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def _save(
    file: Path, nodes: list, inits: list, batch: int | None, size: tuple[int, int], said: Mapping, rank: int = 3
) -> Path:
    width, height = size
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch or "batch", 3, height, width])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [None] * rank)
    graph = helper.make_graph(nodes, "g", [image], [output], initializer=inits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, dict(said))
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
    return file


def constant_model(
    file: Path, output: np.ndarray, size: tuple[int, int], batch: int | None, said: Mapping[str, str] | None = None
) -> Path:
    """Write a detector for `size` (width, height) that sees the same in every picture."""
    inits = [
        numpy_helper.from_array(output[None].astype(np.float32), "seen"),
        numpy_helper.from_array(np.array(0, np.float32), "nothing"),
        numpy_helper.from_array(np.array([0, -1, 1], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("Reshape", ["images", "shape"], ["flat"]),
        helper.make_node("ReduceMax", ["flat"], ["most"], axes=[1, 2], keepdims=1),
        helper.make_node("Mul", ["most", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "seen"], ["output"]),
    ]
    return _save(file, nodes, inits, batch, size, said or {})


def flame_model(file: Path, output: np.ndarray) -> Path:
    """Write a detector for 64×64 (YOLOv8, one class): what `output` says, as sure as something glows orange."""
    mask = np.zeros((1, *output.shape), np.float32)
    mask[0, 4, 0] = 1
    inits = [
        numpy_helper.from_array(np.array([1, 0, -1], np.float32).reshape(1, 3, 1, 1), "red_over_blue"),
        numpy_helper.from_array(np.array(40, np.float32), "slope"),
        numpy_helper.from_array(np.array(-20, np.float32), "start"),
        numpy_helper.from_array(mask, "mask"),
        numpy_helper.from_array(output[None].astype(np.float32), "seen"),
    ]
    nodes = [
        helper.make_node("Conv", ["images", "red_over_blue"], ["glow"]),
        helper.make_node("AveragePool", ["glow"], ["patches"], kernel_shape=[4, 4], strides=[2, 2]),
        helper.make_node("ReduceMax", ["patches"], ["most"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["most", "slope"], ["steep"]),
        helper.make_node("Add", ["steep", "start"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
        helper.make_node("Squeeze", ["score", "axis"], ["flat"]),
        helper.make_node("Mul", ["flat", "mask"], ["sure"]),
        helper.make_node("Add", ["sure", "seen"], ["output"]),
    ]
    inits.append(numpy_helper.from_array(np.array([3], np.int64), "axis"))
    return _save(file, nodes, inits, 1, (64, 64), {"head": "yolov8", "names": "{0: 'fire'}"})


def classifier_of(file: Path) -> Path:
    """Write a classifier for 16×16 whose logits are -8 and 8 for a white picture, 8 and -8 for a black one."""
    inits = [
        numpy_helper.from_array(np.array([-16, 16], np.float32), "slope"),
        numpy_helper.from_array(np.array([8, -8], np.float32), "start"),
        numpy_helper.from_array(np.array([-1, 1], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["column"]),
        helper.make_node("Mul", ["column", "slope"], ["leaning"]),
        helper.make_node("Add", ["leaning", "start"], ["output"]),
    ]
    return _save(file, nodes, inits, None, (16, 16), {}, rank=2)

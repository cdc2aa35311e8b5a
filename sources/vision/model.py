"""Models in ONNX Runtime: opened, checked against their configuration, and run on batches of pictures."""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sources.vision.boxes import Boxes, Fit, Image, letterbox, suppress
from sources.vision.heads import ModelError, cells, check, decode
from sources.vision.settings import HeadName, ModelSettings, Provider

PROVIDERS: Mapping[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_DEFAULTS: Mapping[HeadName, tuple[str, str, float]] = {  # padding, colour, scale: as each family is trained
    "yolox": ("top_left", "bgr", 1.0),
    "yolov8": ("center", "rgb", 1 / 255),
}
_SEEN_FROM = 0.3
"""Confidence of what counts as seen where nobody says otherwise."""
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What a model saw in one picture: class numbers int64[n], scores float32[n], boxes float32[n, 4] in pixels."""

    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: Boxes


def sha256_of(file: Path) -> str:
    """Return a file's SHA-256 in hex; raises OSError."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def available() -> tuple[Provider, ...]:
    """Return the providers that this machine's ONNX Runtime has."""
    there = cast("Sequence[str]", ort.get_available_providers())
    return tuple(name for name, full in PROVIDERS.items() if full in there)


class Network:
    """A model file in a session of ONNX Runtime; raises ModelError, one sentence that names `name`."""

    def __init__(self, name: str, file: Path, sha256: str | None, providers: Sequence[Provider], threads: int) -> None:
        self.name = name
        try:
            self.sha256 = sha256_of(file)
        except OSError as error:
            raise ModelError(f"model {name}: {file} cannot be read: {error.strerror or error}") from error
        if sha256 is not None and sha256.lower() != self.sha256:
            raise ModelError(f"model {name}: {file} has SHA-256 {self.sha256}, not {sha256.lower()}")
        chosen = [PROVIDERS[provider] for provider in providers if provider in available()]
        if not chosen:
            said = f"this machine has {', '.join(available())}"
            raise ModelError(f"model {name}: none of the providers {', '.join(providers)} is there; {said}")
        options: Any = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin while they wait take the processor from the server.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(str(file), options, providers=chosen)
        except Exception as error:
            raise ModelError(f"model {name}: {file} is no model that ONNX Runtime runs: {_short(error)}") from error
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        inputs: Sequence[Any] = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _FLOATS:
            shapes = ", ".join(f"{part.type} {part.shape}" for part in inputs)
            raise ModelError(f"model {name}: needs one input of floats, [batch, 3, height, width]; it has {shapes}")
        self.input = str(inputs[0].name)
        """The name of its input."""
        self._type = _FLOATS[inputs[0].type]
        self.shape: tuple[int | None, ...] = tuple(d if isinstance(d, int) else None for d in inputs[0].shape)
        if self.shape[1] not in {3, None}:
            raise ModelError(f"model {name}: its input {list(self.shape)} has not 3 channels")

    @property
    def provider(self) -> str:
        """The provider that runs it, in full."""
        return str(self._session.get_providers()[0])

    def size(self, given: tuple[int, int] | None) -> tuple[int, int]:
        """Return width and height of the input: the model's own, else `given`; raises ModelError."""
        height, width = self.shape[2], self.shape[3]
        if height is not None and width is not None:
            if given is not None and given != (width, height):
                raise ModelError(f"model {self.name}: size is {list(given)}, but its input is {width}×{height}")
            return width, height
        if given is None:
            raise ModelError(f"model {self.name}: its input has no fixed size: say size: [width, height]")
        return given

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the first output for pictures float32[n, 3, H, W], in as many runs as the model's batch size asks."""
        fixed = self.shape[0]
        if fixed is None:
            return self._once(batch)
        outputs: list[NDArray[np.float32]] = []
        for first in range(0, len(batch), fixed):
            part = batch[first : first + fixed]
            filled = np.concatenate([part, np.zeros((fixed - len(part), *part.shape[1:]), part.dtype)])
            outputs.append(self._once(filled)[: len(part)])
        return np.concatenate(outputs)

    def _once(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        output = self._session.run(None, {self.input: batch.astype(self._type, copy=False)})[0]
        return np.asarray(output, np.float32)


class Detector:
    """A detector, checked at once with a blank picture; raises ModelError."""

    def __init__(self, name: str, settings: ModelSettings, folder: Path) -> None:
        self.settings = settings
        self.file = folder / settings.file
        self.network = network = Network(name, self.file, settings.sha256, settings.providers, settings.threads)
        self.width, self.height = network.size(settings.size)
        head = settings.head or network.metadata.get("head")
        if head not in _DEFAULTS:
            said = f"says head {head!r}" if head else "does not say its head"
            raise ModelError(f"model {name}: its metadata {said}: set head to one of {', '.join(_DEFAULTS)}")
        self.head: HeadName = cast("HeadName", head)
        names = settings.classes or metadata_names(network)
        if not names:
            raise ModelError(f"model {name}: neither the options nor its metadata name its classes: set classes")
        self.names: Mapping[int, str] = names
        self.thresholds: Mapping[str, float] = _metadata_thresholds(network, names)
        """What the model's metadata asks for before a class raises anything, by name."""
        self._floors = {number: self._floor(label) for number, label in names.items()}
        for label in settings.thresholds:
            if label not in names.values():
                raise ModelError(f"model {name}: thresholds names {label!r}; its classes are {_some(names)}")
        padding, colour, scale = _DEFAULTS[self.head]
        self._padding = settings.padding or network.metadata.get("padding", padding)
        self._colour = settings.colour or network.metadata.get("colour", colour)
        self._scale = settings.scale or float(network.metadata.get("scale", scale))
        self._check()

    @property
    def name(self) -> str:
        """Its name in the options."""
        return self.network.name

    def _floor(self, label: str) -> float:
        """Return from which confidence on a class counts as seen."""
        settings = self.settings
        if label in settings.thresholds or settings.threshold is not None:
            return settings.thresholds.get(label, settings.threshold or 0.0)
        return min(_SEEN_FROM, self.thresholds.get(label, _SEEN_FROM))

    def _check(self) -> None:
        try:
            output = self.network.run(np.zeros((1, 3, self.height, self.width), np.float32))
        except Exception as error:
            raise ModelError(
                f"model {self.name}: does not run at {self.width}×{self.height}: {_short(error)}"
            ) from error
        count = self.settings.count or self._count(output.shape)
        try:
            check(self.head, output.shape, self.width, self.height, count)
        except ModelError as error:
            raise ModelError(f"model {self.name}: {error}") from error

    def _count(self, shape: Sequence[int]) -> int:
        """Return how many classes the model must have: all that its metadata names, else those that it has."""
        if self.settings.classes is None:
            return len(self.names)
        rows, channels = (1, shape[-1] - 5) if self.head == "yolox" else (-1, shape[1] - 4)
        named = max(self.names) + 1
        return max(channels, named) if shape[rows] == cells(self.width, self.height) else named

    def detect(self, pictures: Sequence[Image]) -> list[Objects]:
        """Return what is in each picture, surest first."""
        batch, fits = self._batch(pictures)
        outputs = self.network.run(batch)
        return [self._objects(output, fit) for output, fit in zip(outputs, fits, strict=True)]

    def inputs(self, pictures: Sequence[Image]) -> dict[str, NDArray[np.float32]]:
        """Return what the session is given for pictures."""
        return {self.network.input: self._batch(pictures)[0]}

    def _batch(self, pictures: Sequence[Image]) -> tuple[NDArray[np.float32], list[Fit]]:
        batch = np.empty((len(pictures), 3, self.height, self.width), np.float32)
        fits: list[Fit] = []
        for place, picture in enumerate(pictures):
            boxed, fit = letterbox(picture, self.width, self.height, cast("Any", self._padding))
            pixels = boxed[:, :, ::-1] if self._colour == "rgb" else boxed
            np.multiply(pixels.transpose(2, 0, 1), np.float32(self._scale), out=batch[place])
            fits.append(fit)
        return batch, fits

    def _objects(self, output: NDArray[np.float32], fit: Fit) -> Objects:
        boxes, scores = decode(self.head, output, self.width, self.height)
        numbers = np.array(list(self.names), np.int64)
        wanted = scores[:, numbers]
        floors = np.array([self._floors[number] for number in self.names], np.float32)
        wanted = np.where(np.isfinite(boxes).all(axis=1, keepdims=True), wanted, np.float32(-1))
        rows, columns = np.nonzero(wanted >= floors)
        scored, classes, found = wanted[rows, columns], numbers[columns], boxes[rows]
        stay = suppress(found, scored, classes, self.settings.overlap)
        return Objects(classes[stay], scored[stay], fit.back(found[stay]))


def metadata_names(network: Network) -> dict[int, str]:
    """Return the class names that a model carries (`names`: a list or a mapping, as YOLO exports write it)."""
    text = network.metadata.get("names", "")
    try:
        value: Any = ast.literal_eval(text) if text else {}
    except (ValueError, SyntaxError) as error:
        raise ModelError(f"model {network.name}: its metadata `names` cannot be read: {text[:80]!r}") from error
    pairs: Any = enumerate(value) if isinstance(value, list | tuple) else dict(value).items()
    return {int(number): str(label) for number, label in pairs}


def _metadata_thresholds(network: Network, names: Mapping[int, str]) -> dict[str, float]:
    """Return the confidences that a model carries (`thresholds`: JSON by its own class names), by those of `names`."""
    text = network.metadata.get("thresholds")
    if not text:
        return {}
    try:
        given = {str(label): float(value) for label, value in dict(json.loads(text)).items()}
    except (ValueError, TypeError) as error:
        raise ModelError(f"model {network.name}: its metadata `thresholds` cannot be read: {text[:80]!r}") from error
    if not all(0 <= value <= 1 for value in given.values()):
        raise ModelError(f"model {network.name}: its metadata `thresholds` are not all from 0 to 1: {text[:80]!r}")
    own = metadata_names(network)
    found = {label: given.get(own.get(number, label)) for number, label in names.items()}
    return {label: value for label, value in found.items() if value is not None}


def _some(names: Mapping[int, str]) -> str:
    labels = list(names.values())
    return ", ".join(labels[:10]) + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]

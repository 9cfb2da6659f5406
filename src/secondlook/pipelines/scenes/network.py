"""The network: masks of weak labels (N. Araslanov and S. Roth, CVPR 2020; X. Wu et al., ICCV 2021), or only scores.

This module imports `torch`; only functions that compute import it.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from secondlook.config.scenes_training import NetworkOptions, TrainingOptions
from secondlook.pipelines.scenes import backbone, losses
from secondlook.pipelines.scenes.backbone import Backbone, conv_bn_relu

_ASPP_DILATIONS = (12, 24, 36)
_SKIP_OF = (3, 16)  # channels of the skip connection, as a part of the width: 48 of 256


class Seen(NamedTuple):
    """The outputs of a network for n images.

    `scores` (n, classes) are logits, `feature` (n, d, h, w) is for the 3D loss, `logits` (n, 1 + classes, h, w) are
    those of masks, background first; None if the network gives no masks.
    """

    scores: Tensor
    feature: Tensor
    logits: Tensor | None


class Aspp(nn.Module):
    """Atrous pyramid (Chen et al., ECCV 2018): 1 x 1, 3 x 3 at three dilations, and the mean of the image."""

    def __init__(self, into: int, width: int) -> None:
        super().__init__()
        branches = [conv_bn_relu(into, width, 1), *(conv_bn_relu(into, width, 3, dilation=d) for d in _ASPP_DILATIONS)]
        self.branches = nn.ModuleList(branches)
        self.pool = conv_bn_relu(into, width, 1)
        self.join = nn.Sequential(*conv_bn_relu((len(branches) + 1) * width, width, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same size."""
        pooled = self.pool(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        joined: Tensor = self.join(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1))
        return joined


class Gci(nn.Module):
    """Global cue injection: deep features, at their maxima over the image, scale and shift shallow ones."""

    def __init__(self, low: int, width: int) -> None:
        super().__init__()
        self.deep = conv_bn_relu(width, 2 * width, 1)
        conv = nn.Conv2d(low, width, 1, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        self.shallow = nn.Sequential(conv, nn.BatchNorm2d(width, affine=False))
        self.out = conv_bn_relu(width, width, 1)

    def forward(self, low: Tensor, deep: Tensor) -> Tensor:
        """Return out(ReLU((1 + gamma) z + beta)) of z = norm(conv(low))."""
        gamma, beta = self.deep(deep).amax(dim=(2, 3), keepdim=True).chunk(2, dim=1)
        mixed: Tensor = self.out(torch.relu((1 + gamma) * self.shallow(low) + beta))
        return mixed


def gate(deep: Tensor, shallow: Tensor, psi: float, *, training: bool) -> Tensor:
    """Mix deep and shallow features; in training each element is one or the other, with the mean `deep`.

    b (deep - psi shallow) / (1 - psi) + (1 - b) shallow with P(b = 1) = 1 - psi; afterwards
    (1 - psi) deep + psi shallow. The draw is as large as this batch.
    """
    if not training:
        return (1 - psi) * deep + psi * shallow
    keeps = torch.rand_like(deep, dtype=torch.float32) >= psi
    return torch.where(keeps, (deep - psi * shallow) / (1 - psi), shallow)


class Segmenter(nn.Module):
    """Masks and scores: backbone, pyramid, skip connection, GCI, gate and decoder."""

    def __init__(self, body: Backbone, classes: int, options: NetworkOptions) -> None:
        super().__init__()
        width, skip = options.width, options.width * _SKIP_OF[0] // _SKIP_OF[1]
        self.options = options
        self.backbone = body
        self.aspp = Aspp(body.high_channels, width)
        self.skip = conv_bn_relu(body.low_channels, skip, 1)
        self.fuse = conv_bn_relu(width + skip, width, 3)
        self.gci = Gci(body.low_channels, width) if options.gci else None
        first, second = conv_bn_relu(width, width, 3), conv_bn_relu(width, width, 3)
        self.decoder = nn.Sequential(*first, nn.Dropout(0.5), *second, nn.Dropout(0.1))
        self.head = nn.Conv2d(width, classes, 1)
        nn.init.kaiming_normal_(self.head.weight)

    def forward(self, images: Tensor) -> Seen:
        """Return the outputs for normalised images (n, 3, h, w); logits are at stride 4."""
        low, high = self.backbone(images)
        wide = interpolate(self.aspp(high), low.shape[-2:], mode="bilinear", align_corners=True)
        deep = self.fuse(torch.cat([self.skip(low), wide], dim=1))
        if self.gci is not None:
            deep = gate(deep, self.gci(low, deep), self.options.gate_psi, training=self.training)
        feature = self.decoder(deep)
        foreground = self.head(feature).float()  # scores of bfloat16 logits would sum thousands of rounded numbers
        background = torch.full_like(foreground[:, :1], self.options.background_logit)
        logits = torch.cat([background, foreground], dim=1)
        with torch.autocast(logits.device.type, enabled=False):
            scores = losses.pooled_scores(logits, self.options.focal_p, self.options.focal_lambda)
        return Seen(scores, feature, logits)


class Classifier(nn.Module):
    """Only scores: a backbone, the mean over the image, and a linear head."""

    def __init__(self, body: Backbone, classes: int, *, feature: str, dropout: float) -> None:
        super().__init__()
        self.backbone = body
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(body.high_channels, classes)
        self.feature = feature

    def forward(self, images: Tensor) -> Seen:
        """Return scores of normalised images (n, 3, h, w), and their features."""
        low, high = self.backbone(images)
        scores = self.head(self.dropout(high.mean(dim=(2, 3)))).float()
        return Seen(scores, low if self.feature == "low" else high, None)


Network = Segmenter | Classifier


def build(options: NetworkOptions, classes: int, *, with_start: bool = True) -> Network:
    """Return the network for a number of classes, without background; new layers start at random."""
    body = backbone.build(options, with_start=with_start)
    if options.kind == "seg":
        return Segmenter(body, classes, options)
    mobile = options.backbone == "mobilenet_v2"
    return Classifier(body, classes, feature="low" if mobile else "high", dropout=0.2 if mobile else 0.0)


def parameter_groups(network: Network, options: TrainingOptions) -> list[dict[str, object]]:
    """Return the groups of the optimiser: weights and biases of the backbone, then weights and biases of new layers.

    Each has its `rate` before any milestone. Biases, including those of normalisation, have no decay unless the
    options set it.
    """
    groups: list[dict[str, object]] = []
    for new, rate in ((False, options.learning_rate), (True, options.new_learning_rate)):
        for bias in (False, True):
            chosen = [
                value
                for name, value in network.named_parameters()
                if name.startswith("backbone.") != new and name.endswith(".bias") == bias
            ]
            decay = options.weight_decay if options.decay_biases or not bias else 0.0
            groups.append({"params": chosen, "lr": rate, "rate": rate, "weight_decay": decay})
    return groups

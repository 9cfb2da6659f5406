"""PAMR: masks that follow the colours of their image (N. Araslanov and S. Roth, CVPR 2020).

This module imports `torch`; only functions that compute import it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

_NEIGHBOURS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]
_SHARPNESS, _LEAST = 0.1, 1e-8


def refine(masks: Tensor, images: Tensor, dilations: Sequence[int], iterations: int) -> Tensor:
    """Return masks (n, classes, h, w) after `iterations` local means, weighted by colours.

    `images`, (n, 3, any, any) in [0, 1], are resized to the masks. Pixel p weights its neighbour q, eight
    for each dilation, by the softmax over q of the mean over colours of -|I_p - I_q| / (1e-8 + 0.1 s_p); s_p is the
    sample standard deviation of I over all 3 x 3 windows around p. Borders are replicated.
    """
    with torch.no_grad(), torch.autocast(masks.device.type, enabled=False):
        masks, images = masks.float(), images.float()
        if images.shape[-2:] != masks.shape[-2:]:
            images = interpolate(images, masks.shape[-2:], mode="bilinear", align_corners=True)
        weights = _affinity(images, dilations)
        for _ in range(iterations):
            masks = (weights[:, None] * _around(masks, dilations)).sum(dim=2)
        return masks


def _affinity(images: Tensor, dilations: Sequence[int]) -> Tensor:
    """Return the weight of each neighbour of each pixel, (n, neighbours, h, w)."""
    around = _around(images, dilations)
    own = images[:, :, None]
    window = torch.cat([around, own.expand(-1, -1, len(dilations), -1, -1)], dim=2)
    spread = window.std(dim=2, keepdim=True)
    distance = (around - own).abs() / (_LEAST + _SHARPNESS * spread)
    return (-distance).mean(dim=1).softmax(dim=1)


def _around(values: Tensor, dilations: Sequence[int]) -> Tensor:
    """Return the neighbours of each pixel, (n, channels, neighbours, h, w)."""
    height, width = values.shape[-2:]
    most = max(dilations)
    wide = pad(values, [most] * 4, mode="replicate")
    neighbours = []
    for step in dilations:
        for row, column in _NEIGHBOURS:
            top, left = most + step * row, most + step * column
            neighbours.append(wide[..., top : top + height, left : left + width])
    return torch.stack(neighbours, dim=2)

"""The losses of the network: image scores from masks, pseudo masks, and the 3D contrastive loss.

Formulas: N. Araslanov and S. Roth, CVPR 2020 (scores and masks); X. Wu et al., ICCV 2021 (3D loss). This module
imports `torch`; only functions that compute import it.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

IGNORED = 255
_LEAST_NORM = 1e-6


def pooled_scores(logits: Tensor, focal_p: float, focal_lambda: float) -> Tensor:
    """Return one score per foreground class, (n, classes), of logits (n, 1 + classes, h, w), background first.

    With m = softmax(s): y_c = sum_p m_cp s_cp / (1 + sum_p m_cp) (nGWP), plus the size penalty
    f_c = (1 - mean m_c)^focal_p * ln(focal_lambda + mean m_c).
    """
    shares = logits.softmax(dim=1)
    weighted = (shares * logits).sum(dim=(2, 3)) / (1 + shares.sum(dim=(2, 3)))
    return (weighted + size_penalty(shares, focal_p, focal_lambda))[:, 1:]


def size_penalty(shares: Tensor, focal_p: float, focal_lambda: float) -> Tensor:
    """Return the focal penalty of masks that are small, (n, channels)."""
    mean = shares.mean(dim=(2, 3))
    return (1 - mean) ** focal_p * torch.log(focal_lambda + mean)


def pseudo_mask(shares: Tensor, present: Tensor, background: float, foreground: float, least: float) -> Tensor:
    """Return class indices (n, h, w), 255 where none or several classes claim a pixel.

    `shares` are probabilities (n, 1 + classes, h, w), `present` (n, classes) is true for the classes of the label; all
    others are excluded. A class claims a pixel if its share there is above `least`, and above a part (`background` or
    `foreground`) of its greatest share in the image.
    """
    everywhere = torch.ones_like(present[:, :1])
    shares = shares * torch.cat([everywhere, present], dim=1)[:, :, None, None]
    part = torch.full((shares.shape[1], 1, 1), foreground, device=shares.device)
    part[0] = background
    claimed = shares > (part * shares.amax(dim=(2, 3), keepdim=True)).clamp(min=least)
    return torch.where(claimed.sum(dim=1) == 1, claimed.int().argmax(dim=1), IGNORED)


def balanced_mask_loss(logits: Tensor, truth: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy against a pseudo mask (n, h, w), classes weighted by their rarity: a scalar.

    A pixel of class c weighs (N - N_c) / (1 + N), N labelled pixels of which N_c are of the class; the mean is over
    all pixels. An image counts, in the mean over the batch, if its pseudo mask has all its classes and background:
    one class more than its number of labels, `labels` (n,). Logits are resized to the mask.
    """
    if logits.shape[-2:] != truth.shape[-2:]:
        logits = interpolate(logits, truth.shape[-2:], mode="bilinear", align_corners=True)
    classes = torch.arange(logits.shape[1], device=truth.device)
    own = truth[:, None] == classes[:, None, None]
    count = own.sum(dim=(2, 3)).float()
    total = count.sum(dim=1, keepdim=True)
    weight = (own * ((total - count) / (1 + total))[:, :, None, None]).sum(dim=1)
    loss = (weight * cross_entropy(logits, truth, ignore_index=IGNORED, reduction="none")).mean(dim=(1, 2))
    whole = (count > 0).sum(dim=1) == labels + 1
    return (loss * whole).mean()


@dataclass(frozen=True)
class Matches:
    """Points that both images of a pair show: the pair, `pair` (points,), and the coordinates, `xy` (points, 4).

    x and y in the anchor, then in the partner, are fractions of width and height.
    """

    pair: Tensor
    xy: Tensor


def contrastive_3d(
    features: Tensor, matches: Matches, negatives: int, tau: float, grid: Literal["centres", "edges"]
) -> Tensor:
    """Return the 3D loss of each pair, (pairs,); 0 for a pair with fewer than two points.

    `features` (2 pairs, d, h, w) holds all anchors, then their partners. Each pair draws `negatives` partners of the
    batch (its own may be among them), and each point a random place in each of them.
    """
    pairs = features.shape[0] // 2
    count = torch.bincount(matches.pair, minlength=pairs)
    kept = count[matches.pair] >= 2
    pair, xy = matches.pair[kept], matches.xy[kept]
    drawn = torch.randint(pairs, (pairs, negatives), device=features.device)
    places = torch.rand(len(pair), negatives, 2, device=features.device)
    query = unit(sampled(features, pair, xy[:, :2], grid))
    positive = unit(sampled(features, pair + pairs, xy[:, 2:], grid))
    others = unit(sampled(features, (drawn[pair] + pairs).flatten(), places.flatten(0, 1), grid))
    loss = info_nce(query, positive, others.view(len(pair), negatives, features.shape[1]), tau)
    return torch.zeros(pairs, device=loss.device).index_add(0, pair, loss) / count.clamp(min=1)


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, tau: float) -> Tensor:
    """Return -ln of the share of the positive in exp(q . k / tau), (points,).

    Vectors have unit length: `query` and `positive` (points, d), `negatives` (points, negatives, d).
    """
    right = (query * positive).sum(dim=1, keepdim=True)
    wrong = torch.einsum("pd,pnd->pn", query, negatives)
    logits = torch.cat([right, wrong], dim=1) / tau
    loss: Tensor = logits.logsumexp(dim=1) - logits[:, 0]
    return loss


def unit(vectors: Tensor) -> Tensor:
    """Return vectors (n, d) of unit length."""
    length: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / (length + _LEAST_NORM)


def sampled(features: Tensor, image: Tensor, xy: Tensor, grid: Literal["centres", "edges"]) -> Tensor:
    """Return features (points, d) at places `xy` (points, 2) of the images (points,), bilinear, as float32.

    Places are fractions of width and height: 0 and 1 are the centres of the outermost cells with `centres` (what
    `grid_sample` calls align_corners), and the edges of the image with `edges`.
    """
    depth, height, width = features.shape[1:]
    size = torch.tensor([width, height], device=xy.device)
    place = xy * (size - 1) if grid == "centres" else xy * size - 0.5
    place = torch.minimum(place.clamp(min=0), size - 1.0)
    low = place.floor().long()
    high = torch.minimum(low + 1, size - 1)
    share = place - low
    flat = features.permute(0, 2, 3, 1).reshape(-1, depth)
    mixed = torch.zeros(len(xy), depth, device=features.device)
    for x, x_share in ((low[:, 0], 1 - share[:, 0]), (high[:, 0], share[:, 0])):
        for y, y_share in ((low[:, 1], 1 - share[:, 1]), (high[:, 1], share[:, 1])):
            cell = flat[(image * height + y) * width + x].float()
            mixed = mixed + (x_share * y_share)[:, None] * cell
    return mixed

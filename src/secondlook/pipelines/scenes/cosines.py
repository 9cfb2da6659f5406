"""Whether features distinguish points: cosines of matched points against those of different points."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.arrays import Floats32
from secondlook.models import inference
from secondlook.pipelines.scenes import samples, windows
from secondlook.pipelines.scenes.checkpoint import MEAN, STD
from secondlook.pipelines.scenes.inputs import ImageTable
from secondlook.pixels import prefetch

if TYPE_CHECKING:
    import torch

    from secondlook.pipelines.scenes.network import Network


@dataclass(frozen=True)
class Cosines:
    """Mean cosines of the features of `points` matched points of `pairs` pairs, and of points that do not match."""

    pairs: int
    points: int
    matched: float
    random: float


@dataclass(frozen=True)
class Embedder:
    """A network that computes features of the middle squares of images, `side_px` wide; `grid` as in its training."""

    network: "Network"
    side_px: int
    device: "torch.device"
    grid: Literal["centres", "edges"] = "centres"


def of_pairs(embedder: Embedder, image_table: ImageTable, split: str, *, most: int = 200, threads: int = 1) -> Cosines:
    """Return the cosines of the pairs of a split, at most `most` of them, drawn with a fixed seed.

    Each point is also compared with a random point of another pair or, with one pair only, with another point of it.
    Points outside the squares do not count; with fewer than two, cosines are NaN.
    """
    chance = np.random.default_rng(0)
    pairs = image_table.partners[image_table.split[image_table.partners[:, 0]] == split]
    if len(pairs) > most:
        pairs = pairs[np.sort(chance.choice(len(pairs), most, replace=False))]
    embedder.network.eval()
    ready = prefetch.ordered(lambda pair: _shown(image_table, pair, embedder.side_px), list(pairs), threads=threads)
    features = [_features(embedder, pixels, xy) for pixels, xy in progress.track(ready, total=len(pairs), what="pairs")]
    owner = np.repeat(np.arange(len(features)), [len(one) for one, _ in features])
    if len(owner) < 2:
        return Cosines(len(pairs), len(owner), float("nan"), float("nan"))
    one, two = (np.concatenate([sides[number] for sides in features]) for number in (0, 1))
    unmatched = two[_others(owner, chance)]
    means = (float((one * other).sum(axis=1).mean()) for other in (two, unmatched))
    return Cosines(len(pairs), len(owner), *means)


def _shown(image_table: ImageTable, pair: NDArray[np.int64], side_px: int) -> tuple[NDArray[np.uint8], Floats32]:
    """Return both squares, (2, s, s, 3), and the points that both show, (k, 4)."""
    xy = image_table.common(int(pair[0]), int(pair[1]))
    pixels, inside = [], np.ones(len(xy), np.bool_)
    for number, row in enumerate(pair):
        square, window, size = samples.centred(image_table.paths[row], side_px, image_table.sizes[row])
        columns = slice(2 * number, 2 * number + 2)
        xy[:, columns], kept = windows.points_in(xy[:, columns], window, size)
        pixels.append(square)
        inside &= kept
    return np.stack(pixels), xy[inside]


def _features(embedder: Embedder, pixels: NDArray[np.uint8], xy: Floats32) -> tuple[Floats32, Floats32]:
    """Return features of unit length in the first and in the second image, (points, d) each."""
    import torch

    from secondlook.pipelines.scenes import losses

    with torch.inference_mode():
        feature = embedder.network(inference.to_normalised(pixels, MEAN, STD, embedder.device)).feature
        places = torch.from_numpy(xy).to(embedder.device)
        none = torch.zeros(len(xy), dtype=torch.int64, device=embedder.device)
        first = losses.unit(losses.sampled(feature, none, places[:, :2], embedder.grid))
        second = losses.unit(losses.sampled(feature, none + 1, places[:, 2:], embedder.grid))
    return first.cpu().numpy(), second.cpu().numpy()


def _others(owner: NDArray[np.int64], chance: np.random.Generator) -> NDArray[np.int64]:
    """Return for each point a different one, of another pair if there is one."""
    drawn = np.empty(len(owner), np.int64)
    for row, own in enumerate(owner):
        others = np.flatnonzero(owner != own)
        pool = others if len(others) else np.delete(np.arange(len(owner)), row)
        drawn[row] = chance.choice(pool)
    return drawn

"""Whether features tell points apart: cosines of matched points against those of points that do not match."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

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
class Looker:
    """A network that looks at the middle squares of images, `side_px` wide; `grid` as it was trained."""

    network: "Network"
    side_px: int
    device: "torch.device"
    grid: Literal["centres", "edges"] = "centres"


def of_pairs(looker: Looker, image_table: ImageTable, split: str, *, most: int = 200, threads: int = 1) -> Cosines:
    """Return the cosines of the pairs of a split, at most `most` of them, drawn without chance.

    A point does not match one of another pair or, where there is one pair only, another point of it. Points outside the
    squares do not count; without two, cosines are NaN.
    """
    chance = np.random.default_rng(0)
    pairs = image_table.partners[image_table.split[image_table.partners[:, 0]] == split]
    if len(pairs) > most:
        pairs = pairs[np.sort(chance.choice(len(pairs), most, replace=False))]
    looker.network.eval()
    ready = prefetch.ordered(lambda pair: _shown(image_table, pair, looker.side_px), list(pairs), threads=threads)
    found = [_features(looker, pixels, xy) for pixels, xy in ready]
    owner = np.repeat(np.arange(len(found)), [len(one) for one, _ in found])
    if len(owner) < 2:
        return Cosines(len(pairs), len(owner), float("nan"), float("nan"))
    one, two = (np.concatenate([sides[number] for sides in found]) for number in (0, 1))
    strangers = two[_strangers(owner, chance)]
    means = (float((one * other).sum(axis=1).mean()) for other in (two, strangers))
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


def _features(looker: Looker, pixels: NDArray[np.uint8], xy: Floats32) -> tuple[Floats32, Floats32]:
    """Return features of the length 1 in the first and in the second image, (points, d) each."""
    import torch

    from secondlook.pipelines.scenes import losses

    with torch.inference_mode():
        feature = looker.network(inference.to_normalised(pixels, MEAN, STD, looker.device)).feature
        places = torch.from_numpy(xy).to(looker.device)
        none = torch.zeros(len(xy), dtype=torch.int64, device=looker.device)
        first = losses.unit(losses.sampled(feature, none, places[:, :2], looker.grid))
        second = losses.unit(losses.sampled(feature, none + 1, places[:, 2:], looker.grid))
    return first.cpu().numpy(), second.cpu().numpy()


def _strangers(owner: NDArray[np.int64], chance: np.random.Generator) -> NDArray[np.int64]:
    """Return for each point one that it does not match, of another pair where there is one."""
    found = np.empty(len(owner), np.int64)
    for row, own in enumerate(owner):
        others = np.flatnonzero(owner != own)
        pool = others if len(others) else np.delete(np.arange(len(owner)), row)
        found[row] = chance.choice(pool)
    return found

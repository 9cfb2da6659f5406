"""Training samples of the network: pairs of randomly cropped images, and the points that both still show."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats32, Pixels
from secondlook.base.errors import DataError
from secondlook.config.scenes_training import TrainingOptions
from secondlook.jobs.distributed import Workers
from secondlook.pipelines.scenes import windows
from secondlook.pipelines.scenes.inputs import ImageTable, Rows, Size
from secondlook.pixels import images, prefetch
from secondlook.pixels.images import UnreadableImageError


@dataclass(frozen=True)
class Pair:
    """An anchor and its partner: rows of both, pixels uint8 (2, s, s, 3), points (k, 4) as x and y in each."""

    rows: tuple[int, int]
    pixels: Pixels
    xy: Floats32


@dataclass(frozen=True)
class Batch:
    """Pairs as arrays: all anchors, then their partners in the same order.

    `rows` (2 pairs,), `pixels` uint8 (2 pairs, s, s, 3); `pair` (points,) is the pair of each point, `xy` (points, 4)
    its coordinates. `share` is the part of the whole batch on this process.
    """

    rows: Rows
    pixels: Pixels
    pair: NDArray[np.int64]
    xy: Floats32
    share: float


def partner_of(image_table: ImageTable, anchor: int, pool: Rows, chance: np.random.Generator) -> tuple[int, bool]:
    """Return an image that shares points with the anchor, or else any other of the pool, and whether it shares points.

    An anchor is never its own partner (the published training drew it as one of its partners).
    """
    partners = image_table.partners_of[anchor]
    if len(partners):
        return int(chance.choice(partners)), True
    others = pool[pool != anchor]
    return int(chance.choice(others)), False


def batches(
    image_table: ImageTable, pool: Rows, options: TrainingOptions, epoch: int, members: Workers, threads: int
) -> Iterator[Batch]:
    """Yield the batches of an epoch, the part of this process; each image is an anchor once; no batch is incomplete.

    The draw depends only on seed, epoch and position. Raises DataError for an image that cannot be read.
    """
    order = np.random.default_rng([options.seed, epoch]).permutation(pool)
    whole = len(order) - len(order) % options.batch
    starts = [members.own(np.arange(start, start + options.batch)) for start in range(0, whole, options.batch)]
    places = [int(place) for own in starts for place in own]

    def work(place: int) -> Pair:
        chance = np.random.default_rng([options.seed, epoch, place])
        return _pair(image_table, int(order[place]), pool, options, chance)

    ready = prefetch.ordered(work, places, threads=threads)
    for own in starts:
        yield _joined([next(ready) for _ in own], len(own) / options.batch)


def decoded(path: Path, size: Size | None) -> Pixels:
    """Return the pixels of an image; raises UnreadableImageError, also if it differs from a given `size`."""
    return images.read_rgb(path) if size is None else images.read_sized(path, *size)


def read_image(path: Path, size: Size | None = None) -> Pixels:
    """Return the pixels of an image; raises DataError if it cannot be read or differs from `size`."""
    try:
        return decoded(path, size)
    except (UnreadableImageError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}); index the images again to leave it out.") from error


def centred(path: Path, side_px: int, size: Size | None = None) -> tuple[Pixels, windows.Window, Size]:
    """Return the middle square of an image, uint8 (s, s, 3), its window, and the size of the image."""
    image = read_image(path, size)
    height, width = image.shape[:2]
    window = windows.centre_window(width, height)
    return windows.cut(image, window, side_px), window, (width, height)


def _pair(
    image_table: ImageTable, anchor: int, pool: Rows, options: TrainingOptions, chance: np.random.Generator
) -> Pair:
    partner, shares = partner_of(image_table, anchor, pool, chance)
    xy = image_table.common(anchor, partner) if shares else np.zeros((0, 4), np.float32)
    pixels, inside = [], np.ones(len(xy), np.bool_)
    for number, row in enumerate((anchor, partner)):
        columns = slice(2 * number, 2 * number + 2)
        image = read_image(image_table.paths[row], image_table.sizes[row])
        cut, xy[:, columns], kept = _changed(image, xy[:, columns], options, chance)
        pixels.append(cut)
        inside &= kept
    xy = xy[inside]
    if len(xy) > options.max_points:
        xy = xy[np.sort(chance.choice(len(xy), options.max_points, replace=False))]
    return Pair((anchor, partner), np.stack(pixels), xy)


def _changed(
    image: Pixels, xy: Floats32, options: TrainingOptions, chance: np.random.Generator
) -> tuple[Pixels, Floats32, NDArray[np.bool_]]:
    """Return an image cropped, mirrored and coloured at random, its points there, and which of them it still shows."""
    height, width = image.shape[:2]
    window = windows.random_window(width, height, options.scale, options.flip, chance)
    cut = windows.cut(image, window, options.crop_px)
    if chance.random() < options.jitter:
        cut = windows.jittered(cut, chance)
    return cut, *windows.points_in(xy, window, (width, height))


def _joined(pairs: list[Pair], share: float) -> Batch:
    return Batch(
        np.array([pair.rows[number] for number in (0, 1) for pair in pairs], np.int64),
        np.stack([pair.pixels[number] for number in (0, 1) for pair in pairs]),
        np.repeat(np.arange(len(pairs)), [len(pair.xy) for pair in pairs]),
        np.concatenate([pair.xy for pair in pairs]),
        share,
    )

"""The objects of a shard as a VLM sees them: crops as stored, or cut and marked from their images."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from secondlook.base.arrays import Pixels
from secondlook.base.errors import UsageError
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.io import records
from secondlook.pixels import crops, images
from secondlook.pixels.images import Box

_IMAGES_KEPT = 8  # decoded images in memory: batches may mix the objects of neighbouring images
_IMAGE_COLUMNS = ["instance_id", "image_path", "width", "height", "x", "y", "w", "h"]


@dataclass(frozen=True)
class Shown:
    """One object: its size in px as shown, the source of its pixels, and how to read them."""

    instance_id: str
    width: int
    height: int
    source: str
    read: Callable[[], Pixels]


def shown(objects: Path, options: VlmOptions) -> list[Shown]:
    """Return the objects of a file of crops, or of instances, in the view of the labeler.

    Crops are shown as they are. Instances are needed for the view `box` and for a margin around crops.
    """
    if records.kind_of(objects) == records.CROP.name:
        if options.looks_at == "images":
            raise UsageError(f"{objects}: the view `box` and `margin` need instances.parquet instead of crops.")
        return _stored(objects)
    if options.view == "cutout":
        raise UsageError(f"{objects}: the view `cutout` needs crops of `secondlook crop --view cutout`.")
    return _from_images(objects, options)


def _stored(path: Path) -> list[Shown]:
    rows = records.read_columns(path, records.CROP, ["instance_id", "width", "height", "image", "place"])
    return [Shown(row["instance_id"], row["width"], row["height"], "", partial(crops.read, row)) for row in rows]


def _from_images(instances: Path, options: VlmOptions) -> list[Shown]:
    rows = records.read_columns(instances, records.INSTANCE, _IMAGE_COLUMNS)
    read_image = lru_cache(_IMAGES_KEPT)(images.read_sized)
    # a crop without a margin is its box, a marked box without one its whole image
    margin = options.margin if options.margin is not None else math.inf if options.view == "box" else 0.0
    views = []
    for row in rows:
        box: Box = (row["x"], row["y"], row["w"], row["h"])
        left, top, right, bottom = images.crop_bounds(row["width"], row["height"], box, margin=margin)
        read = partial(read_image, Path(row["image_path"]), row["width"], row["height"])
        view = partial(_view, read, box, margin, marked=options.view == "box")
        views.append(Shown(row["instance_id"], right - left, bottom - top, row["image_path"], view))
    return views


def _view(read: Callable[[], Pixels], box: Box, margin: float, *, marked: bool) -> Pixels:
    image = read()
    if marked:
        image = images.draw_box(image, box)
    return images.crop(image, box, margin=margin)

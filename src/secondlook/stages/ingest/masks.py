"""Masks of a part of an image, as several formats draw them, turned into run lengths of the whole image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from secondlook.base.types import MOST_MEGAPIXELS
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.ingest.shapes import rle_to_box

Size = tuple[int, int]


def placed(part: NDArray[Any], left: int, top: int, size: Size) -> dict[str, Any]:
    """Return the mask `part` (rows, columns), whose first px is at `left`, `top`, as RLE of an image of `size`.

    Raises RefusedError where it does not lie in the image.
    """
    (width, height), (rows, columns) = size, part.shape
    require_size(width, height)
    if min(left, top) < 0 or left + columns > width or top + rows > height:
        detail = f"the mask of {columns}x{rows} px at {left}, {top} lies outside the {width}x{height} image"
        raise RefusedError("box_outside", detail)
    whole = np.zeros((height, width), np.uint8, order="F")
    whole[top : top + rows, left : left + columns] = part
    return {"size": [height, width], "counts": str(coco_mask.encode(whole)["counts"], "ascii")}


def of_runs(runs: Sequence[int], columns: int, rows: int) -> NDArray[np.uint8]:
    """Return the mask (rows, columns) of run lengths that go along its rows and begin with 0."""
    require_size(columns, rows)
    if min(runs, default=-1) < 0 or sum(runs) != columns * rows:
        raise RefusedError("malformed", f"the run lengths of the mask do not fill its {columns}x{rows} px")
    return np.repeat(np.arange(len(runs), dtype=np.int64) % 2, runs).astype(np.uint8).reshape(rows, columns)


def require_size(width: int, height: int) -> None:
    """Raise RefusedError for a stated size that no image has."""
    if min(width, height) < 1 or width * height > 1e6 * MOST_MEGAPIXELS:
        raise RefusedError("size_mismatch", f"a mask is stated to have {width}x{height} px")


def box_of(rle: dict[str, Any]) -> Box:
    """Return the box around the px of a mask."""
    return rle_to_box(rle["size"], rle["counts"])

"""Masks inside FiftyOne's detections: arrays of the px that a box touches, packed as NumPy files in binary JSON."""

import base64
import binascii
import io
import zlib
from typing import Any

import cv2
import numpy as np

from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box, crop_bounds
from secondlook.stages.ingest import masks

Size = tuple[int, int]
_HEAD_BYTES = 4096  # the most that stands before the numbers of an array


def to_rle(mask: Any, box: Box, size: Size) -> dict[str, Any] | None:
    """Return the mask of a detection as RLE of an image of `size` (width, height); None where there is none.

    `box` is in fractions of the image. Raises RefusedError for a mask that cannot be read.
    """
    binary = mask.get("$binary") if isinstance(mask, dict) else None
    packed = binary.get("base64") if isinstance(binary, dict) else None
    if not isinstance(packed, str):
        return None
    width, height = size
    left, top, right, bottom = crop_bounds(width, height, _in_px(box, size))
    part = _unpacked(packed, width * height)
    if part.shape != (bottom - top, right - left):  # FiftyOne stretches masks of another size over the box
        part = cv2.resize(part, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
    return masks.placed(part, left, top, size)


def _in_px(box: Box, size: Size) -> Box:
    # fractions of px are a little off, which would move the edge by a px: the shortest decimal is what was meant
    x, y, w, h = (float(str(np.float32(value * size[place % 2]))) for place, value in enumerate(box))
    return x, y, w, h


def _unpacked(packed: str, most: int) -> Any:
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), most + _HEAD_BYTES)
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (binascii.Error, zlib.error, ValueError, EOFError, OSError) as error:
        raise RefusedError("malformed", f"the mask cannot be read ({error})") from error
    if array.ndim != 2 or array.dtype.kind not in "bui" or not array.size:
        raise RefusedError("malformed", f"the mask is {array.dtype} of shape {array.shape}, not a picture of 0 and 1")
    return (array != 0).astype(np.uint8)

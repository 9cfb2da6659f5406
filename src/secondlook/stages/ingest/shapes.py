"""Polygons and boxes of the formats, turned into what `SourceObject` holds."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pycocotools import mask as coco_mask

from secondlook.io import cocofile
from secondlook.io.jsonfile import are_numbers, is_number
from secondlook.io.records import RefusedError
from secondlook.io.rle import fills
from secondlook.pixels.images import Box
from secondlook.pixels.rotated import ATTRIBUTE, RotatedBox

LARGEST_SIDE_PX = 100_000  # pycocotools walks shapes px by px and crashes on values that do not fit an int
LONGEST_OUTLINE_PX = 2_000_000  # of one polygon: it keeps about a hundred bytes for each px
RUN_LENGTHS = re.compile("[0-o]+")
_LARGEST = 2**63
_ELLIPSE_POINTS = 72
Points = Sequence[Sequence[float]]


def points_to_box(points: Points) -> Box:
    """Return the smallest box around `points` (x, y)."""
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def points_to_polygon(points: Points) -> list[float]:
    """Return `points` as a COCO polygon: x, y, x, y."""
    return [float(value) for point in points for value in point[:2]]


def corners_to_box(left: float, top: float, right: float, bottom: float) -> Box:
    """Return the box between two corners."""
    return left, top, right - left, bottom - top


def decoded(segmentation: Any) -> Any:
    """Return a segmentation as Python values; raise RefusedError where it is none."""
    try:
        return cocofile.decode_segmentation(segmentation)
    except msgspec.DecodeError as error:
        raise RefusedError("malformed", f"the segmentation cannot be read ({error})") from error


def segmentation_to_box(segmentation: Any) -> Box:
    """Return the box around polygons or run lengths; raise RefusedError where they are none."""
    if isinstance(segmentation, dict):
        return rle_to_box(segmentation.get("size"), segmentation.get("counts"))
    parts = [segmentation] if isinstance(segmentation, list) and are_numbers(segmentation) else segmentation
    sound = [part for part in parts if isinstance(part, list) and len(part) >= 6] if isinstance(parts, list) else []
    if not sound or not all(map(are_numbers, sound)):
        raise RefusedError("bad_coordinates", "the annotation has no bbox, and no polygon of at least three points")
    return points_to_box([pair for part in sound for pair in zip(part[::2], part[1::2], strict=False)])


def rle_to_box(size: Any, counts: Any) -> Box:
    """Return the box around run lengths packed as text, which have `size` rows and columns."""
    # pycocotools divides by the height and trusts the text, so both are checked first
    sides = size if isinstance(size, list) else []
    if len(sides) != 2 or not all(type(side) is int and 0 < side < LARGEST_SIDE_PX for side in sides):
        raise RefusedError("malformed", f"the rle has the size {size}")
    if not isinstance(counts, str) or not RUN_LENGTHS.fullmatch(counts):
        raise RefusedError("malformed", "the `counts` of the rle are not run lengths")
    if not fills(counts, sides[0] * sides[1]):
        raise RefusedError("malformed", "the run lengths of the rle do not fill the image")
    x, y, w, h = coco_mask.toBbox({"size": sides, "counts": counts.encode("ascii")})
    return float(x), float(y), float(w), float(h)


def turns(attributes: Mapping[str, str]) -> bool:
    """Tell whether CVAT says of a box that it is turned; the boxes of our exports are those around it already."""
    return ATTRIBUTE not in attributes and attributes.get("rotation", "0") not in {"0", "0.0", "0.00"}


def turned(box: Box, attributes: dict[str, str]) -> tuple[Box, list[list[float]]]:
    """Return the box around one that is turned clockwise about its middle by CVAT's `rotation` in degrees, its outline.

    The turned box itself is noted in `attributes`.
    """
    try:
        angle = float(attributes["rotation"])
        if not all(map(math.isfinite, (angle, *box))):
            raise ValueError
    except ValueError:
        detail = f"`rotation` is {attributes['rotation']!r}, or bbox {list(box)} is not four finite numbers"
        raise RefusedError("bad_coordinates", detail) from None
    rotated = about_middle(box, angle)
    attributes[ATTRIBUTE] = rotated.to_text()
    return points_to_box(rotated.corners()), [points_to_polygon(rotated.corners())]


def about_middle(box: Box, angle_deg: float) -> RotatedBox:
    """Return a box that is turned clockwise about its middle."""
    x, y, w, h = box
    sine, cosine = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    left = x + w / 2 - (w * cosine - h * sine) / 2
    top = y + h / 2 - (w * sine + h * cosine) / 2
    return RotatedBox(left, top, w, h, angle_deg)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, angle_deg: float = 0.0) -> tuple[Box, Points]:
    """Return the box around an ellipse about x, y that is turned clockwise, and points on its outline."""
    if not all(map(math.isfinite, (x, y, radius_x, radius_y, angle_deg))) or min(radius_x, radius_y) <= 0:
        raise RefusedError("bad_coordinates", f"an ellipse with the radii {radius_x:g} and {radius_y:g} is none")
    sine, cosine = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    half_w, half_h = math.hypot(radius_x * cosine, radius_y * sine), math.hypot(radius_x * sine, radius_y * cosine)
    ways = [
        (radius_x * math.cos(turn), radius_y * math.sin(turn))
        for turn in (math.tau * place / _ELLIPSE_POINTS for place in range(_ELLIPSE_POINTS))
    ]
    outline = [[x + right * cosine - down * sine, y + right * sine + down * cosine] for right, down in ways]
    return (x - half_w, y - half_h, 2 * half_w, 2 * half_h), outline


def checked_points(value: Any) -> Points:
    """Return `value` when it is a list of points; raise RefusedError otherwise."""
    if not isinstance(value, list) or not value:
        raise RefusedError("malformed", "the polygon is not a list of points")
    for point in value:
        if not isinstance(point, list) or len(point) < 2 or not all(is_number(part) for part in point[:2]):
            raise RefusedError("malformed", f"the polygon has {point!r} among its points")
    return value


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return a size in px, also one written as 640.0; None when the file states no valid one."""
    sides = [int(side) if isinstance(side, float) and side.is_integer() else side for side in (width, height)]
    if all(type(side) is int and 0 < side < _LARGEST for side in sides):
        return sides[0], sides[1]
    return None

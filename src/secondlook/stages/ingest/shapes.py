"""Polygons and boxes of the formats, turned into what `SourceObject` holds."""

import re
from collections.abc import Sequence
from typing import Any

from secondlook.io.jsonfile import is_number
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box

LARGEST_SIDE_PX = 100_000  # pycocotools walks shapes px by px and crashes on values that do not fit an int
LONGEST_OUTLINE_PX = 2_000_000  # of one polygon: it keeps about a hundred bytes for each px
RUN_LENGTHS = re.compile("[0-o]+")
_LARGEST = 2**63
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


def checked_points(value: Any) -> Points:
    """Return `value` when it is a list of points; raise RefusedError otherwise."""
    if not isinstance(value, list) or not value:
        raise RefusedError("malformed", "the polygon is not a list of points")
    for point in value:
        if not isinstance(point, list) or len(point) < 2 or not all(is_number(part) for part in point[:2]):
            raise RefusedError("malformed", f"the polygon has {point!r} among its points")
    return value


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return a size in px; None when the file states no valid one."""
    if all(type(side) is int and 0 < side < _LARGEST for side in (width, height)):
        return width, height
    return None

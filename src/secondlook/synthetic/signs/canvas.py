"""A square image with alpha on which signs are drawn in unit coordinates: x right, y down, -1 to 1."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels

Color = tuple[int, int, int]  # blue, green, red, 0 to 255
Points = NDArray[np.float64]  # (n, 2), x and y

SIDE_PX = 256
UNIT_PX = 120.0
_SHIFT = 4


class Canvas:
    """The face of one sign: colours, coverage and outline."""

    def __init__(self) -> None:
        self.bgr: Pixels = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
        self.alpha: NDArray[np.uint8] = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        self.outline: Points = np.zeros((0, 2))

    def face(self, outline: Points, color: Color) -> None:
        """Make `outline` the edge of the sign and colour everything inside."""
        self.outline = outline
        # Colour beyond the edge too: soft edges then fade into the sign's own colour, not into black.
        self.bgr[:] = color
        cv2.fillPoly(self.alpha, [_fixed_px(outline)], (255,), cv2.LINE_AA, _SHIFT)

    def fill(self, points: Points, color: Color) -> None:
        """Colour the inside of a closed polygon."""
        cv2.fillPoly(self.bgr, [_fixed_px(points)], color, cv2.LINE_AA, _SHIFT)

    def stroke(self, points: Points, color: Color, *, width: float) -> None:
        """Draw an open line with round ends; `width` in units."""
        width_px = max(1, round(width * UNIT_PX))
        cv2.polylines(self.bgr, [_fixed_px(points)], False, color, width_px, cv2.LINE_AA, _SHIFT)


def points(*pairs: tuple[float, float]) -> Points:
    """The given x, y pairs as an array (n, 2)."""
    return np.array(pairs, dtype=np.float64)


def circle(radius: float, center: tuple[float, float] = (0.0, 0.0)) -> Points:
    """A closed circle as 72 points."""
    return arc(radius, (0.0, 355.0), center=center, steps=72)


def arc(
    radius: float, span_deg: tuple[float, float], *, center: tuple[float, float] = (0.0, 0.0), steps: int = 24
) -> Points:
    """Points on a circle between two angles in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(*span_deg, steps))
    return np.array(center) + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def rectangle(half_width: float, half_height: float, center: tuple[float, float] = (0.0, 0.0)) -> Points:
    """An upright rectangle, clockwise from the top left."""
    corners = points((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array(center) + corners * (half_width, half_height)


def polygon(sides: int, radius: float, *, turn_deg: float) -> Points:
    """A regular polygon; `turn_deg` is the angle of its first corner."""
    angles = np.radians(turn_deg + np.arange(sides) * 360 / sides)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def rounded(corners: Points, radius: float) -> Points:
    """The polygon with each corner replaced by a curve that begins `radius` before it."""
    before, after = np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0)
    start = corners + radius * _unit(before - corners)
    stop = corners + radius * _unit(after - corners)
    steps = np.linspace(0, 1, 8)[None, :, None]
    curve = (1 - steps) ** 2 * start[:, None] + 2 * steps * (1 - steps) * corners[:, None] + steps**2 * stop[:, None]
    return np.asarray(curve.reshape(-1, 2))


def smooth(line: Points, passes: int) -> Points:
    """An open line with its corners cut `passes` times, ends kept (Chaikin's scheme)."""
    for _ in range(passes):
        near, far = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
        cut = np.stack([near, far], axis=1).reshape(-1, 2)
        line = np.concatenate([line[:1], cut, line[-1:]])
    return line


def turned(shape: Points, angle_deg: float) -> Points:
    """The points turned clockwise about the origin."""
    angle = math.radians(angle_deg)
    rotation = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return np.asarray(shape @ rotation)


def _unit(vectors: Points) -> Points:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _fixed_px(shape: Points) -> NDArray[np.int32]:
    return np.asarray(np.round((shape * UNIT_PX + (SIDE_PX - 1) / 2) * 2**_SHIFT), dtype=np.int32)

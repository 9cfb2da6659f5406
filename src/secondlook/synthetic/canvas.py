"""A canvas with coordinates from 0 to 1, drawn large and scaled down for smooth edges."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from secondlook.base.arrays import Pixels

Colour = tuple[int, int, int]
Point = tuple[float, float]
_FINER = 3  # scale of each side while drawing


@dataclass(frozen=True)
class Canvas:
    """RGB pixels to draw shapes into; coordinates are in the unit square, which has `side` px and an offset.

    `mirrored` turns everything left to right.
    """

    pixels: Pixels
    left: float
    top: float
    side: float
    mirrored: bool = False

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.pixels, [np.array([self._at(point) for point in points], np.int32)], colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def disc(self, centre: Point, width: float, height: float, colour: Colour) -> None:
        """Fill an ellipse with these half axes."""
        axes = (max(1, round(width * self.side)), max(1, round(height * self.side)))
        cv2.ellipse(self.pixels, self._at(centre), axes, 0, 0, 360, colour, -1)

    def line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """Draw a line."""
        cv2.line(self.pixels, self._at(start), self._at(end), colour, max(1, round(width * self.side)))

    def _at(self, point: Point) -> tuple[int, int]:
        x = 1 - point[0] if self.mirrored else point[0]
        return round(self.left + x * self.side), round(self.top + point[1] * self.side)


def new_canvas(chance: np.random.Generator, width: int, height: int, side: float) -> Canvas:
    """Return a canvas of `width` x `height` px with a grey background and a square of `side` px near its middle."""
    coarse = chance.normal(size=(4, 4, 1)).astype(np.float32) * 22 + chance.uniform(90, 190) + chance.normal(size=3) * 6
    size = (width * _FINER, height * _FINER)
    ground = np.clip(cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_CUBIC), 0, 255)
    left, top = ((whole - side) / 2 + chance.uniform(-0.03, 0.03) * whole for whole in (width, height))
    return Canvas(ground.astype(np.uint8), left * _FINER, top * _FINER, side * _FINER, bool(chance.integers(2)))


def finished(canvas: Canvas, chance: np.random.Generator) -> Pixels:
    """Return the image at its final size, with random brightness and sensor noise."""
    height, width = canvas.pixels.shape[0] // _FINER, canvas.pixels.shape[1] // _FINER
    small = cv2.resize(canvas.pixels, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    noisy = small * chance.uniform(0.9, 1.1) + chance.uniform(-8, 8) + chance.normal(size=small.shape) * 4
    return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)


def varied(colour: Colour, chance: np.random.Generator, by: int = 12) -> Colour:
    """Return a slightly different colour."""
    red, green, blue = (int(np.clip(value + chance.integers(-by, by + 1), 0, 255)) for value in colour)
    return red, green, blue

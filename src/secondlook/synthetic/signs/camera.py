"""The view of a scene: the weather, a pinhole camera, and the image painted through it."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from secondlook.base.arrays import Pixels
from secondlook.synthetic.signs.canvas import Color, Points, points

WIDTH_PX, HEIGHT_PX = 960, 540
_SHIFT = 4


@dataclass(frozen=True)
class Weather:
    """One kind of light: two sky colours, the gain per channel (BGR), and the visibility."""

    sky_top: Color
    sky_low: Color
    gain: tuple[float, float, float]
    sight_m: float
    noise: float  # standard deviation of the sensor noise in grey levels


WEATHERS = (
    Weather((214, 150, 82), (240, 222, 196), (1.0, 1.02, 1.04), 260, 2.5),
    Weather((196, 172, 150), (226, 218, 208), (0.96, 0.94, 0.92), 140, 3.5),
    Weather((190, 140, 110), (150, 196, 246), (0.82, 0.92, 1.06), 170, 4.0),
    Weather((120, 84, 58), (132, 128, 170), (0.74, 0.66, 0.66), 130, 5.5),
    Weather((222, 200, 172), (236, 232, 224), (0.94, 0.97, 0.98), 60, 3.5),
)


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera: X to the right, Y up from the road, Z ahead, all in metres."""

    focal_px: float
    horizon_px: float
    vanish_px: float
    height_m: float

    def see(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Project a point into the image."""
        return self.vanish_px + self.focal_px * x / z, self.horizon_px + self.focal_px * (self.height_m - y) / z


@dataclass(frozen=True)
class Street:
    """An unfinished image with its camera and weather."""

    image: Pixels
    camera: Camera
    weather: Weather

    def paint(self, corners: Points, color: Color, z: float) -> None:
        """Fill a polygon in the image; things `z` metres away fade into the haze."""
        inside = np.minimum(np.maximum(corners, -4000), 4000)  # np.clip takes four times as long for a few points
        fixed = np.rint(inside * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(self.image, [fixed], self._hazy(color, z), cv2.LINE_AA, _SHIFT)

    def board(self, xyz: tuple[tuple[float, float, float], ...], color: Color) -> None:
        """Fill a polygon of points in metres."""
        self.paint(points(*(self.camera.see(*corner) for corner in xyz)), color, min(z for _, _, z in xyz))

    def lane(self, span_x: tuple[float, float], span_z: tuple[float, float], color: Color) -> None:
        """Fill a rectangle of the ground, given in metres."""
        (left, right), (near, far) = span_x, span_z
        self.board(((left, 0, near), (left, 0, far), (right, 0, far), (right, 0, near)), color)

    def _hazy(self, color: Color, z: float) -> Color:
        clear = math.exp(-z / self.weather.sight_m)
        haze = 1 - clear
        (blue, green, red), sky = color, self.weather.sky_low
        return (
            round(blue * clear + sky[0] * haze),
            round(green * clear + sky[1] * haze),
            round(red * clear + sky[2] * haze),
        )


def shade(color: Color, gain: float) -> Color:
    """A lighter or darker colour."""
    blue, green, red = color
    return min(255, round(blue * gain)), min(255, round(green * gain)), min(255, round(red * gain))

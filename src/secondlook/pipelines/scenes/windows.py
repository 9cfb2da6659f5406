"""Random crops, mirroring and colour changes of images, and the points in them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats32, Pixels
from secondlook.pixels.images import stretch

_RATIO = (3 / 4, 4 / 3)
_TRIES = 10
_LIGHT, _HUE = 0.3, 0.1  # of brightness, contrast and saturation; of hue, as a part of the circle


@dataclass(frozen=True)
class Window:
    """A part of an image in px, and whether it is mirrored."""

    left: int
    top: int
    width: int
    height: int
    mirrored: bool = False


def random_window(
    width: int, height: int, scale: tuple[float, float], flip: float, chance: np.random.Generator
) -> Window:
    """Return a window of a part `scale` of the area and a ratio of 3:4 to 4:3, mirrored with probability `flip`.

    If none of ten draws fits, it is the largest centred one with such a ratio.
    """
    box = _fitting(width, height, scale, chance) or _middle(width, height)
    return Window(*box, mirrored=bool(chance.random() < flip))


def centre_window(width: int, height: int) -> Window:
    """Return the square in the middle, for use without randomness."""
    side = min(width, height)
    return Window((width - side) // 2, (height - side) // 2, side, side)


def cut(image: Pixels, window: Window, side_px: int) -> Pixels:
    """Return the window of an image as a square: areas are averaged where it shrinks, else cubic."""
    part = image[window.top : window.top + window.height, window.left : window.left + window.width]
    square = stretch(part, side_px, side_px)
    return np.ascontiguousarray(square[:, ::-1] if window.mirrored else square, dtype=np.uint8)


def points_in(xy: Floats32, window: Window, size: tuple[int, int]) -> tuple[Floats32, NDArray[np.bool_]]:
    """Return points (n, 2) as fractions of the window, and which of them lie inside it.

    `xy` are fractions of an image of `size`, width and height in px. Points outside are not moved to the edge.
    """
    moved = xy * np.array(size, np.float32) - np.array([window.left, window.top], np.float32)
    moved = (moved / np.array([window.width, window.height], np.float32)).astype(np.float32)
    if window.mirrored:
        moved[:, 0] = 1 - moved[:, 0]
    return moved, np.asarray(((moved >= 0) & (moved <= 1)).all(axis=1))


def jittered(image: Pixels, chance: np.random.Generator) -> Pixels:
    """Return an image with brightness, contrast, saturation and hue changed at random, in random order."""
    changed = image.astype(np.float32)
    for number in chance.permutation(4):
        by = float(chance.uniform(1 - _LIGHT, 1 + _LIGHT))
        if number == 0:
            changed = changed * np.float32(by)
        elif number == 1:
            changed = _mixed(changed, _grey(changed).mean(), by)
        elif number == 2:
            changed = _mixed(changed, _grey(changed)[..., None], by)
        else:
            changed = _turned(changed, float(chance.uniform(-_HUE, _HUE)))
        changed = np.clip(changed, 0, 255)
    return np.rint(changed).astype(np.uint8)


def _fitting(
    width: int, height: int, scale: tuple[float, float], chance: np.random.Generator
) -> tuple[int, int, int, int] | None:
    for _ in range(_TRIES):
        area = width * height * chance.uniform(*scale)
        ratio = np.exp(chance.uniform(*np.log(_RATIO)))
        wide, high = round(float(np.sqrt(area * ratio))), round(float(np.sqrt(area / ratio)))
        if 0 < wide <= width and 0 < high <= height:
            left, top = int(chance.integers(0, width - wide + 1)), int(chance.integers(0, height - high + 1))
            return left, top, wide, high
    return None


def _middle(width: int, height: int) -> tuple[int, int, int, int]:
    wide = min(width, max(1, round(height * _RATIO[1])))
    high = min(height, max(1, round(width / _RATIO[0])))
    return (width - wide) // 2, (height - high) // 2, wide, high


def _grey(image: Floats32) -> Floats32:
    return np.asarray(image @ np.array([0.299, 0.587, 0.114], np.float32))


def _mixed(image: Floats32, other: Floats32 | np.floating, share: float) -> Floats32:
    return np.asarray(image * np.float32(share) + other * np.float32(1 - share), dtype=np.float32)


def _turned(image: Floats32, by: float) -> Floats32:
    """Return the image with its hue turned by a part of the circle."""
    tones = cv2.cvtColor(image / 255, cv2.COLOR_RGB2HSV)
    tones[..., 0] = (tones[..., 0] + 360 * by) % 360
    return np.asarray(cv2.cvtColor(tones, cv2.COLOR_HSV2RGB) * 255, dtype=np.float32)

"""Reference crops: one sign each, in a different style, with mild camera effects and a made-up background."""

import cv2
import numpy as np
from numpy.random import Generator

from secondlook.base.arrays import Pixels
from secondlook.synthetic.signs.photo import Lens, Pose, jpeg, photograph, project, sensor
from secondlook.synthetic.signs.signs import draw_sign
from secondlook.synthetic.signs.style import reference_style

_SIDE_PX = (48, 128)
_JPEG_QUALITY = 92


def draw_reference(label: str, rng: Generator) -> bytes:
    """A crop of 48 to 128 px around one sign of the class `label`, as JPEG bytes."""
    sign = draw_sign(label, reference_style(rng), rng)
    size_px = float(rng.uniform(_SIDE_PX[0], _SIDE_PX[1] - 16))
    pose = Pose((0.0, 0.0), size_px, float(rng.normal(0, 3)), float(rng.normal(0, 12)), float(rng.normal(0, 5)))
    outline = project(sign.canvas.outline, pose)
    low, high = outline.min(axis=0), outline.max(axis=0)
    margins = size_px * rng.uniform(0.01, 0.12, 4)
    width, height = (int(side) for side in np.clip(high - low + margins[:2] + margins[2:], *_SIDE_PX))
    middle = (width / 2 - (low[0] + high[0]) / 2, height / 2 - (low[1] + high[1]) / 2)
    shift = (margins[:2] - margins[2:]) / 4
    image = _background(rng, width, height)
    there = Pose((middle[0] + shift[0], middle[1] + shift[1]), size_px, pose.roll_deg, pose.yaw_deg, pose.pitch_deg)
    photograph(image, sign.canvas, there, _lens(rng, size_px))
    return jpeg(sensor(image, rng, noise=float(rng.uniform(0, 3))), _JPEG_QUALITY)


def _lens(rng: Generator, size_px: float) -> Lens:
    gain = rng.uniform(0.72, 1.1) + rng.normal(0, 0.03, 3)
    return Lens(
        defocus_px=float(size_px * rng.uniform(0, 0.035)),
        motion_px=0.0,
        motion_deg=0.0,
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
        haze=float(rng.uniform(0, 25)),
    )


def _background(rng: Generator, width: int, height: int) -> Pixels:
    """A background that is plain, shaded between two colours, or blotched."""
    one, other = rng.integers(30, 235, 3), rng.integers(30, 235, 3)
    kind = int(rng.integers(3))
    if kind == 0:
        mix = np.zeros((height, width))
    elif kind == 1:
        mix = np.linspace(0, 1, height)[:, None] * np.ones((1, width))
    else:
        coarse = rng.random((5, 5), dtype=np.float32)
        mix = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float64)
    return np.asarray(np.round(one * (1 - mix[..., None]) + other * mix[..., None]), dtype=np.uint8)

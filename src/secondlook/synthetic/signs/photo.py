"""Turns a drawn face into a photographed one: perspective, light, blur, noise."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels
from secondlook.synthetic.signs.canvas import SIDE_PX, UNIT_PX, Canvas, Points, points

_EYE_DISTANCE = 4.5  # of the viewer, in half widths of the sign
_OVERSAMPLING = 2


@dataclass(frozen=True)
class Pose:
    """The place and rotation of a sign in the image; a sign seen from the front is `size_px` wide."""

    center_xy: tuple[float, float]
    size_px: float
    roll_deg: float
    yaw_deg: float
    pitch_deg: float


@dataclass(frozen=True)
class Lens:
    """The effects of light and camera on one sign: blur in pixels, gain per channel (BGR), added haze (0 to 255)."""

    defocus_px: float
    motion_px: float
    motion_deg: float
    gain: tuple[float, float, float]
    haze: float


def project(shape: Points, pose: Pose) -> Points:
    """Unit coordinates of the face as image coordinates, in which pixel i spans i to i + 1."""
    roll, yaw, pitch = (math.radians(angle) for angle in (pose.roll_deg, pose.yaw_deg, pose.pitch_deg))
    x = shape[:, 0] * math.cos(roll) - shape[:, 1] * math.sin(roll)
    y = shape[:, 0] * math.sin(roll) + shape[:, 1] * math.cos(roll)
    depth = x * math.sin(yaw) + y * math.sin(pitch)
    nearness = _EYE_DISTANCE / (_EYE_DISTANCE + depth)
    flat = np.stack([x * math.cos(yaw) * nearness, y * math.cos(pitch) * nearness], axis=1)
    return np.asarray(np.array(pose.center_xy) + flat * pose.size_px / 2)


def photograph(image: Pixels, canvas: Canvas, pose: Pose, lens: Lens) -> None:
    """Draw the face over `image` as seen through the lens; parts outside the image are cut off."""
    quad = project(points((-1, -1), (1, -1), (1, 1), (-1, 1)), pose)
    pad = 3 + 3 * lens.defocus_px + lens.motion_px + 0.12 * pose.size_px
    left, top = (int(value) for value in np.floor(quad.min(axis=0) - pad))
    right, bottom = (int(value) for value in np.ceil(quad.max(axis=0) + pad))
    patch = _warped(canvas, quad - (left, top), width_px=right - left, height_px=bottom - top)
    patch[..., :3] = patch[..., :3] * lens.gain * (1 - lens.haze / 255) + lens.haze * patch[..., 3:]
    _blend(image, _blurred(patch, lens), left=left, top=top)


def sensor(image: Pixels | NDArray[np.float32], rng: Generator, *, noise: float) -> Pixels:
    """The image, rounded, with grainy noise; `noise` is its standard deviation in grey levels."""
    grain = rng.standard_normal((*image.shape[:2], 1), dtype=np.float32)
    tint = rng.standard_normal(image.shape, dtype=np.float32)
    tint *= 0.6
    tint += 0.8 * grain
    tint *= noise
    tint += image
    return np.asarray(np.rint(np.clip(tint, 0, 255, out=tint), out=tint).astype(np.uint8))


def jpeg(image: Pixels, quality: int) -> bytes:
    """The image as JPEG bytes; `quality` from 1 to 100."""
    done, encoded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG.")
    return bytes(encoded.tobytes())


def _warped(canvas: Canvas, quad: Points, *, width_px: int, height_px: int) -> NDArray[np.float32]:
    """The face in perspective: BGR already multiplied by alpha, then alpha from 0 to 1."""
    alpha = canvas.alpha.astype(np.float32)[..., None] / 255
    face = np.concatenate([canvas.bgr * alpha, alpha], axis=2)
    span = np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1).max()
    side = int(min(SIDE_PX, max(24, _OVERSAMPLING * span * SIDE_PX / (2 * UNIT_PX))))
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    unit, middle = UNIT_PX * side / SIDE_PX, side / 2
    source = middle + unit * points((-1, -1), (1, -1), (1, 1), (-1, 1)) - 0.5
    matrix = cv2.getPerspectiveTransform(source.astype(np.float32), (quad * _OVERSAMPLING - 0.5).astype(np.float32))
    size = (width_px * _OVERSAMPLING, height_px * _OVERSAMPLING)
    large = cv2.warpPerspective(small, matrix, size, flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(large, (width_px, height_px), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _blurred(patch: NDArray[np.float32], lens: Lens) -> NDArray[np.float32]:
    if lens.defocus_px > 0.2:
        patch = np.asarray(cv2.GaussianBlur(patch, (0, 0), lens.defocus_px), dtype=np.float32)
    if lens.motion_px > 1:
        patch = np.asarray(cv2.filter2D(patch, -1, _streak(lens)), dtype=np.float32)
    return patch


def _streak(lens: Lens) -> NDArray[np.float32]:
    reach = math.ceil(lens.motion_px / 2)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for step in np.linspace(-0.5, 0.5, 4 * reach + 1):
        x = step * lens.motion_px * math.cos(math.radians(lens.motion_deg))
        y = step * lens.motion_px * math.sin(math.radians(lens.motion_deg))
        kernel[reach + round(y), reach + round(x)] += 1
    return np.asarray(kernel / kernel.sum())


def _blend(image: Pixels, patch: NDArray[np.float32], *, left: int, top: int) -> None:
    height, width = image.shape[:2]
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + patch.shape[1], width), min(top + patch.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    part = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    under = image[y0:y1, x0:x1]
    mixed = under * (1 - part[..., 3:]) + part[..., :3]
    image[y0:y1, x0:x1] = np.clip(mixed, 0, 255).round().astype(np.uint8)

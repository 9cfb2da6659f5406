"""Light augmentation for small reference sets: small shifts and zooms, brightness, contrast, blur and covered corners.

Nothing is mirrored: a mirrored turn sign is another sign.
"""

import cv2
import numpy as np
from numpy.typing import NDArray


def light(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Return a changed copy of a batch, uint8 (n, s, s, 3)."""
    return np.stack([_change(image, random) for image in pixels])


def _change(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    moved = _blur(_move(image, random), random)
    gain = random.uniform(0.5, 1.4) * random.uniform(0.9, 1.1, size=3)
    changed = moved.astype(np.float32)
    changed -= 127
    changed *= random.uniform(0.5, 1.2)
    changed += (127 * gain).astype(np.float32)
    noise = random.standard_normal(changed.shape, dtype=np.float32)
    noise *= random.uniform(0, 12)
    changed += noise
    _cover(changed, random)
    return np.clip(changed, 0, 255, out=changed).astype(np.uint8)


def _move(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    side = image.shape[0]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), random.uniform(-12, 12), random.uniform(0.85, 1.2))
    turn[:, 2] += random.uniform(-0.08, 0.08, size=2) * side
    moved = cv2.warpAffine(image, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)


def _blur(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    side = image.shape[0]
    small = max(6, int(side * random.uniform(0.2, 1.0)))
    shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _cover(image: NDArray[np.float32], random: np.random.Generator) -> None:
    if random.uniform() < 0.5:
        return
    side = image.shape[0]
    height, width = (random.uniform(0.1, 0.45, size=2) * side).astype(int)
    top, left = random.integers(0, side - height), random.integers(0, side - width)
    image[top : top + height, left : left + width] = random.uniform(0, 255, size=3)

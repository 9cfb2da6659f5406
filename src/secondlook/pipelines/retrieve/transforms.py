"""Images as squares for CLIP: padded or not, cropped or squashed, at random or not."""

import math

import numpy as np

from secondlook.base.arrays import Pixels
from secondlook.config.retrieve import Transform
from secondlook.pixels.images import stretch


def square_of(image: Pixels, px: int, transform: Transform) -> Pixels:
    """Return an image, (height, width, 3), as (px, px, 3), without randomness."""
    whole = padded(image) if transform.pad == "square" else image
    if transform.resize == "squash":
        return stretch(whole, px, px)
    height, width = whole.shape[:2]
    scale = px / min(height, width)
    large = stretch(whole, max(px, round(width * scale)), max(px, round(height * scale)))
    top, left = (large.shape[0] - px) // 2, (large.shape[1] - px) // 2
    return large[top : top + px, left : left + px]


def chance_square(
    image: Pixels, px: int, transform: Transform, area: tuple[float, float] | None, chance: np.random.Generator
) -> Pixels:
    """Return a square for training: a random crop of a share `area` of the image, sides 3:4 to 4:3, as (px, px, 3)."""
    if area is None:
        return square_of(image, px, transform)
    whole = padded(image) if transform.pad == "square" else image
    height, width = whole.shape[:2]
    share = chance.uniform(*area) * height * width
    aspect = math.exp(chance.uniform(math.log(3 / 4), math.log(4 / 3)))
    w = min(width, max(1, round(math.sqrt(share * aspect))))
    h = min(height, max(1, round(math.sqrt(share / aspect))))
    top, left = int(chance.integers(height - h + 1)), int(chance.integers(width - w + 1))
    return stretch(whole[top : top + h, left : left + w], px, px)


def padded(image: Pixels) -> Pixels:
    """Pad an image to an exact square with black on both sides; an odd pixel goes right or below."""
    height, width = image.shape[:2]
    side = max(height, width)
    canvas = np.zeros((side, side, 3), dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas

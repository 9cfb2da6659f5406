"""Rotated rectangles, as Label Studio draws them; instance rows hold one as an attribute."""

import math
from dataclasses import astuple, dataclass

from secondlook.pixels.images import Box

ATTRIBUTE = "rotated_box"


@dataclass(frozen=True)
class RotatedBox:
    """A rectangle in px, rotated clockwise about its top left corner (`x`, `y`)."""

    x: float
    y: float
    w: float
    h: float
    angle_deg: float

    def corners(self) -> list[list[float]]:
        """Return the four corners (x, y), the one that it is rotated about first."""
        sine, cosine = math.sin(math.radians(self.angle_deg)), math.cos(math.radians(self.angle_deg))
        offsets = ((0.0, 0.0), (self.w, 0.0), (self.w, self.h), (0.0, self.h))
        return [
            [self.x + right * cosine - down * sine, self.y + right * sine + down * cosine] for right, down in offsets
        ]

    def fills(self, box: Box, size: tuple[int, int], *, tolerance_px: float = 0.1) -> bool:
        """Tell whether `box` is its bounding box, clipped to an image of `size`."""
        xs, ys = zip(*self.corners(), strict=True)
        own = (max(min(xs), 0), max(min(ys), 0), min(max(xs), size[0]), min(max(ys), size[1]))
        sides = (box[0], box[1], box[0] + box[2], box[1] + box[3])
        return all(abs(mine - theirs) <= tolerance_px for mine, theirs in zip(own, sides, strict=True))

    def to_text(self) -> str:
        """Return it as the value of an attribute."""
        return " ".join(map(repr, astuple(self)))


def from_text(text: str) -> RotatedBox | None:
    """Read what `to_text` wrote; None for other text."""
    try:
        values = [float(part) for part in text.split()]
    except ValueError:
        return None
    return RotatedBox(*values) if len(values) == 5 and all(map(math.isfinite, values)) else None

"""What the boxes of a dataset have in common that none of them shows alone: clipped, in fractions, corners."""

from collections.abc import Iterator
from dataclasses import dataclass

from secondlook.pixels.images import Box, Header

_CLIPPED_FROM_PX = 1.0  # what rounding may add to a box
_FARTHEST = 0.5  # image sides that a box in fractions may reach beyond its image


@dataclass
class Tally:
    """Counts of the boxes of one dataset; `clipped` ones reach out of their image.

    `below_one` have no side above 1 px, `as_corners` lie in the image when read as x1 y1 x2 y2. `apart` are outlines
    that lie outside their box.
    """

    boxes: int = 0
    clipped: int = 0
    below_one: int = 0
    as_corners: int = 0
    lost_parts: int = 0
    apart: int = 0
    unlabelled: int = 0

    def add(self, box: Box, header: Header, *, in_fractions: bool) -> None:
        """Count a box in px, as the dataset states it."""
        x, y, w, h = box
        over = max(-x, -y, x + w - header.width, y + h - header.height)
        self.clipped += over > _CLIPPED_FROM_PX
        if not in_fractions:
            self.boxes += 1
            self.below_one += max(x, y, w, h) <= 1
            self.as_corners += x < w <= header.width and y < h <= header.height

    def doubts(self, *, of_sides: bool) -> Iterator[str]:
        """Yield a sentence for each thing that all or most boxes show; `of_sides` where width and height are due."""
        if self.boxes and self.below_one == self.boxes:
            yield (
                f"WARNING: all {self.boxes} boxes are smaller than one pixel: they look like fractions of the image, "
                "from 0 to 1; multiply them by its width and height"
            )
        elif of_sides and 2 * self.clipped > self.boxes > 0 and self.as_corners == self.boxes:
            yield (
                f"WARNING: {self.clipped} of {self.boxes} boxes reach out of their image, and all lie in it when read "
                "as x1, y1, x2, y2: they look like corners where x, y, width, height are due"
            )
        if self.lost_parts:
            yield f"outlines: {self.lost_parts} parts of polygons with fewer than three points were left out"
        if self.apart:
            yield (
                f"WARNING: {self.apart} polygons or masks cover nothing of the box of their object; are their numbers "
                "px of this image, as those of the box are?"
            )

    def ending(self) -> str:
        """Return what the last line of `ingest` adds."""
        counts = {"boxes clipped at the border of their image": self.clipped, "without a label": self.unlabelled}
        return "".join(f"; {what}: {count}" for what, count in counts.items() if count)


def farthest(box: Box) -> float:
    """Return how far a box in fractions reaches beyond its image, in sides of the image."""
    x, y, w, h = box
    return max(-x, -y, x + w - 1, y + h - 1)


def is_far(box: Box) -> bool:
    """Tell whether a box in fractions reaches so far beyond its image that other units are likely."""
    return farthest(box) > _FARTHEST

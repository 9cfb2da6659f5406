"""Where the plates with scores lie on an image: beside their boxes, and none over another where there is space."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Corners = tuple[int, int, int, int]  # left, top, right, bottom in px; the last column and row are not part of it
_ROWS = 4  # how many plates away from its box a plate may be


def placed(boxes: Sequence[Corners], sizes: Sequence[tuple[int, int]], image: tuple[int, int]) -> list[Corners]:
    """Return the plate of each box, in an image (width, height): the first of its places that no earlier plate covers.

    Places are above, below, beside and inside the box, then farther up and down, moved into the image. Where none is
    free, the plate lies where it covers the least. `sizes` are (width, height) of the plates.
    """
    plates = np.zeros((len(boxes), 4), dtype=np.int64)
    for number, (box, size) in enumerate(zip(boxes, sizes, strict=True)):
        places = np.array([_inside(place, size, image) for place in _places(box, size)])
        plates[number] = places[np.argmin(_covered(places, plates[:number]))]
    return [(left, top, right, bottom) for left, top, right, bottom in plates.tolist()]


def _places(box: Corners, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield left and top of a plate for each place, the best first."""
    (left, top, right, bottom), (width, height) = box, size
    sides = (left, right - width)
    for row in (top - height, bottom):
        yield from ((column, row) for column in sides)
    for column in (right, left - width):
        yield from ((column, row) for row in (top, bottom - height))
    for row in (top, bottom - height):
        yield from ((column, row) for column in sides)
    for away in range(1, _ROWS + 1):
        yield from ((left, row) for row in (top - (away + 1) * height, bottom + away * height))


def _inside(place: tuple[int, int], size: tuple[int, int], image: tuple[int, int]) -> Corners:
    left, top = (max(0, min(at, most - side)) for at, side, most in zip(place, size, image, strict=True))
    return left, top, left + size[0], top + size[1]


def _covered(places: NDArray[np.int64], plates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how much of each place other plates cover, in px, all together; (places, 4) and (plates, 4) corners."""
    first = np.maximum(places[:, None, :2], plates[None, :, :2])
    last = np.minimum(places[:, None, 2:], plates[None, :, 2:])
    return np.asarray(np.clip(last - first, 0, None).prod(axis=2).sum(axis=1))

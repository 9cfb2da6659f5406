"""Hand-made features, which need no weights: histograms of oriented gradients and of hues.

N. Dalal and B. Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005, with the cells of P. F.
Felzenszwalb et al., "Object Detection with Discriminatively Trained Part-Based Models", PAMI 2010; hues weighted by
saturation: J. van de Weijer and C. Schmid, "Coloring Local Feature Extraction", ECCV 2006.
"""

from collections.abc import Iterator
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels
from secondlook.config.models import HOG_CELLS, EncoderOptions
from secondlook.models.features import to_unit
from secondlook.stages.embed.encoder import Batches, Preprocessing

_SIDE_PX = 32
_ANGLES = 9  # bins of half a turn: a gradient counts for one of them, and for one of 18 of a whole turn
_CLIPPED = 0.2  # most that a value of a scaled cell counts, so that no single edge outweighs all others
_FLAT = 3.6  # added to the energy of four cells: noise on flat ground stays small
_TEXTURE = 0.2357  # weight of the four sums of a cell, as published
_HUES, _PLACES = 8, 4  # bins of a turn, next to one of greys; regions on a side of the image
_COLOUR_SHARE = 0.5  # length of the colour part beside the gradients, whose length is 1

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


class HogEncoder:
    """Histograms of gradients in 8 x 8 cells, and of hues in 4 x 4 regions: 2,128 numbers.

    An image is computed alone, without a matrix product, so its vector depends neither on its batch nor on threads.
    """

    revision = "1"  # of what is computed here: vectors of two revisions are never compared

    def __init__(self, options: EncoderOptions) -> None:
        self.preprocessing = Preprocessing(options.input_px or _SIDE_PX, (), ())

    def encode(self, batches: Batches) -> Floats:
        """Return the features of all batches; they have length 1."""
        vectors = [_vector(image) for batch in batches for image in batch]
        return np.stack(vectors) if vectors else np.zeros((0, 1), np.float32)


def _vector(image: Pixels) -> Floats:
    shapes, colours = to_unit(gradients(image)), to_unit(hues(image))
    return to_unit(np.concatenate([shapes, np.float32(_COLOUR_SHARE) * colours]))


def gradients(image: Pixels) -> Floats:
    """Return the histograms of gradients of a square image, (8 x 8 x 31,).

    The histogram of a cell (18 directions and 9 orientations) is scaled by the energy of each of the four squares of
    2 x 2 cells around it and clipped. Half of their sum is kept, and the sum of the directions in each.
    """
    strength, angle = _strongest(np.sqrt(image.astype(np.float32)))
    position = angle * (_ANGLES / np.float32(np.pi)) - 0.5
    directions = _counted(_cell_of_pixel(len(image), HOG_CELLS), position, strength, 2 * _ANGLES)
    directions = directions.reshape(HOG_CELLS, HOG_CELLS, -1)
    orientations = directions[..., :_ANGLES] + directions[..., _ANGLES:]
    histogram = np.concatenate([directions, orientations], axis=-1)
    scaled = [np.minimum(histogram / length, _CLIPPED) for length in _lengths(orientations)]
    texture = [part[..., : 2 * _ANGLES].sum(axis=-1, keepdims=True) * _TEXTURE for part in scaled]
    return np.concatenate([sum(scaled) / 2, *texture], axis=-1, dtype=np.float32, casting="same_kind").ravel()


def _lengths(orientations: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield the length of the histograms of the four squares of 2 x 2 cells around each cell, (8, 8, 1) each."""
    energy = np.pad((orientations**2).sum(axis=-1), 1, mode="edge")
    squares = energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]
    for y, x in product((0, 1), repeat=2):
        yield np.sqrt(squares[y : y + HOG_CELLS, x : x + HOG_CELLS, None] + _FLAT)


def hues(image: Pixels) -> Floats:
    """Return square roots of the histograms of hues of a square image, (4 x 4 x 9,).

    A pixel counts for its hue by its saturation and for grey by the rest, which changes little with the light.
    """
    values = image.astype(np.float32)
    brightest = values.max(axis=-1)
    saturation = (brightest - values.min(axis=-1)) / np.maximum(brightest, 1)
    hue = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)[..., 0] * (_HUES / 256)
    region = _cell_of_pixel(len(image), _PLACES)
    coloured = _counted(region, hue, saturation, _HUES)
    grey = np.bincount(region, (1 - saturation).ravel(), _PLACES**2)
    return np.sqrt(np.column_stack([coloured, grey]).astype(np.float32)).ravel()


def _strongest(values: Floats) -> tuple[Floats, Floats]:
    """Return the length of the gradient (s, s) in the channel where it is longest, and its angle in [-pi, pi]."""
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    right = padded[1:-1, 2:] - padded[1:-1, :-2]
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    squared = right**2 + down**2
    channel = squared.argmax(axis=-1)[..., None]
    right, down = (np.take_along_axis(part, channel, axis=-1)[..., 0] for part in (right, down))
    return np.sqrt(np.take_along_axis(squared, channel, axis=-1)[..., 0]), np.arctan2(down, right)


def _cell_of_pixel(side: int, cells: int) -> Whole:
    """Return the number of the cell of each pixel of a square image of `cells` x `cells`, (pixels,)."""
    along = np.arange(side) * cells // side
    return (along[:, None] * cells + along).ravel()


def _counted(cell: Whole, position: Floats, weight: Floats, bins: int) -> NDArray[np.float64]:
    """Return circular histograms, (cells, bins): a pixel is divided between the two bins next to its `position`."""
    lower = np.floor(position).astype(np.int64)
    upper_part = weight * (position - lower)
    first, last = (cell * bins + (bin_ % bins).ravel() for bin_ in (lower, lower + 1))
    numbers, weights = np.concatenate([first, last]), np.concatenate([weight - upper_part, upper_part], axis=None)
    counted = np.bincount(numbers, weights, (cell[-1] + 1) * bins)
    return np.asarray(counted, dtype=np.float64).reshape(-1, bins)

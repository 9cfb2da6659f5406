"""Which noisy labels their neighbours contradict: what learns from noisy labels does better without these.

Measured in docs/trusted_reference.md beside other ways to learn from noisy labels.
"""

import numpy as np
from numpy.typing import NDArray

from secondlook.models.features import Features, to_unit

NEIGHBOURS = 15
TEMPERATURE = 0.05  # a neighbour weighs exp(cosine / temperature), as those that vote do by default
SURE = 0.8
MOST = 20_000  # vectors that are searched: enough to contradict, and the search stays linear in the objects
BLOCK = 1024


def uncontradicted(taught: Features) -> NDArray[np.bool_]:
    """Tell which objects are not given a class when another one is sure, (objects,).

    The probability of a class is that of the nearest NEIGHBOURS of other groups, mixed with one part in NEIGHBOURS + 1
    of the uniform distribution; SURE is the least at which it contradicts. A class of which most is contradicted is
    rare or has many looks, rather than wrong: all of it stays.
    """
    objects, classes = len(taught.target), int(taught.target.max(initial=0)) + 1
    searched = np.sort(np.random.default_rng([objects, classes]).permutation(objects)[:MOST])
    vectors = to_unit(taught.vectors)
    right = np.ones(objects, dtype=np.bool_)
    for start in range(0, objects, BLOCK):
        rows = np.arange(start, min(start + BLOCK, objects))
        p = _by_neighbours(vectors[rows], taught.group[rows], vectors[searched], taught, searched, classes)
        p[np.arange(len(rows)), taught.target[rows]] = 0
        right[rows] = p.max(axis=1) <= SURE
    given, left = np.bincount(taught.target), np.bincount(taught.target[right], minlength=classes)
    return np.asarray(right | (left < given / 2)[taught.target])


def _by_neighbours(
    vectors: NDArray[np.float32],
    group: NDArray[np.int64],
    gallery: NDArray[np.float32],
    taught: Features,
    searched: NDArray[np.int64],
    classes: int,
) -> NDArray[np.float64]:
    """Return the probabilities (objects, classes) by the nearest vectors of other groups in the gallery."""
    cosine = vectors @ gallery.T
    cosine[group[:, None] == taught.group[searched]] = -np.inf
    k = min(NEIGHBOURS, len(gallery))
    nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    weight = np.exp((np.take_along_axis(cosine, nearest, axis=1) - 1) / TEMPERATURE, dtype=np.float64)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    share = np.zeros((len(vectors), classes))
    np.add.at(share, (np.arange(len(vectors))[:, None], taught.target[searched[nearest]]), weight)
    return np.asarray((share * k + 1 / classes) / (k + 1))

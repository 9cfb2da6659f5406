"""Prototypes of classes, and how near objects are to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.config.labelers import PrototypeOptions
from secondlook.models.features import Features, to_unit


@dataclass(frozen=True)
class Prototypes:
    """`vectors` (prototypes, dimensions), raw, and the class of each, `target` (prototypes,); `classes` is a count."""

    vectors: NDArray[np.float32]
    target: NDArray[np.int64]
    classes: int

    def cosines(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cosine of each object to the nearest prototype of each class, (objects, classes); -inf without."""
        cosine = to_unit(vectors) @ to_unit(self.vectors).T
        best = np.full((len(vectors), self.classes), -np.inf, dtype=np.float32)
        for index in np.unique(self.target):
            best[:, index] = cosine[:, self.target == index].max(axis=1)
        return best


def fit(reference: Features, classes: int, options: PrototypeOptions) -> Prototypes:
    """Return the prototypes of the classes that `reference` has objects of.

    One per class is the mean of its raw vectors, as published (arXiv 2508.02047), or with `weigh: sources` the mean
    of the means of its sources; several are k-means centres.
    """
    vectors, target = [], []
    for index in np.unique(reference.target):
        here = reference.take(reference.target == index)
        centres = _centres(here, options)
        vectors.append(centres)
        target.append(np.full(len(centres), index))
    return Prototypes(np.concatenate(vectors).astype(np.float32), np.concatenate(target), classes)


def _centres(here: Features, options: PrototypeOptions) -> NDArray[np.float32]:
    """Return the centres of the objects of one class, (centres, dimensions)."""
    _, source, count = np.unique(here.source, return_inverse=True, return_counts=True)
    weight = 1 / count[source] if options.weigh == "sources" else np.ones(len(source))
    distinct = len(np.unique(here.vectors, axis=0)) if options.per_class > 1 else 1
    if min(options.per_class, distinct) == 1:
        return np.average(here.vectors, axis=0, weights=weight)[None].astype(np.float32)
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    search = KMeans(min(options.per_class, distinct), n_init=4, random_state=options.seed)
    with threadpool_limits(1):  # several threads add up in whatever order they finish
        return np.asarray(search.fit(here.vectors, sample_weight=weight).cluster_centers_, dtype=np.float32)

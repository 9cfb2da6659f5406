"""Vote of the nearest reference objects, exact, in blocks."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondlook.config import NeighbourOptions
from secondlook.label import features
from secondlook.label.ballot import Ballot, softmax
from secondlook.taxonomy import Taxonomy

BLOCK = 1024


def vote(embeddings: Path, reference: Path, options: NeighbourOptions, taxonomy: Taxonomy) -> Ballot:
    """Vote by the `k` reference objects of highest cosine.

    The probability of a class is the sum of its neighbours' weights softmax(cosine / temperature), mixed with one
    k-th of the uniform distribution so that no class is impossible because k is small.
    """
    objects, known = features.load_pair(embeddings, reference, taxonomy)
    usable = known.target >= 0
    gallery, target = features.to_unit(known.vectors[usable]), known.target[usable]
    k = min(options.k, len(gallery))
    classes = len(taxonomy.classes)
    blocks = [
        _share(features.to_unit(objects.vectors[start : start + BLOCK]) @ gallery.T, target, k, classes, options)
        for start in range(0, len(objects.vectors), BLOCK)
    ]
    share = np.concatenate(blocks) if blocks else np.zeros((0, classes), np.float32)
    probabilities = np.asarray((share * k + 1 / classes) / (k + 1), dtype=np.float32)
    return Ballot(objects.instance_ids, probabilities, np.zeros(len(share), np.bool_))


def _share(
    cosine: NDArray[np.float32], target: NDArray[np.int64], k: int, classes: int, options: NeighbourOptions
) -> NDArray[np.float32]:
    # a stable sort keeps ties in the order of instance ids
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    weight = softmax(np.take_along_axis(cosine, nearest, axis=1) / options.temperature)
    share = np.zeros((len(cosine), classes), dtype=np.float32)
    np.add.at(share, (np.arange(len(cosine))[:, None], target[nearest]), weight)
    return share

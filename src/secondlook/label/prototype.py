"""Nearest class mean with a refusal, as published for DINOv2 in arXiv 2508.02047."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondlook.config import PrototypeOptions
from secondlook.label import features
from secondlook.label.ballot import Ballot, softmax
from secondlook.taxonomy import Taxonomy


def vote(embeddings: Path, reference: Path, options: PrototypeOptions, taxonomy: Taxonomy) -> Ballot:
    """Vote for the class whose prototype is nearest.

    The prototype of a class is the mean of its raw reference vectors and s = (cosine + 1) / 2. An object whose
    best s lies below `threshold` is abstained from. Probabilities are softmax(cosine / temperature) over the
    classes that have a prototype; they order well and are not calibrated.
    """
    objects, known = features.load_pair(embeddings, reference, taxonomy)
    if not len(objects.vectors):
        return Ballot([], np.zeros((0, len(taxonomy.classes)), np.float32), np.zeros(0, np.bool_))
    cosine = features.to_unit(objects.vectors) @ features.to_unit(prototypes(known, len(taxonomy.classes))).T
    cosine[:, np.bincount(known.target[known.target >= 0], minlength=len(taxonomy.classes)) == 0] = -np.inf
    abstains = (cosine.max(axis=1) + 1) / 2 < options.threshold
    return Ballot(objects.instance_ids, softmax(cosine / options.temperature), abstains)


def prototypes(known: features.Features, classes: int) -> NDArray[np.float32]:
    """Return the mean vector of each class, (classes, dimensions); zeros for a class without reference."""
    means = np.zeros((classes, known.vectors.shape[1]), dtype=np.float32)
    for index in np.unique(known.target[known.target >= 0]):
        means[index] = known.vectors[known.target == index].mean(axis=0)
    return means

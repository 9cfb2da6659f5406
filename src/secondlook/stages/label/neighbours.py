"""Vote of the nearest reference objects, found exactly."""

from pathlib import Path

import numpy as np

from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers import NeighbourOptions
from secondlook.models import features, inference
from secondlook.models.search import nearest
from secondlook.stages.label.ballot import Ballot, softmax


def vote(embeddings: Path, reference: Path, options: NeighbourOptions, taxonomy: Taxonomy) -> Ballot:
    """Vote by the `k` reference objects of highest cosine.

    The probability of a class is the sum of its neighbours' weights softmax(cosine / temperature), mixed with one
    k-th of the uniform distribution so that no class is impossible because k is small.
    """
    known = features.load_reference(reference, taxonomy)
    features.require_same_encoder(embeddings, features.encoder_of(reference), reference)
    objects = features.load(embeddings, taxonomy)
    classes = len(taxonomy.classes)
    if not len(objects.vectors):
        return Ballot([], np.zeros((0, classes), np.float32), np.zeros(0, np.bool_))
    device = inference.pick_device(options.device)
    cosine, place = nearest(features.to_unit(objects.vectors), features.to_unit(known.vectors), options.k, device)
    weight = softmax(cosine / np.float32(options.temperature))
    share = np.zeros((len(cosine), classes), dtype=np.float32)
    np.add.at(share, (np.arange(len(cosine))[:, None], known.target[place]), weight)
    k = place.shape[1]
    probabilities = np.asarray((share * k + 1 / classes) / (k + 1), dtype=np.float32)
    return Ballot(objects.instance_ids.tolist(), probabilities, np.zeros(len(share), np.bool_))

"""Vote of the nearest reference objects, found exactly."""

import numpy as np
from threadpoolctl import threadpool_limits

from secondlook.config.labelers import NeighbourOptions
from secondlook.models import features, inference, search
from secondlook.stages.label.ballot import Ballot, softmax
from secondlook.stages.label.voter import Job


def vote(job: Job, options: NeighbourOptions) -> Ballot:
    """Vote by the `k` reference objects of highest cosine.

    The probability of a class is the sum of its neighbours' weights softmax(cosine / temperature), mixed with one
    k-th of the uniform distribution so that no class of the reference is impossible because k is small.
    """
    reference, taxonomy = job.voter.learned_from, job.taxonomy
    crops = features.load_reference(reference, taxonomy)
    features.require_same_encoder(job.objects, features.encoder_of(reference), reference)
    objects = features.load(job.objects, taxonomy)
    classes = len(taxonomy.classes)
    if not len(objects.vectors):
        return Ballot([], np.zeros((0, classes), np.float32), np.zeros(0, np.bool_))
    device = inference.device_name(options.device)
    if search.needs_torch(crops.vectors, device):
        inference.make_deterministic(0, job.threads)
    with threadpool_limits(job.threads):
        units = features.to_unit(objects.vectors), features.to_unit(crops.vectors)
        cosine, place = search.nearest(*units, options.k, device)
    weight = softmax(cosine / np.float32(options.temperature))
    share = np.zeros((len(cosine), classes), dtype=np.float32)
    np.add.at(share, (np.arange(len(cosine))[:, None], crops.target[place]), weight)
    k = place.shape[1]
    present = np.bincount(crops.target, minlength=classes) > 0
    probabilities = np.asarray((share * k + present / present.sum()) / (k + 1), dtype=np.float32)
    return Ballot(objects.instance_ids.tolist(), probabilities, np.zeros(len(share), np.bool_))

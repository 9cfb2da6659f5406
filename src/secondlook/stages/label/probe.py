"""A linear probe as a labeler: logistic regression on the vectors of an encoder."""

import numpy as np

from secondlook.config.labelers import ProbeOptions
from secondlook.models import features, learned
from secondlook.stages.label.ballot import Ballot, softmax
from secondlook.stages.label.voter import Job


def vote(job: Job, options: ProbeOptions) -> Ballot:
    """Vote by softmax(logits / T) with a folder of `secondlook train --kind probe`; T was fitted on unseen crops."""
    trained = learned.read(job.voter.learned_from, job.objects, options, job.taxonomy)
    objects = features.load(job.objects, job.taxonomy)
    weight, bias = trained.tensors["weight"], trained.tensors["bias"]
    vectors = features.to_unit(objects.vectors) if len(objects.vectors) else np.zeros((0, weight.shape[1]), np.float32)
    probabilities = softmax((vectors @ weight.T + bias) / np.float32(trained.about["temperature"]))
    return Ballot(objects.instance_ids.tolist(), probabilities, np.zeros(len(vectors), np.bool_))

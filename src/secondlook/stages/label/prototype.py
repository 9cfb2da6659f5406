"""Nearest class mean with abstentions, as published for DINOv2 in arXiv 2508.02047."""

import numpy as np

from secondlook.config.labelers import PrototypeOptions
from secondlook.models import features, learned
from secondlook.models.prototypes import Prototypes
from secondlook.stages.label.ballot import Ballot, softmax
from secondlook.stages.label.voter import Job


def vote(job: Job, options: PrototypeOptions) -> Ballot:
    """Vote for the class whose prototype is nearest, with a folder of `secondlook train --kind prototype`.

    s = (cosine + 1) / 2; the labeler abstains if the best s is below the threshold of its class.
    Probabilities are softmax(cosine / temperature) over the classes that have a prototype; they rank well and are not
    calibrated.
    """
    taxonomy = job.taxonomy
    trained = learned.read(job.voter.learned_from, job.objects, options, taxonomy)
    objects = features.load(job.objects, taxonomy)
    prototypes = Prototypes(trained.tensors["vectors"], trained.tensors["target"], len(taxonomy.classes))
    if not len(objects.vectors):
        return Ballot([], np.zeros((0, len(taxonomy.classes)), np.float32), np.zeros(0, np.bool_))
    cosine = prototypes.cosines(objects.vectors)
    nearest = cosine.argmax(axis=1)
    score = (cosine[np.arange(len(nearest)), nearest] + 1) / 2
    threshold = np.array([trained.about["threshold"][name] for name in taxonomy.classes], dtype=np.float32)
    abstains = score < threshold[nearest]
    return Ballot(objects.instance_ids.tolist(), softmax(cosine / np.float32(options.temperature)), abstains)

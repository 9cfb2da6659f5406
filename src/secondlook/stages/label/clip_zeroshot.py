"""CLIP without training: the class whose name, inserted into sentences, is nearest to the image (arXiv 2103.00020)."""

import numpy as np

from secondlook.config.labelers import ZeroShotOptions
from secondlook.io import records
from secondlook.models import features, inference, text_encoder
from secondlook.stages.label.ballot import Ballot, softmax
from secondlook.stages.label.voter import Job


def vote(job: Job, options: ZeroShotOptions) -> Ballot:
    """Vote by softmax(cosine / temperature) between an object and each class.

    The vector of a class is the unit mean of the unit vectors of every template with its name; with `aliases` those of
    its other wordings count too. The labeler abstains if the best class leads by less than `min_margin` of probability.
    Probabilities rank well and are not calibrated.
    """
    inference.make_deterministic(0, job.threads)
    taxonomy = job.taxonomy
    objects = features.load(job.objects, taxonomy)
    if not len(objects.vectors):
        return Ballot([], np.zeros((0, len(taxonomy.classes)), np.float32), np.zeros(0, np.bool_))
    device = inference.pick_device(options.device)
    names = [(name, *(aliases if options.aliases else ())) for name, aliases in taxonomy.aliases.items()]
    texts = [[template.format(wording) for wording in of_class for template in options.templates] for of_class in names]
    vectors = text_encoder.encode(records.made_by(job.objects), [one for part in texts for one in part], device)
    ends = np.cumsum([len(part) for part in texts])
    classes = features.to_unit(np.stack([part.mean(axis=0) for part in np.split(vectors, ends[:-1])]))
    cosine = features.to_unit(objects.vectors) @ classes.T
    probabilities = softmax((cosine / options.temperature).astype(np.float32))
    ranked = np.sort(probabilities, axis=1)
    lead = ranked[:, -1] - (ranked[:, -2] if ranked.shape[1] > 1 else 0)
    return Ballot(objects.instance_ids.tolist(), probabilities, lead < options.min_margin)

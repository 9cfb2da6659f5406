"""A linear probe as a labeler: logistic regression on the vectors of an encoder."""

from pathlib import Path

import numpy as np

from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers import ProbeOptions
from secondlook.models import features, learned
from secondlook.stages.label.ballot import Ballot, softmax


def vote(embeddings: Path, source: Path, options: ProbeOptions, taxonomy: Taxonomy) -> Ballot:
    """Vote by softmax(logits / T) with a folder of `secondlook train --kind probe`; T was fitted on unseen crops."""
    known = learned.read(source, embeddings, options, taxonomy)
    objects = features.load(embeddings, taxonomy)
    weight, bias = known.tensors["weight"], known.tensors["bias"]
    vectors = features.to_unit(objects.vectors) if len(objects.vectors) else np.zeros((0, weight.shape[1]), np.float32)
    probabilities = softmax((vectors @ weight.T + bias) / np.float32(known.about["temperature"]))
    return Ballot(objects.instance_ids.tolist(), probabilities, np.zeros(len(vectors), np.bool_))

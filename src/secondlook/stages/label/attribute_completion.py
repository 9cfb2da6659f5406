"""CLIP on one attribute of an object, summed over the others: its value becomes a class."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from secondlook.base.errors import UsageError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers import AttributeOptions
from secondlook.io import records
from secondlook.models import features, inference, text_encoder
from secondlook.stages.label.ballot import Ballot, softmax
from secondlook.stages.label.voter import Job


def vote(job: Job, options: AttributeOptions) -> Ballot:
    """Vote by softmax(cosine / temperature) over all combinations of attributes, summed over those with a value.

    The vector of a combination is the unit mean of the unit vectors of its templates. The probabilities of the values
    of a class are added; the labeler abstains when the values of no class are likelier than every class, or when
    the best class leads by less than `min_margin`.
    """
    inference.make_deterministic(0, job.threads)
    taxonomy = job.taxonomy
    objects = features.load(job.objects, taxonomy)
    if not len(objects.vectors):
        return Ballot([], np.zeros((0, len(taxonomy.classes)), np.float32), np.zeros(0, np.bool_))
    class_of = classes_of_values(options, taxonomy)
    choices = [dict(zip(options.attributes, values, strict=True)) for values in product(*options.attributes.values())]
    device = inference.pick_device(options.device)
    texts = [template.format(**choice) for choice in choices for template in options.templates]
    vectors = text_encoder.encode(records.made_by(job.objects), texts, device)
    means = features.to_unit(vectors.reshape(len(choices), len(options.templates), -1).mean(axis=1))
    cosine = features.to_unit(objects.vectors) @ means.T
    shares = softmax((cosine / options.temperature).astype(np.float32))
    sums = np.zeros((len(shares), len(taxonomy.classes) + 1), np.float32)  # the last column belongs to no class
    for column, choice in enumerate(choices):
        sums[:, class_of[choice[options.attribute]]] += shares[:, column]
    return Ballot(objects.instance_ids.tolist(), *_of_classes(sums, options.min_margin))


def _of_classes(sums: NDArray[np.float32], min_margin: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the probabilities of the classes, rows that sum to 1, and the abstentions."""
    classes, unknown = sums[:, :-1], sums[:, -1]
    ranked = np.sort(classes, axis=1)
    lead = ranked[:, -1] - (ranked[:, -2] if ranked.shape[1] > 1 else 0)
    whole = np.maximum(classes.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return classes / whole, (unknown > ranked[:, -1]) | (lead < min_margin)


def classes_of_values(options: AttributeOptions, taxonomy: Taxonomy) -> Mapping[str, int]:
    """Return the position of the class of each value; the one after the last class for values of no class.

    Without `classes` a value is a wording of its class. Raises UsageError for an unknown class or value.
    """
    values, places = options.attributes[options.attribute], {name: n for n, name in enumerate(taxonomy.classes)}
    if options.classes is None:
        named = {value: taxonomy.resolve(value) for value in values}
    else:
        _require("class", options.classes, taxonomy.classes)
        _require("value", [value for of_class in options.classes.values() for value in of_class], values)
        named = {value: name for name, of_class in options.classes.items() for value in of_class}
    if not any(named.get(value) for value in values):
        raise UsageError(f"no value of `{options.attribute}` is a class of the task; list them under `classes`.")
    return {value: places.get(named.get(value) or "", len(places)) for value in values}


def _require(what: str, named: Sequence[str] | Mapping[str, object], available: Sequence[str]) -> None:
    unknown = [name for name in named if name not in available]
    if unknown:
        raise UsageError(f"`classes`: there is no {what} `{unknown[0]}` (available: {', '.join(available)}).")

"""A trained classifier as a labeler: softmax over its outputs, matched to classes by the task's wordings."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers import ClassifierLabelerOptions
from secondlook.io import records
from secondlook.models import inference
from secondlook.models.checkpoints import create_timm, revision_of, timm_input
from secondlook.pixels import crops, images
from secondlook.stages.label import foreign
from secondlook.stages.label.ballot import Ballot
from secondlook.stages.label.voter import Job, Voter

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode, the names of its outputs, and its preprocessing.

    `never_seen` names the outputs of classes without any crop in its training.
    """

    model: "torch.nn.Module"
    outputs: list[str]
    input_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    never_seen: frozenset[str] = frozenset()


def vote(job: Job, options: ClassifierLabelerOptions) -> Ballot:
    """Vote on crops by the softmax of the network.

    Outputs whose names mean the same class of the task add up; an unknown name is refused. Classes that the training
    never saw get probability 0.
    """
    import torch

    inference.make_deterministic(0, job.threads)
    source, classifier = job.voter.learned_from, job.network()
    device = inference.pick_device(options.device)
    to_class = output_to_class(classifier.outputs, job.taxonomy, source)
    unseen = torch.tensor([name in classifier.never_seen for name in classifier.outputs], device=device)
    model = classifier.model.to(device).eval()
    ids: list[str] = []
    parts: list[torch.Tensor] = []

    def resize(pixels: Pixels) -> Pixels:
        return images.resize(pixels, classifier.input_px, "squash")

    batches = crops.batches(job.objects, options.batch_size, resize, threads=job.threads)
    total = records.count(job.objects, records.CROP)
    with torch.inference_mode():
        for batch in progress.track(batches, total=total, what="objects", size=len):
            pixels = inference.to_normalised(batch.pixels, classifier.mean, classifier.std, device)
            parts.append(torch.softmax(model(pixels).float().masked_fill(unseen, -torch.inf), dim=1))
            ids.extend(batch.rows["instance_id"].to_pylist())
    outputs = torch.cat(parts).cpu().numpy() if parts else np.zeros((0, len(to_class)), np.float32)
    return Ballot(ids, outputs @ to_class, np.zeros(len(ids), np.bool_))


def made_by(_: Voter, options: ClassifierLabelerOptions) -> dict[str, Any]:
    """Return the revision of the local folder that names the architecture of a .pth file, if one does."""
    local = options.weights is not None and Path(options.model).exists()
    return {"architecture": revision_of(options.model)} if local else {}


def load(voter: Voter, options: ClassifierLabelerOptions) -> Classifier:
    """Return the classifier in a folder of `secondlook train` or in a .pth file."""
    source = voter.learned_from
    if source.is_file():
        weights, outputs = foreign.read_pth(source, Path(options.labels) if options.labels else None)
        model = create_timm(options.model, pretrained=False, classes=len(outputs))
        foreign.load_weights(model, weights, source, options.model)
        return Classifier(model, outputs, *timm_input(model))
    if not source.exists():
        raise DataError(f"{source}: is missing; put the weights there, or correct `weights` of the labeler.")
    try:
        labels = json.loads((source / "labels.json").read_text(encoding="utf-8"))
        outputs, input_px = [str(name) for name in labels["classes"]], int(labels["input_px"])
        never_seen = frozenset(map(str, labels.get("never_seen", [])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{source}: is not a classifier folder with a labels.json ({error}).") from error
    model = create_timm(str(source), pretrained=True, classes=len(outputs))
    _, mean, std = timm_input(model)
    return Classifier(model, outputs, input_px, mean, std, never_seen)


def output_to_class(outputs: list[str], taxonomy: Taxonomy, source: Path) -> NDArray[np.float32]:
    """Return the 0/1 matrix (outputs, classes) that adds outputs up to classes."""
    matrix = np.zeros((len(outputs), len(taxonomy.classes)), dtype=np.float32)
    for position, name in enumerate(outputs):
        resolved = taxonomy.resolve(name)
        if resolved is None:
            raise DataError(f"{source}: its output `{name}` is not a class of the task; add it as an alias of one.")
        matrix[position, taxonomy.index(resolved)] = 1
    return matrix

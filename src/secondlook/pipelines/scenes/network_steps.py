"""The steps of the network as commands run them: files in, files out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.config.scenes_training import InferenceOptions, NetworkOptions, TrainingOptions
from secondlook.io import files, tabular
from secondlook.jobs import cache, distributed
from secondlook.models import inference
from secondlook.pipelines.scenes import checkpoint, evaluate, figures, inputs, predictions
from secondlook.pipelines.scenes import train as training
from secondlook.pipelines.scenes.infer import Reader
from secondlook.pipelines.scenes.inputs import TRAIN, ImageTable
from secondlook.pipelines.scenes.tree import mask_name


@dataclass(frozen=True)
class Tables:
    """Files of the data side: images, their labels and splits, points and pairs; those left out are None."""

    images: Path
    labels: Path | None = None
    points: Path | None = None
    pairs: Path | None = None

    def read(self, classes: Sequence[str]) -> ImageTable:
        """Read all of them."""
        return inputs.read(self.images, self.labels, classes, points=self.points, pairs=self.pairs)

    @property
    def given(self) -> list[Path]:
        """Those that are not None."""
        return [path for path in (self.images, self.labels, self.points, self.pairs) if path is not None]


def train_network(
    tables: Tables,
    classes: Sequence[str],
    out: Path,
    network: NetworkOptions,
    options: TrainingOptions,
    *,
    threads: int,
    command: Sequence[str] = (),
) -> None:
    """Train the network; write what `FILES` of `train.py` names to folder `out`.

    `command` are the arguments with which `secondlook` comes to this step: each of several processes runs it.
    """
    if tables.labels is None:
        raise UsageError("a training needs the table of labels and splits.")
    if options.loss_3d > 0 and (tables.points is None or tables.pairs is None):
        raise UsageError("the 3D loss needs the tables of points and of pairs; give both, or set `loss_3d: 0`.")
    device = inference.pick_device(options.device)
    count = 1 if distributed.is_inside() else distributed.wanted(options.processes, device, most=options.batch)
    if count > 1 and command:
        distributed.start(count, command)
        return
    if count > 1:
        progress.say(f"scenes: one process trains, though {count} could; only a command starts several")
    weights = [Path(network.weights)] if network.weights else []
    said = {"network": network.model_dump(), "training": options.model_dump(exclude={"resources", "device"})}
    made_by = {"stage": "scenes", **said, "classes": list(classes), "threads": threads}
    key = cache.key_of(made_by, *tables.given, *weights, code=__name__)
    training.train(tables.read(classes), classes, out, network, options, threads=threads, key=key)


def predict(tables: Tables, weights: Path, out: Path, options: InferenceOptions, *, threads: int) -> None:
    """Write scores of images and, where the network gives masks, these and the classes of points, to folder `out`.

    `scores.parquet` has a column of probabilities per class, `masks` an index PNG per image, `point_scores.parquet` a
    distribution per point, background first. Images that cannot be read become rows of `rejects.csv`; raises
    DataError when none can be.
    """
    inference.make_deterministic(0, threads)
    device = inference.pick_device(options.device)
    network, about = checkpoint.load(weights, options.checkpoint, device)
    images = tables.read(about.classes)
    rows = _wanted(images, options)
    reader = Reader(network, about, options, device)
    writer = predictions.Predictions(out, about.classes, images, options)
    made_by = {"step": "predict", "options": options.model_dump(exclude={"device", "resources"})}
    with predictions.points_file(out, about, tables.points, made_by) as points:
        writer.points = points
        for row in progress.track(rows, total=len(rows), what="images"):
            writer.take(reader, int(row))
        writer.flush()
    writer.close(made_by)
    if len(rows) and len(writer.rejects) == len(rows):
        raise DataError(f"none of {len(rows)} images can be read; {out / predictions.REJECTS} says why.")
    progress.say(f"scenes: {len(rows) - len(writer.rejects)} images read, {len(writer.rejects)} rejected")


@dataclass(frozen=True)
class Judged:
    """What is judged, and by what: the folder of `predict`, true masks, the true class of images, and the network."""

    predicted: Path
    masks: Path | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    weights: Path | None = None


def evaluate_network(tables: Tables, judged: Judged, out: Path, classes: Sequence[str], *, threads: int = 1) -> str:
    """Write `scores.csv`, `masks.csv` and `summary.json` to folder `out`; return the main figures as text.

    Scores are judged on the validation splits, by the labels of `tables` or, where it is known, the class of an image;
    masks against those of the same name, images of the training left out. With weights, points and pairs the cosines
    of matched points are measured too. Raises DataError for validation images without scores, and for masks that are
    missing or of another size.
    """
    images = inputs.judged_by(tables.read(classes), judged.known, classes)
    by_class, means = figures.of_scores(images, judged.predicted / predictions.SCORES, classes)
    files.write_text(out / "scores.csv", tabular.to_csv(by_class))
    summary: dict[str, Any] = {"scores": means}
    if judged.masks is not None:
        trained = {mask_name(images.ids[row]) for row in images.rows(TRAIN)}
        pairs = evaluate.matching(judged.masks, judged.predicted / predictions.MASKS, without=trained)
        names = (evaluate.BACKGROUND, *classes)
        table = evaluate.mask_table(evaluate.confusion(pairs, len(names), threads=threads), names)
        files.write_text(out / "masks.csv", tabular.to_csv(table))
        summary["masks"] = {"images": len(pairs), **evaluate.rounded(evaluate.mask_means(table))}
    if judged.weights is not None and tables.points is not None and tables.pairs is not None:
        summary["cosines"] = figures.of_cosines(images, judged.weights, threads)
    files.write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return figures.as_text(summary)


def _wanted(images: ImageTable, options: InferenceOptions) -> NDArray[np.int64]:
    """Return the images that are asked for; raises UsageError for a split without any."""
    if options.splits is None:
        return np.arange(len(images.ids))
    for split in options.splits:
        if not len(images.rows(split)):
            raise UsageError(f"`splits`: there is no image of `{split}`; name splits of the table of labels.")
    return np.flatnonzero(np.isin(images.split.astype(str), options.splits))

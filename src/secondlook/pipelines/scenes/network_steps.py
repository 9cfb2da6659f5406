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
from secondlook.io.replaced import replaced_files
from secondlook.jobs import cache, distributed
from secondlook.models import inference
from secondlook.pipelines.scenes import checkpoint, evaluate, figures, inputs, predictions
from secondlook.pipelines.scenes import train as training
from secondlook.pipelines.scenes.infer import Reader, mask_names, published_names
from secondlook.pipelines.scenes.inputs import TRAIN, ImageTable
from secondlook.pipelines.scenes.tree import mask_name


@dataclass(frozen=True)
class Tables:
    """Files of the data side: images, their labels and splits, points and pairs; missing ones are None."""

    images: Path
    labels: Path | None = None
    points: Path | None = None
    pairs: Path | None = None

    def read(self, classes: Sequence[str]) -> ImageTable:
        """Read all of them."""
        return inputs.read(self.images, self.labels, classes, points=self.points, pairs=self.pairs)

    @property
    def given(self) -> list[Path]:
        """The files that are not None."""
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
    """Train the network; write the `FILES` of `train.py` to folder `out`.

    `command` holds the arguments of `secondlook` for this step, which each of several processes runs.
    """
    if tables.labels is None:
        raise UsageError("a training needs the table of labels and splits; give `splits.parquet`.")
    if options.loss_3d > 0 and (tables.points is None or tables.pairs is None):
        raise UsageError("the 3D loss needs the tables of points and of pairs; give both, or set `loss_3d: 0`.")
    device = inference.pick_device(options.device)
    count = 1 if distributed.is_inside() else distributed.wanted(options.processes, device, most=options.batch)
    if count > 1 and command:
        distributed.start(count, command)
        return
    if count > 1:
        progress.say(f"scenes: one process trains, although {count} could; only the command starts several")
    weights = [Path(network.weights)] if network.weights else []
    settings = {"network": network.model_dump(), "training": options.model_dump(exclude={"resources", "device"})}
    made_by = {"stage": "scenes", **settings, "classes": list(classes), "threads": threads}
    made_by |= {"computes_in": inference.numbers_of(options.precision, options.device)}
    key = cache.key_of(made_by, *tables.given, *weights, code=__name__)
    training.train(tables.read(classes), classes, out, network, options, threads=threads, key=key)


def predict(tables: Tables, weights: Path, out: Path, options: InferenceOptions, *, threads: int) -> None:
    """Write scores of images and, if the network gives masks, masks and classes of points, to folder `out`.

    `scores.parquet` has a column of probabilities per class, `masks` an index PNG per image, `point_scores.parquet` a
    distribution per point, background first. Images that cannot be read become rows of `rejects.csv`; raises
    DataError if none can be read.
    """
    reader = _reader(weights, options, threads)
    images = tables.read(reader.about.classes)
    _predict(reader, images, mask_names(images.ids), out, tables.points)


def predict_folder(folder: Path, weights: Path, out: Path, options: InferenceOptions, *, threads: int) -> None:
    """Write to `out` what `predict` writes, for the images in a folder; the mask of `N.jpg` is `N.png`, as published.

    Raises DataError if there are no images, if none can be read, and for two masks of the same name.
    """
    reader = _reader(weights, options, threads)
    images = inputs.of_folder(folder, reader.about.classes)
    _predict(reader, images, published_names(images.ids), out, None)


def _reader(weights: Path, options: InferenceOptions, threads: int) -> Reader:
    inference.make_deterministic(0, threads)
    device = inference.pick_device(options.device)
    network, about = checkpoint.load(weights, options.checkpoint, device)
    return Reader(network, about, options, device)


def _predict(reader: Reader, images: ImageTable, names: Mapping[str, str], out: Path, points: Path | None) -> None:
    rows, about, options = _requested(images, reader.options), reader.about, reader.options
    writer = predictions.Predictions(out, about.classes, images, names, options)
    made_by = {"step": "predict", "options": options.model_dump(exclude={"device", "resources"})}
    with replaced_files(out, writer.planned(images.ids[row] for row in rows)) as writer.written:
        with predictions.points_file(out, about, points, made_by) as file:
            writer.points = file
            for row in progress.track(rows, total=len(rows), what="images"):
                writer.take(reader, int(row))
            writer.flush()
        writer.close(made_by)
    if len(rows) and len(writer.rejects) == len(rows):
        raise DataError(f"none of the {len(rows)} images can be read; see the reasons in {out / predictions.REJECTS}.")
    progress.say(f"scenes: {len(rows) - len(writer.rejects)} images read, {len(writer.rejects)} rejected")


@dataclass(frozen=True)
class Evaluated:
    """The inputs of an evaluation: the folder of `predict`, true masks, the true class of images, and the network."""

    predicted: Path
    masks: Path | None = None
    truth: Mapping[str, str] = field(default_factory=dict)
    weights: Path | None = None


def evaluate_network(
    tables: Tables, evaluated: Evaluated, out: Path, classes: Sequence[str], *, threads: int = 1
) -> str:
    """Write `scores.csv`, `masks.csv` and `summary.json` to folder `out`; return the main figures as text.

    Scores are evaluated on the validation splits, against the true class of an image or, if unknown, the labels of
    `tables`; masks against true masks of the same name, without training images. With weights, points and pairs also
    the cosines of matched points. Raises DataError for validation images without scores, and for masks that are missing
    or of a different size.
    """
    images = inputs.with_truth(tables.read(classes), evaluated.truth, classes)
    by_class, means = figures.of_scores(images, evaluated.predicted / predictions.SCORES, classes)
    files.write_text(out / "scores.csv", tabular.to_csv(by_class))
    summary: dict[str, Any] = {"scores": means}
    if evaluated.masks is not None:
        trained = {mask_name(images.ids[row]) for row in images.rows(TRAIN)}
        pairs = evaluate.matching(evaluated.masks, evaluated.predicted / predictions.MASKS, without=trained)
        names = (evaluate.BACKGROUND, *classes)
        table = evaluate.mask_table(evaluate.confusion(pairs, len(names), threads=threads), names)
        files.write_text(out / "masks.csv", tabular.to_csv(table))
        summary["masks"] = {"images": len(pairs), **evaluate.rounded(evaluate.mask_means(table))}
    if evaluated.weights is not None and tables.points is not None and tables.pairs is not None:
        summary["cosines"] = figures.of_cosines(images, evaluated.weights, threads)
    files.write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return figures.as_text(summary)


def _requested(images: ImageTable, options: InferenceOptions) -> NDArray[np.int64]:
    """Return the images of the requested splits; raises UsageError for a split without images."""
    if options.splits is None:
        return np.arange(len(images.ids))
    for split in options.splits:
        if not len(images.rows(split)):
            raise UsageError(f"`splits`: there is no image of `{split}`; use splits of the table of labels.")
    return np.flatnonzero(np.isin(images.split.astype(str), options.splits))

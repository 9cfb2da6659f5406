"""The figures of the evaluation: scores by validation split, cosines of matched points, and both as text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from secondlook.base.errors import DataError
from secondlook.io import parquetfile
from secondlook.models import inference
from secondlook.pipelines.scenes import checkpoint, cosines, evaluate
from secondlook.pipelines.scenes.inputs import SEEN, UNSEEN, ImageTable
from secondlook.stats.bootstrap import interval_of_mean


def of_scores(
    images: ImageTable, path: Path, classes: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, dict[str, float | None]]]:
    """Return AP and recall by split and class, and the means by split with the interval of the accuracy.

    Raises DataError for a validation image without scores, and if no validation image has a label.
    """
    by_image, tables, figures = read_scores(path, classes), [], {}
    for split in (SEEN, UNSEEN):
        rows = images.rows(split)
        rows = rows[images.primary[rows] >= 0]
        if not len(rows):
            continue
        absent = [images.ids[row] for row in rows if images.ids[row] not in by_image.index]
        if absent:
            raise DataError(
                f"{path}: has no scores of {absent[0]} and {len(absent) - 1} more; predict the whole split."
            )
        scores = by_image.loc[[images.ids[row] for row in rows]].to_numpy()
        primary = images.primary[rows]
        table, means = evaluate.score_tables(scores, primary, images.labels[rows], classes)
        low, high = interval_of_mean(scores.argmax(axis=1) == primary, images.landmark[rows])
        tables.append(table.assign(split=split)[["split", *table.columns]])
        figures[split] = evaluate.rounded({**means, "accuracy_low": low, "accuracy_high": high})
    if not tables:
        raise DataError("no image of a validation split has a label; nothing can be evaluated.")
    return pd.concat(tables, ignore_index=True), figures


def read_scores(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """Return the probabilities that `predict` wrote, by image and class; raises DataError for another file."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; run the step `predict`.")
    try:
        table = parquetfile.read(path).to_pandas().set_index("image_id")
        scores: pd.DataFrame = table[list(classes)]
        return scores
    except KeyError as error:
        raise DataError(f"{path}: holds no scores of these classes ({error}); predict again.") from error


def of_cosines(images: ImageTable, weights: Path, threads: int) -> dict[str, dict[str, float | None]]:
    """Return the cosines of matched points, and of different ones, by validation split."""
    device = inference.pick_device("auto")
    network, about = checkpoint.load(weights, "best", device)
    embedder = cosines.Embedder(network, about.training.crop_px, device, about.training.point_grid)
    splits = [split for split in (SEEN, UNSEEN) if len(images.rows(split))]
    return {
        split: evaluate.rounded(asdict(cosines.of_pairs(embedder, images, split, threads=threads))) for split in splits
    }


def as_text(summary: Mapping[str, Any]) -> str:
    """Return the main figures of a summary as lines."""
    lines = [f"{'split':<12}{'images':>8}{'mAP':>8}{'accuracy':>10}{'(95 %)':>16}{'by class':>10}{'easy':>8}"]
    for split, one in summary["scores"].items():
        span = f"{one['accuracy_low']:.3f} - {one['accuracy_high']:.3f}"
        figures = f"{one['map']:>8.3f}{one['accuracy']:>10.3f}{span:>16}{one['class_accuracy']:>10.3f}"
        lines.append(f"{split:<12}{one['images']:>8.0f}{figures}{one['easy_accuracy']:>8.3f}")
    if "masks" in summary:
        masks = summary["masks"]
        mean = "-" if masks["mean_iou"] is None else f"{masks['mean_iou']:.3f}"
        lines.append(f"masks: mean IoU {mean} over {masks['images']} images and {masks['classes']:.0f} classes")
    for split, one in summary.get("cosines", {}).items():
        if one["matched"] is not None:
            lines.append(f"{split}: cosine of matched points {one['matched']:.3f}, of others {one['random']:.3f}")
    return "\n".join(lines)

"""Masks and scores against the truth: IoU per class, AP per class, and their means with n."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.pixels import prefetch

IGNORED = 255
BACKGROUND = "background"


@dataclass(frozen=True)
class Compared:
    """A true mask and the predicted one: index PNG files of equal size."""

    true: Path
    found: Path


def confusion(pairs: Sequence[Compared], classes: int, *, threads: int = 1) -> NDArray[np.int64]:
    """Return pixels by true and predicted class, (classes, classes), background included; 255 is ignored.

    Raises DataError for a mask that is missing, of a different size, or with an index that is not a class.
    """
    total = np.zeros((classes, classes), np.int64)
    counted = prefetch.ordered(lambda pair: _counted(pair, classes), pairs, threads=threads)
    for one in progress.track(counted, total=len(pairs), what="masks"):
        total += one
    return total


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Return the class indices of a mask (h, w); raises DataError if it is missing or not an index PNG."""
    from PIL import Image

    from secondlook.pixels.images import UnreadableImageError, require_size

    try:
        with Image.open(path) as image:
            require_size(*image.size)
            if image.mode not in {"L", "P", "1"}:
                raise DataError(f"{path}: is an image of mode {image.mode}, not a mask of class indices.")
            return np.asarray(image, dtype=np.uint8)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such mask; predict it, or remove its true mask.") from error
    except (OSError, ValueError, SyntaxError, UnreadableImageError) as error:
        raise DataError(f"{path}: is not a readable image ({error}); write it again.") from error


def mask_table(counts: NDArray[np.int64], names: Sequence[str]) -> pd.DataFrame:
    """Return one row per class, background first: pixels, IoU = TP / (TP + FP + FN), precision and recall.

    IoU and recall of a class without true pixels, and the precision of one that was never predicted, are NaN.
    """
    right, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return pd.DataFrame(
        {
            "class": list(names),
            "true_px": true,
            "found_px": predicted,
            "iou": _ratio(right, np.where(true > 0, true + predicted - right, 0)),
            "precision": _ratio(right, predicted),
            "recall": _ratio(right, true),
        }
    )


def mask_means(table: pd.DataFrame) -> dict[str, float]:
    """Return means of IoU over classes with true pixels, without and with background, and how many those are."""
    means: dict[str, float] = {}
    for name, part in (("", table.iloc[1:]), ("_with_background", table)):
        values = part["iou"].dropna()
        means[f"mean_iou{name}"] = float(values.mean()) if len(values) else float("nan")
        means[f"classes{name}"] = len(values)
    return means


def average_precisions(scores: NDArray[Any], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the average precision of each class, (classes,), of scores (n, classes); NaN for an absent class."""
    from sklearn.metrics import average_precision_score

    precisions = [
        float(average_precision_score(truth[:, place], scores[:, place])) if truth[:, place].any() else np.nan
        for place in range(truth.shape[1])
    ]
    return np.array(precisions)


def score_tables(
    scores: NDArray[Any], primary: NDArray[np.int64], labels: NDArray[np.bool_], names: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return AP and recall per class, and the means, of probabilities (n, classes) against first labels (n,).

    `easy_accuracy` counts any of the labels, bool (n, classes). Means are over classes that some image has.
    """
    chosen, truth = scores.argmax(axis=1), one_hot(primary, len(names))
    right = chosen == primary
    recall = _ratio((truth & right[:, None]).sum(axis=0), truth.sum(axis=0))
    table = pd.DataFrame(
        {
            "class": list(names),
            "images": truth.sum(axis=0),
            "ap": average_precisions(scores, truth),
            "ap_any_label": average_precisions(scores, labels),
            "recall": recall,
        }
    )
    means = {
        "images": len(primary),
        "classes": int(table["ap"].notna().sum()),
        "map": _mean(table["ap"]),
        "map_any_label": _mean(table["ap_any_label"]),
        "accuracy": float(right.mean()),
        "class_accuracy": _mean(table["recall"]),
        "easy_accuracy": float(labels[np.arange(len(chosen)), chosen].mean()),
    }
    return table, means


def one_hot(primary: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Return first labels (n,) as truth (n, classes)."""
    return np.asarray(primary[:, None] == np.arange(classes))


def rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures for JSON: four digits, or None if a figure is not finite."""
    return {name: round(float(value), 4) if np.isfinite(value) else None for name, value in values.items()}


def matching(truth: Path, predicted: Path, *, without: Collection[str] = ()) -> list[Compared]:
    """Return the masks of a folder of truth, some names left out, with those of the same name in another folder.

    Raises DataError if there is none to evaluate.
    """
    pairs = [Compared(path, predicted / path.name) for path in sorted(truth.glob("*.png")) if path.name not in without]
    if not pairs:
        raise DataError(f"{truth}: holds no mask (*.png) of an image outside the training split; give true masks.")
    return pairs


def _counted(pair: Compared, classes: int) -> NDArray[np.int64]:
    true, predicted = read_mask(pair.true), read_mask(pair.found)
    if true.shape != predicted.shape:
        sizes = " and ".join(f"{mask.shape[1]} x {mask.shape[0]} px" for mask in (predicted, true))
        raise DataError(f"{pair.found}: differs in size from {pair.true} ({sizes}); predict it on the same image.")
    counted = true != IGNORED
    for path, mask in ((pair.true, true[counted]), (pair.found, predicted)):
        if mask.size and mask.max() >= classes:
            raise DataError(f"{path}: has the index {mask.max()}, but there are {classes} classes with background.")
    codes = true[counted].astype(np.int64) * classes + predicted[counted]
    return np.bincount(codes, minlength=classes**2).reshape(classes, classes)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if values.notna().any() else float("nan")

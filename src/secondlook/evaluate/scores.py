"""Accuracy, macro-F1 and their intervals from confusion counts, clustered by image.

Objects of one image share their difficulty, so the bootstrap draws images, not objects. All resamples are one
matrix product: (resamples, images) draw counts times (images, cells) confusion counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 64
LOW, HIGH = 2.5, 97.5


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; all three are fractions, nan where nothing can be said."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """How one judge did on the objects with truth. Unanswered objects count as wrong in `accuracy`."""

    n: int
    answered: int
    accuracy: Estimate
    selective_accuracy: Estimate
    macro_f1: Estimate
    confusion: NDArray[np.int64]  # (classes, classes + 1): truth, answer; the last column is "no answer"


def score(
    truth: NDArray[np.int64], answer: NDArray[np.int64], picture: NDArray[np.int64], classes: int, weights: "Draws"
) -> Scores:
    """Score answers against truth; all (objects,), positions in the class list, -1 for no answer."""
    cells = classes * (classes + 1)
    cell = truth * (classes + 1) + np.where(answer < 0, classes, answer)
    flat = np.bincount(picture * cells + cell, minlength=weights.pictures * cells)
    per_picture = flat.reshape(weights.pictures, cells)
    total = per_picture.sum(axis=0).reshape(classes, classes + 1)
    drawn = weights.times(per_picture).reshape(-1, classes, classes + 1)
    return Scores(
        n=len(truth),
        answered=int((answer >= 0).sum()),
        accuracy=_estimate(accuracy(total[None]), accuracy(drawn)),
        selective_accuracy=_estimate(selective_accuracy(total[None]), selective_accuracy(drawn)),
        macro_f1=_estimate(macro_f1(total[None]), macro_f1(drawn)),
        confusion=total,
    )


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of images: how often each image is drawn in each resample."""

    pictures: int
    resamples: int
    seed: int

    def times(self, per_picture: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the resampled sums of (images, cells), (resamples, cells), in blocks of bounded memory."""
        random = np.random.default_rng(self.seed)
        share = np.full(self.pictures, 1 / max(1, self.pictures))
        blocks = []
        for start in range(0, self.resamples, BLOCK):
            size = min(BLOCK, self.resamples - start)
            counts = random.multinomial(self.pictures, share, size=size) if self.pictures else np.zeros((size, 0))
            blocks.append(counts.astype(np.float64) @ per_picture)
        return np.concatenate(blocks)


def accuracy(confusion: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return right / all for each (..., classes, classes + 1)."""
    return _ratio(_right(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def selective_accuracy(confusion: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return right / answered."""
    return _ratio(_right(confusion).sum(axis=-1), confusion[..., :-1].sum(axis=(-2, -1)))


def macro_f1(confusion: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the mean of 2 TP / (2 TP + FP + FN) over the classes that occur in the truth of each matrix."""
    present = confusion.sum(axis=-1) > 0
    return _ratio(np.where(present, np.nan_to_num(class_f1(confusion)), 0).sum(axis=-1), present.sum(axis=-1))


def class_f1(confusion: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return F1 per class, nan for a class neither true nor answered."""
    return _ratio(2 * _right(confusion), confusion.sum(axis=-1) + confusion[..., :-1].sum(axis=-2))


def recall(confusion: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return right / true per class."""
    return _ratio(_right(confusion), confusion.sum(axis=-1))


def precision(confusion: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return right / answered per class."""
    return _ratio(_right(confusion), confusion[..., :-1].sum(axis=-2))


def _right(confusion: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.diagonal(confusion[..., :-1], axis1=-2, axis2=-1).astype(np.float64)


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> NDArray[np.float64]:
    top, bottom = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    ratio = np.full(bottom.shape, np.nan)
    np.divide(top, bottom, out=ratio, where=bottom > 0)
    return ratio


def _estimate(value: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.percentile(drawn, [LOW, HIGH]) if len(drawn) else (np.nan, np.nan)
    return Estimate(float(value[0]), float(low), float(high))

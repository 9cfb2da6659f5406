"""Accuracy, macro-F1 and the figures of each class, from confusion counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.evaluate.intervals import Draws, Estimate, Estimates, Floats, Statistic, ratio

OVERALL = ("accuracy", "selective_accuracy", "macro_f1")
BY_CLASS = ("recall", "precision", "f1")


@dataclass(frozen=True)
class Answers:
    """What one judge said of objects with truth: `truth`, `answer` (-1: none) and `picture`, (objects,) each."""

    truth: NDArray[np.int64]
    answer: NDArray[np.int64]
    picture: NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """How one judge did on the objects with truth. Unanswered objects count as wrong in `accuracy`."""

    n: int
    answered: int
    accuracy: Estimate
    selective_accuracy: Estimate
    macro_f1: Estimate
    recall: Estimates  # (classes,) each
    precision: Estimates
    f1: Estimates
    confusion: NDArray[np.int64]  # (classes, classes + 1): truth, answer; the last column is "no answer"


@dataclass(frozen=True)
class Difference:
    """How much better the first of two judges did on `n` objects that both were asked about."""

    n: int
    accuracy: Estimate
    macro_f1: Estimate


def score_all(judges: Sequence[Answers], classes: int, draws: Draws) -> list[Scores]:
    """Score several judges in one pass over the draws."""
    sums = [_confusions(said, classes, draws.pictures) for said in judges]
    found = draws.estimates(
        [Statistic(one, lambda cells: _figures(cells, classes), _support(one, classes)) for one in sums]
    )
    return [_scores(said, one, figures, classes) for said, one, figures in zip(judges, sums, found, strict=True)]


def compare_all(pairs: Sequence[tuple[Answers, Answers]], classes: int, draws: Draws) -> list[Difference]:
    """Compare pairs of judges, each on the same objects, in one pass over the draws."""
    cells = classes * (classes + 1)

    def difference(sums: Floats) -> Floats:
        first, second = (_figures(half, classes)[..., [0, 2]] for half in (sums[..., :cells], sums[..., cells:]))
        return first - second

    statistics = [
        Statistic(
            sparse.hstack([_confusions(said, classes, draws.pictures) for said in pair], format="csr"), difference
        )
        for pair in pairs
    ]
    found = draws.estimates(statistics)
    return [Difference(len(pair[0].truth), one[0], one[1]) for pair, one in zip(pairs, found, strict=True)]


def _confusions(said: Answers, classes: int, pictures: int) -> Any:
    """Return the confusion counts of each image, sparse (images, classes x (classes + 1))."""
    cell = said.truth * (classes + 1) + np.where(said.answer < 0, classes, said.answer)
    shape = (pictures, classes * (classes + 1))
    return sparse.csr_array((np.ones(len(cell)), (said.picture, cell)), shape=shape)


def _support(sums: Any, classes: int) -> NDArray[np.int64]:
    """Return how many images are behind each of `_figures`."""
    per_class = sums.tocoo()
    truth, answer = np.divmod(per_class.col, classes + 1)
    said = answer < classes
    true, answered = (
        np.unique(per_class.row[chosen] * classes + name[chosen]) % classes
        for name, chosen in ((truth, np.ones(len(said), dtype=np.bool_)), (answer, said))
    )
    everybody, anybody = len(np.unique(per_class.row)), len(np.unique(per_class.row[said]))
    by_truth, by_answer = (np.bincount(found, minlength=classes) for found in (true, answered))
    return np.concatenate([[everybody, anybody, everybody], by_truth, by_answer, by_truth]).astype(np.int64)


def _figures(cells: Floats, classes: int) -> Floats:
    """Return the figures of OVERALL, then those of BY_CLASS class by class, (..., 3 + 3 classes)."""
    confusion = cells.reshape(*cells.shape[:-1], classes, classes + 1)
    overall = np.stack([accuracy(confusion), selective_accuracy(confusion), macro_f1(confusion)], axis=-1)
    return np.concatenate([overall, recall(confusion), precision(confusion), class_f1(confusion)], axis=-1)


def _scores(said: Answers, sums: Any, found: Estimates, classes: int) -> Scores:
    start = len(OVERALL)
    parts = [found.part(start + index * classes, start + (index + 1) * classes) for index in range(len(BY_CLASS))]
    return Scores(
        n=len(said.truth),
        answered=int((said.answer >= 0).sum()),
        accuracy=found[0],
        selective_accuracy=found[1],
        macro_f1=found[2],
        recall=parts[0],
        precision=parts[1],
        f1=parts[2],
        confusion=np.asarray(sums.sum(axis=0)).astype(np.int64).reshape(classes, classes + 1),
    )


def accuracy(confusion: NDArray[Any]) -> Floats:
    """Return right / all for each (..., classes, classes + 1)."""
    return ratio(_right(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def selective_accuracy(confusion: NDArray[Any]) -> Floats:
    """Return right / answered."""
    return ratio(_right(confusion).sum(axis=-1), confusion[..., :-1].sum(axis=(-2, -1)))


def macro_f1(confusion: NDArray[Any]) -> Floats:
    """Return the mean of 2 TP / (2 TP + FP + FN) over the classes that occur in the truth of each matrix."""
    present = confusion.sum(axis=-1) > 0
    return ratio(np.where(present, np.nan_to_num(class_f1(confusion)), 0).sum(axis=-1), present.sum(axis=-1))


def class_f1(confusion: NDArray[Any]) -> Floats:
    """Return F1 per class, nan for a class neither true nor answered."""
    return ratio(2 * _right(confusion), confusion.sum(axis=-1) + confusion[..., :-1].sum(axis=-2))


def recall(confusion: NDArray[Any]) -> Floats:
    """Return right / true per class."""
    return ratio(_right(confusion), confusion.sum(axis=-1))


def precision(confusion: NDArray[Any]) -> Floats:
    """Return right / answered per class."""
    return ratio(_right(confusion), confusion[..., :-1].sum(axis=-2))


def _right(confusion: NDArray[Any]) -> Floats:
    return np.diagonal(confusion[..., :-1], axis1=-2, axis2=-1).astype(np.float64)

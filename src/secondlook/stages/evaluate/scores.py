"""Accuracy, macro-F1, balanced accuracy and the figures of each class, from confusion counts.

The two means are over the classes that occur in the truth of the whole data, in every resample too: a class that is
missing in a resample keeps its figure of the whole data there, or the mean would be over other classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.base.arrays import Floats64
from secondlook.stats.intervals import Draws, Estimate, Estimates, Statistic, ratio

OVERALL = ("accuracy", "selective_accuracy", "macro_f1", "balanced_accuracy")
BY_CLASS = ("recall", "precision", "f1")


@dataclass(frozen=True)
class TruthAndAnswers:
    """The answers of one method to objects with truth: `truth`, `answer` (-1: none) and `group`, (objects,) each."""

    truth: NDArray[np.int64]
    answer: NDArray[np.int64]
    group: NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """The scores of one method on the objects with truth. Unanswered objects count as wrong in `accuracy`."""

    n: int
    answered: int
    accuracy: Estimate
    selective_accuracy: Estimate
    macro_f1: Estimate
    balanced_accuracy: Estimate
    recall: Estimates  # (classes,) each
    precision: Estimates
    f1: Estimates
    confusion: NDArray[np.int64]  # (classes, classes + 1): truth, answer; the last column is "no answer"


@dataclass(frozen=True)
class Difference:
    """How much better the first of two methods did on `n` common objects."""

    n: int
    accuracy: Estimate
    macro_f1: Estimate


def score_all(methods: Sequence[TruthAndAnswers], classes: int, draws: Draws) -> list[Scores]:
    """Score several methods in one pass over the draws."""
    sums = [_confusions(answers, classes, draws.groups) for answers in methods]
    figures = draws.estimates([Statistic(one, _figures_of(one, classes), _support(one, classes)) for one in sums])
    return [_scores(*parts, classes) for parts in zip(methods, sums, figures, strict=True)]


def compare_all(
    pairs: Sequence[tuple[TruthAndAnswers, TruthAndAnswers]], classes: int, draws: Draws
) -> list[Difference]:
    """Compare pairs of methods, each on the same objects, in one pass over the draws."""
    differences = draws.estimates([_difference(pair, classes, draws.groups) for pair in pairs])
    return [Difference(len(pair[0].truth), one[0], one[1]) for pair, one in zip(pairs, differences, strict=True)]


def _difference(pair: tuple[TruthAndAnswers, TruthAndAnswers], classes: int, groups: int) -> Statistic:
    """Return accuracy and macro-F1 of the first method minus those of the second."""
    sums = [_confusions(answers, classes, groups) for answers in pair]
    first, second = (_figures_of(one, classes) for one in sums)

    def difference(cells: Floats64) -> Floats64:
        one, other = np.split(cells, 2, axis=-1)
        return (first(one) - second(other))[..., [0, 2]]

    return Statistic(sparse.hstack(sums, format="csr"), difference)


def _confusions(answers: TruthAndAnswers, classes: int, groups: int) -> Any:
    """Return the confusion counts of each group, sparse (groups, classes x (classes + 1))."""
    cell = answers.truth * (classes + 1) + np.where(answers.answer < 0, classes, answers.answer)
    shape = (groups, classes * (classes + 1))
    return sparse.csr_array((np.ones(len(cell)), (answers.group, cell)), shape=shape)


def _support(sums: Any, classes: int) -> NDArray[np.int64]:
    """Return how many groups are behind each of `_figures`."""
    per_class = sums.tocoo()
    truth, answer = np.divmod(per_class.col, classes + 1)
    given = answer < classes
    true, answered = (
        np.unique(per_class.row[chosen] * classes + name[chosen]) % classes
        for name, chosen in ((truth, np.ones(len(given), dtype=np.bool_)), (answer, given))
    )
    all_images, answered_images = len(np.unique(per_class.row)), len(np.unique(per_class.row[given]))
    by_truth, by_answer = (np.bincount(named, minlength=classes) for named in (true, answered))
    overall = [all_images, answered_images, all_images, all_images]
    return np.concatenate([overall, by_truth, by_answer, by_truth]).astype(np.int64)


def _figures_of(sums: Any, classes: int) -> Callable[[Floats64], Floats64]:
    """Return a function to compute the figures of OVERALL, then those of BY_CLASS class by class, (..., 4 + 3 classes).

    `sums` are the confusion counts of all groups; it takes those of any of them, (..., classes x (classes + 1)).
    """
    whole = _whole(sums, classes)

    def figures(cells: Floats64) -> Floats64:
        confusion = cells.reshape(*cells.shape[:-1], classes, classes + 1)
        means = [macro(figure, confusion, whole) for figure in (class_f1, recall)]
        overall = np.stack([accuracy(confusion), selective_accuracy(confusion), *means], axis=-1)
        return np.concatenate([overall, recall(confusion), precision(confusion), class_f1(confusion)], axis=-1)

    return figures


def _whole(sums: Any, classes: int) -> NDArray[np.int64]:
    """Return the confusion counts of all groups together, (classes, classes + 1)."""
    return np.asarray(sums.sum(axis=0)).astype(np.int64).reshape(classes, classes + 1)


def _scores(answers: TruthAndAnswers, sums: Any, figures: Estimates, classes: int) -> Scores:
    start = len(OVERALL)
    parts = [figures.part(start + index * classes, start + (index + 1) * classes) for index in range(len(BY_CLASS))]
    return Scores(
        n=len(answers.truth),
        answered=int((answers.answer >= 0).sum()),
        accuracy=figures[0],
        selective_accuracy=figures[1],
        macro_f1=figures[2],
        balanced_accuracy=figures[3],
        recall=parts[0],
        precision=parts[1],
        f1=parts[2],
        confusion=_whole(sums, classes),
    )


def accuracy(confusion: NDArray[Any]) -> Floats64:
    """Return right / all for each (..., classes, classes + 1)."""
    return ratio(_right(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def selective_accuracy(confusion: NDArray[Any]) -> Floats64:
    """Return right / answered."""
    return ratio(_right(confusion).sum(axis=-1), confusion[..., :-1].sum(axis=(-2, -1)))


def macro(figure: Callable[[NDArray[Any]], Floats64], confusion: NDArray[Any], whole: NDArray[Any]) -> Floats64:
    """Return the mean of a figure over the classes in the truth of `whole`, nan for a matrix without any object.

    If a matrix (..., classes, classes + 1) has no figure of a class, that of `whole` is used.
    """
    present = whole.sum(axis=-1) > 0
    values = figure(confusion)
    filled = np.where(np.isnan(values), figure(whole), values)[..., present]
    objects = confusion.sum(axis=(-2, -1))
    return ratio(np.where(objects > 0, filled.sum(axis=-1), 0), np.where(objects > 0, present.sum(), 0))


def class_f1(confusion: NDArray[Any]) -> Floats64:
    """Return F1 per class, 2 TP / (2 TP + FP + FN), nan for a class neither true nor answered."""
    return ratio(2 * _right(confusion), confusion.sum(axis=-1) + confusion[..., :-1].sum(axis=-2))


def recall(confusion: NDArray[Any]) -> Floats64:
    """Return right / true per class."""
    return ratio(_right(confusion), confusion.sum(axis=-1))


def precision(confusion: NDArray[Any]) -> Floats64:
    """Return right / answered per class."""
    return ratio(_right(confusion), confusion[..., :-1].sum(axis=-2))


def _right(confusion: NDArray[Any]) -> Floats64:
    return np.diagonal(confusion[..., :-1], axis1=-2, axis2=-1).astype(np.float64)

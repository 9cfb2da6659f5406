"""Accuracy, macro-F1, balanced accuracy and the figures of each class, from counts of right, given and true labels.

The two means are over the classes that occur in the truth of the whole data, in every resample too: a class that is
missing in a resample keeps its figure of the whole data there, or the mean would be over other classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.base.arrays import Floats64
from secondlook.stats.intervals import (
    SPARSE,
    Drawn,
    Draws,
    Estimate,
    Estimates,
    Later,
    Question,
    Statistic,
    cell_counts,
    estimates,
    ratio,
)

OVERALL = ("accuracy", "selective_accuracy", "macro_f1", "balanced_accuracy")
BY_CLASS = ("recall", "precision", "f1")


@dataclass(frozen=True)
class TruthAndAnswers:
    """The answers of one method to objects with truth: `truth`, `answer` (-1: none) and `group`, (objects,) each."""

    truth: NDArray[np.int64]
    answer: NDArray[np.signedinteger[Any]]
    group: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> "TruthAndAnswers":
        """Return those to some of the objects."""
        return TruthAndAnswers(self.truth[chosen], self.answer[chosen], self.group[chosen])

    @cached_property
    def objects(self) -> bytes:
        """A digest of the objects: equal ones are counted together."""
        return _digest(self.truth, self.group)

    @cached_property
    def answers(self) -> bytes:
        """A digest of the answers."""
        return _digest(self.answer.astype(np.int64))


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


@dataclass(frozen=True)
class Contest:
    """Several methods, and pairs of them on the same objects, among so many classes and groups."""

    methods: Sequence[TruthAndAnswers]
    pairs: Sequence[tuple[TruthAndAnswers, TruthAndAnswers]]
    classes: int
    groups: int


@dataclass(frozen=True)
class Panel:
    """The distinct answers to the same objects: a method that is compared with many others is counted once."""

    answers: dict[bytes, TruthAndAnswers]

    def statistic(self, contest: Contest) -> Statistic:
        """Return the figures of all answers, one after the other."""
        every, classes = list(self.answers.values()), contest.classes
        shape = contest.groups, (1 + 2 * len(every)) * classes
        parts = [partial(_truths, every[0], contest), *(partial(_hits, one, contest) for one in every)]
        whole = np.concatenate([part().whole for part in parts]).astype(np.float64)
        few = whole.sum() * SPARSE < shape[0] * shape[1]
        return Statistic(
            sparse.hstack([part().counts(contest.groups) for part in parts], format="csr")
            if few
            else Later(partial(_full, parts, shape), shape),
            _figures_of(whole, classes),
            np.concatenate([_support(one, classes) for one in every]),
        )


@dataclass(frozen=True)
class Part:
    """The `cell` of each object, of so many `cells`, and its group, (objects,) each."""

    group: NDArray[np.int64]
    cell: NDArray[np.signedinteger[Any]]
    cells: int

    @property
    def whole(self) -> NDArray[np.int64]:
        """How many objects are in each cell, (cells,)."""
        return np.bincount(self.cell, minlength=self.cells)

    def counts(self, groups: int) -> Any:
        """Return how many objects of each group are in each cell, (groups, cells)."""
        return cell_counts(self.group, self.cell, (groups, self.cells))


def _full(parts: Sequence[Callable[[], Part]], shape: tuple[int, int]) -> NDArray[Any]:
    """Return the counts of several parts beside each other, in the fewest bytes; the first part has all objects."""
    most = int(np.bincount(parts[0]().group, minlength=1).max())
    counts, start = np.empty(shape[::-1], dtype=np.min_scalar_type(most)).T, 0  # groups of a cell beside each other
    for make in parts:
        part = make()
        own = part.counts(shape[0])
        counts[:, start : start + part.cells] = own.toarray() if sparse.issparse(own) else own
        start += part.cells
    return counts


def contest(asked: Contest) -> Question[tuple[list[Scores], list[Difference]]]:
    """Ask for the scores of all methods and the differences of all pairs."""
    panels: dict[bytes, Panel] = {}
    for answers in [*asked.methods, *(one for pair in asked.pairs for one in pair)]:
        panels.setdefault(answers.objects, Panel({})).answers.setdefault(answers.answers, answers)

    def finish(found: Sequence[Drawn]) -> tuple[list[Scores], list[Difference]]:
        of = dict(zip(panels, found, strict=True))

        def drawn_of(answers: TruthAndAnswers) -> Drawn:
            place = list(panels[answers.objects].answers).index(answers.answers)
            return _part(of[answers.objects], place, len(OVERALL) + len(BY_CLASS) * asked.classes)

        scores = [_scores(one, drawn_of(one), asked.classes) for one in asked.methods]
        return scores, [_difference(len(one.truth), drawn_of(one), drawn_of(other)) for one, other in asked.pairs]

    return Question([panel.statistic(asked) for panel in panels.values()], finish)


def score_all(methods: Sequence[TruthAndAnswers], classes: int, draws: Draws) -> list[Scores]:
    """Score several methods in one pass over the draws."""
    return contest(Contest(methods, (), classes, draws.groups)).on(draws)[0]


def compare_all(
    pairs: Sequence[tuple[TruthAndAnswers, TruthAndAnswers]], classes: int, draws: Draws
) -> list[Difference]:
    """Compare pairs of methods, each on the same objects, in one pass over the draws."""
    return contest(Contest((), pairs, classes, draws.groups)).on(draws)[1]


def _digest(*arrays: NDArray[np.signedinteger[Any]]) -> bytes:
    digest = blake2b(digest_size=16)
    for array in arrays:
        digest.update(array.tobytes())
    return digest.digest()


def _part(drawn: Drawn, place: int, size: int) -> Drawn:
    own = slice(place * size, (place + 1) * size)
    return Drawn(drawn.value[own], drawn.drawn[:, own], None if drawn.support is None else drawn.support[own])


def _difference(n: int, one: Drawn, other: Drawn) -> Difference:
    """Return accuracy and macro-F1 of the first method minus those of the second."""
    value, drawn = one.value - other.value, one.drawn - other.drawn
    accuracy, _, macro_f1 = (estimates(value[[place]], drawn[:, [place]])[0] for place in range(3))
    return Difference(n, accuracy, macro_f1)


def _truths(answers: TruthAndAnswers, contest: Contest) -> Part:
    """Return the class of each object."""
    return Part(answers.group, answers.truth, contest.classes)


def _hits(answers: TruthAndAnswers, contest: Contest) -> Part:
    """Return the class of each right answer, then, in other cells, of each wrong one."""
    said = answers.answer >= 0
    cell = answers.answer + contest.classes * (answers.answer != answers.truth)
    return Part(answers.group[said], cell[said], 2 * contest.classes)


def _support(answers: TruthAndAnswers, classes: int) -> NDArray[np.int64]:
    """Return how many groups are behind each of `_figures`."""
    said = answers.answer >= 0
    (of_all, by_truth), (of_said, by_answer) = (
        _groups_of(group, label, classes)
        for group, label in ((answers.group, answers.truth), (answers.group[said], answers.answer[said]))
    )
    overall = of_all, of_said
    overall_figures = [overall[0], overall[1], overall[0], overall[0]]
    return np.concatenate([overall_figures, by_truth, by_answer, by_truth]).astype(np.int64)


def _groups_of(
    group: NDArray[np.int64], label: NDArray[np.signedinteger[Any]], classes: int
) -> tuple[int, NDArray[np.int64]]:
    """Return how many groups there are, and in how many each class occurs, (classes,)."""
    groups = int(group.max(initial=-1)) + 1
    has = np.zeros(groups * classes, dtype=np.bool_)
    has[group * classes + label] = True
    cells = has.reshape(groups, classes)
    return int(cells.any(axis=1).sum()), cells.sum(axis=0)


@dataclass(frozen=True)
class Counts:
    """How many labels of each class are right, given and true, (..., classes) each."""

    right: Floats64
    given: Floats64
    true: Floats64


def _figures_of(whole: Floats64, classes: int) -> Callable[[Floats64], Floats64]:
    """Return a function to compute, answers by answers, the figures of OVERALL, then those of BY_CLASS class by class.

    `whole` are the counts of all groups: true labels, then right and wrong ones of each method, (cells,); it takes
    those of any of them, (..., cells), and returns (..., methods x (4 + 3 classes)).
    """
    every = _counts_of(whole, classes)

    def figures(cells: Floats64) -> Floats64:
        counted = _counts_of(cells, classes)
        return np.concatenate([_figures(one, of_all) for one, of_all in zip(counted, every, strict=True)], axis=-1)

    return figures


def _counts_of(cells: Floats64, classes: int) -> list[Counts]:
    true, methods = cells[..., :classes], (cells.shape[-1] // max(1, classes) - 1) // 2
    found = []
    for method in range(methods):
        start = (1 + 2 * method) * classes
        right, wrong = cells[..., start : start + classes], cells[..., start + classes : start + 2 * classes]
        found.append(Counts(right, right + wrong, true))
    return found


def _figures(counts: Counts, whole: Counts) -> Floats64:
    overall = [accuracy(counts), selective_accuracy(counts), *(macro(one, counts, whole) for one in (class_f1, recall))]
    by_class = [recall(counts), precision(counts), class_f1(counts)]
    return np.concatenate([np.stack(overall, axis=-1), *by_class], axis=-1)


def _scores(answers: TruthAndAnswers, found: Drawn, classes: int) -> Scores:
    figures, start = found.estimates(), len(OVERALL)
    parts = [figures.part(start + index * classes, start + (index + 1) * classes) for index in range(len(BY_CLASS))]
    cell = answers.truth * (classes + 1) + np.where(answers.answer < 0, classes, answers.answer)
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
        confusion=np.bincount(cell, minlength=classes * (classes + 1)).reshape(classes, classes + 1),
    )


def accuracy(counts: Counts) -> Floats64:
    """Return right / all."""
    return ratio(counts.right.sum(axis=-1), counts.true.sum(axis=-1))


def selective_accuracy(counts: Counts) -> Floats64:
    """Return right / answered."""
    return ratio(counts.right.sum(axis=-1), counts.given.sum(axis=-1))


def macro(figure: Callable[[Counts], Floats64], counts: Counts, whole: Counts) -> Floats64:
    """Return the mean of a figure over the classes in the truth of `whole`, nan for counts without any object.

    If counts (..., classes) have no figure of a class, that of `whole` is used.
    """
    present = whole.true > 0
    values = figure(counts)
    filled = np.where(np.isnan(values), figure(whole), values)[..., present]
    objects = counts.true.sum(axis=-1)
    return ratio(np.where(objects > 0, filled.sum(axis=-1), 0), np.where(objects > 0, present.sum(), 0))


def class_f1(counts: Counts) -> Floats64:
    """Return F1 per class, 2 TP / (2 TP + FP + FN), nan for a class neither true nor answered."""
    return ratio(2 * counts.right, counts.true + counts.given)


def recall(counts: Counts) -> Floats64:
    """Return right / true per class."""
    return ratio(counts.right, counts.true)


def precision(counts: Counts) -> Floats64:
    """Return right / answered per class."""
    return ratio(counts.right, counts.given)

"""How calibrated probabilities are, as given and after one temperature.

Expected calibration error and temperature scaling: C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of
Modern Neural Networks", ICML 2017, with their 15 bins of equal width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from secondlook.base.arrays import Floats64
from secondlook.stages.evaluate.objects import Objects
from secondlook.stats.crossfit import FOLDS, LEAST_P, folds
from secondlook.stats.intervals import Drawn, Estimates, Question, Statistic, cell_counts, ratio

EDGES = np.linspace(0, 1, 16)
POSTERIOR_EDGES = np.array([0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0])  # finer where labels are accepted
COLDEST, HOTTEST = np.log(0.05), np.log(1000)  # bounds of log T
FEWEST = 20  # objects that a temperature is fitted on
ROWS = 16_384  # rescaled at once
ENOUGH = 5000  # a single parameter needs no more


@dataclass(frozen=True)
class Bins:
    """Non-empty bins of confidence: their edges, n, mean confidence and share right, (bins,) each."""

    low: Floats64
    high: Floats64
    n: NDArray[np.int64]
    confidence: Floats64
    right: Estimates

    def error(self) -> float:
        """Return the expected calibration error: the mean over objects of |share right - mean confidence|."""
        if not self.n.sum():
            return float("nan")
        return float((self.n * np.abs(self.right.value - self.confidence)).sum() / self.n.sum())


@dataclass(frozen=True)
class Temperatures:
    """The temperature that was fitted on all objects, and `crossed`, (objects,), on those of the other folds."""

    of_all: float
    crossed: Floats64


@dataclass(frozen=True)
class Voiced:
    """The answers of one labeler with log-probabilities `log_p`, (answers, classes): which objects, which classes."""

    object_index: NDArray[np.int32]
    class_index: NDArray[np.int32]
    log_p: NDArray[np.float32]

    @property
    def own_log_p(self) -> NDArray[np.float32]:
        """The log-probability of each answer, (answers,)."""
        return self.log_p[np.arange(len(self.log_p)), self.class_index]

    def own_at(self, temperature: Floats64) -> Floats64:
        """Return what it is at the temperature of each answer, (answers,)."""
        own = np.empty(len(temperature))
        for start in range(0, len(own), ROWS):
            part = slice(start, start + ROWS)
            own[part] = _own_log_softmax(floored(self.log_p[part]).T / temperature[part], self.class_index[part])
        return own

    def of(self, rows: NDArray[np.int64]) -> "Voiced":
        """Return some of the answers."""
        return Voiced(self.object_index[rows], self.class_index[rows], self.log_p[rows])

    @classmethod
    def joined(cls, parts: Sequence["Voiced"]) -> "Voiced":
        """Return the answers of several parts, of one at least."""
        names = ("object_index", "class_index", "log_p")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True)
class Calibration:
    """The probabilities of one labeler on the objects with truth, as given and at cross-fitted temperatures."""

    before: Bins
    after: Bins | None
    temperature: float


@dataclass(frozen=True)
class Confident:
    """How confident an answer was and whether it is `right`, (objects,), in which of so many `groups`."""

    confidence: Floats64
    right: NDArray[np.bool_]
    group: NDArray[np.int64]
    groups: int


def bins(answers: Confident, edges: Floats64) -> Question[Bins]:
    """Ask for the share of right answers in each bin by confidence."""
    confidence, group = answers.confidence, answers.group
    # records hold float32: 0.9 must not fall below the edge 0.9
    position = np.digitize(confidence.astype(np.float32), edges[1:-1].astype(np.float32))
    n = np.bincount(position, minlength=len(edges) - 1)
    held = np.flatnonzero(n)
    place = np.searchsorted(held, position)
    sums = cell_counts(group, place + len(held) * ~answers.right, (answers.groups, 2 * len(held)))
    behind = np.zeros((answers.groups, len(held)), dtype=np.bool_)
    behind[group, place] = True
    mean = np.bincount(position, confidence, minlength=len(edges) - 1)[held] / n[held]

    def finish(found: Sequence[Drawn]) -> Bins:
        return Bins(edges[held], edges[held + 1], n[held], mean, found[0].estimates())

    return Question([Statistic(sums, _right_share, behind.sum(axis=0))], finish)


def _right_share(cells: Floats64) -> Floats64:
    """Return right / (right + wrong) of each bin, from (..., right and then wrong ones by bin)."""
    right, wrong = np.split(cells, 2, axis=-1)
    return ratio(right, right + wrong)


def calibration_of(voiced: Voiced, objects: Objects, seed: int) -> Question[Calibration] | None:
    """Ask how calibrated the probabilities of a labeler are; None where it gives none on objects with truth."""
    with_truth = objects.with_truth
    place = np.full(len(objects.truth), -1)
    place[with_truth.rows] = with_truth.group
    voiced = voiced.of(np.flatnonzero(place[voiced.object_index] >= 0))
    if not len(voiced.log_p):
        return None
    truth, group = objects.truth[voiced.object_index], place[voiced.object_index]

    def binned(log_p: NDArray[np.floating]) -> Question[Bins]:
        confidence = np.exp(log_p, dtype=np.float64)
        return bins(Confident(confidence, voiced.class_index == truth, group, with_truth.groups), EDGES)

    fitted = cross_fitted(voiced.log_p, truth, group, seed)
    asked = [binned(voiced.own_log_p)]
    if fitted is not None:
        asked.append(binned(voiced.own_at(fitted.crossed)))
    temperature = np.nan if fitted is None else fitted.of_all

    def finish(found: Sequence[Drawn]) -> Calibration:
        before, *after = (question.finish([drawn]) for question, drawn in zip(asked, found, strict=True))
        return Calibration(before, after[0] if after else None, temperature)

    return Question([one for question in asked for one in question.statistics], finish)


def cross_fitted(
    log_p: NDArray[np.floating], truth: NDArray[np.int64], group: NDArray[np.int64], seed: int
) -> Temperatures | None:
    """Return T of log softmax(log_p / T), fitted on the objects of other groups; None if there are too few.

    `log_p` is (objects, classes), `truth` and `group` (objects,). T minimises -sum log softmax(log_p / T)[truth].
    """
    apart = folds(group, seed)
    if len(truth) < FEWEST or len(apart) < FOLDS:
        return None
    crossed = np.empty(len(truth))
    for fold in apart:
        others = np.flatnonzero(~fold)[:ENOUGH]
        crossed[fold] = fit_temperature(floored(log_p[others]), truth[others])
    return Temperatures(fit_temperature(floored(log_p[:ENOUGH]), truth), crossed)


def floored(log_p: NDArray[np.floating]) -> Floats64:
    """Return log-probabilities of which none says never."""
    return np.asarray(np.maximum(log_p, np.log(LEAST_P)), dtype=np.float64)


def fit_temperature(log_p: Floats64, truth: NDArray[np.int64]) -> float:
    """Return the temperature with the least log-loss on (at most ENOUGH of) the objects."""
    log_p, truth = log_p[:ENOUGH], truth[:ENOUGH]
    by_class = np.ascontiguousarray(log_p.T)

    def loss(log_temperature: float) -> float:
        return -float(_own_log_softmax(by_class * np.exp(-log_temperature), truth).mean())

    fitted = minimize_scalar(loss, bounds=(COLDEST, HOTTEST), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(fitted.x))


def _own_log_softmax(scores: Floats64, label: NDArray[np.signedinteger[Any]]) -> Floats64:
    """Return the log-softmax of a label of each object, (objects,), from `scores` (classes, objects)."""
    scores = scores - scores.max(axis=0)
    own = scores[label, np.arange(len(label))]
    return np.asarray(own - np.log(np.exp(scores, out=scores).sum(axis=0)))

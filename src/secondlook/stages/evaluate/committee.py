"""Statistics of the committee: coverage, conflicts, correlated errors, and the effective number of labelers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.stages.evaluate.answers import Labels
from secondlook.stages.evaluate.objects import Objects, Sample
from secondlook.stats.intervals import (
    Drawn,
    Estimate,
    Estimates,
    Later,
    Question,
    Statistic,
    counts_by_group,
    estimates,
    marked_shares,
    ratio,
    share_of_pairs,
    support_of_pairs,
)


@dataclass(frozen=True)
class Attendance:
    """Coverage and conflict, (labelers,) each.

    `conflict` is the share of the `compared` answers (another labeler answered too) that are neither the plurality of
    the others on the same object nor tied with it.
    """

    answered: NDArray[np.int64]
    compared: NDArray[np.int64]
    conflict: Estimates


@dataclass(frozen=True)
class Pairs:
    """Every two labelers, (pairs,) each: positions, common answers, the share that is equal, correlation of errors.

    `with_truth` counts the common answers to objects with truth; `correlation` is over those, `errors` its draws.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    n: NDArray[np.int64]
    agreement: Estimates
    with_truth: NDArray[np.int64]
    correlation: Estimates
    errors: Drawn

    def matrix(self, labelers: int) -> Floats64:
        """Return the correlations, (labelers, labelers), with ones on the diagonal."""
        return _square(self.correlation.value, self.first, self.second, labelers)


def attendance(labels: Labels, classes: int, everything: Sample) -> Question[Attendance]:
    """Ask for answers and conflicts; `labels` is (labelers, objects), -1 for no answer."""
    counts = _counts(labels, classes)
    marks = np.zeros((2 * len(labels), labels.shape[1]), dtype=np.bool_)
    for labeler, answer in enumerate(labels):
        rows = np.flatnonzero(answer >= 0)
        others = counts[rows]
        others[np.arange(len(rows)), answer[rows]] -= 1
        most = others.max(axis=1, initial=0)
        marks[labeler, rows] = others[np.arange(len(rows)), answer[rows]] < most
        marks[len(labels) + labeler, rows] = most > 0
    answered, compared = (labels >= 0).sum(axis=1), marks[len(labels) :].sum(axis=1)
    statistic = marked_shares(marks, everything.group, everything.groups)
    return Question([statistic], lambda found: Attendance(answered, compared, found[0].estimates()))


def pairs(labels: Labels, objects: Objects) -> Question[Pairs]:
    """Ask for a comparison of every two labelers; `labels` is (labelers, objects)."""
    with_truth = objects.with_truth
    first, second = (part.astype(np.int64) for part in np.triu_indices(len(labels), k=1))
    count = len(labels) - 1
    known, truth = labels[:, with_truth.rows], objects.truth[with_truth.rows]
    agreement = [_agreements(labels, one, objects.everything) for one in range(count)]
    errors = [_errors(known, truth, one, with_truth) for one in range(count)]
    n, n_with_truth = _common(labels >= 0, first, second), _common(known >= 0, first, second)

    def finish(found: Sequence[Drawn]) -> Pairs:
        equal = _joined([one.estimates() for one in found[: len(agreement)]])
        wrong = found[len(agreement) :]
        drawn = np.hstack([one.drawn for one in wrong]) if wrong else np.zeros((1, 0))
        value = np.concatenate([np.zeros(0), *(one.value for one in wrong)])
        return Pairs(first, second, n, equal, n_with_truth, estimates(value, drawn), Drawn(value, drawn))

    return Question([*agreement, *errors], finish)


def _agreements(labels: Labels, one: int, everything: Sample) -> Statistic:
    """Return the statistic of the equal answers of a labeler and each later one."""

    def make() -> NDArray[Any]:
        others = labels[one + 1 :]
        both = (labels[one] >= 0) & (others >= 0)
        return counts_by_group(np.vstack([both & (labels[one] == others), both]), everything.group, everything.groups)

    shape = (everything.groups, 2 * (len(labels) - 1 - one))
    return Statistic(Later(make, shape), share_of_pairs, support_of_pairs)


def _errors(known: Labels, truth: NDArray[np.int64], one: int, with_truth: Sample) -> Statistic:
    """Return the statistic of the correlations of the errors of a labeler and each later one."""

    def make() -> NDArray[Any]:
        heard, wrong = known[one:] >= 0, known[one:] != truth
        both = heard[0] & heard[1:]
        mine, theirs = both & wrong[0], both & wrong[1:]
        marks = np.vstack([both, mine, theirs, mine & theirs])
        return counts_by_group(marks, with_truth.group, with_truth.groups)

    return Statistic(Later(make, (with_truth.groups, 4 * (len(known) - 1 - one))), _correlation)


def _common(heard: NDArray[np.bool_], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many objects both of two labelers answered, (pairs,)."""
    counts = [np.count_nonzero(heard[one] & heard[other]) for one, other in zip(first, second, strict=True)]
    return np.array(counts, dtype=np.int64)


def effective_number(
    labels: Labels, objects: Objects, members: NDArray[np.int64], every_pair: Pairs
) -> tuple[int, Estimate]:
    """Return how many members answered objects with truth, K, and how many independent ones they equal.

    K_eff = K^2 / sum over all pairs, a labeler with itself included, of the correlation of their errors: K standardised
    errors have a mean with variance sum / K^2, K_eff independent ones have 1 / K_eff (L. Kish, "Survey Sampling",
    1965, section 5.4). Unknown correlations (no common object, or one of two never errs) count as 0, and K_eff is at
    most K.
    """
    with_truth = objects.with_truth
    heard = members[(labels[members][:, with_truth.rows] >= 0).any(axis=1)]
    count = len(heard)
    if not count:
        return 0, Estimate(np.nan, np.nan, np.nan)
    inside = np.isin(every_pair.first, heard) & np.isin(every_pair.second, heard)

    def contribution(correlation: Floats64) -> Floats64:
        together = count + 2 * np.nan_to_num(correlation).sum(axis=-1, keepdims=True)
        return np.asarray(count**2 / np.maximum(count, together))

    errors = every_pair.errors
    drawn = errors.drawn[:, inside] if inside.any() else np.zeros((1, 0))
    return count, estimates(contribution(errors.value[inside]), contribution(drawn))[0]


def own_accuracy(labels: Labels, objects: Objects) -> Question[tuple[NDArray[np.int64], Estimates]]:
    """Ask how many objects with truth each labeler answered, and for the share it got right, (labelers,) each."""
    with_truth = objects.with_truth
    known = labels[:, with_truth.rows]
    marks = np.vstack([known == objects.truth[with_truth.rows], known >= 0])
    n = marks[len(labels) :].sum(axis=1)
    statistic = marked_shares(marks, with_truth.group, with_truth.groups)
    return Question([statistic], lambda found: (n, found[0].estimates()))


def means_by_kinship(every_pair: Pairs, families: tuple[str, ...]) -> tuple[Floats64, Floats64]:
    """Return the mean correlation of errors of each labeler with its family and with others, (labelers,) each."""
    matrix = every_pair.matrix(len(families))
    kin = np.array(families)[:, None] == np.array(families)[None]
    defined = ~np.isnan(matrix) & ~np.eye(len(families), dtype=np.bool_)
    filled = np.nan_to_num(matrix)
    inside, across = defined & kin, defined & ~kin
    return (
        ratio((filled * inside).sum(axis=1), inside.sum(axis=1)),
        ratio((filled * across).sum(axis=1), across.sum(axis=1)),
    )


def _correlation(sums: Floats64) -> Floats64:
    """Return Pearson's correlation of two 0/1 variables from (..., n, sum a, sum b, sum ab), nan if one is constant."""
    n, mine, theirs, joint = np.split(sums, 4, axis=-1)
    spread = (n * mine - mine**2) * (n * theirs - theirs**2)
    return np.where(spread > 0, ratio(n * joint - mine * theirs, np.sqrt(np.maximum(spread, 0))), np.nan)


def _counts(labels: Labels, classes: int) -> NDArray[np.int16]:
    """Return how many labelers gave each answer, (objects, classes)."""
    counts = np.zeros((labels.shape[1], classes), dtype=np.int16)
    for answer in labels:
        rows = np.flatnonzero(answer >= 0)
        counts[rows, answer[rows]] += 1
    return counts


def _square(values: Floats64, first: NDArray[np.int64], second: NDArray[np.int64], size: int) -> Floats64:
    matrix = np.eye(size)
    matrix[first, second] = matrix[second, first] = values
    return matrix


def _joined(parts: list[Estimates]) -> Estimates:
    none = np.zeros(0)
    names = ("value", "low", "high")
    return Estimates(*(np.concatenate([none, *(getattr(part, name) for part in parts)]) for name in names))

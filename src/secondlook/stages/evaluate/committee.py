"""Statistics of the committee: coverage, conflicts, correlated errors, and the effective number of labelers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.stages.evaluate.calibration import EDGES, Bins, Rescaled, bins, cross_fitted
from secondlook.stages.evaluate.methods import Objects, Sample, answers
from secondlook.stages.evaluate.remerge import Remerge
from secondlook.stats.intervals import Draws, Estimate, Estimates, Statistic, by_group, estimates, ratio, shares, total


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

    `with_truth` counts the common answers to objects with truth; `correlation` is over those.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    n: NDArray[np.int64]
    agreement: Estimates
    with_truth: NDArray[np.int64]
    correlation: Estimates

    def matrix(self, labelers: int) -> Floats64:
        """Return the correlations, (labelers, labelers), with ones on the diagonal."""
        return _square(self.correlation.value, self.first, self.second, labelers)


@dataclass(frozen=True)
class Calibration:
    """The probabilities of one labeler on the objects with truth, as given and at cross-fitted temperatures."""

    before: Bins
    after: Bins | None
    temperature: float


def attendance(labels: NDArray[np.int64], classes: int, everything: Sample, draws: Draws) -> Attendance:
    """Count answers and conflicts; `labels` is (labelers, objects), -1 for no answer."""
    counts = _counts(labels, classes)
    columns = np.zeros((labels.shape[1], 2 * len(labels)))
    for labeler, answer in enumerate(labels):
        rows = np.flatnonzero(answer >= 0)
        others = counts[rows]
        others[np.arange(len(rows)), answer[rows]] -= 1
        most = others.max(axis=1, initial=0)
        columns[rows, labeler] = others[np.arange(len(rows)), answer[rows]] < most
        columns[rows, len(labels) + labeler] = most > 0
    statistic = shares(columns, everything.group, everything.groups)
    compared = columns[:, len(labels) :].sum(axis=0).astype(np.int64)
    return Attendance((labels >= 0).sum(axis=1), compared, draws.estimates([statistic])[0])


def pairs(labels: NDArray[np.int64], objects: Objects, everywhere: Draws, where_true: Draws) -> Pairs:
    """Compare every two labelers; `labels` is (labelers, objects)."""
    first, second = (part.astype(np.int64) for part in np.triu_indices(len(labels), k=1))
    everything = objects.everything
    n, agreement = _empty(first), [_nothing()]
    for one in range(len(labels) - 1):
        others = labels[one + 1 :].T
        both = (labels[one][:, None] >= 0) & (others >= 0)
        same = both & (labels[one][:, None] == others)
        n[first == one] = both.sum(axis=0)
        columns = np.hstack([same, both]).astype(np.float64)
        agreement += everywhere.estimates([shares(columns, everything.group, everything.groups)])
    with_truth, drawn, value = _error_pairs(labels, objects, where_true)
    return Pairs(first, second, n, _joined(agreement), with_truth, estimates(value, drawn))


def effective_number(
    labels: NDArray[np.int64], objects: Objects, members: NDArray[np.int64], draws: Draws
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
    _, drawn, value = _error_pairs(labels[heard], objects, draws)

    def contribution(correlation: Floats64) -> Floats64:
        together = count + 2 * np.nan_to_num(correlation).sum(axis=-1, keepdims=True)
        return np.asarray(count**2 / np.maximum(count, together))

    return count, estimates(contribution(value), contribution(drawn))[0]


def calibration_of(committee: Remerge, labeler: int, objects: Objects, draws: Draws) -> Calibration | None:
    """Return how calibrated the probabilities of a labeler are; None if it gives none on objects with truth."""
    votes, with_truth = committee.votes, objects.with_truth
    place = np.full(votes.objects, -1)
    place[with_truth.rows] = with_truth.group
    rows = np.flatnonzero((votes.labeler_index == labeler) & votes.has_p() & (place[votes.object_index] >= 0))
    if votes.log_p is None or not len(rows):
        return None
    truth, group = objects.truth[votes.object_index[rows]], place[votes.object_index[rows]]
    answer, log_p = votes.class_index[rows], votes.log_p[rows].astype(np.float64)

    def binned(log_p: Floats64) -> Bins:
        return bins(np.exp(log_p[np.arange(len(rows)), answer]), answer == truth, group, EDGES, draws)

    rescaled: Rescaled | None = cross_fitted(log_p, truth, group, draws.seed)
    after = None if rescaled is None else binned(rescaled.log_p)
    return Calibration(binned(log_p), after, np.nan if rescaled is None else rescaled.temperature)


def mean_confidence(committee: Remerge) -> Floats64:
    """Return the mean probability that each labeler gave its own answers, (labelers,); nan if it gives none."""
    votes = committee.votes
    voiced = np.flatnonzero(votes.has_p())
    voter = votes.labeler_index[voiced]
    p = np.zeros(0) if votes.log_p is None else np.exp(votes.log_p[voiced, votes.class_index[voiced]], dtype=np.float64)
    return ratio(np.bincount(voter, p, len(votes.labelers)), np.bincount(voter, minlength=len(votes.labelers)))


def own_accuracy(committee: Remerge, objects: Objects, draws: Draws) -> tuple[NDArray[np.int64], Estimates]:
    """Return how many objects with truth each labeler answered, and the share it got right, (labelers,) each."""
    with_truth = objects.with_truth
    labels = answers(committee)[:, with_truth.rows].T
    columns = np.hstack([labels == objects.truth[with_truth.rows, None], labels >= 0]).astype(np.float64)
    share = draws.estimates([shares(columns, with_truth.group, with_truth.groups)])[0]
    return (labels >= 0).sum(axis=0), share


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


def _error_pairs(
    labels: NDArray[np.int64], objects: Objects, draws: Draws
) -> tuple[NDArray[np.int64], Floats64, Floats64]:
    """Return for every two labelers the common n, the drawn correlations (resamples, pairs) and those of the data."""
    with_truth = objects.with_truth
    heard = (labels[:, with_truth.rows] >= 0).T
    wrong = heard & (objects.truth[with_truth.rows, None] != labels[:, with_truth.rows].T)
    n, drawn, value = [np.zeros(0)], [np.zeros((draws.resamples, 0))], [np.zeros(0)]
    for one in range(len(labels) - 1):
        both = heard[:, one, None] & heard[:, one + 1 :]
        mine, theirs = both & wrong[:, one, None], both & wrong[:, one + 1 :]
        columns = np.hstack([both, mine, theirs, mine & theirs]).astype(np.float64)
        statistic = Statistic(by_group(columns, with_truth.group, with_truth.groups), _correlation)
        n.append(both.sum(axis=0))
        drawn += draws.drawn([statistic])
        value.append(total(statistic))
    return np.concatenate(n).astype(np.int64), np.hstack(drawn), np.concatenate(value)


def _correlation(sums: Floats64) -> Floats64:
    """Return Pearson's correlation of two 0/1 variables from (..., n, sum a, sum b, sum ab), nan if one is constant."""
    n, mine, theirs, joint = np.split(sums, 4, axis=-1)
    spread = (n * mine - mine**2) * (n * theirs - theirs**2)
    return np.where(spread > 0, ratio(n * joint - mine * theirs, np.sqrt(np.maximum(spread, 0))), np.nan)


def _counts(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    objects = labels.shape[1]
    labeler, row = np.nonzero(labels >= 0)
    flat = row * classes + labels[labeler, row]
    return np.bincount(flat, minlength=objects * classes).reshape(objects, classes)


def _square(values: Floats64, first: NDArray[np.int64], second: NDArray[np.int64], size: int) -> Floats64:
    matrix = np.eye(size)
    matrix[first, second] = matrix[second, first] = values
    return matrix


def _empty(like: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.zeros(len(like), dtype=np.int64)


def _nothing() -> Estimates:
    return Estimates(np.zeros(0), np.zeros(0), np.zeros(0))


def _joined(parts: list[Estimates]) -> Estimates:
    return Estimates(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("value", "low", "high")))

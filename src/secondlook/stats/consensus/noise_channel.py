"""Noise channel: given labels and labels of people are reviews of every object, and teach how much each labeler counts.

A log-linear pool of the labelers (C. Genest and J. V. Zidek, "Combining Probability Distributions: A Critique and an
Annotated Bibliography", Statistical Science 1, 1986) predicts the class; a matrix says how given labels differ from
it, as in V. Mnih and G. E. Hinton, "Learning to Label Aerial Images from Noisy Data", ICML 2012. With E_ik(c) the
evidence of labeler k on object i, among K labelers and C classes,

    s_i(c) = softmax_c(b_c + sum_k w_k E_ik(c))
    p_i(c) = (1 - LOST) s_i(c) + LOST / C               the committee, without the given label g_i
    M[c, g] = P(given = g | class = c)                  the channel; the identity where a person said the class
    maximise sum_i log sum_c p_i(c) M[c, g_i] - RIDGE sum_k (w_k - 1 / sqrt(K))^2 - RIDGE / 2 sum_c b_c^2, w_k > 0
    r_i(c) proportional to p_i(c) M[c, g_i]             the posterior

Weights and channel are fitted in turns. The likelihood alone cannot tell wrong labels from a committee that is surely
wrong. Two things decide: the share of right given labels is anchored by the objects of which the committee is surest,
and on any object the committee may be lost. All constants were chosen on the sets of docs/consensus.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from secondlook.stats.agreement import kappa
from secondlook.stats.bounds import upper
from secondlook.stats.consensus.evidence import by_labeler, pooled
from secondlook.stats.consensus.votes import Posterior, Votes
from secondlook.stats.crossfit import Folds

LOST = 0.005  # chance that no labeler has recognised anything: bounds how far the committee outweighs a given label
RIDGE = 20.0
PULL = 0.5  # ridge on the log of the scale of a labeler
COLDEST = (1e-3, 50.0)  # bounds of that scale
LEAST_KAPPA = 0.2
SOUND = 8.0  # a labeler that needs less than this factor stays as it is
SURELY = 2.0  # it also does without any other labeler, if the factor is this far from the bounds with all of them
ROUNDS = 2
TOLERANCE = 1e-6  # relative, of the loss: a tighter one moves no posterior by more than 0.001 on average
ANCHORS = 1 / 3  # share of the objects that serve as anchors
GUESS, GUESS_STRENGTH = 0.8, 4.0  # share of right given labels before any anchor, and the anchors that it is worth
DIAGONAL = (0.5, 0.98)  # bounds of that share: given labels are right more often than not
DIAGONAL_STRENGTH = 200.0  # objects of a class that the anchored share is worth
OTHERS_STRENGTH = 30.0  # wrong labels of a class that their even spread over the other classes is worth
CELLS = 2_000_000  # evidence that a fit reads, objects x labelers x classes: more changes no weight that matters


@dataclass(frozen=True)
class Known:
    """What is known of each object, (objects,): the class that a person said and the given label, -1 where none.

    `group` numbers the objects that belong together. `chosen` marks the objects that are here only because people
    chose to look at them: they teach weights, and nothing of how given labels err; None where there are none.
    """

    said: NDArray[np.int64]
    given: NDArray[np.int64]
    group: NDArray[np.int64]
    chosen: NDArray[np.bool_] | None = None

    def of(self, rows: NDArray[np.int64] | slice) -> "Known":
        """Return what is known of some objects."""
        chosen = None if self.chosen is None else self.chosen[rows]
        return Known(self.said[rows], self.given[rows], self.group[rows], chosen)

    @property
    def drawn(self) -> NDArray[np.int64] | slice:
        """Positions of the objects that nobody chose; all of them as a slice."""
        return slice(None) if self.chosen is None else np.flatnonzero(~self.chosen)

    @property
    def informs(self) -> NDArray[np.bool_]:
        """Tell which objects teach anything, (objects,)."""
        return (self.said >= 0) | (self.given >= 0)


@dataclass(frozen=True)
class Evidence:
    """Votes, what their answers say about each class, `rows` (answers, classes), and what is known of the objects."""

    votes: Votes
    rows: NDArray[np.float32]
    known: Known


@dataclass(frozen=True)
class NoiseChannel:
    """A fit: `weight` (labelers,), `bias` (classes,) and `channel` (class, given).

    `proven` is the part of the wrong given labels assumed that the anchors prove with 95 % confidence, 0 to 1.
    `groups` is the number of groups that it learned from. `sound` tells which labelers stay as they are, (labelers,),
    also where another one is left out.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    channel: NDArray[np.float64]
    proven: float
    groups: int
    sound: NDArray[np.bool_]


@dataclass(frozen=True)
class CrossFit:
    """The posterior (objects, classes), each row by a fit that saw nothing of its group, and the fits.

    `proven` and `groups` are those of the fit of each object, (objects,).
    """

    posterior: Posterior
    proven: NDArray[np.float64]
    groups: NDArray[np.int64]
    fits: tuple[NoiseChannel, ...]

    @property
    def weight(self) -> NDArray[np.float64]:
        """The mean weight of each labeler, (labelers,)."""
        return np.asarray(np.mean([fit.weight for fit in self.fits], axis=0))


def cross_fit(evidence: Evidence, fits: tuple[NoiseChannel, ...], fold_of: NDArray[np.int64]) -> CrossFit:
    """Apply to each object the fit of its fold, `fold_of` (objects,)."""
    posterior = _applied(evidence.votes, evidence.rows, evidence.known, fits, fold_of)
    proven, groups = (
        np.array(values)[fold_of] for values in zip(*((fit.proven, fit.groups) for fit in fits), strict=True)
    )
    return CrossFit(posterior, proven, groups, fits)


def fit_folds(
    evidence: Evidence, folds: Folds, seed: int = 0, sound: NDArray[np.bool_] | None = None
) -> tuple[NoiseChannel, ...]:
    """Return the fit for each fold of whole groups, which saw nothing of it.

    `sound` is that of fits to the same objects by these labelers and others, (folds, labelers).
    """
    votes, known = evidence.votes, evidence.known
    sample = _sample(votes, known, seed)
    fold_of = folds.of(known.group)
    heard = np.unique(votes.labeler_index)
    attendance = None if votes.attendance is None else votes.attendance[heard]
    x, taught = by_labeler(votes, evidence.rows, sample)[:, heard], known.of(sample)
    fits = []
    for number in range(len(folds)):
        others = np.flatnonzero(fold_of[sample] != number)
        known_sound = None if sound is None else sound[number, heard]
        fit = fit_channel(x[others], taught.of(others), known_sound, attendance)
        weight, as_is = np.zeros(len(votes.labelers)), np.zeros(len(votes.labelers), dtype=np.bool_)
        weight[heard], as_is[heard] = fit.weight, fit.sound
        fits.append(replace(fit, weight=weight, sound=as_is))
    return tuple(fits)


def fit_channel(
    x: NDArray[np.float64],
    known: Known,
    sound: NDArray[np.bool_] | None = None,
    attendance: NDArray[np.float64] | None = None,
) -> NoiseChannel:
    """Fit to the evidence `x` (objects, labelers, classes) of objects of which something is known.

    `sound` tells which labelers are known to stay as they are, (labelers,). `attendance` is the share of the objects
    that each was asked about, (labelers,); None where all were asked about all.
    """
    if not known.informs.all():
        informs = np.flatnonzero(known.informs)
        x, known = x[informs], known.of(informs)
    groups = len(np.unique(known.group))
    labelers, classes = x.shape[1:]
    start = _start(labelers if attendance is None else attendance.sum())
    fit = np.concatenate([np.full(labelers, np.log(np.expm1(start))), np.zeros(classes)])
    drawn, always = known.drawn, _always(labelers, attendance)
    right, proven = _anchored(_equally(x[drawn][:, always]), known.of(drawn))
    scale, sound = _scale(x, known, right, np.zeros(labelers, dtype=np.bool_) if sound is None else sound)
    if (scale != 1).any():
        x = x * scale[:, None]
        right, proven = _anchored(_equally(x[drawn][:, always]), known.of(drawn))
    flat = _flat(x)
    log_p = _log_p(fit, flat, classes)
    channel = _channel(np.zeros((classes, classes)), right)
    for step in range(ROUNDS + 1):
        likelihood = _likelihood(known, channel)
        if step:
            by_class = np.ascontiguousarray(likelihood.T)
            terms = flat, by_class, LOST / classes * by_class.sum(axis=0), start
            fit = minimize(_loss, fit, terms, jac=True, method="L-BFGS-B", options={"ftol": TOLERANCE}).x
            log_p = _log_p(fit, flat, classes)
        posterior = _times(np.exp(log_p), likelihood)
        channel = _channel(_counts(posterior[drawn], known.given[drawn]), right)
    return NoiseChannel(scale * np.logaddexp(0, fit[:labelers]), fit[labelers:], channel, proven, groups, sound)


def _flat(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the evidence (objects, labelers, classes) as (classes x objects, labelers)."""
    objects, labelers, classes = x.shape
    return np.ascontiguousarray(x.transpose(2, 0, 1)).reshape(classes * objects, labelers)


def _scale(
    x: NDArray[np.float64], known: Known, right: float, sound: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a factor for the evidence of each labeler, (labelers,): its inverse temperature when it speaks alone.

    It is 1 between the bounds of SOUND. Of the other labelers it depends on `right` only, so those that are far from
    the bounds (the second array) stay there without any of them; those in `sound` were.

    It is near 0 for a labeler at chance, however sure it is, and large for one whose probabilities are right but vague:
    one that agrees with what is known by less than LEAST_KAPPA (J. Cohen, 1960) is not made surer.
    """
    classes = x.shape[2]
    label = np.where(known.said >= 0, known.said, known.given)
    likelihood = _likelihood(known, _channel(np.zeros((classes, classes)), right))
    scale = np.ones(x.shape[1])
    for labeler in np.flatnonzero(~sound):
        spoke = np.flatnonzero(x[:, labeler].any(axis=1))
        if len(spoke):
            most = 1.0 if kappa(x[spoke, labeler].argmax(axis=1), label[spoke], classes) < LEAST_KAPPA else np.inf
            scale[labeler] = min(most, _coldness(x[spoke, labeler], likelihood[spoke]))
    far = (scale >= SURELY / SOUND) & (scale <= SOUND / SURELY)
    return np.asarray(scale / np.clip(scale, 1 / SOUND, SOUND)), far


def _coldness(x: NDArray[np.float64], likelihood: NDArray[np.float64]) -> float:
    x = np.ascontiguousarray((x - x.max(axis=1, keepdims=True)).T)  # (classes, objects): sums over classes are fast
    likelihood = np.ascontiguousarray(likelihood.T)
    lost = LOST * likelihood.mean(axis=0)

    def loss(log_scale: float) -> float:
        p = np.exp(np.exp(log_scale) * x)
        found = (1 - LOST) * np.einsum("co,co->o", p, likelihood) / p.sum(axis=0) + lost
        return float(PULL * log_scale**2 - np.log(found).sum())

    best = minimize_scalar(loss, bounds=(np.log(COLDEST[0]), np.log(COLDEST[1])), method="bounded")
    return float(np.exp(best.x))


def _applied(
    votes: Votes, rows: NDArray[np.float32], known: Known, fits: Sequence[NoiseChannel], fold_of: NDArray[np.int64]
) -> Posterior:
    weight = np.stack([fit.weight for fit in fits])[fold_of[votes.object_index], votes.labeler_index]
    scores = pooled(votes, rows, weight) + np.stack([fit.bias for fit in fits])[fold_of]
    likelihood = np.ones_like(scores)
    has = known.given >= 0
    likelihood[has] = np.stack([fit.channel.T for fit in fits])[fold_of[has], known.given[has]]
    return _times(np.exp(log_softmax(scores, axis=1)), likelihood)


def _start(labelers: float) -> float:
    """Return the weight of each labeler before anything is learned: copies of one labeler count as sqrt(K).

    K is the mean number of labelers that an object was shown to.
    """
    return float(1 / np.sqrt(max(1, labelers)))


def _always(labelers: int, attendance: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Tell who counts for the anchors, (labelers,): those that were asked about everything, where two of them were.

    Elsewhere sureness would also tell which objects were doubtful enough for the others to be asked.
    """
    everyone = np.ones(labelers, dtype=np.bool_)
    if attendance is None or (always := attendance == 1).sum() < 2:
        return everyone
    return np.asarray(always)


def _equally(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log p of the equally weighted committee, (objects, classes), from (objects, labelers, classes)."""
    labelers, classes = x.shape[1:]
    fit = np.concatenate([np.full(labelers, np.log(np.expm1(_start(labelers)))), np.zeros(classes)])
    return _log_p(fit, _flat(x), classes)


def _anchored(log_p: NDArray[np.float64], known: Known) -> tuple[float, float]:
    """Return the share of right given labels, and how much of the rest is proven.

    Anchors are the objects with a label of a person, and the surest of the others by the equally weighted committee
    `log_p`. Their share depends on how the committee orders the objects, not on how sure it is.
    """
    classes = log_p.shape[1]
    sure = log_p.max(axis=1, initial=-np.inf)
    asked = (known.said < 0) & (known.given >= 0)
    anchor = asked & (sure >= np.quantile(sure[asked], 1 - ANCHORS)) if asked.any() else asked
    said = np.where(anchor, log_p.argmax(axis=1), known.said)
    rows = np.flatnonzero((said >= 0) & (known.given >= 0))
    if not len(rows):
        return GUESS, 1.0
    hits = int((said[rows] == known.given[rows]).sum())
    right = (hits + GUESS * GUESS_STRENGTH) / (len(rows) + GUESS_STRENGTH)
    right = min(max(right, DIAGONAL[0], 1 / max(1, classes) + 0.05), DIAGONAL[1])
    least = 1 - upper(len(rows), hits / len(rows), 0.05)
    return right, min(1.0, least / (1 - right))


def _channel(counts: NDArray[np.float64], right: float) -> NDArray[np.float64]:
    """Return the channel (class, given) from counts of objects by class and given label, and the anchored share."""
    classes = len(counts)
    own = np.diag(counts)
    diagonal = (own + DIAGONAL_STRENGTH * right) / (counts.sum(axis=1) + DIAGONAL_STRENGTH)
    others = counts + OTHERS_STRENGTH * (1 - right) / max(1, classes - 1)
    np.fill_diagonal(others, 0.0)
    others /= np.maximum(others.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return np.asarray(np.diag(diagonal) + others * (1 - diagonal)[:, None])


def _counts(posterior: Posterior, given: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of posteriors by given label, (class, given)."""
    classes = posterior.shape[1]
    return np.stack([posterior[given == one].sum(axis=0) for one in range(classes)], axis=1).reshape(classes, classes)


def _likelihood(known: Known, channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how likely what is known of each object is in each class, (objects, classes)."""
    given = np.where(known.given[:, None] >= 0, channel.T[known.given], 1.0)
    return np.where(known.said[:, None] >= 0, np.eye(len(channel))[known.said], given)


def _times(softmax: NDArray[np.float64], likelihood: NDArray[np.float64]) -> Posterior:
    """Return the posterior (objects, classes) of a committee that may be lost; `softmax` is overwritten."""
    softmax *= 1 - LOST
    softmax += LOST / max(1, softmax.shape[1])
    softmax *= likelihood
    softmax /= softmax.sum(axis=1, keepdims=True)
    return softmax


def _log_p(fit: NDArray[np.float64], flat: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    return np.asarray(log_softmax(_scores(fit, flat, classes), axis=0).T)


def _scores(fit: NDArray[np.float64], flat: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """Return the weighted evidence and the biases, (classes, objects)."""
    labelers = flat.shape[1]
    scores = (flat @ np.logaddexp(0, fit[:labelers])).reshape(classes, -1)
    scores += fit[labelers:, None]
    return np.asarray(scores)


def _loss(
    fit: NDArray[np.float64],
    flat: NDArray[np.float64],
    likelihood: NDArray[np.float64],
    lost: NDArray[np.float64],
    start: float,
) -> tuple[float, NDArray[np.float64]]:
    """Return the negative penalised log-likelihood and its gradient by the inverse softplus of weights, and biases.

    `likelihood` is (classes, objects), so that sums over classes go along whole rows, and `lost` that of a committee
    that recognised nothing, (objects,). Weights are pulled to `start`.
    """
    labelers, classes = flat.shape[1], len(likelihood)
    pull = _scores(fit, flat, classes)
    pull -= pull.max(axis=0)
    np.exp(pull, out=pull)
    pull /= pull.sum(axis=0)
    found = (1 - LOST) * pull
    found *= likelihood
    recognised = found.sum(axis=0)
    total = recognised + lost
    pull *= recognised
    pull -= found
    pull /= total
    away, bias = np.logaddexp(0, fit[:labelers]) - start, fit[labelers:]
    loss = RIDGE * away @ away + RIDGE / 2 * bias @ bias - np.log(total).sum()
    by_weight = (flat.T @ pull.ravel() + 2 * RIDGE * away) * expit(fit[:labelers])
    return float(loss), np.concatenate([by_weight, pull.sum(axis=1) + RIDGE * bias])


def _sample(votes: Votes, known: Known, seed: int) -> NDArray[np.int64]:
    """Return the objects to fit on: those with a label of a person, and others at random as far as CELLS allow."""
    most = max(1, CELLS // max(1, len(votes.labelers) * votes.classes))
    said, others = np.flatnonzero(known.said >= 0), np.flatnonzero((known.said < 0) & (known.given >= 0))
    room = max(0, most - len(said))
    if len(others) > room:
        others = np.random.default_rng([seed, len(others)]).choice(others, room, replace=False)
    return np.sort(np.concatenate([said, others]))

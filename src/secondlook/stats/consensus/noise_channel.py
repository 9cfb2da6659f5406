"""Noise channel: given labels and labels of people are reviews of every object, and teach how much each labeler counts.

A log-linear pool of the labelers (C. Genest and J. V. Zidek, "Combining Probability Distributions: A Critique and an
Annotated Bibliography", Statistical Science 1, 1986) predicts the class; a matrix says how given labels differ from
it, as in V. Mnih and G. E. Hinton, "Learning to Label Aerial Images from Noisy Data", ICML 2012. With E_ik(c) the
evidence of labeler k on object i,

    p_i(c) = softmax_c(b_c + sum_k w_k E_ik(c))          the committee, without the given label g_i
    M[c, g] = P(given = g | class = c)                   the channel; the identity where a person said the class
    maximise sum_i log sum_c p_i(c) M[c, g_i] - RIDGE_WEIGHT sum_k (w_k - 1 / sqrt(K))^2 - RIDGE_BIAS / 2 sum_c b_c^2, w_k > 0
    r_i(c) proportional to p_i(c) M[c, g_i]              the posterior

Weights and channel are fitted in turns. Where the committee is nearly certain of everything, its certainty and the
share of right given labels cannot be told apart by the likelihood alone: the channel is anchored by objects of which
all labelers say the same (measured in docs/consensus.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from secondlook.stats.consensus.evidence import by_labeler, pooled
from secondlook.stats.consensus.votes import Posterior, Votes, normalised
from secondlook.stats.crossfit import folds

RIDGE_WEIGHT, RIDGE_BIAS = 20.0, 20.0
STRENGTH = 10.0  # objects that the prior of each row of the channel is worth
ROUNDS = 2
ANCHORS = 1 / 3
DIAGONAL = 0.98  # the largest share of right given labels that anchors may claim
GUESS, GUESS_STRENGTH = 0.8, 4.0  # that share without anchors, and the anchors that it is worth
CELLS = 4_000_000  # evidence that a fit reads, objects x labelers x classes: more changes no weight that matters


@dataclass(frozen=True)
class Supervision:
    """What is known of each object: the class that a person said, its given label, -1 where none, and its group."""

    said: NDArray[np.int64]
    given: NDArray[np.int64]
    group: NDArray[np.int64]

    def of(self, rows: NDArray[np.int64]) -> "Supervision":
        """Return what is known of some objects."""
        return Supervision(self.said[rows], self.given[rows], self.group[rows])

    @property
    def informs(self) -> NDArray[np.bool_]:
        """Tell which objects teach anything, (objects,)."""
        return (self.said >= 0) | (self.given >= 0)


@dataclass(frozen=True)
class NoiseChannel:
    """A fit: `weight` (labelers,), `bias` (classes,) and `channel` (class, given)."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    channel: NDArray[np.float64]


@dataclass(frozen=True)
class CrossFit:
    """The posterior (objects, classes), each row by a fit that saw nothing of its group, and the fits."""

    posterior: Posterior
    fits: tuple[NoiseChannel, ...]

    @property
    def weight(self) -> NDArray[np.float64]:
        """The mean weight of each labeler, (labelers,)."""
        return np.asarray(np.mean([fit.weight for fit in self.fits], axis=0))

    @property
    def channel(self) -> NDArray[np.float64]:
        """The mean channel, (class, given)."""
        return np.asarray(np.mean([fit.channel for fit in self.fits], axis=0))


def noise_channel(votes: Votes, rows: NDArray[np.float32], known: Supervision, *, seed: int = 0) -> CrossFit:
    """Fit and apply in folds of whole groups; `rows` is the evidence of the answers, (answers, classes).

    A labeler abstains on objects whose given class it does not know.
    """
    sample = _sample(votes, known, seed)
    x, taught = by_labeler(votes, rows, sample), known.of(sample)
    fold_of = np.zeros(votes.objects, dtype=np.int64)
    for number, fold in enumerate(folds(known.group, seed)):
        fold_of[fold] = number
    fits = []
    for number in range(int(fold_of.max(initial=0)) + 1):
        others = fold_of[sample] != number
        fits.append(fit_channel(x[others], taught.of(np.flatnonzero(others))))
    weight = np.stack([fit.weight for fit in fits])[fold_of[votes.object_index], votes.labeler_index]
    log_p = pooled(votes, rows, weight) + np.stack([fit.bias for fit in fits])[fold_of]
    channel = np.log(np.stack([fit.channel for fit in fits]))
    has = known.given >= 0
    log_p[has] += channel[fold_of[has], :, known.given[has]]
    return CrossFit(normalised(log_p), tuple(fits))


def fit_channel(x: NDArray[np.float64], known: Supervision) -> NoiseChannel:
    """Fit to the evidence `x` (objects, labelers, classes) of objects of which something is known."""
    informs = np.flatnonzero(known.informs)
    x, known = x[informs], known.of(informs)
    labelers, classes = x.shape[1:]
    flat = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(-1, labelers)
    fit = np.concatenate([np.full(labelers, _inverse_softplus(_start(labelers))), np.zeros(classes)])
    prior = STRENGTH * _prior(_log_p(fit, flat, classes), known)
    channel = prior / STRENGTH
    for step in range(ROUNDS + 1):
        log_likelihood = np.log(_likelihood(known, channel) + np.finfo(float).tiny)
        if step:
            fit = minimize(_loss, fit, (flat, log_likelihood), jac=True, method="L-BFGS-B").x
        posterior = normalised(_log_p(fit, flat, classes) + log_likelihood)
        channel = _rows_of(prior + _counts(posterior, known.given))
    return NoiseChannel(np.logaddexp(0, fit[:labelers]), fit[labelers:], channel)


def _start(labelers: int) -> float:
    """Return the weight of each labeler before anything is learned: copies of one labeler count as sqrt(K)."""
    return float(1 / np.sqrt(max(1, labelers)))


def _inverse_softplus(weight: float) -> float:
    return float(np.log(np.expm1(weight)))


def _prior(log_p: NDArray[np.float64], known: Supervision) -> NDArray[np.float64]:
    """Return the channel before anything is learned, (class, given), from the equally weighted committee `log_p`.

    Its diagonal is the share of right given labels among the anchors: the objects with a label of a person, and the
    surest ANCHORS of the others. That share depends on how the committee orders the objects, not on how sure it is.
    """
    classes = log_p.shape[1]
    sure = log_p.max(axis=1, initial=-np.inf)
    open_ = (known.said < 0) & (known.given >= 0)
    anchor = open_ & (sure >= np.quantile(sure[open_], 1 - ANCHORS)) if open_.any() else open_
    said = np.where(anchor, log_p.argmax(axis=1), known.said)
    rows = np.flatnonzero((said >= 0) & (known.given >= 0))
    hits = int((said[rows] == known.given[rows]).sum())
    diagonal = (hits + GUESS * GUESS_STRENGTH) / (len(rows) + GUESS_STRENGTH)
    diagonal = min(max(diagonal, 1 / max(1, classes) + 0.05), DIAGONAL)
    prior = np.full((classes, classes), (1 - diagonal) / max(1, classes - 1))
    np.fill_diagonal(prior, diagonal)
    return prior


def _counts(posterior: Posterior, given: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of posteriors by given label, (class, given)."""
    return np.stack([posterior[given == one].sum(axis=0) for one in range(posterior.shape[1])], axis=1)


def _rows_of(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _likelihood(known: Supervision, channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how likely what is known of each object is in each class, (objects, classes)."""
    classes = len(channel)
    given = np.where(known.given[:, None] >= 0, channel.T[known.given], 1.0)
    return np.where(known.said[:, None] >= 0, np.eye(classes)[known.said], given)


def _log_p(fit: NDArray[np.float64], flat: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    labelers = flat.shape[1]
    scores = (flat @ np.logaddexp(0, fit[:labelers])).reshape(-1, classes) + fit[labelers:]
    return np.asarray(log_softmax(scores, axis=1))


def _loss(
    fit: NDArray[np.float64], flat: NDArray[np.float64], log_likelihood: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the negative penalised log-likelihood and its gradient; the first term's by the scores is p - r."""
    labelers, classes = flat.shape[1], log_likelihood.shape[1]
    log_p = _log_p(fit, flat, classes)
    joint = log_p + log_likelihood
    top = joint.max(axis=1, keepdims=True)
    total = top + np.log(np.exp(joint - top).sum(axis=1, keepdims=True))
    pull = np.exp(log_p) - np.exp(joint - total)
    away, bias = np.logaddexp(0, fit[:labelers]) - _start(labelers), fit[labelers:]
    loss = -total.sum() + RIDGE_WEIGHT * away @ away + RIDGE_BIAS / 2 * bias @ bias
    by_weight = (flat.T @ pull.ravel() + 2 * RIDGE_WEIGHT * away) * expit(fit[:labelers])
    return float(loss), np.concatenate([by_weight, pull.sum(axis=0) + RIDGE_BIAS * bias])


def _sample(votes: Votes, known: Supervision, seed: int) -> NDArray[np.int64]:
    """Return the objects to fit on: those with a label of a person, and others at random as far as CELLS allow."""
    most = max(1, CELLS // max(1, len(votes.labelers) * votes.classes))
    said, others = np.flatnonzero(known.said >= 0), np.flatnonzero((known.said < 0) & (known.given >= 0))
    room = max(0, most - len(said))
    if len(others) > room:
        others = np.random.default_rng(seed).choice(others, room, replace=False)
    return np.sort(np.concatenate([said, others]))

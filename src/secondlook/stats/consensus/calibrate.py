"""Posteriors of methods that learn from agreement alone are too sure: reviews, or else families, say by how much."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from secondlook.stats.consensus.noise_channel import Known
from secondlook.stats.consensus.votes import Posterior, Reviewed, Votes, normalised
from secondlook.stats.crossfit import Folds

LEAST_EXPONENT = 1e-3
PULL = 0.5  # ridge on the log of the exponent


def by_reviews(posterior: Posterior, reviewed: Reviewed, seed: int) -> Posterior:
    """Return the posterior to the power of one exponent of at most 1, fitted to the labels of people.

    The exponent of an object is fitted without the reviews of its group, in folds.
    """
    folds = Folds.drawn(reviewed.group, seed)
    return powered(posterior, exponents(posterior, reviewed, folds)[folds.of(reviewed.group)])


def exponents(posterior: Posterior, reviewed: Reviewed, folds: Folds) -> NDArray[np.float64]:
    """Return the exponent for the objects of each fold, (folds,), fitted to the reviews of the others."""
    rows = reviewed.known
    log_p, label, fold_of = _log(posterior[rows]), reviewed.label[rows], folds.of(reviewed.group[rows])
    found = [_exponent(log_p[fold_of != number], label[fold_of != number]) for number in range(len(folds))]
    return np.array(found)


def powered(posterior: Posterior, exponent: NDArray[np.float64]) -> Posterior:
    """Return the posterior to the power of the exponent of each object, (objects,)."""
    return normalised(_log(posterior) * exponent[:, None])


def _log(posterior: Posterior) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(posterior, np.finfo(float).tiny)))


def by_groups(
    posterior: Posterior,
    groups: NDArray[np.int64],
    known: Known,
    *,
    times: NDArray[np.float64] | float = 1.0,
    contradicted: int | None = None,
) -> Posterior:
    """Return the posterior of a fit to G groups, `groups` (objects,), mixed with the uniform distribution.

    That gets `times` / (G + 2), at most all; `times` is (objects,) or a number. By the rule of succession 1 / (G + 2)
    is the chance of what never happened in G groups, and 3 / (G + 2) is about its upper 95 % bound (the rule of three;
    J. A. Hanley and A. Lippman-Hand, JAMA 249, 1983). Where the committee contradicts the given label the uniform
    distribution gets no less than 1 / (2 D + 2), with D groups in which it does so (the rule of Jeffreys): whether it
    is right there cannot be learned from where it agrees. `contradicted` is D where the fit read other objects.
    """
    against = _against(posterior, known)
    contradicted = contradictions(posterior, known) if contradicted is None else contradicted
    unseen = np.minimum(times / (groups + 2), 1.0)
    unseen = np.where(against, np.maximum(unseen, 1 / (2 * contradicted + 2)), unseen)[:, None]
    return np.asarray((1 - unseen) * posterior + unseen / max(1, posterior.shape[1]))


def contradictions(posterior: Posterior, known: Known) -> int:
    """Return the number of groups in which the committee contradicts a given label that no person looked at."""
    return len(np.unique(known.group[_against(posterior, known)]))


def _against(posterior: Posterior, known: Known) -> NDArray[np.bool_]:
    return np.asarray((known.given >= 0) & (known.said < 0) & (posterior.argmax(axis=1) != known.given))


def by_agreement(votes: Votes, posterior: Posterior) -> Posterior:
    """Return the posterior, mixed with the uniform distribution where it is surer than the agreement of families.

    When n independent families answer and a of them agree with the label, the chance that one more would agree is
    (a + 1) / (n + 2), the rule of succession; nothing is believed beyond it. A family agrees by the share of its
    answers. Labels stay the same.
    """
    classes = posterior.shape[1]
    if classes < 2:
        return posterior
    rows, label = np.arange(len(posterior)), posterior.argmax(axis=1)
    family, families = votes.family_index(), len(set(votes.families))
    cell = votes.object_index * families + family[votes.labeler_index]
    answers = np.bincount(cell, minlength=len(posterior) * families)
    agreeing = np.bincount(cell, label[votes.object_index] == votes.class_index, minlength=len(answers))
    share = (agreeing / np.maximum(answers, 1)).reshape(len(posterior), families)
    heard = (answers > 0).reshape(share.shape).sum(axis=1)
    most = np.maximum((share.sum(axis=1) + 1) / (heard + 2), 1 / classes)
    sure = posterior[rows, label]
    mixed = np.clip((sure - most) / np.maximum(sure - 1 / classes, np.finfo(float).tiny), 0, 1 - 1e-6)
    return np.asarray((1 - mixed[:, None]) * posterior + mixed[:, None] / classes)


def _exponent(log_p: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    def loss(log_exponent: float) -> float:
        right = log_softmax(np.exp(log_exponent) * log_p, axis=1)[np.arange(len(label)), label]
        return float(PULL * log_exponent**2 - right.sum())

    best = minimize_scalar(loss, bounds=(np.log(LEAST_EXPONENT), 0.0), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))

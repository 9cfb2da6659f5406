"""Dawid-Skene: each labeler's confusion matrix and each object's class, estimated from each other.

A. P. Dawid and A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm",
Applied Statistics 28 (1979). Labelers that err independently given the class are its assumption; relatives break
it, so their log-likelihoods are multiplied by an exponent below one (measured in docs/log.md).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.consensus.majority import majority
from secondlook.consensus.votes import Posterior, Votes

TOLERANCE = 1e-5
ITERATIONS = 100
RIGHT_ONCE = 1.0  # pseudo-count: each labeler was right once about each class, or few votes may rename the classes


@dataclass(frozen=True)
class DawidSkene:
    """A fit: `posterior` (objects, classes), `prior` (classes,), `confusion` (labelers, truth, answer)."""

    posterior: Posterior
    prior: NDArray[np.float64]
    confusion: NDArray[np.float64]


def dawid_skene(votes: Votes, *, smoothing: float = 0.01, family_exponent: float = 0.5) -> DawidSkene:
    """Fit by EM from the majority shares until no posterior moves by more than TOLERANCE.

    M-step: prior_c = mean of p_ic; confusion_kca proportional to smoothing + RIGHT_ONCE [c = a] + sum of p_ic over
    the objects that labeler k answered with a. E-step: log p_ic = log prior_c + sum over answers of
    e_k log confusion_kca + const, with e_k = (members of the family of k that answered anything) **
    -family_exponent. An object without answers gets the prior.
    """
    indicator = _indicator(votes)
    exponent = _family_exponents(votes, family_exponent)
    tempered = indicator @ sparse.diags_array(np.repeat(exponent, votes.classes))
    posterior = majority(votes)
    answered = votes.per_object() > 0
    for _ in range(ITERATIONS):
        prior, confusion = _m_step(indicator, posterior, answered, votes, smoothing)
        updated = _e_step(tempered, prior, confusion)
        moved = float(np.abs(updated - posterior).max(initial=0.0))
        posterior = updated
        if moved < TOLERANCE:
            break
    prior, confusion = _m_step(indicator, posterior, answered, votes, smoothing)
    return DawidSkene(posterior, prior, confusion)


def _indicator(votes: Votes) -> sparse.csr_array:
    column = votes.labeler_index * votes.classes + votes.class_index
    shape = (votes.objects, len(votes.labelers) * votes.classes)
    return sparse.csr_array((np.ones(len(column)), (votes.object_index, column)), shape=shape)


def _family_exponents(votes: Votes, exponent: float) -> NDArray[np.float64]:
    heard = Counter(votes.families[labeler] for labeler in np.unique(votes.labeler_index))
    return np.array([max(1, heard[family]) ** -exponent for family in votes.families], dtype=np.float64)


def _m_step(
    indicator: sparse.csr_array, posterior: Posterior, answered: NDArray[np.bool_], votes: Votes, smoothing: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    prior = posterior[answered].sum(axis=0) + smoothing + np.finfo(float).tiny
    weight = (indicator.T @ posterior).reshape(len(votes.labelers), votes.classes, votes.classes)
    pseudo = smoothing + np.finfo(float).tiny + RIGHT_ONCE * np.eye(votes.classes)
    weight = weight.transpose(0, 2, 1) + pseudo  # (labelers, truth, answer)
    return prior / prior.sum(), weight / weight.sum(axis=2, keepdims=True)


def _e_step(tempered: sparse.csr_array, prior: NDArray[np.float64], confusion: NDArray[np.float64]) -> Posterior:
    log_confusion = np.log(confusion).transpose(0, 2, 1)  # (labelers, answer, truth)
    log_p = np.log(prior) + tempered @ log_confusion.reshape(tempered.shape[1], len(prior))
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(p / p.sum(axis=1, keepdims=True))

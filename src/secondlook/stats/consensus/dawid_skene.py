"""Dawid-Skene: each labeler's confusion matrix and each object's class, estimated from each other.

A. P. Dawid and A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm",
Applied Statistics 28 (1979). Labelers that err independently given the class are its assumption; relatives break
it, so their log-likelihoods are multiplied by an exponent below one (measured in docs/consensus.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.stats.consensus.families import exponents
from secondlook.stats.consensus.majority import majority
from secondlook.stats.consensus.votes import Posterior, Votes, normalised

TOLERANCE = 1e-5
ITERATIONS = 100


@dataclass(frozen=True)
class DawidSkene:
    """A fit: `posterior` (objects, classes), `prior` (classes,), `confusion` (labelers, truth, answer).

    `log_prior` and `by_answer` (labelers x answers, classes) are those of the E-step that made the posterior.
    """

    posterior: Posterior
    prior: NDArray[np.float64]
    confusion: NDArray[np.float64]
    log_prior: NDArray[np.float64]
    by_answer: NDArray[np.float64]

    def of(self, votes: Votes) -> Posterior:
        """Return the posterior of any objects that the same labelers answered, (objects, classes)."""
        return normalised(self.log_prior + _indicator(votes) @ self.by_answer)


def dawid_skene(
    votes: Votes,
    *,
    smoothing: float = 0.01,
    family_exponent: float = 0.5,
    right_once: float = 1.0,
    tolerance: float = TOLERANCE,
) -> DawidSkene:
    """Fit by EM from the majority shares until no posterior moves by more than `tolerance`.

    M-step: prior_c = mean of p_ic; confusion_kca proportional to smoothing + right_once [c = a] + sum of p_ic over
    the objects that labeler k answered with a. E-step: log p_ic = log prior_c + sum over answers of
    e_k log confusion_kca + const, with e_k = (members of the family of k that answered anything) **
    -family_exponent. An object without answers gets the prior.

    `right_once` is the pseudo-count of having been right about each class; without it few votes may rename the
    classes. Answers are an indicator matrix (objects, labelers x answers), so both steps are sparse products.
    """
    indicator = _indicator(votes)
    weight = exponents(votes, family_exponent)
    answered = votes.per_object() > 0
    counts = smoothing + np.finfo(float).tiny + right_once * np.eye(votes.classes)
    pseudo = np.broadcast_to(counts, (len(votes.labelers), *counts.shape))  # nobody answered: there is no class
    posterior = majority(votes)
    for _ in range(ITERATIONS):
        prior, confusion = _m_step(indicator, posterior, answered, pseudo)
        log_prior, by_answer = np.log(prior), _by_answer(weight[:, None, None] * np.log(confusion))
        updated = normalised(log_prior + indicator @ by_answer)
        moved = float(np.abs(updated - posterior).max(initial=0.0))
        posterior = updated
        if moved < tolerance:
            break
    return DawidSkene(posterior, *_m_step(indicator, posterior, answered, pseudo), log_prior, by_answer)


def _indicator(votes: Votes) -> sparse.csr_array:
    column = votes.labeler_index * votes.classes + votes.class_index
    shape = (votes.objects, len(votes.labelers) * votes.classes)
    return sparse.csr_array((np.ones(len(column)), (votes.object_index, column)), shape=shape)


def _m_step(
    indicator: sparse.csr_array, posterior: Posterior, answered: NDArray[np.bool_], pseudo: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    prior = posterior.sum(axis=0, where=answered[:, None]) + np.finfo(float).tiny
    weight = (indicator.T @ posterior).reshape(pseudo.shape)
    confusion = weight.transpose(0, 2, 1) + pseudo  # (labelers, truth, answer)
    return prior / prior.sum(), confusion / confusion.sum(axis=2, keepdims=True)


def _by_answer(log_confusion: NDArray[np.float64]) -> NDArray[np.float64]:
    labelers, truths, answers = log_confusion.shape
    return log_confusion.transpose(0, 2, 1).reshape(labelers * answers, truths)

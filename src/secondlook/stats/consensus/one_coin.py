"""One-coin Dawid-Skene: one number per labeler, the chance that it is right, whatever the class.

Y. Zhang, X. Chen, D. Zhou and M. I. Jordan, "Spectral Methods Meet EM: A Provably Optimal Algorithm for
Crowdsourcing", JMLR 17 (2016), section 2.2. For labelers with too few votes for a confusion matrix.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secondlook.stats.consensus.dawid_skene import ITERATIONS, TOLERANCE
from secondlook.stats.consensus.families import exponents
from secondlook.stats.consensus.majority import majority
from secondlook.stats.consensus.votes import Posterior, Votes, normalised


@dataclass(frozen=True)
class OneCoin:
    """A fit: `posterior` (objects, classes), and what its last E-step used: `log_prior` and `gain` (labelers,)."""

    posterior: Posterior
    log_prior: NDArray[np.float64]
    gain: NDArray[np.float64]

    def of(self, votes: Votes) -> Posterior:
        """Return the posterior of any objects that the same labelers answered, (objects, classes)."""
        return _e_step(votes, self.log_prior, self.gain)


def one_coin(votes: Votes, *, smoothing: float = 0.01, family_exponent: float = 0.5) -> Posterior:
    """Return the posterior (objects, classes) of the fit."""
    return fit_one_coin(votes, smoothing=smoothing, family_exponent=family_exponent).posterior


def fit_one_coin(votes: Votes, *, smoothing: float = 0.01, family_exponent: float = 0.5) -> OneCoin:
    """Fit by EM from the majority shares until no posterior moves by more than TOLERANCE.

    M-step: r_k = share of its answers that are right, by the posterior. E-step: log p_ic = log prior_c + sum of
    e_k [a_ik = c] log(r_k (C - 1) / (1 - r_k)) + const, with e_k as in `dawid_skene`; the prior is the mean
    posterior. Objects without answers get the prior.
    """
    voiced = sparse.csr_array(
        (np.ones(len(votes.class_index)), (votes.object_index, votes.labeler_index)),
        shape=(votes.objects, len(votes.labelers)),
    ).sum(axis=0)
    answered = votes.per_object() > 0
    weight = exponents(votes, family_exponent)
    cell = votes.object_index * votes.classes + votes.class_index
    posterior = majority(votes)
    for _ in range(ITERATIONS):
        prior = posterior.sum(axis=0, where=answered[:, None]) + smoothing + np.finfo(float).tiny
        right = _right(votes, posterior.ravel()[cell], voiced, smoothing)
        gain = weight * np.log(right * max(1, votes.classes - 1) / (1 - right))
        log_prior = np.log(prior / prior.sum())
        updated = _e_step(votes, log_prior, gain)
        moved = float(np.abs(updated - posterior).max(initial=0.0))
        posterior = updated
        if moved < TOLERANCE:
            break
    return OneCoin(posterior, log_prior, gain)


def _e_step(votes: Votes, log_prior: NDArray[np.float64], gain: NDArray[np.float64]) -> Posterior:
    shape = (votes.objects, votes.classes)
    cell = votes.object_index * votes.classes + votes.class_index
    evidence = np.bincount(cell, gain[votes.labeler_index], minlength=shape[0] * shape[1]).reshape(shape)
    return normalised(log_prior + evidence)


def _right(
    votes: Votes, p_answer: NDArray[np.float64], voiced: NDArray[np.float64], smoothing: float
) -> NDArray[np.float64]:
    pseudo = smoothing + 1e-9  # keeps a labeler that is always right below certainty
    right = np.bincount(votes.labeler_index, p_answer, minlength=len(votes.labelers)) + pseudo
    return np.asarray(right / (voiced + 2 * pseudo))

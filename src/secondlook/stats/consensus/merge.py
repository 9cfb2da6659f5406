"""Votes and reviews become one posterior: the methods by name, and how one of them is chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secondlook.base.errors import DataError
from secondlook.config.stages import ConsensusOptions
from secondlook.stats.bounds import effective_size, interval
from secondlook.stats.consensus.dawid_skene import DawidSkene, dawid_skene
from secondlook.stats.consensus.evidence import by_labeler, evidence, pooled
from secondlook.stats.consensus.fitted_pool import fit_pool
from secondlook.stats.consensus.majority import majority
from secondlook.stats.consensus.one_coin import one_coin
from secondlook.stats.consensus.pool import pool
from secondlook.stats.consensus.temperature_pool import LogLinear, fit_temperatures
from secondlook.stats.consensus.votes import Posterior, Reviewed, Votes, normalised
from secondlook.stats.crossfit import folds, log_loss

FEWEST = {"temperature_pool": 50, "fitted_pool": 50}  # reviewed objects that a method needs (docs/consensus.md)
FEWEST_TO_CHOOSE = 20


@dataclass(frozen=True)
class Candidate:
    """How a method did on `n` reviewed objects: mean -log p of the labels of people, and the share it got right."""

    method: str
    log_loss: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    n: int


@dataclass(frozen=True)
class Merged:
    """A posterior (objects, classes) and what made it.

    `held_out` (objects, classes) is the same, but the row of every reviewed object comes from a fit that saw no
    object of its image; compare this with the reviews.
    """

    posterior: Posterior
    held_out: Posterior
    method: str
    why: str
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Committee:
    """The votes, and what several methods compute from them, once."""

    votes: Votes
    options: ConsensusOptions

    @cached_property
    def fit(self) -> DawidSkene:
        """Dawid-Skene with the family exponent of the options."""
        smoothing, exponent = self.options.smoothing, self.options.family_exponent
        return dawid_skene(self.votes, smoothing=smoothing, family_exponent=exponent)

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """What each answer says about each class, (answers, classes)."""
        return evidence(self.votes, self.fit)

    def one_coin(self) -> Posterior:
        """Return the posterior of one-coin Dawid-Skene."""
        smoothing, exponent = self.options.smoothing, self.options.family_exponent
        return one_coin(self.votes, smoothing=smoothing, family_exponent=exponent)

    def pool(self) -> Posterior:
        """Return the posterior of the product of experts."""
        exponent, seed = self.options.pool_exponent, self.options.seed
        return pool(self.votes, self.rows, self.fit, exponent=exponent, seed=seed)

    def apply(self, fitted: LogLinear) -> Posterior:
        """Return the posterior of a log-linear pool."""
        return normalised(pooled(self.votes, self.rows, fitted.weight) + fitted.bias)

    def temperatures(self, x: NDArray[np.float64], label: NDArray[np.int64]) -> LogLinear:
        """Fit the temperature pool."""
        return fit_temperatures(x, label, np.log(self.fit.prior))

    def weights(self, x: NDArray[np.float64], label: NDArray[np.int64]) -> LogLinear:
        """Fit the fitted pool."""
        return fit_pool(x, label, self.temperatures(x, label))


UNSUPERVISED: dict[str, Callable[[Committee], Posterior]] = {
    "majority": lambda committee: majority(committee.votes),
    "dawid_skene": lambda committee: committee.fit.posterior,
    "one_coin": Committee.one_coin,
    "pool": Committee.pool,
}
FITTED: dict[str, Callable[[Committee, NDArray[np.float64], NDArray[np.int64]], LogLinear]] = {
    "temperature_pool": Committee.temperatures,
    "fitted_pool": Committee.weights,
}


def merge(votes: Votes, method: str, reviewed: Reviewed, options: ConsensusOptions) -> Merged:
    """Merge by `method`, or by the best one for these votes and reviews when it is `auto`.

    Raises DataError when a method that learns from reviewed objects has too few of them.
    """
    committee = Committee(votes, options)
    if method == "auto":
        return _choose(committee, reviewed)
    if method in FITTED and not _can_fit(method, reviewed):
        raise DataError(
            f"{method} learns from at least {FEWEST[method]} reviewed objects in two images, {len(reviewed.known)} are "
            f"there; review more, or use `method: auto`."
        )
    return _merge(committee, method, reviewed, f"the options set {method}")


def _choose(committee: Committee, reviewed: Reviewed) -> Merged:
    count = len(reviewed.known)
    if count < FEWEST_TO_CHOOSE:
        method, why = _without_reviews(committee)
        return _merge(committee, method, reviewed, why)
    names = ["majority", "dawid_skene", "pool", *(name for name in FITTED if _can_fit(name, reviewed))]
    tried = [_merge(committee, name, reviewed, "") for name in names]
    candidates = tuple(_candidate(merged, reviewed) for merged in tried)
    good = [index for index, one in enumerate(candidates) if one.accuracy >= candidates[0].accuracy]
    best = min(good, key=lambda index: candidates[index].log_loss)
    why = (
        f"{names[best]} has the least cross-validated log-loss ({candidates[best].log_loss:.3f}) on {count} "
        f"reviewed objects among the methods that are right there at least as often as majority"
    )
    return Merged(tried[best].posterior, tried[best].held_out, names[best], why, candidates)


def _without_reviews(committee: Committee) -> tuple[str, str]:
    voiced = committee.votes.has_p()
    few = f"fewer than {FEWEST_TO_CHOOSE} objects are reviewed"
    if len(voiced) and voiced.mean() >= 0.5:
        return "pool", f"{few}, and most votes come with probabilities"
    return "dawid_skene", f"{few}, and most votes come without probabilities"


def _can_fit(method: str, reviewed: Reviewed) -> bool:
    return len(reviewed.known) >= FEWEST[method] and len(np.unique(reviewed.image[reviewed.known])) > 1


def _merge(committee: Committee, method: str, reviewed: Reviewed, why: str) -> Merged:
    if method in UNSUPERVISED:
        posterior = UNSUPERVISED[method](committee)
        return Merged(posterior, posterior, method, why)
    reviewed_rows = reviewed.known
    label = reviewed.label[reviewed_rows]
    x = by_labeler(committee.votes, committee.rows, reviewed_rows)
    posterior = committee.apply(FITTED[method](committee, x, label))
    held_out = posterior.copy()
    for fold in folds(reviewed.image[reviewed_rows], committee.options.seed):
        fitted = FITTED[method](committee, x[~fold], label[~fold])
        held_out[reviewed_rows[fold]] = normalised(np.einsum("gkc,k->gc", x[fold], fitted.weight) + fitted.bias)
    return Merged(posterior, held_out, method, why)


def _candidate(merged: Merged, reviewed: Reviewed) -> Candidate:
    rows = reviewed.known
    label, posterior = reviewed.label[rows], merged.held_out[rows]
    right = float((posterior.argmax(axis=1) == label).mean())
    bounds = interval(effective_size(reviewed.image[rows]), right)
    return Candidate(merged.method, float(log_loss(posterior, label).mean()), right, *bounds, n=len(rows))

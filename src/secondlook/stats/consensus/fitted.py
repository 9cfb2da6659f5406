"""What a method has learned, so that it can be applied to the votes on any objects."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from secondlook.stats.consensus import calibrate
from secondlook.stats.consensus.evidence import evidence, knowing
from secondlook.stats.consensus.noise_channel import CrossFit, Evidence, Known, NoiseChannel, cross_fit
from secondlook.stats.consensus.votes import GIVEN, Posterior, Reviewed, Votes
from secondlook.stats.crossfit import Folds

PosteriorOf = Callable[[Votes], Posterior]


class Fitted(Protocol):
    """The parameters of a method; they hold nothing of the objects that they were fitted to.

    `sound` is what a fit without one of the labelers can be told, see `fit_folds`; None for nothing.
    """

    @property
    def sound(self) -> NDArray[np.bool_] | None: ...

    def parts(self, cast: "Cast") -> "Parts":
        """Return what the method makes of some objects; no row uses a fit that learned from a review of its group."""
        ...


@dataclass(frozen=True)
class Cast:
    """Votes on some objects, and what people and the dataset say of them; `given` is (objects,), -1 for none.

    `folds` are those of all groups. `doubt`, (objects,) or one for all, is how often the chance of what never happened
    counts in the posterior.
    """

    votes: Votes
    given: NDArray[np.int64]
    reviewed: Reviewed
    folds: Folds
    doubt: NDArray[np.float64] | float = 1.0

    @property
    def fold_of(self) -> NDArray[np.int64]:
        """The fold of each object, (objects,)."""
        return self.folds.of(self.reviewed.group)

    def evidence(self, confusion: NDArray[np.float64] | None) -> Evidence:
        """Return the evidence of all labelers that know the given class; see `evidence`."""
        labelers = knowing(self.votes.without(GIVEN), self.given)
        known = Known(self.reviewed.label, self.given, self.reviewed.group, self.reviewed.chosen)
        return Evidence(labelers, evidence(labelers, confusion), known)


@dataclass(frozen=True)
class Parts:
    """What a method makes, as in `Merged`, and what it has learned."""

    posterior: Posterior
    proven: NDArray[np.float64]
    fitted: Fitted
    weight: NDArray[np.float64] | None = None
    unlimited: Posterior | None = None


@dataclass(frozen=True)
class FromAgreement:
    """A method that learned from agreement alone: it assumes no share of wrong given labels and has no weights.

    `posterior` makes the posterior of votes. `exponent` is what reviews make of it for the objects of each fold,
    (folds,), None before enough of them. With `limited` families limit it, and `unlimited` makes what then orders the
    objects; where that is None it is the posterior before any of this.
    """

    posterior: PosteriorOf
    exponent: NDArray[np.float64] | None = None
    limited: bool = False
    unlimited: PosteriorOf | None = None
    sound: None = None

    def parts(self, cast: Cast) -> Parts:
        """Return the posterior of the votes, no surer than reviews or families allow."""
        return self.finished(cast, self.posterior(cast.votes))

    def finished(self, cast: Cast, before: Posterior) -> Parts:
        """Return the same from the posterior of the votes."""
        after = before if self.exponent is None else calibrate.powered(before, self.exponent[cast.fold_of])
        parts = Parts(after, np.ones(len(after)), self)
        if not self.limited:
            return parts
        limited = calibrate.by_agreement(cast.votes, after)
        return replace(
            parts, posterior=limited, unlimited=before if self.unlimited is None else self.unlimited(cast.votes)
        )


@dataclass(frozen=True)
class FromChannel:
    """A noise channel: the fit of each fold, and what bare answers mean (`confusion`, None without bare answers).

    `contradicted` is the number of groups in which it contradicts a given label; None where neither given labels nor
    reviews taught it, so that families limit it.
    """

    fits: tuple[NoiseChannel, ...]
    confusion: NDArray[np.float64] | None = field(repr=False)
    contradicted: int | None

    @property
    def sound(self) -> NDArray[np.bool_]:
        """Which labelers stay as they are where another one is left out, (folds, labelers)."""
        return np.stack([fit.sound for fit in self.fits])

    def parts(self, cast: Cast) -> Parts:
        """Return the posterior of each object by the fit of its fold."""
        own = cast.evidence(self.confusion)
        return self.finished(cast, own, cross_fit(own, self.fits, cast.fold_of))

    def finished(self, cast: Cast, own: Evidence, found: CrossFit) -> Parts:
        """Return the same from the posterior of the fits."""
        if self.contradicted is None:
            posterior = calibrate.by_agreement(own.votes, found.posterior)
            return Parts(posterior, found.proven, self, found.weight, found.posterior)
        posterior = calibrate.by_groups(
            found.posterior, found.groups, own.known, times=cast.doubt, contradicted=self.contradicted
        )
        return Parts(posterior, found.proven, self, found.weight)

"""Reviewers who let wrong proposals pass: how often, from known wrong ones that they are shown among the others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.config.stages import Guarantee
from secondlook.stats.bounds import interval
from secondlook.stats.guarantee.betting import log_evidence

PART = 0.2  # of delta that is spent on the bound of the miss rate; the rest is the test's
_STEPS = 24  # of the bisection


@dataclass(frozen=True)
class Audit:
    """Of `shown` known wrong proposals people let `missed` pass; `low` to `high` is the 95 % interval of the rate.

    `most` bounds the rate at every look at once, with the part of delta that is spent on it.
    """

    shown: int
    missed: int
    low: float
    high: float
    most: float

    def strict(self, terms: Guarantee) -> Guarantee:
        """Return the terms of the test: if one in 1 / r errors is let pass, only 1 - r of alpha may be found."""
        return terms.model_copy(update={"alpha": terms.alpha * (1 - self.most), "delta": terms.delta * (1 - PART)})


def audit_of(missed: NDArray[np.bool_], delta: float) -> Audit | None:
    """Return the audit of known wrong proposals in the order of the looks, (looks,); None without any.

    The bound is the least rate that the looks refute by betting, as `betting` does with a constant share.
    """
    if not len(missed):
        return None
    bound = -np.log(delta * PART)
    low, high = 0.0, 1.0  # evidence grows with the rate
    for _ in range(_STEPS):
        rate = (low + high) / 2
        refuted = log_evidence(missed, np.full(len(missed), rate)).max() >= bound
        low, high = (low, rate) if refuted else (rate, high)
    return Audit(len(missed), int(missed.sum()), *interval(len(missed), float(missed.mean())), most=high)

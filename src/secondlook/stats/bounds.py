"""Exact binomial bounds for objects in groups: of a track, of an image, near-duplicates.

Objects of one group count as one draw where they repeat each other: n shrinks to the effective sample size, as in
E. L. Korn and B. I. Graubard, "Confidence Intervals for Proportions with Small Expected Number of Positive Counts
Estimated from Survey Data", Survey Methodology 24 (1998), with full correlation inside a group assumed. The incomplete
beta function takes the place of the binomial sum, so that n need not be an integer.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv


def effective_size(group: NDArray[np.int64]) -> float:
    """Return n^2 / (sum over groups of n_j^2): the number of groups when all have equally many objects."""
    counts = np.unique(group, return_counts=True)[1]
    return float(counts.sum() ** 2 / (counts**2).sum()) if len(counts) else 0.0


def tail(n: float, wrong: float, alpha: float) -> float:
    """Return P(Binomial(n, alpha) <= wrong)."""
    return float(betainc(n - wrong, wrong + 1, 1 - alpha)) if n > wrong else 1.0


def upper(n: float, share: float, delta: float) -> float:
    """Return the upper end of the one-sided Clopper-Pearson interval of a share of `n`."""
    return float(betaincinv(n * share + 1, n - n * share, 1 - delta)) if share < 1 and n > 0 else 1.0


def interval(n: float, share: float, delta: float = 0.05) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval of a share of `n`."""
    return 1 - upper(n, 1 - share, delta / 2), upper(n, share, delta / 2)

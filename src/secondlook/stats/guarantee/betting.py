"""Evidence against "too many are wrong", from objects reviewed in random order without replacement.

Betting as in I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting" (arXiv
2010.09686), and P. B. Stark, "ALPHA: Audit that Learns from Previously Hand-Audited Ballots" (arXiv 2201.02707). If a
share m_i of what is left before look i is wrong, then for any bet 0 < c < 1

    E_i(c) = E_{i-1}(c) * (c if look i is wrong, else (1 - c m_i) / (1 - m_i))

is a martingale that starts at 1, and so is its mean over bets. By Ville's inequality the chance that it ever reaches
1/delta is at most delta, whenever people stop. With bets proportional to m_i the evidence only grows when m grows
anywhere, and only falls when one more look is wrong; `levels` rests on this. Bets that follow the errors seen so far
lack both, and are no faster.
"""

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64

BETS = (np.arange(20) + 0.5) / 20
WEIGHTS = (1 - BETS) ** 2 / ((1 - BETS) ** 2).sum()  # most on small bets: accepted labels are rarely wrong
CERTAIN = 1e-15  # evidence counts a share of all but this as 1
_ROUNDING = 1e-9


def allowed(alpha: float, objects: int) -> int:
    """Return how many of `objects` may be wrong: floor(alpha objects), safe from rounding."""
    return int(np.floor(alpha * objects + _ROUNDING))


def log_evidence(wrong: NDArray[np.bool_], share: Floats64) -> Floats64:
    """Return log E_i against wrong shares m_i of what is left before each look; both (..., looks), broadcast.

    Infinite from the look that proves the shares impossible: one of more than 1, or of 1 at a look that is not wrong.
    Minus infinity from a share of 0 or less: as many are wrong as the shares suppose, so nothing is left to refute.
    """
    wrong, share = np.broadcast_arrays(wrong, share)
    impossible, exhausted = (share > 1) | ((share == 1) & ~wrong), share <= 0
    m = np.clip(share, 0, 1 - CERTAIN)
    evidence = np.full(share.shape, -np.inf)
    for bet, weight in zip(BETS, WEIGHTS, strict=True):
        step = np.where(wrong, np.log(bet), np.log1p(-bet * m) - np.log1p(-m))
        evidence = np.logaddexp(evidence, np.log(weight) + np.cumsum(step, axis=-1))
    evidence[np.logical_or.accumulate(impossible, axis=-1)] = np.inf
    evidence[np.logical_or.accumulate(exhausted, axis=-1)] = -np.inf
    return evidence


def share_of_rest(looks: int, rest: int, objects: int) -> Floats64:
    """Return m_i if `rest` wrong ones are left at every look, (looks,): rest / (objects - i + 1)."""
    return np.asarray(rest / (objects - np.arange(looks)))

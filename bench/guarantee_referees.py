"""Other tests of the same guarantees, to compare ours with: bets that follow the errors, nulls that move, single looks.

The referee of published work is "Probably approximately correct labels" (E. J. Candes, A. Ilyas and T. Zrnic, arXiv
2506.10908): indices are drawn with replacement, and labels whose uncertainty is below the highest threshold with an
upper bound of the loss of at most epsilon keep the label of the model. For wrong or right, the exact bound is binomial.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, hypergeom

from secondlook.base.arrays import Floats64
from secondlook.stats.consensus.accept import NOTHING, UNSEEN
from secondlook.stats.guarantee.betting import allowed, log_evidence
from secondlook.stats.guarantee.reviews import Reviews

STEP, START, CLEAN = 0.05, 0.5, 4.0


def share_of_total(wrong: NDArray[np.bool_], total: NDArray[np.int64] | int, objects: int) -> Floats64:
    """Return m_i if `total` of the `objects` are wrong: (total - wrong before i) / (objects - i + 1), (..., looks)."""
    before: NDArray[np.int64] = np.cumsum(wrong, axis=-1) - wrong
    return np.asarray((total - before) / (objects - np.arange(np.shape(wrong)[-1])))


def following_bets(wrong: NDArray[np.bool_], share: Floats64, alpha: float) -> Floats64:
    """Return log E_i with bets that follow the errors seen: q_i = min(0.98 m_i, (S + 50 alpha) / (i - 1 + 100))."""
    wrong, share = np.broadcast_arrays(wrong, share)
    before: NDArray[np.int64] = np.cumsum(wrong, axis=-1) - wrong
    looks = np.arange(wrong.shape[-1])
    m = np.clip(share, 1e-300, 1 - 1e-15)
    q = np.minimum(0.98 * m, (before + 50 * alpha) / (looks + 100))
    evidence = np.cumsum(np.where(wrong, np.log(q / m), np.log1p(-q) - np.log1p(-m)), axis=-1)
    evidence[np.logical_or.accumulate((share > 1) | ((share == 1) & ~wrong), axis=-1)] = np.inf
    evidence[np.logical_or.accumulate(share <= 0, axis=-1)] = -np.inf
    return evidence


def region_is_certain(wrong: NDArray[np.bool_], objects: int, alpha: float, delta: float) -> bool:
    """Test that at most `alpha` is wrong of what is left of one region, after the looks (looks,), by a moving null.

    W = found + floor(alpha left) + 1. The evidence against W grows with W, so the smallest decides. Exact for one
    region.
    """
    total = int(wrong.sum()) + allowed(alpha, objects - len(wrong)) + 1
    evidence = log_evidence(wrong, share_of_total(wrong, total, objects))
    return bool(len(wrong) == objects or evidence.max(initial=0.0) >= -np.log(delta))


def level_by_chain(reviews: Reviews, alpha: float, delta: float) -> float:
    """Return the lowest level of `of: accepted` by regions that grow, each tested where the one before is certain."""
    score = reviews.proposals.score
    scored = np.sort(score[score > UNSEEN])[::-1]
    first = max(START * len(scored), min(len(scored), CLEAN * -np.log(delta) / alpha))
    sizes = np.arange(first, len(scored) * (1 + STEP), STEP * len(scored)).clip(1, len(scored)).astype(np.int64)
    certain = NOTHING
    for level in np.unique(scored[sizes - 1])[::-1]:
        region = reviews.of(score >= level)
        if not region_is_certain(region.wrong, len(region), alpha, delta):
            break
        certain = float(level)
    return certain


def level_by_moving_null(reviews: Reviews, alpha: float, delta: float) -> float:
    """Return the lowest level of `of: dataset` with W = found + floor(alpha N) + 1 at each level, from above."""
    looked = reviews.proposals.score[reviews.order]
    certain = NOTHING
    for cut in _cuts(reviews):
        wrong = reviews.wrong & (looked > cut)
        total = int(wrong.sum()) + allowed(alpha, len(reviews)) + 1
        evidence = following_bets(wrong, share_of_total(wrong, total, len(reviews)), alpha)
        if evidence.max(initial=0.0) < -np.log(delta):
            break
        certain = _above(reviews, cut)
    return certain


def level_of_single_look(reviews: Reviews, alpha: float, delta: float) -> float:
    """Return the lowest level of `of: dataset` at a single look, chosen beforehand: the exact tail without replacement.

    `reviews` are drawn without replacement. The risk grows as the level falls, so levels cost nothing.
    """
    null = hypergeom(len(reviews), allowed(alpha, len(reviews)) + 1, len(reviews.order))
    return _lowest(reviews, lambda wrong: bool(null.cdf(wrong) <= delta))


def level_of_pac_labels(reviews: Reviews, alpha: float, delta: float) -> float:
    """Return the lowest level of PAC labels at a single look; `order` is drawn with replacement."""
    null = binom(len(reviews.order), alpha)
    return _lowest(reviews, lambda wrong: bool(null.cdf(wrong) <= delta))


def _lowest(reviews: Reviews, certain: Callable[[int], bool]) -> float:
    looked = reviews.proposals.score[reviews.order]
    passed = [cut for cut in _cuts(reviews) if certain(int((reviews.wrong & (looked > cut)).sum()))]
    return _above(reviews, passed[-1]) if passed else NOTHING


def _cuts(reviews: Reviews) -> Floats64:
    looked = reviews.proposals.score[reviews.order]
    return np.append(np.unique(looked[reviews.wrong & (looked > UNSEEN)])[::-1], UNSEEN)


def _above(reviews: Reviews, cut: float) -> float:
    score = reviews.proposals.score
    return float(np.min(score, where=score > cut, initial=NOTHING))

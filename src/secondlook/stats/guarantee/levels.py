"""The lowest level of the score at which the evidence suffices, for either guarantee."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.stats.consensus.accept import NOTHING, UNSEEN
from secondlook.stats.guarantee.betting import allowed, log_evidence, share_of_rest, share_of_total
from secondlook.stats.guarantee.reviews import Reviews

STEP = 0.05  # of the scored objects, by which the regions of `of: accepted` grow
START = 0.5  # of the scored objects: its first region
CLEAN = 4.0  # times log(1/delta) / alpha objects: smaller first regions are exhausted before they are certain


def level_of_dataset(reviews: Reviews, most: int, delta: float) -> float:
    """Return the lowest level above which at most `most` unchecked labels are wrong, NOTHING where none is certain.

    The test of one level supposes that `most` + 1 accepted wrong labels are left at every look. All levels and all
    looks share one delta: whatever the truth, let Y_i be the `most` + 1 wrong objects of the highest scores among those
    that no look before i has found. Look i finds one of Y_i with a chance of exactly (most + 1) / (objects - i + 1), so
    the evidence of a test that could see Y_i is a martingale. A level with more than `most` wrong ones left accepts all
    of Y_i, then and at every look before, so its own test sees at least these errors and has no more evidence. What is
    certain once stays so: errors left never grow. Reviews beside the run find more of them, which only helps.
    """
    score = reviews.proposals.score
    looked = score[reviews.order]
    cuts = np.unique(looked[reviews.wrong & (looked > UNSEEN)])[::-1]  # above cut j the sample holds the errors before
    cuts = np.append(cuts, UNSEEN)
    share = share_of_rest(len(looked), most + 1, len(score))

    def certain(number: int) -> bool:
        evidence = log_evidence(reviews.wrong & (looked > cuts[number]), share)
        return bool(evidence.max(initial=0.0) >= -np.log(delta))

    low, high = -1, len(cuts)  # the last certain cut, and the first that is not: evidence shrinks with the cut
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if certain(middle) else (low, middle)
    return float(np.min(score, where=score > cuts[low], initial=NOTHING)) if low >= 0 else NOTHING


def level_of_accepted(reviews: Reviews, alpha: float, delta: float) -> float:
    """Return the lowest level at which at most a share `alpha` of the unchecked labels above it is wrong, or NOTHING.

    Regions are tested from the surest objects down, the next one only where the one before is certain now. The first is
    chosen by its size alone. For one region the test is exact; over regions that grow, which of them is the first
    false one may change with the looks, and that the error stays at delta is measured, not proven (docs/log.md).
    """
    certain = NOTHING
    for level in regions(reviews.proposals.score, alpha, delta):
        if not region_is_certain(reviews, float(level), alpha, delta):
            break
        certain = float(level)
    return certain


def regions(score: Floats64, alpha: float, delta: float) -> Floats64:
    """Return the levels that `of: accepted` tests, from the highest down: they depend on the scores alone."""
    scored = np.sort(score[score > UNSEEN])[::-1]
    if not len(scored):
        return scored
    first = max(START * len(scored), min(len(scored), CLEAN * -np.log(delta) / alpha))
    sizes = np.arange(first, len(scored) * (1 + STEP), STEP * len(scored)).clip(1, len(scored)).astype(np.int64)
    return np.unique(scored[sizes - 1])[::-1]


def region_is_certain(reviews: Reviews, level: float, alpha: float, delta: float) -> bool:
    """Tell whether at most a share `alpha` is wrong of the objects from `level` up that nobody saw.

    Of N objects, people saw n in the run and q beside it, and found w wrong. If the claim is false, at least
    W = w + floor(alpha (N - n - q)) + 1 of the region are wrong. The evidence against W grows with W, so one that
    suffices against the smallest suffices against the true one, whose evidence reaches 1/delta with a chance of at
    most delta, however W moves.
    """
    region = reviews.of(reviews.proposals.score >= level)
    left = len(region) - int(region.seen.sum())
    return rest_is_certain(region.wrong, Rest(len(region), left, int(region.beside_wrong.sum())), alpha, delta)


@dataclass(frozen=True)
class Rest:
    """What is left of a region of `objects`: `left` that nobody saw; `beside_wrong` were found wrong beside the run."""

    objects: int
    left: int
    beside_wrong: int = 0


def rest_is_certain(wrong: NDArray[np.bool_], rest: Rest, alpha: float, delta: float) -> bool:
    """Do the same from the looks at the region, (looks,), and counts."""
    total = int(wrong.sum()) + rest.beside_wrong + allowed(alpha, rest.left) + 1
    evidence = log_evidence(wrong, share_of_total(wrong, total, rest.objects))
    return bool(rest.left <= 0 or evidence.max(initial=0.0) >= -np.log(delta))

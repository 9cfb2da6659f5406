"""The lowest level of the score at which the evidence suffices, for either guarantee.

One test for all levels. It supposes that more than a fixed number A of the accepted labels are wrong and not found yet,
and it is right about every level and every look at once, with one delta: whatever the truth, let Y_i be the A + 1 wrong
objects of the highest scores among those that no look before i has found. Look i finds one of Y_i with a chance of
exactly (A + 1) / (objects - i + 1), so the evidence of a test that could see Y_i is a martingale. A level with more
than A wrong ones left accepts all of Y_i, now and at every look before, so its own test has seen at least these errors
and has no more evidence. What is certain once stays so: errors that are left never grow. Reviews beside the run find
more of them, which only helps.

A null that moves with the errors found, W = found + A + 1 for each level alone, is exact for one level only: over many
levels the first false one changes with the looks (`bench/guarantee.py` breaks it).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.config.stages import Guarantee
from secondlook.stats.bounds import effective_size, tail
from secondlook.stats.consensus.accept import NOTHING, UNSEEN
from secondlook.stats.guarantee.betting import allowed, log_evidence, share_of_rest
from secondlook.stats.guarantee.reviews import Reviews

REGIONS = (0.5, 0.8)  # of the scored objects: how many labels `of: accepted` wants to leave unchecked, at least
BELIEFS = (0.75, 0.25)  # the part of delta behind each; the larger region is for datasets that need little evidence


@dataclass(frozen=True)
class Allowance:
    """At most `most` wrong labels, claimed where at least `left` labels remain unchecked, at a `weight` of delta."""

    most: int
    left: int
    weight: float


def allowances(terms: Guarantee, objects: int, scored: int) -> tuple[Allowance, ...]:
    """Return what may be wrong, in rising order: of all `objects`, or of a part of the `scored` ones left unchecked."""
    if terms.of == "dataset":
        return (Allowance(allowed(terms.alpha, objects), 0, 1.0),)
    regions = (int(np.ceil(part * scored)) for part in REGIONS)
    return tuple(
        Allowance(allowed(terms.alpha, left), left, weight) for left, weight in zip(regions, BELIEFS, strict=True)
    )


def lowest_level(reviews: Reviews, allowances: tuple[Allowance, ...], delta: float) -> float:
    """Return the lowest level at which one of the `allowances`, in rising order, is kept; NOTHING where none is.

    A level at which several may be claimed is tested against all of them together, by the weighted sum of the evidence:
    each exceeds the sum's share only where its own martingale does, and the weights add up to 1.
    """
    open_scores = np.sort(reviews.proposals.score[~reviews.seen])
    looked = reviews.proposals.score[reviews.order]
    cuts = np.unique(looked[reviews.wrong & (looked > UNSEEN)])[::-1]  # above cut j the run holds j kinds of errors
    cuts = np.append(cuts, UNSEEN)
    lowest = NOTHING
    for count in range(1, len(allowances) + 1):
        cut = _lowest_cut(reviews, cuts, allowances[:count], delta)
        left = len(open_scores) - np.searchsorted(open_scores, cut, side="right")
        if left >= allowances[count - 1].left:
            score = reviews.proposals.score
            lowest = min(lowest, float(np.min(score, where=score > cut, initial=NOTHING)))
    return lowest


def _lowest_cut(reviews: Reviews, cuts: Floats64, allowances: tuple[Allowance, ...], delta: float) -> float:
    """Return the lowest of the falling `cuts` above which too many wrong labels are refuted, NOTHING where none is."""
    looked = reviews.proposals.score[reviews.order]
    low, high = -1, len(cuts)  # the last cut that is certain, and the first that is not: evidence falls with the cut
    while high - low > 1:
        middle = (low + high) // 2
        certain = _is_certain(reviews, reviews.wrong & (looked > cuts[middle]), allowances, delta)
        low, high = (middle, high) if certain else (low, middle)
    return float(cuts[low]) if low >= 0 else NOTHING


def _is_certain(reviews: Reviews, wrong: NDArray[np.bool_], allowances: tuple[Allowance, ...], delta: float) -> bool:
    """Tell whether the looks, `wrong` (looks,), refute that more are left than the largest allowance."""
    if reviews.group is not None:
        n = effective_size(reviews.group)
        errors = float(wrong.mean()) * n if len(wrong) else 0.0
        return any(tail(n, errors, (one.most + 1) / len(reviews)) <= one.weight * delta for one in allowances)
    evidence = np.full(len(wrong), -np.inf)
    for one in allowances:
        share = share_of_rest(len(wrong), one.most + 1, len(reviews))
        evidence = np.logaddexp(evidence, np.log(one.weight) + log_evidence(wrong, share))
    return bool(evidence.max(initial=-np.inf) >= -np.log(delta))

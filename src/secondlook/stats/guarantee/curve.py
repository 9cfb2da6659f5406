"""What reviews buy: the chance of a guarantee after more random reviews, and how much people would see in all.

Futures are drawn from the current posterior: the next looks are random objects, each wrong with its own probability.
Posteriors are often too sure or not sure enough, so a future shifts and stretches their log-odds: a + b x, where x is
measured from where most errors are expected, with a and b drawn from their own posterior after the looks so far (normal
priors, Laplace's approximation). Before any look a forecast is as good as the posterior. Every future is tested as
`levels` does, at a few numbers of looks.

Speed: a future holds the looks alone, at most `_LOOKS`, and of those only errors move the evidence. For all cuts of the
score and all numbers of looks at once it is a sum over errors, by cut and look. The other objects count once, sorted by
score, so a million of them cost one sort. Random numbers are seeded with the content.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from secondlook.base.arrays import Floats64
from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import UNSEEN
from secondlook.stats.guarantee.audit import Audit
from secondlook.stats.guarantee.betting import BETS, CERTAIN, WEIGHTS, share_of_rest
from secondlook.stats.guarantee.levels import Allowance, allowances
from secondlook.stats.guarantee.reviews import Reviews

ALPHAS = (0.01, 0.02, 0.05, 0.10)
LIKELY = 0.5  # chance of a guarantee from which a number of reviews counts as enough
ALL = 0.98  # of the objects: who must see that many reviews everything
FUTURES = 150
_LOOKS, _POINTS, _CUTS = 6_000, 60, 40
_PRIOR, _SPREAD = np.array([0.0, 1.0]), np.array([0.5, 0.2])  # of shift and stretch
_STEPS = 10
_LEAST_P = 1e-6


@dataclass(frozen=True)
class Curve:
    """After `more` random reviews, (points,): the `chance` of a guarantee, and the `share` of objects people see.

    `share` is a mean over futures, counting what was reviewed (`seen` objects), is reviewed and remains below the
    level; it is 1 in a future without a guarantee.
    """

    terms: Guarantee
    objects: int
    seen: int
    more: NDArray[np.int64]
    chance: Floats64
    share: Floats64

    @property
    def best(self) -> int:
        """The point at which people see least in all; the last one, where all is reviewed, if none saves anything."""
        point = int(self.share.argmin())
        return point if self.share[point] < ALL else len(self.more) - 1

    @property
    def reachable(self) -> bool:
        """Whether there is a way that is likely to end in a guarantee before nearly everything is reviewed."""
        return bool(self.share[self.best] < ALL)

    @property
    def others(self) -> int:
        """How many objects are left below the level at the best point, after so many more random reviews."""
        return max(0, round(float(self.share[self.best]) * self.objects) - self.seen - int(self.more[self.best]))

    @property
    def enough(self) -> int | None:
        """The fewest more reviews after which a guarantee is likely, None where none short of everything is."""
        likely = np.flatnonzero((self.chance >= LIKELY) & (self.share < ALL))
        return int(self.more[likely[0]]) if len(likely) else None


def curves(
    reviews: Reviews,
    terms: Guarantee,
    p_wrong: Floats64,
    whole: int | None = None,
    audit: Audit | None = None,
    alphas: Sequence[float] = ALPHAS,
) -> list[Curve]:
    """Return the curve of each of `alphas` and of the alpha of `terms`, in rising order; `p_wrong` is (objects,)."""
    asked = [terms.model_copy(update={"alpha": alpha}) for alpha in sorted({*alphas, terms.alpha})]
    tested = asked if audit is None else [audit.strict(one) for one in asked]
    return [replace(curve(reviews, one, p_wrong, whole), terms=its) for one, its in zip(tested, asked, strict=True)]


def curve(reviews: Reviews, terms: Guarantee, p_wrong: Floats64, whole: int | None = None) -> Curve:
    """Return what more reviews buy; `per_class` is left out of it: the guarantee of the whole dataset is meant.

    `whole` is the size of the finished dataset where `reviews` hold a part of it, all others being seen.
    """
    before, objects = len(reviews.order), len(reviews)
    whole = objects if whole is None else whole
    more = _points(objects - before)
    random = np.random.default_rng(_seed(reviews, p_wrong))
    rest = _Rest(np.sort(reviews.proposals.score[~reviews.seen]), 1 - more / max(1, objects - before))
    wanted = allowances(terms, whole, int(reviews.scored.sum()))
    unchecked = np.zeros((FUTURES, len(more)))
    pool = _pool(reviews, p_wrong)
    for row, (shift, stretch) in zip(unchecked, _calibrations(reviews, p_wrong, random), strict=True):
        future = pool.future(reviews, int(more[-1]), random, (shift, stretch))
        row[:] = _unchecked(future, before + more, rest, wanted, terms.delta)
    chance, share = (unchecked > 0).mean(axis=0), 1 - unchecked.mean(axis=0) / whole
    seen = whole - objects + int(reviews.seen.sum())
    more, chance, share = np.append(more, objects - before), np.append(chance, 1.0), np.append(share, 1.0)
    return Curve(terms, whole, seen, more, chance, share)


def _points(left: int) -> NDArray[np.int64]:
    """Return rising numbers of looks from 0 on, closer at first; without the last, at which nothing is left."""
    last = max(0, min(left - 1, _LOOKS))
    points = np.geomspace(min(10, max(1, last)), max(1, last), _POINTS).round().astype(np.int64)
    return np.unique(np.append(0, np.minimum(points, last)))


@dataclass(frozen=True)
class _Future:
    """The run of a future: scores of its looks and whether they are wrong, (looks,), of so many `objects`."""

    score: Floats64
    wrong: NDArray[np.bool_]
    objects: int


@dataclass(frozen=True)
class _Rest:
    """The scores of what nobody has seen yet, rising, and the part of it that is left at each number of looks."""

    scores: Floats64
    part: Floats64

    def above(self, level: Floats64) -> Floats64:
        """Return how many are above the level after each number of looks, (points,)."""
        return np.asarray((len(self.scores) - np.searchsorted(self.scores, level, side="right")) * self.part)


@dataclass(frozen=True)
class _Pool:
    """The objects after the run, (objects,) each: scores, log-odds to be wrong, and what people said beside the run.

    `offset` is where most errors are expected; `told` is 1 for wrong, 0 for right, -1 where nobody looked.
    """

    score: Floats64
    log_odds: Floats64
    told: NDArray[np.int64]
    offset: float

    def future(
        self, reviews: Reviews, looks: int, random: np.random.Generator, calibration: tuple[float, float]
    ) -> _Future:
        """Draw the next looks."""
        shift, stretch = calibration
        drawn = random.choice(len(self.score), looks, replace=False)
        p = expit(self.offset + shift + stretch * (self.log_odds[drawn] - self.offset))
        told = self.told[drawn]
        wrong = np.where(told < 0, random.random(looks) < p, told == 1)
        looked = np.append(reviews.proposals.score[reviews.order], self.score[drawn])
        return _Future(looked, np.append(reviews.wrong, wrong), len(reviews))


def _pool(reviews: Reviews, p_wrong: Floats64) -> _Pool:
    after = np.ones(len(reviews), dtype=np.bool_)
    after[reviews.order] = False
    told = np.where(reviews.beside, reviews.beside_wrong.astype(np.int64), -1)
    return _Pool(reviews.proposals.score[after], _log_odds(p_wrong)[after], told[after], _offset(p_wrong))


def _log_odds(p: Floats64) -> Floats64:
    return np.asarray(logit(np.clip(p, _LEAST_P, 1 - _LEAST_P)))


def _offset(p: Floats64) -> float:
    clipped = np.clip(p, _LEAST_P, 1 - _LEAST_P)
    return float(np.average(logit(clipped), weights=clipped * (1 - clipped)))


def _calibrations(reviews: Reviews, p_wrong: Floats64, random: np.random.Generator) -> list[tuple[float, float]]:
    """Draw how far log-odds are shifted, and by how much they are stretched, for each future."""
    looked = reviews.scored[reviews.order]
    rows, wrong = reviews.order[looked], reviews.wrong[looked]
    offset = _offset(p_wrong)
    features = np.stack([np.ones(len(rows)), _log_odds(p_wrong[rows]) - offset], axis=1)
    mean, prior = _PRIOR, np.diag(_SPREAD**-2.0)
    for _ in range(_STEPS):
        p = expit(offset + features @ mean)
        curvature = prior + (features * (p * (1 - p))[:, None]).T @ features
        mean = mean + np.linalg.solve(curvature, features.T @ (wrong - p) - prior @ (mean - _PRIOR))
    drawn = random.multivariate_normal(mean, np.linalg.inv(curvature), FUTURES)
    return [(float(shift), max(0.0, float(stretch))) for shift, stretch in drawn]


def _unchecked(
    future: _Future, looks: NDArray[np.int64], rest: _Rest, wanted: tuple[Allowance, ...], delta: float
) -> Floats64:
    """Return how many labels are left unchecked after each number of looks, (points,), as `lowest_level` does.

    Cuts are a few of the wrong scores, closer at the top: the level may be a little too high, never too low.
    """
    when = np.flatnonzero(future.wrong & (future.score > UNSEEN))
    when = when[np.argsort(-future.score[when], kind="stable")]
    kept = np.unique(np.append(np.geomspace(1, len(when) + 1, _CUTS).astype(np.int64) - 1, len(when)))
    cuts = np.append(future.score[when], UNSEEN)[kept]
    evidence, most = np.full((len(kept), len(looks)), -np.inf), np.zeros(len(looks))
    for one in wanted:
        evidence = np.logaddexp(evidence, np.log(one.weight) + _evidence(future, looks, when, kept, one.most))
        best = np.maximum.accumulate(evidence, axis=1)
        passed = (best >= -np.log(delta)).sum(axis=0)  # (points,): evidence falls with the cut
        left = np.where(passed > 0, rest.above(cuts[np.maximum(passed, 1) - 1]), 0.0)
        most = np.maximum(most, np.where(left >= one.left, left, 0.0))
    return most


def _evidence(
    future: _Future, looks: NDArray[np.int64], when: NDArray[np.int64], kept: NDArray[np.int64], most: int
) -> Floats64:
    """Return the log evidence against more than `most` left, (cuts, points).

    `when` holds the looks that are wrong, by falling score; cut j counts the first `kept[j]` of them.
    """
    share = np.minimum(share_of_rest(len(future.wrong), most + 1, future.objects), 1 - CERTAIN)
    step = np.log1p(-BETS[:, None] * share) - np.log1p(-share)  # (bets, looks) of a look that is right
    clean = np.pad(np.cumsum(step, axis=1), ((0, 0), (1, 0)))[:, looks]
    loss = np.zeros((len(kept) + 1, len(looks) + 1, len(BETS)))  # by the first cut and point that count the error
    place = np.searchsorted(kept, np.arange(len(when)), side="right"), np.searchsorted(looks, when, side="right")
    np.add.at(loss, place, (np.log(BETS)[:, None] - step[:, when]).T)
    lost = loss.cumsum(axis=0).cumsum(axis=1)[: len(kept), : len(looks)]
    return np.asarray(np.logaddexp.reduce(np.log(WEIGHTS) + clean.T + lost, axis=2))


def _seed(reviews: Reviews, p_wrong: Floats64) -> int:
    content = blake2b(digest_size=8)
    for column in (reviews.proposals.score, reviews.order, reviews.wrong, p_wrong):
        content.update(np.ascontiguousarray(column).data)
    return int.from_bytes(content.digest())

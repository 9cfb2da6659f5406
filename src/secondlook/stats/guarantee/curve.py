"""What reviews buy: the chance of a guarantee after more random reviews, and how much people would see in all.

Futures are drawn from the current posterior: the next looks are random objects, each wrong with its own probability
times a factor that is common to all. The factor follows what the looks so far found against what the posterior expected
of them (gamma with `_TRUST` expected errors of prior weight), because posteriors are too sure or not sure enough all
over. Every future is then tested as `levels` does, at a few numbers of looks.

Speed: a future holds the looks alone, at most `_LOOKS`, and of those only errors move the evidence. For all cuts of the
score and all numbers of looks at once it is a sum over errors, by cut and look. The other objects count once, sorted by
score, so a million of them cost one sort. Random numbers are seeded with the content.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.stats.consensus.accept import UNSEEN
from secondlook.stats.guarantee.betting import BETS, CERTAIN, WEIGHTS, share_of_rest
from secondlook.stats.guarantee.levels import Allowance, allowances
from secondlook.stats.guarantee.reviews import Reviews, Terms

ALPHAS = (0.01, 0.02, 0.05, 0.10)
LIKELY = 0.5  # chance of a guarantee from which a number of reviews counts as enough
ALL = 0.98  # of the objects: who must see that many reviews everything
FUTURES = 64
_LOOKS, _POINTS = 10_000, 60
_TRUST = 4.0


@dataclass(frozen=True)
class Curve:
    """After `more` random reviews, (points,): the `chance` of a guarantee, and the `share` of objects people see.

    `share` is a mean over futures, counting what was reviewed, is reviewed and remains below the level; it is 1 in a
    future without a guarantee.
    """

    terms: Terms
    objects: int
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
    def enough(self) -> int | None:
        """The fewest more reviews after which a guarantee is likely, None where none short of everything is."""
        likely = np.flatnonzero((self.chance >= LIKELY) & (self.share < ALL))
        return int(self.more[likely[0]]) if len(likely) else None


def curves(reviews: Reviews, terms: Terms, p_wrong: Floats64) -> list[Curve]:
    """Return the curve of each of ALPHAS and of the alpha of `terms`, in rising order; `p_wrong` is (objects,)."""
    return [curve(reviews, replace(terms, alpha=alpha), p_wrong) for alpha in sorted({*ALPHAS, terms.alpha})]


def curve(reviews: Reviews, terms: Terms, p_wrong: Floats64) -> Curve:
    """Return what more reviews buy; `per_class` is left out of it: the guarantee of the whole dataset is meant."""
    before, objects = len(reviews.order), len(reviews)
    more = _points(objects - before)
    random = np.random.default_rng(_seed(reviews, p_wrong))
    rest = _Rest(np.sort(reviews.proposals.score[~reviews.seen]), 1 - more / max(1, objects - before))
    wanted = allowances(terms, objects, int(reviews.scored.sum()))
    unchecked = np.zeros((FUTURES, len(more)))
    for row in unchecked:
        future = _future(reviews, p_wrong, int(more[-1]), random)
        row[:] = _unchecked(future, before + more, rest, wanted, terms.delta)
    chance, share = (unchecked > 0).mean(axis=0), 1 - unchecked.mean(axis=0) / objects
    return Curve(terms, objects, np.append(more, objects - before), np.append(chance, 1.0), np.append(share, 1.0))


def _points(left: int) -> NDArray[np.int64]:
    """Return rising numbers of looks from 0 on, closer at first; without the last, at which nothing is left."""
    last = max(0, min(left - 1, _LOOKS))
    return np.unique(np.append(0, np.geomspace(min(10, max(1, last)), max(1, last), _POINTS).round().astype(np.int64)))


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


def _future(reviews: Reviews, p_wrong: Floats64, looks: int, random: np.random.Generator) -> _Future:
    pool = np.ones(len(reviews), dtype=np.bool_)
    pool[reviews.order] = False
    open_objects = np.flatnonzero(pool)
    drawn = open_objects[random.choice(len(open_objects), min(looks, len(open_objects)), replace=False)]
    expected = float(p_wrong[reviews.order].sum())
    factor = random.gamma(_TRUST + reviews.wrong.sum()) / (_TRUST + expected)
    p = np.where(reviews.beside[drawn], reviews.beside_wrong[drawn], factor * p_wrong[drawn])
    wrong = np.append(reviews.wrong, random.random(len(drawn)) < p)
    return _Future(reviews.proposals.score[np.append(reviews.order, drawn)], wrong, len(reviews))


def _unchecked(
    future: _Future, looks: NDArray[np.int64], rest: _Rest, wanted: tuple[Allowance, ...], delta: float
) -> Floats64:
    """Return how many labels are left unchecked after each number of looks, (points,), as `lowest_level` does.

    Cuts are a few of the wrong scores, closer at the top: the level may be a little too high, never too low.
    """
    when = np.flatnonzero(future.wrong & (future.score > UNSEEN))
    when = when[np.argsort(-future.score[when], kind="stable")]
    kept = np.unique(np.append(np.geomspace(1, len(when) + 1, _POINTS).astype(np.int64) - 1, len(when)))
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

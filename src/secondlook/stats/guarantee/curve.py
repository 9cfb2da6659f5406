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
from secondlook.stats.consensus.accept import NOTHING, UNSEEN
from secondlook.stats.guarantee.betting import BETS, WEIGHTS, allowed, share_of_rest
from secondlook.stats.guarantee.levels import Rest, regions, rest_is_certain
from secondlook.stats.guarantee.reviews import Reviews, Terms

ALPHAS = (0.01, 0.02, 0.05, 0.10)
LIKELY = 0.5  # chance of a guarantee from which a number of reviews counts as enough
ALL = 0.98  # of the objects: who must see that many reviews everything
FUTURES, FUTURES_OF_ACCEPTED = 64, 16
_LOOKS, _TRUST = 10_000, 4.0
_POINTS, _POINTS_OF_ACCEPTED = 60, 20


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
    accepted = terms.of == "accepted"
    before, objects = len(reviews.order), len(reviews)
    more = _points(objects - before, _POINTS_OF_ACCEPTED if accepted else _POINTS)
    random = np.random.default_rng(_seed(reviews, p_wrong))
    unseen = ~reviews.seen
    open_scores = np.sort(reviews.proposals.score[unseen])
    seen = objects - len(open_scores)
    shares = np.ones((FUTURES_OF_ACCEPTED if accepted else FUTURES, len(more) + 1))
    for row in shares:
        future = _future(reviews, p_wrong, int(more[-1]), random)
        levels = (_levels_of_accepted if accepted else _levels_of_dataset)(future, before + more, terms)
        above = len(open_scores) - np.searchsorted(open_scores, levels, side="left")
        left = above * (1 - more / max(1, objects - before))  # of those above, looks take their part
        row[:-1] = np.where(levels < NOTHING, 1 - left / objects, 1.0)
    shares[:, :-1] = np.maximum(shares[:, :-1], seen / objects)
    certain = np.append((shares[:, :-1] < 1).mean(axis=0), 1.0)
    return Curve(terms, objects, np.append(more, objects - before), certain, shares.mean(axis=0))


def _points(left: int, points: int) -> NDArray[np.int64]:
    """Return rising numbers of looks from 0 on, closer at first; without the last, at which nothing is left."""
    last = max(0, min(left - 1, _LOOKS))
    return np.unique(np.append(0, np.geomspace(min(10, max(1, last)), max(1, last), points).round().astype(np.int64)))


@dataclass(frozen=True)
class _Future:
    """The run of a future: scores of its looks and whether they are wrong, (looks,), and the scores of all objects."""

    score: Floats64
    wrong: NDArray[np.bool_]
    all_scores: Floats64


def _future(reviews: Reviews, p_wrong: Floats64, looks: int, random: np.random.Generator) -> _Future:
    pool = np.ones(len(reviews), dtype=np.bool_)
    pool[reviews.order] = False
    open_objects = np.flatnonzero(pool)
    drawn = open_objects[random.choice(len(open_objects), min(looks, len(open_objects)), replace=False)]
    expected = float(p_wrong[reviews.order].sum())
    factor = random.gamma(_TRUST + reviews.wrong.sum()) / (_TRUST + expected)
    p = np.where(reviews.beside[drawn], reviews.beside_wrong[drawn], factor * p_wrong[drawn])
    wrong = np.append(reviews.wrong, random.random(len(drawn)) < p)
    score = reviews.proposals.score
    return _Future(score[np.append(reviews.order, drawn)], wrong, score)


def _levels_of_dataset(future: _Future, looks: NDArray[np.int64], terms: Terms) -> Floats64:
    """Return the level after each number of looks, (points,), as `level_of_dataset` does at these numbers.

    Cuts are a few of the wrong scores, closer at the top: the level may be a little too high, never too low.
    """
    objects = len(future.all_scores)
    share = np.minimum(share_of_rest(len(future.wrong), allowed(terms.alpha, objects) + 1, objects), 1 - 1e-15)
    step = np.log1p(-BETS[:, None] * share) - np.log1p(-share)  # (bets, looks) of a look that is right
    clean = np.pad(np.cumsum(step, axis=1), ((0, 0), (1, 0)))[:, looks]  # (bets, points)
    when = np.flatnonzero(future.wrong & (future.score > UNSEEN))
    when = when[np.argsort(-future.score[when], kind="stable")]
    cut = np.unique(np.append(np.geomspace(1, len(when) + 1, _POINTS).astype(np.int64) - 1, len(when)))
    loss = np.zeros((len(cut) + 1, len(looks) + 1, len(BETS)))  # by the first cut and point that hold the error
    place = np.searchsorted(cut, np.arange(len(when)), side="right"), np.searchsorted(looks, when, side="right")
    np.add.at(loss, place, (np.log(BETS)[:, None] - step[:, when]).T)
    lost = loss.cumsum(axis=0).cumsum(axis=1)[: len(cut), : len(looks)]
    log_e = np.log(WEIGHTS) + clean.T + lost
    best = np.maximum.accumulate(np.logaddexp.reduce(log_e, axis=2), axis=1)
    passed = (best >= -np.log(terms.delta)).sum(axis=0)  # (points,): evidence shrinks with the cut
    scores = np.append(future.score[when], UNSEEN)[cut]
    level = np.nextafter(scores, np.inf)[np.maximum(passed, 1) - 1]
    return np.where(passed > 0, level, NOTHING)


def _levels_of_accepted(future: _Future, looks: NDArray[np.int64], terms: Terms) -> Floats64:
    """Return the level after each number of looks, (points,), as `level_of_accepted` does."""
    tested = regions(future.all_scores, terms.alpha, terms.delta)
    sizes = len(future.all_scores) - np.searchsorted(np.sort(future.all_scores), tested, side="left")
    result = np.full(len(looks), NOTHING)
    for point, count in enumerate(looks):
        score, wrong = future.score[:count], future.wrong[:count]
        for level, size in zip(tested, sizes, strict=True):
            inside = wrong[score >= level]
            if not rest_is_certain(inside, Rest(int(size), int(size) - len(inside)), terms.alpha, terms.delta):
                break
            result[point] = level
    return result


def _seed(reviews: Reviews, p_wrong: Floats64) -> int:
    content = blake2b(digest_size=8)
    for column in (reviews.proposals.score, reviews.order, reviews.wrong, p_wrong):
        content.update(np.ascontiguousarray(column).data)
    return int.from_bytes(content.digest())

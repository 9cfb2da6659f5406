"""How often a guarantee breaks where the votes are merged again, with the reviews, after every batch.

Two ways of one run of reviews: the guarantee of the score of today, in which no review counts for its own group, and
that of a score frozen a few times (`exact: true`).
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from correlated import Drawn, World, draw
from guarantee_stops import DELTA, OF, Broken, Outcome, count, is_broken
from guarantee_worlds import Population
from noisy import OPTIONS
from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import Proposals
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.votes import Reviewed
from secondlook.stats.guarantee.claims import Claim, claim_of
from secondlook.stats.guarantee.epochs import Epoch, claim_in, freeze, reviews_since
from secondlook.stats.guarantee.reviews import reviews_of

OBJECTS, BATCH, BATCHES = 500, 25, 10
FROZEN_AFTER = (2, 4, 7)  # batches
MARGINS, IMAGES = (2.6, 3.7), (1.0, 8.0, 20.0)  # of the simulator: a third and a seventh of the proposals are wrong
ALPHA = {"dataset": 0.05, "accepted": 0.1}  # of the accepted 5 % would rarely be guaranteed so early


@dataclass
class _Watch:
    """What became of a guarantee so far; `broken_at_first` is only about the look at which it appeared."""

    terms: Guarantee
    held: bool = False
    broken: bool = False
    broken_at_first: bool = False

    def see(self, claim: Claim, proposals: Proposals, truth: NDArray[np.int64], seen: NDArray[np.bool_]) -> None:
        level = float(claim.level[0])
        population = Population("", proposals, proposals.label != truth, np.zeros(len(truth)))
        if not ((proposals.score >= level) & ~seen).any():
            return
        broken = is_broken(population, seen, level, self.terms)
        self.broken_at_first |= broken and not self.held
        self.held, self.broken = True, self.broken | broken


@dataclass
class _World:
    """A drawn world, what people reviewed of it in hash order, and the guarantees that are watched."""

    drawn: Drawn
    rank: NDArray[np.float64]
    epoch: Epoch | None = None
    watches: dict[str, _Watch] = field(default_factory=dict)

    def reviewed(self, looks: int) -> Reviewed:
        truth = self.drawn.truth
        seen = self.rank < looks
        return Reviewed(np.where(seen, truth, -1), seen, seen, self.drawn.image)

    def look(self, batch: int) -> None:
        """Merge after a batch, look at both guarantees, and freeze the score at some of the batches."""
        truth, people = self.drawn.truth, self.reviewed(batch * BATCH)
        posterior = merge(self.drawn.votes, "auto", people, OPTIONS)
        proposals = propose(self.drawn.votes, posterior, np.full(len(truth), -1), OPTIONS)
        proposals = Proposals(proposals.label, proposals.ordered)
        for of in OF:
            now, exact = self._watch(f"{of}, merged again"), self._watch(f"{of}, frozen in epochs")
            reviews = reviews_of(proposals, people.label, people.seen, self.rank)
            now.see(claim_of(reviews, now.terms, self.drawn.votes.classes), proposals, truth, people.seen)
            if self.epoch is not None:
                since = reviews_since(self.epoch, people.label, people.seen, self.rank)
                claim = claim_in(self.epoch, since, exact.terms, self.drawn.votes.classes)
                exact.see(claim, self.epoch.proposals, truth, people.seen | ~self.epoch.population)
        if batch in FROZEN_AFTER:
            before = self.epoch.number if self.epoch is not None else 0
            self.epoch = freeze(proposals, people.seen, self.rank, batch * BATCH, before)

    def _watch(self, name: str) -> _Watch:
        of = name.partition(",")[0]
        terms = Guarantee(of=of, alpha=ALPHA[of], delta=DELTA)
        return self.watches.setdefault(name, _Watch(terms))


def outcomes(batches: int, seed: int) -> dict[str, dict[str, Outcome]]:
    """Return what became of each guarantee in one world: at any look, and at the first with a guarantee."""
    margin, per_image = MARGINS[seed % 2], IMAGES[seed // 2 % 3]
    drawn = draw(World(objects=OBJECTS, per_image=per_image, margin=margin), seed)
    rank = np.random.default_rng([seed, 2]).permutation(OBJECTS).astype(np.float64)
    world = _World(drawn, rank)
    for batch in range(1, batches + 1):
        world.look(batch)
    return {
        name: {"at any look": (one.held, one.broken), "at the first": (one.held, one.broken_at_first)}
        for name, one in world.watches.items()
    }


def rows(pool: Executor, worlds: int, batches: int) -> Iterator[Broken]:
    """Yield a row for each guarantee and way."""
    found = list(pool.map(partial(outcomes, batches), range(worlds), chunksize=2))
    for name in found[0]:
        yield count(f"{name}: at any look / at the first", [one[name] for one in found])

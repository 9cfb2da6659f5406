"""When each level becomes certain in one order of reviews, for every look at once.

Between two errors the evidence only grows, so it is enough to know it before each error and to search the stretch in
which a level first passes. `checked` compares this with `claims.claim_of` at some looks.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from guarantee_worlds import Population, after
from secondlook.base.arrays import Floats64
from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import UNSEEN
from secondlook.stats.guarantee.betting import BETS, CERTAIN, WEIGHTS, allowed, share_of_rest
from secondlook.stats.guarantee.claims import claim_of
from secondlook.stats.guarantee.levels import Allowance, allowances
from secondlook.stats.guarantee.reviews import Reviews

NEVER = 1 << 40
FEW = 60  # cuts that are tried at first


@dataclass(frozen=True)
class Passages:
    """A run in a population, the falling `cuts`, (cuts,), and the looks after which each is certain.

    `first` is (allowances, cuts), NEVER where a cut is not certain in this run: against the first allowance, the first
    two together, and so on.
    """

    population: Population
    run: Reviews
    terms: Guarantee
    cuts: Floats64
    first: NDArray[np.int64]

    @cached_property
    def wanted(self) -> tuple[Allowance, ...]:
        """What may be wrong."""
        return allowances(self.terms, len(self.population), int(self.run.scored.sum()))

    @cached_property
    def cut(self) -> NDArray[np.int64]:
        """The cut that is claimed after each number of looks, (looks + 1,), -1 where none is."""
        looks = np.arange(len(self.run.order) + 1)
        best = np.full(len(looks), -1)
        for one, first in zip(self.wanted, self.first, strict=True):
            reached = np.searchsorted(first, looks, side="right") - 1
            open_above = np.where(reached >= 0, self.unchecked[looks, reached], 0)
            best = np.where(open_above >= one.left, np.maximum(best, reached), best)
        return best

    @cached_property
    def unchecked(self) -> NDArray[np.int64]:
        """How many labels above each cut nobody has seen, (looks + 1, cuts)."""
        return self._left(np.ones(len(self.population), dtype=np.bool_))

    @cached_property
    def wrong(self) -> NDArray[np.int64]:
        """How many of them are wrong."""
        return self._left(self.population.wrong)

    def _left(self, of: NDArray[np.bool_]) -> NDArray[np.int64]:
        score, order = self.run.proposals.score, self.run.order
        whole = (score[of][:, None] > self.cuts).sum(axis=0)
        seen = np.cumsum((score[order][:, None] > self.cuts) & of[order][:, None], axis=0)
        return np.asarray(whole - np.pad(seen, ((1, 0), (0, 0))))

    def outcome(self, every: int) -> tuple[bool, bool]:
        """Return whether anything was guaranteed at one of the looks, and whether a guarantee was broken at one."""
        looks = np.arange(every, len(self.run.order) + 1, every)
        looks = looks[self.cut[looks] >= 0]
        open_above, wrong = (count[looks, self.cut[looks]] for count in (self.unchecked, self.wrong))
        objects = np.full(len(looks), len(self.population)) if self.terms.of == "dataset" else open_above
        most = np.array([allowed(self.terms.alpha, count) for count in objects.tolist()], dtype=np.int64)
        return bool((open_above > 0).any()), bool((wrong > most).any())


def passages(population: Population, run: Reviews, terms: Guarantee) -> Passages:
    """Find when each cut of the score becomes certain; of those that never do, the first is enough."""
    looked = run.proposals.score[run.order]
    when = np.flatnonzero(run.wrong & (looked > UNSEEN))
    falling, rank = np.unique(-looked[when], return_inverse=True)
    cuts, count = np.append(-falling, UNSEEN), FEW
    while True:
        counted = rank < count - 1  # an error counts at cuts below its own
        found = Passages(population, run, terms, cuts[:count], np.zeros((0, 0), dtype=np.int64))
        found = replace(found, first=_firsts(found, when[counted], rank[counted]))
        if count >= len(cuts) or found.first[-1, -1] == NEVER:
            return found
        count *= 4


def _firsts(found: Passages, when: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    ends = np.append(when, len(found.run.order))  # before each error, and at the end
    together, first = [], []
    for one in found.wanted:
        together.append(_Evidence.of(found.run, one, when, rank, ends, len(found.cuts)))
        first.append(_first(together, ends, -np.log(found.terms.delta)))
    return np.array(first)


@dataclass(frozen=True)
class _Evidence:
    """Log evidence of each bet: `clean` without errors (looks + 1, bets), and `lost` by errors (cuts, ends, bets)."""

    clean: Floats64
    lost: Floats64

    @classmethod
    def of(
        cls,
        run: Reviews,
        wanted: Allowance,
        when: NDArray[np.int64],
        rank: NDArray[np.int64],
        ends: NDArray[np.int64],
        cuts: int,
    ) -> "_Evidence":
        """Compute it; an error counts at cuts below its own and from the next end on."""
        share = np.minimum(share_of_rest(len(run.order), wanted.most + 1, len(run)), 1 - CERTAIN)[:, None]
        step = np.log1p(-BETS * share) - np.log1p(-share)
        clean = np.pad(np.cumsum(step, axis=0), ((1, 0), (0, 0))) + np.log(WEIGHTS * wanted.weight)
        loss = np.zeros((cuts, len(ends), len(BETS)))
        loss[rank + 1, np.searchsorted(ends, when, side="right")] = np.log(BETS) - step[when]
        return cls(clean, loss.cumsum(axis=0).cumsum(axis=1))


def _first(evidence: list[_Evidence], ends: NDArray[np.int64], enough: float) -> NDArray[np.int64]:
    at_ends = np.concatenate([one.clean[ends] + one.lost for one in evidence], axis=2)
    certain = _log_sum(at_ends) >= enough
    first = np.full(len(certain), NEVER)
    for cut in np.flatnonzero(certain.any(axis=1)):
        end = int(certain[cut].argmax())
        start = int(ends[end - 1]) + 1 if end else 0
        stretch = [one.clean[start : ends[end] + 1] + one.lost[cut, end] for one in evidence]
        first[cut] = start + int((_log_sum(np.concatenate(stretch, axis=1)) >= enough).argmax())
    return np.maximum.accumulate(first)  # evidence falls with the cut


def _log_sum(values: Floats64) -> Floats64:
    highest = values.max(axis=-1)
    return np.asarray(highest + np.log(np.exp(values - highest[..., None]).sum(axis=-1)))


def checked(found: Passages, looks: int) -> Passages:
    """Assert that the claim after so many looks is that of `secondlook`."""
    level = float(claim_of(after(found.run, looks), found.terms, 1).level[0])
    cut, score = int(found.cut[looks]), found.run.proposals.score
    accepted = score > found.cuts[cut] if cut >= 0 else np.zeros(len(score), dtype=np.bool_)
    theirs = (score >= level) & (score > UNSEEN)
    assert (accepted == theirs).all(), f"{found.population.name}: another level after {looks} looks"
    return found

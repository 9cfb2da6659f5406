"""How many errors the queue finds: per 100 reviews after 5, 10 and 20 % of the objects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from correlated import draw
from guarantee_worlds import GIVEN_WRONG, SIMULATOR, partly_wrong
from noisy import OPTIONS, with_given
from reviewing import Problem
from secondlook.base.arrays import Floats64
from secondlook.stats.consensus.accept import UNSEEN
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.votes import GIVEN, Reviewed

AFTER = (0.05, 0.1, 0.2)
ORDERS = ("1 - p", "half random", "margin", "random", "oracle")
SPECIFIED = {  # the best order but the oracle, with the errors of the merge of that time
    "simulator, given labels": (62, 51, 30),
    "simulator, none given": (53, 48, 35),
    "music_genre": (71, 63, 56),
    "product": (31, 25, 17),
}
SLACK = 2.0


@dataclass(frozen=True)
class Queue:
    """Errors found per 100 reviews by order, after each of AFTER."""

    name: str
    objects: int
    found: dict[str, list[float]]

    @property
    def wanted(self) -> list[float] | None:
        """What the queue must find: what is specified, and no more than there is; None where nothing is."""
        if self.name not in SPECIFIED:
            return None
        return [min(pair) - SLACK for pair in zip(SPECIFIED[self.name], self.found["oracle"], strict=True)]

    @property
    def missing(self) -> float:
        """How many errors per 100 reviews are found less than wanted, at the worst point; 0 where enough are."""
        pairs = zip(self.wanted or (), self.found["1 - p"], strict=False)
        return max(0.0, *(want - got for want, got in pairs), 0.0)

    def row(self) -> str:
        """Return a row of the table."""
        cells = ["/".join(f"{value:.0f}" for value in self.found[order]) for order in ORDERS]
        wanted = "-" if self.wanted is None else "/".join(f"{w:.0f}" for w in self.wanted)
        return f"| {self.name} | {self.objects} | {' | '.join(cells)} | {wanted} |"


HEAD = f"| data | n | {' | '.join(ORDERS)} | at least |\n|---|---:|{'---:|' * (len(ORDERS) + 1)}"


def simulators(objects: int, seeds: int) -> Iterator[list[Problem]]:
    """Yield the simulator with and without given labels, several draws of each."""
    for name, fraction in (("simulator, given labels", GIVEN_WRONG), ("simulator, none given", None)):
        draws = []
        for seed in range(seeds):
            drawn = draw(replace(SIMULATOR, objects=objects), seed)
            votes = drawn.votes
            if fraction is not None:
                votes = with_given(votes, partly_wrong(drawn.truth, votes.classes, fraction, seed))
            draws.append(Problem(name, votes, drawn.truth, drawn.image))
        yield draws


def queue(draws: Sequence[Problem]) -> Queue:
    """Measure one row, the mean of some draws."""
    found = [_found(problem) for problem in draws]
    means = {order: np.mean([one[order] for one in found], axis=0).tolist() for order in ORDERS}
    return Queue(draws[0].name, len(draws[0].known), means)


def _found(problem: Problem) -> dict[str, list[float]]:
    """Return errors found per 100 reviews, in the label that stands without a person: given where nothing is accepted.

    `1 - p` is what the posterior expects of that label, the certainty where none is given; `margin` is between its two
    best classes.
    """
    votes, given = problem.votes, problem.votes.answers_of(GIVEN)
    none = replace(Reviewed.none(votes.objects), group=problem.group)
    merged = merge(votes, "auto", none, OPTIONS)
    proposals = propose(votes, merged, given, OPTIONS)
    final = np.where((given >= 0) & (proposals.score < OPTIONS.accept), given, proposals.label)
    best = np.sort(merged.posterior, axis=1)
    p, wrong = merged.posterior[np.arange(votes.objects), final], final != problem.truth
    p = np.where((given < 0) & (proposals.score > UNSEEN), proposals.ordered, p)
    random = np.random.default_rng(0)
    shuffled = random.permutation(problem.known)
    known = shuffled[np.argsort(p[shuffled], kind="stable")]  # ties fall at random
    by_margin = shuffled[np.argsort((best[:, -1] - best[:, -2])[shuffled], kind="stable")]
    oracle = shuffled[np.argsort(~wrong[shuffled], kind="stable")]
    half = _alternating(random.permutation(problem.known), known)
    orders = (known, half, by_margin, random.permutation(problem.known), oracle)
    return {name: _per_hundred(wrong[order]) for name, order in zip(ORDERS, orders, strict=True)}


def _alternating(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    both = np.stack([second, first], axis=1).ravel()
    return both[np.sort(np.unique(both, return_index=True)[1])]


def _per_hundred(wrong: NDArray[np.bool_]) -> list[float]:
    counts: Floats64 = np.cumsum(wrong).astype(np.float64)
    ends = [max(1, round(part * len(wrong))) for part in AFTER]
    return [100 * float(counts[end - 1]) / end for end in ends]

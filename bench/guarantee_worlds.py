"""Populations of which something is guaranteed: drawn votes, crowds, and small datasets just above the bound."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from correlated import World, draw
from noisy import OPTIONS, with_given
from secondlook.base.arrays import Floats64
from secondlook.stats.consensus.accept import Proposals
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.votes import Reviewed, Votes
from secondlook.stats.guarantee.betting import allowed
from secondlook.stats.guarantee.reviews import Reviews

SIMULATOR = World(objects=10_000, margin=4.05)  # as hard as that of the specification
GIVEN_WRONG = 0.15  # of its given labels, where it has some


@dataclass(frozen=True)
class Population:
    """Proposals with a frozen score, whether they are wrong, and what the posterior expects, (objects,) each."""

    name: str
    proposals: Proposals
    wrong: NDArray[np.bool_]
    p_wrong: Floats64

    def __len__(self) -> int:
        return len(self.wrong)

    def reviews(self, random: np.random.Generator, looks: int, misses: float = 0.0) -> Reviews:
        """Draw a run; reviewers let a wrong proposal pass with the chance `misses`."""
        order = random.permutation(len(self))[:looks]
        nobody = np.zeros(len(self), dtype=np.bool_)
        told = self.wrong[order] & (random.random(len(order)) >= misses)
        return Reviews(self.proposals, order, told, nobody, nobody)

    def with_replacement(self, random: np.random.Generator, looks: int) -> tuple[Reviews, NDArray[np.int64]]:
        """Draw as PAC labels do until `looks` objects are seen, and how many draws that took at each, (looks,)."""
        nobody = np.zeros(len(self), dtype=np.bool_)
        order = np.zeros(0, dtype=np.int64)
        while True:
            order = np.append(order, random.integers(0, len(self), 2 * looks))
            new = np.sort(np.unique(order, return_index=True)[1])
            if len(new) >= looks:
                drawn = order[: new[looks - 1] + 1]
                return Reviews(self.proposals, drawn, self.wrong[drawn], nobody, nobody), new[:looks] + 1

    def part(self, random: np.random.Generator, objects: int) -> "Population":
        """Draw a smaller population of this one."""
        kept = np.sort(random.permutation(len(self))[:objects])
        proposals = Proposals(self.proposals.label[kept], self.proposals.score[kept])
        return Population(self.name, proposals, self.wrong[kept], self.p_wrong[kept])


def after(reviews: Reviews, looks: int) -> Reviews:
    """Return the first of the reviews."""
    return replace(reviews, order=reviews.order[:looks], wrong=reviews.wrong[:looks])


def one_class(proposals: Proposals) -> Proposals:
    """Return the proposals as if all were of one class: the guarantee of the whole needs no classes."""
    return replace(proposals, label=np.zeros_like(proposals.label))


def merged(
    name: str, votes: Votes, truth: NDArray[np.int64], group: NDArray[np.int64], given: NDArray[np.int64] | None = None
) -> Population:
    """Merge votes without reviews; objects without a known truth are left out. `given` are labels to vote as well."""
    votes = votes if given is None else with_given(votes, given)
    none = replace(Reviewed.none(votes.objects), group=group)
    posterior = merge(votes, "auto", none, OPTIONS)
    proposals = propose(votes, posterior, np.full(votes.objects, -1) if given is None else given, OPTIONS)
    known = truth >= 0
    label, score = proposals.label[known], proposals.ordered[known]
    p_right = posterior.posterior[np.flatnonzero(known), label]
    return Population(name, one_class(Proposals(label, score)), label != truth[known], 1 - p_right)


def simulated(world: World, seed: int) -> Population:
    """Draw votes of relatives; objects of an image share their difficulty."""
    drawn = draw(world, seed)
    return merged(f"simulator, images of {world.per_image:g}", drawn.votes, drawn.truth, drawn.image)


def partly_wrong(truth: NDArray[np.int64], classes: int, fraction: float, seed: int) -> NDArray[np.int64]:
    """Return given labels, a `fraction` of them wrong, each by any other class."""
    random = np.random.default_rng([seed, 5])
    shift = np.where(random.random(len(truth)) < fraction, random.integers(1, classes, len(truth)), 0)
    return np.asarray((truth + shift) % classes)


def just_above(objects: int, alpha: float, seed: int, graded: float) -> Population:
    """Draw a dataset with one error more than allowed, all equally sure, or `graded` times as many and graded.

    More than twice as many are graded steeply: hardly any at the top.
    """
    random = np.random.default_rng([seed, objects])
    gentle, steep = np.linspace(0.2, 1.8, objects), 0.002 + 2 * np.linspace(0, 1, objects) ** 2
    p = steep / steep.max() if graded > 2 else gentle if graded else np.ones(objects)
    errors = min(objects, round(max(1.0, graded) * allowed(alpha, objects)) + 1)
    wrong = np.zeros(objects, dtype=np.bool_)
    wrong[random.choice(objects, errors, replace=False, p=p / p.sum())] = True
    score = 1 - p / 2 if graded else np.full(objects, 0.9)
    return Population("just above", Proposals(np.zeros(objects, dtype=np.int64), score), wrong, p * alpha)


def region_above(objects: int, alpha: float, seed: int, part: float) -> Population:
    """Draw a dataset with one error more than allowed in the `part` of highest scores, and half of the others wrong."""
    random = np.random.default_rng([seed, objects, 1])
    region = int(np.ceil(part * objects))
    wrong = random.random(objects) < 0.5
    wrong[:region] = False
    wrong[random.choice(region, allowed(alpha, region) + 1, replace=False)] = True
    score = np.where(np.arange(objects) < region, 0.9, 0.5) - np.arange(objects) / (10 * objects)
    return Population("region", Proposals(np.zeros(objects, dtype=np.int64), score), wrong, np.full(objects, alpha))

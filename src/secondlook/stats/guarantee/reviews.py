"""What the guarantees read: the labels proposed for all objects, and what people said about some of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.stats.consensus.accept import UNSEEN, Proposals
from secondlook.stats.consensus.votes import Reviewed


@dataclass(frozen=True)
class Reviews:
    """Proposals for all objects, and the reviews.

    `order` holds the positions of the random sample in the order of its hash, (looks,): the longest run from the first
    object that has no gap. It holds reviews from the queue too where the run passes them. `wrong` tells which of their
    proposals people did not confirm, also where they could not tell or differ, (looks,). `beside` marks objects that
    people saw outside the run, (objects,), and `beside_wrong` those of them that they did not confirm. `group` numbers
    the group of each look of a sample that was drawn elsewhere, (looks,): it is tested at one look, and objects of one
    group count as one draw where they repeat each other; None for our own sample.

    The population is all objects, whoever saw them: what was reviewed beside the run was chosen by its looks, so it is
    no evidence and stays part of the population that the run is drawn from. It no longer counts as unchecked.
    """

    proposals: Proposals
    order: NDArray[np.int64]
    wrong: NDArray[np.bool_]
    beside: NDArray[np.bool_]
    beside_wrong: NDArray[np.bool_]
    group: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.proposals.score)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Objects that people saw, (objects,)."""
        seen = self.beside.copy()
        seen[self.order] = True
        return seen

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Objects that some level accepts, (objects,)."""
        return np.asarray(self.proposals.score > UNSEEN)

    def of(self, chosen: NDArray[np.bool_]) -> "Reviews":
        """Return the reviews of the objects `chosen`, (objects,), which must not depend on reviews.

        Their own order is as random as that of all.
        """
        place = np.cumsum(chosen) - 1
        kept = chosen[self.order]
        proposals = Proposals(self.proposals.label[chosen], self.proposals.score[chosen])
        group = None if self.group is None else self.group[kept]
        return Reviews(
            proposals, place[self.order[kept]], self.wrong[kept], self.beside[chosen], self.beside_wrong[chosen], group
        )


def reviews_in(proposals: Proposals, reviewed: Reviewed) -> Reviews:
    """Return the reviews of the proposals; where a decision was copied nobody looked, so it tests nothing."""
    people, proposals = reviewed.without_copies(), Proposals(proposals.label, proposals.ordered)
    if people.rank is not None or not people.sampled.any():
        rank = np.full(len(people.label), np.inf) if people.rank is None else people.rank
        return reviews_of(proposals, people.label, people.seen, rank)
    order, wrong = np.flatnonzero(people.sampled), people.label != proposals.label
    beside = people.seen & ~people.sampled
    return Reviews(proposals, order, wrong[order], beside, beside & wrong, people.group[order])


def without_looks(reviews: Reviews) -> Reviews:
    """Return the reviews as if none were of the random sample: what people saw is known, and no evidence."""
    wrong = reviews.beside_wrong.copy()
    wrong[reviews.order] = reviews.wrong
    none = np.zeros(0, dtype=np.int64)
    return Reviews(reviews.proposals, none, none.astype(np.bool_), reviews.seen, wrong)


def reviews_of(
    proposals: Proposals, label: NDArray[np.int64], seen: NDArray[np.bool_], rank: NDArray[np.floating]
) -> Reviews:
    """Return the reviews of people who gave `label`, -1 where none, to the objects `seen`, (objects,) each.

    `rank` orders the objects as the random sample grows, equal ranks by position; an infinite one is not drawn yet.
    """
    order = np.argsort(rank, kind="stable")
    run = int(np.append(seen[order] & np.isfinite(rank[order]), False).argmin())
    beside = seen.copy()
    beside[order[:run]] = False
    wrong = label != proposals.label
    return Reviews(proposals, order[:run], wrong[order[:run]], beside, beside & wrong)

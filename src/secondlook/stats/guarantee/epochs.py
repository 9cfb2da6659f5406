"""`exact: true`: scores that are refitted between epochs and frozen within, so that the guarantee is proven.

Epoch k spends delta 2^-k, together at most delta. Its score may come from every review before it began; only reviews
after that test it. Its population is what nobody had seen by then, and in that the rest of the hash order is as random
as the whole was. Everything seen earlier is checked, so all of the allowed errors may be among the rest. What had been
shown without a decision may be left out, too (`drawn`): it then goes to people, and no level accepts it.

An epoch is a file (`frozen`). If one is lost, freeze the next; never use its number again.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import Proposals
from secondlook.stats.guarantee.audit import Audit
from secondlook.stats.guarantee.claims import Claim, claim_of
from secondlook.stats.guarantee.reviews import Reviews, reviews_of


@dataclass(frozen=True)
class Epoch:
    """A frozen score: `number` counts from 1, `population` marks the objects (objects,) that `proposals` are for.

    `drawn` is how many objects of the hash order had been reviewed or put on a page when it began. `proposals` are
    those of all objects; only the population's are read.
    """

    number: int
    drawn: int
    population: NDArray[np.bool_]
    proposals: Proposals

    def terms(self, terms: Guarantee) -> Guarantee:
        """Return the terms with the part of delta that is this epoch's."""
        return terms.model_copy(update={"delta": terms.delta * 0.5**self.number})

    def about(self) -> dict[str, Any]:
        """Return what the metadata must say, with a digest of the frozen file's columns."""
        frozen = blake2b(digest_size=10)
        for column in (self.population, self.proposals.label, self.proposals.score):
            frozen.update(np.ascontiguousarray(column if column is self.population else column[self.population]).data)
        return {
            "epoch": self.number,
            "drawn": self.drawn,
            "population": int(self.population.sum()),
            "frozen": frozen.hexdigest(),
        }


def freeze(proposals: Proposals, seen: NDArray[np.bool_], rank: NDArray[np.floating], drawn: int, before: int) -> Epoch:
    """Begin the epoch after number `before` (0: the first).

    `seen` marks what anybody reviewed, `rank` orders the hash order, (objects,). The moment may be chosen by anything
    that is known, errors included.
    """
    population = ~seen
    population[np.argsort(rank, kind="stable")[:drawn]] = False
    return Epoch(before + 1, drawn, population, proposals)


def reviews_since(
    epoch: Epoch, label: NDArray[np.int64], seen: NDArray[np.bool_], rank: NDArray[np.floating]
) -> Reviews:
    """Return the reviews of the epoch's population; people gave `label`, -1 where none, to `seen`, (objects,) each."""
    of = epoch.population
    return reviews_of(Proposals(epoch.proposals.label[of], epoch.proposals.score[of]), label[of], seen[of], rank[of])


def claim_in(epoch: Epoch, reviews: Reviews, terms: Guarantee, classes: int, audit: Audit | None = None) -> Claim:
    """Return what is guaranteed in the epoch, for the dataset as a whole."""
    return claim_of(reviews, epoch.terms(terms), classes, len(epoch.population), audit)

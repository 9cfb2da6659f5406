"""What is guaranteed now: the level of each class, and the counts behind the sentence."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64
from secondlook.config.stages import Guarantee
from secondlook.stats.consensus.accept import NOTHING
from secondlook.stats.guarantee.audit import Audit
from secondlook.stats.guarantee.betting import allowed
from secondlook.stats.guarantee.levels import allowances, lowest_level
from secondlook.stats.guarantee.reviews import Reviews

CLEAN = 4.0  # times log(1/delta) / alpha objects: a smaller class is nearly all reviewed before it is certain


@dataclass(frozen=True)
class Claim:
    """The least score at which a label of each class is accepted, (classes,), and what that rests on.

    NOTHING is the level of a class for which nothing is guaranteed. Of `objects` labels in the finished dataset,
    `left` were seen by nobody, and `unchecked` of these are accepted; `most` of them may be wrong. `looks` random
    reviews found `found` wrong proposals. `own` are the classes with a guarantee of their own. `elsewhere` tells that
    the sample was drawn elsewhere and tested at one look.
    """

    terms: Guarantee
    level: Floats64
    objects: int
    unchecked: int
    most: int
    looks: int
    found: int
    own: tuple[int, ...] = ()
    left: int = 1
    elsewhere: bool = False
    audit: Audit | None = None

    @property
    def held(self) -> bool:
        """Whether anything is guaranteed: from a level on, or because no label is left that a person did not see."""
        return self.by_level or not self.left

    @property
    def by_level(self) -> bool:
        """Whether there is a level from which on labels are accepted."""
        return bool((self.level < NOTHING).any())

    @property
    def most_of_unchecked(self) -> float:
        """The share of the unchecked labels that may be wrong, 0 where there are none."""
        return min(1.0, self.most / self.unchecked) if self.unchecked else 0.0


def claim_of(
    reviews: Reviews, terms: Guarantee, classes: int, objects: int | None = None, audit: Audit | None = None
) -> Claim:
    """Return what is guaranteed for `terms`; call it after every review if you like.

    More reviews never take back what is guaranteed of the dataset while the scores stay. Of the accepted labels it may
    go once so many of them are reviewed that the errors that are left could be too large a part of the rest.

    `objects` is the size of the finished dataset where `reviews` hold a part of it (`epochs`): all others count as
    right. With an `audit` the test is stricter, by what people may have let pass.
    """
    whole = len(reviews) if objects is None else objects
    empty = Claim(
        *(terms, np.full(classes, NOTHING), whole, 0, 0, len(reviews.order), int(reviews.wrong.sum())),
        left=int((~reviews.seen).sum()),
        elsewhere=reviews.group is not None,
        audit=audit,
    )
    tested = terms if audit is None else audit.strict(terms)
    if terms.per_class and terms.of == "dataset":
        return _counted(_by_class(empty, reviews, tested), reviews)
    level = lowest_level(reviews, allowances(tested, whole, int(reviews.scored.sum())), tested.delta)
    claim = _counted(replace(empty, level=np.full(classes, level)), reviews)
    most = allowed(terms.alpha, whole if terms.of == "dataset" else claim.unchecked)
    return replace(claim, most=min(most, claim.unchecked))


def _by_class(empty: Claim, reviews: Reviews, tested: Guarantee) -> Claim:
    # each class is a population of its own, drawn in an order of its own; with delta split, all hold at once
    label = reviews.proposals.label
    own = own_classes(np.bincount(label, minlength=len(empty.level)), tested)
    rest = tuple(number for number in range(len(empty.level)) if number not in own)
    sets = [*((number,) for number in own), *([rest] if np.isin(label, rest).any() else [])]
    level, most = empty.level.copy(), 0
    for chosen in sets:
        part = reviews.of(np.isin(label, chosen))
        level[list(chosen)] = lowest_level(part, allowances(tested, len(part), len(part)), tested.delta / len(sets))
        most += allowed(empty.terms.alpha, len(part)) if level[chosen[0]] < NOTHING else 0
    return replace(empty, level=level, most=most, own=tuple(number for number in own if level[number] < NOTHING))


def own_classes(objects: NDArray[np.int64], terms: Guarantee) -> tuple[int, ...]:
    """Return the classes that are tested alone, of `objects` (classes,): as many as are large enough for their delta.

    This looks at sizes alone, so the choice costs nothing.
    """
    order = np.argsort(-objects, kind="stable")
    for count in range(len(objects), 0, -1):
        delta = terms.delta / (count + (count < len(objects)))
        if objects[order[count - 1]] >= CLEAN * -np.log(delta) / terms.alpha:
            return tuple(sorted(order[:count].tolist()))
    return ()


def _counted(claim: Claim, reviews: Reviews) -> Claim:
    accepted = reviews.proposals.score >= claim.level[reviews.proposals.label]
    unchecked = int((accepted & ~reviews.seen).sum())
    return replace(claim, unchecked=unchecked, most=min(claim.most, unchecked))

"""Which labels need no person: a threshold with a guarantee about the error of the labels above it.

Fixed-sequence testing as in A. N. Angelopoulos, S. Bates, E. J. Candes, M. I. Jordan and L. Lei, "Learn then Test:
Calibrating Predictive Algorithms to Achieve Risk Control" (arXiv 2110.01052), with the exact binomial tail. Objects of
one group count as one draw where they repeat each other (`bounds.effective_size`).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.config.stages import Guarantee
from secondlook.stats.bounds import effective_size, tail, upper

LEVELS = 500  # thresholds tried: quantiles of the scores of all objects
ALPHAS = (0.01, 0.02, 0.05, 0.10)
NOTHING = np.inf  # the level that nothing exceeds
UNSEEN = -1.0  # below every level


@dataclass(frozen=True)
class Proposals:
    """What the committee proposes, (objects,): class positions, and scores to compare the acceptance level with.

    The score of a label that agrees with the given one is its posterior; that of another label is lower
    (`decide.propose`). UNSEEN is never accepted. `refusal` is the number of the reason in `decide.OUTCOMES`, 0 where
    there is none in particular; None where no object has one.
    """

    label: NDArray[np.int64]
    score: NDArray[np.float64]
    refusal: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Sample:
    """The random sample of the reviewed objects, (n,) each: held-out proposals, whether they err, and the group."""

    label: NDArray[np.int64]
    score: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    group: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> "Sample":
        """Return a part of the sample."""
        return Sample(self.label[chosen], self.score[chosen], self.wrong[chosen], self.group[chosen])


@dataclass(frozen=True)
class Acceptance:
    """The least score at which a label of each class is accepted, (classes,), and what is guaranteed for it."""

    level: NDArray[np.float64]
    held: bool
    sentence: str
    own: tuple[int, ...] = ()  # the classes that have a guarantee of their own

    def accepts(self, proposals: Proposals) -> NDArray[np.bool_]:
        """Tell which objects need no person, (objects,)."""
        return proposals.score >= self.level[proposals.label]


def decide_acceptance(
    proposals: Proposals, sample: Sample, guarantee: Guarantee, accept: float, classes: tuple[str, ...]
) -> Acceptance:
    """Choose the levels from the sample.

    Each class with enough sampled objects is tested alone, the others together, at an equal part of delta. Where no
    guarantee can be made, `accept` is the level of all classes, or under `strict` nothing is accepted.
    """
    wanted = f"an error of at most {_percent(guarantee.alpha)} with a chance of {_percent(1 - guarantee.delta)}"
    if not len(sample.wrong):
        return _without_guarantee("no object of the random sample has been reviewed", guarantee, accept, classes)
    own = _own_classes(sample, guarantee, len(classes)) if guarantee.per_class else []
    rest = [position for position in range(len(classes)) if position not in own]
    sets = [*([position] for position in own), *([rest] if rest else [])]
    level = np.full(len(classes), NOTHING)
    for chosen in sets:
        part, delta = sample.of(np.isin(sample.label, chosen)), guarantee.delta / len(sets)
        level[chosen] = _level(_of(proposals, chosen), part, guarantee.alpha, delta)
    if np.isinf(level).all():
        above = sample.score >= accept
        wrong, n = int(sample.wrong[above].sum()), int(above.sum())
        most = upper(effective_size(sample.group[above]), wrong / max(1, n), guarantee.delta)
        measured = (
            f"{wrong} of the {n} sampled labels with a posterior of at least {accept:g} are wrong, "
            f"which means {_percent(most)} of all of these or less"
        )
        return _without_guarantee(f"no level allows {wanted} yet; {measured}", guarantee, accept, classes)
    return Acceptance(level, True, f"Guaranteed: {wanted} among the labels that no person checks.", tuple(own))


def _without_guarantee(why: str, guarantee: Guarantee, accept: float, classes: tuple[str, ...]) -> Acceptance:
    level = NOTHING if guarantee.strict else accept
    what = (
        "every label goes to a person"
        if guarantee.strict
        else f"labels with a posterior of {accept:g} or more are accepted"
    )
    return Acceptance(np.full(len(classes), level), False, f"Nothing is guaranteed: {why}. Meanwhile {what}.")


def needed(accepted_fraction: float, delta: float) -> list[dict[str, Any]]:
    """Return the random reviews that each alpha needs when none of those accepted is wrong."""
    bills = []
    for alpha in ALPHAS:
        clean = math.ceil(math.log(delta) / math.log1p(-alpha))
        reviews = math.ceil(clean / accepted_fraction) if accepted_fraction > 0 else None
        bills.append({"alpha": alpha, "accepted": clean, "reviews": reviews})
    return bills


def _own_classes(sample: Sample, guarantee: Guarantee, classes: int) -> list[int]:
    # uses the number of objects of a class, never which of them are wrong: the choice costs nothing
    size = np.array([effective_size(sample.group[sample.label == position]) for position in range(classes)])
    order = np.argsort(-size, kind="stable")
    for count in range(classes, 0, -1):
        fewest = size[order[count - 1]]
        delta = guarantee.delta / (count + (count < classes))
        if tail(fewest, fewest * guarantee.alpha / 2, guarantee.alpha) <= delta:
            return sorted(order[:count].tolist())
    return []


def _level(proposals: Proposals, sample: Sample, alpha: float, delta: float) -> float:
    """Return the lowest level that is certified, testing from the highest down until a test fails.

    A test is made where the sample above the level has just grown enough to allow one more error; the first test allows
    as many as half of the sample does. All of this is fixed before any error is looked at.
    """
    seen = proposals.score[proposals.score > UNSEEN]
    if not len(seen):
        return NOTHING
    certified = NOTHING
    allowed = _bearable(effective_size(sample.group) / 2, alpha, delta)
    levels = np.unique(np.quantile(seen, np.linspace(0, 1, LEVELS)))[::-1]
    for level in levels:
        above = sample.score >= level
        n = effective_size(sample.group[above])
        if tail(n, allowed, alpha) > delta and level > levels[-1]:
            continue
        if tail(n, int(sample.wrong[above].sum()) * n / max(1, above.sum()), alpha) > delta:
            break
        certified = float(level)
        allowed += 1
    return certified


def _bearable(n: float, alpha: float, delta: float) -> int:
    """Return the most errors among `n` that still certify alpha, 0 where not even none would."""
    errors = 0
    while tail(n, errors + 1, alpha) <= delta:
        errors += 1
    return errors


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _of(proposals: Proposals, positions: list[int]) -> Proposals:
    chosen = np.isin(proposals.label, positions)
    return Proposals(proposals.label[chosen], proposals.score[chosen])

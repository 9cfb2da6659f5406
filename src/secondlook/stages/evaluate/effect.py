"""The net effect of the accepted labels: wrong given labels that were fixed, minus right ones that were broken."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.stages.evaluate.objects import BY_PEOPLE, Objects, Sample
from secondlook.stats.bounds import upper
from secondlook.stats.intervals import Drawn, Estimate, Question, means

BY_POSTERIOR = "by the posterior"


@dataclass(frozen=True)
class Effect:
    """How many given labels were fixed and broken without a person, and the difference with its 95 % interval.

    `against` says what decides: the truth, the labels of people in the random sample (the counts are then estimates
    for all replaced labels), or, where there is neither, the posterior itself. `n` objects were compared.
    """

    against: str
    n: int
    fixed: float
    broken: float
    net: float
    net_low: float
    net_high: float


def net_effect(
    objects: Objects,
    label: NDArray[np.int64],
    accepted: NDArray[np.bool_],
    expected: Mapping[str, Any],
) -> Question[dict[str, Any] | None]:
    """Ask for the effect of replacing given labels by the accepted ones; `label` and `accepted` are (objects,).

    With truth it is counted. With reviews it is the mean over the reviewed ones among the replaced labels, times the
    number replaced. If none of these is known, it is what the posterior expects (`expected`, of the metadata of the
    consensus), None for a file without these.
    """
    changed = accepted & (objects.given >= 0) & (label != objects.given)
    among = objects.with_truth.rows
    if objects.against == BY_PEOPLE:
        among = among[changed[among]]
    if not len(among):
        known = _by_posterior(expected) if expected else None
        return Question([], lambda _: known)
    total = int(changed.sum()) if objects.against == BY_PEOPLE else len(among)
    fixed = changed[among] & (label[among] == objects.truth[among])
    broken = changed[among] & (objects.given[among] == objects.truth[among])
    sample = Sample.of(among, objects.group)
    difference = np.subtract(fixed, broken, dtype=np.float64)
    counts = [total * float(part.mean()) for part in (fixed, broken)]
    same = objects.against == BY_PEOPLE and len(np.unique(difference)) == 1  # the bootstrap sees no spread

    def finish(found: Sequence[Drawn]) -> dict[str, Any]:
        net = found[0].estimates()[0]
        low, high = _unseen(net, sample.groups) if same else (net.low, net.high)
        interval = (round(total * value, 2) for value in (net.value, low, high))
        return asdict(Effect(objects.against, len(among), *counts, *interval))

    return Question([means(difference[:, None], sample.group, sample.groups)], finish)


def _unseen(net: Estimate, groups: int) -> tuple[float, float]:
    """Return an interval that allows for what none of the groups has shown."""
    unseen = 2 * (1 - upper(groups, 0.0, 0.025)) - 1
    return min(net.low, max(-1.0, net.value - (1 - unseen))), max(net.high, min(1.0, net.value + (1 - unseen)))


def _by_posterior(expected: Mapping[str, Any]) -> dict[str, Any]:
    fixed, broken = float(expected["fixed"]), float(expected["broken"])
    interval = float(expected["net_low"]), float(expected["net_high"])
    return asdict(Effect(BY_POSTERIOR, int(expected["accepted"]), fixed, broken, fixed - broken, *interval))

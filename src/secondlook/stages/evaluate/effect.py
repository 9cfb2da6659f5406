"""The net effect of the accepted labels: wrong given labels that were fixed, minus right ones that were broken."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.stages.evaluate.methods import BY_PEOPLE, Objects
from secondlook.stats.intervals import Draws, means

BY_POSTERIOR = "by the posterior"


@dataclass(frozen=True)
class Effect:
    """How many given labels were fixed and broken without a person, and the difference with its 95 % interval.

    `against` says what decides: the truth, the labels of people in the random sample (the counts are then estimates
    for all objects), or, where there is neither, the posterior itself. `n` objects were compared.
    """

    against: str
    n: int
    fixed: float
    broken: float
    net: float
    net_low: float
    net_high: float


def net_effect(
    objects: Objects, label: NDArray[np.int64], accepted: NDArray[np.bool_], expected: Mapping[str, Any], draws: Draws
) -> dict[str, Any] | None:
    """Return the effect of replacing given labels by the accepted ones; `label` and `accepted` are (objects,).

    Without truth and reviews it is what the posterior expects (`expected`, of the metadata of the consensus), None
    for a file without these.
    """
    sample = objects.with_truth
    if not len(sample.rows):
        return _by_posterior(expected) if expected else None
    rows = sample.rows
    given, truth = objects.given[rows], objects.truth[rows]
    replaced = accepted[rows] & (given >= 0) & (label[rows] != given)
    fixed, broken = replaced & (label[rows] == truth), replaced & (given == truth)
    scale = len(objects.truth) if objects.against == BY_PEOPLE else len(rows)
    net = np.subtract(fixed, broken, dtype=np.float64)[:, None]
    mean = draws.estimates([means(net, sample.image, sample.images)])[0][0]
    low, high = scale * mean.low, scale * mean.high
    if not replaced.any():  # the bootstrap sees no spread
        high = scale * (1 - 0.025 ** (1 / sample.images)) if objects.against == BY_PEOPLE else 0.0
        low = 0.0 - high
    return asdict(
        Effect(
            objects.against,
            len(rows),
            float(scale * fixed.mean()),
            float(scale * broken.mean()),
            scale * mean.value,
            low,
            high,
        )
    )


def _by_posterior(expected: Mapping[str, Any]) -> dict[str, Any]:
    fixed, broken = float(expected["fixed"]), float(expected["broken"])
    interval = float(expected["net_low"]), float(expected["net_high"])
    return asdict(Effect(BY_POSTERIOR, int(expected["accepted"]), fixed, broken, fixed - broken, *interval))

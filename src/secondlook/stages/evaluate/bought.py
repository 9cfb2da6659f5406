"""`tiers.csv`: what the votes of a tier bought, on the objects drawn at random and where there was doubt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.stages.evaluate.frontier import Compared, mean_of
from secondlook.stages.evaluate.seconds import Seconds
from secondlook.stages.evaluate.tables import figure
from secondlook.stats.intervals import LOW, Drawn, Estimate, Question, Statistic

AT_RANDOM, IN_DOUBT = "drawn at random", "in doubt"
HOUR = 3600.0
FIGURES = ("without", "with", "gained", "gained_low", "gained_high")
COLUMNS = [
    *("tier", "asked_share", "objects", "asked", "against", "n"),
    *(f"{name}_{part}" for name in ("accuracy", "accepted") for part in FIGURES),
    *("device", "seconds_per_object", "right_per_hour", "accepted_per_hour"),
]


@dataclass(frozen=True)
class Bought:
    """A tier on some of the objects that it was asked about, and the figures without it, with it and their difference.

    `statistics` are those of accuracy, and of the share that is accepted; `groups` counts the groups of all of them.
    """

    tier: tuple[str, ...]
    objects: str
    asked: int
    n: int
    against: str
    groups: int
    statistics: tuple[Statistic, Statistic]


def tiers(compared: Compared, seconds: Seconds) -> Question[pd.DataFrame]:
    """Ask for the table of all tiers."""
    rows = [
        _bought(compared, names, where, mask)
        for names, tier in compared.asking.tiers.items()
        for where, mask in ((AT_RANDOM, tier.drawn), (IN_DOUBT, tier.doubted))
        if mask.any()
    ]

    def finish(found: Sequence[Drawn]) -> pd.DataFrame:
        pairs = zip(rows, found[::2], found[1::2], strict=True)
        return pd.DataFrame([_row(row, right, accepted, seconds) for row, right, accepted in pairs], columns=COLUMNS)

    return Question([statistic for row in rows for statistic in row.statistics], finish)


def _bought(compared: Compared, names: tuple[str, ...], where: str, mask: NDArray[np.bool_]) -> Bought:
    committee = compared.trial.committee
    scored, source = compared.scored(mask)
    outcomes = committee.without(*names), committee.whole
    right = _columns([compared.right(one, source) for one in outcomes])
    accepted = _columns([1 - compared.to_people(one) for one in outcomes])
    everything = compared.everything(mask)
    statistics = mean_of(right, scored), mean_of(accepted, everything)
    return Bought(names, where, int(mask.sum()), len(scored.rows), source, everything.groups, statistics)


def _columns(pair: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the figures without the tier, with it, and the difference, (objects, 3)."""
    return np.stack([*pair, pair[1] - pair[0]], axis=1)


def _row(row: Bought, right: Drawn, accepted: Drawn, seconds: Seconds) -> dict[str, object]:
    cells: dict[str, object] = {
        "tier": " and ".join(row.tier),
        "asked_share": seconds.asked[row.tier[0]],
        "objects": row.objects,
        "asked": row.asked,
        "against": row.against,
        "n": row.n,
    }
    for name, drawn in (("accuracy", right), ("accepted", accepted)):
        every = drawn.estimates()
        cells |= {f"{name}_without": every[0].value, f"{name}_with": every[1].value}
        cells |= figure(f"{name}_gained", _seen(every[2], row.groups))
    device, each = seconds.each(row.tier)
    gained = {
        f"{name}_per_hour": HOUR * drawn.value[2] / each for name, drawn in (("right", right), ("accepted", accepted))
    }
    return {**cells, "device": device, "seconds_per_object": each, **gained}


def _seen(gained: Estimate, groups: int) -> Estimate:
    """Return a difference with its interval; where none was seen, with the exact bound of as many draws as groups."""
    if gained.value == gained.low == gained.high == 0:
        unseen = 1 - (LOW / 100) ** (1 / max(1, groups))
        return Estimate(0.0, -unseen, unseen)
    return gained

"""Labelers that are right hardly more often than chance, or that repeat the given label."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.stages.evaluate.objects import Objects
from secondlook.stages.evaluate.remerge import Remerge
from secondlook.stats.agreement import kappa
from secondlook.stats.consensus.votes import GIVEN

LEAST_KAPPA = 0.1
FEWEST = 30  # answers below which nothing is said
MOST_ALIKE = 0.95  # share of given labels that all labelers repeat when the labels are simply right
BY_GIVEN, BY_CONSENSUS = "the given labels", "the consensus"


def near_chance(committee: Remerge, objects: Objects, consensus: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the labelers whose kappa against the truth is below LEAST_KAPPA.

    Without enough truth the given labels take its place, or else the consensus, (objects,). `asked` is the share of the
    objects that a labeler was asked about: with a cascade these are the doubtful ones.
    """
    right, against = consensus, BY_CONSENSUS
    if int((objects.given >= 0).sum()) >= FEWEST:
        right, against = objects.given, BY_GIVEN
    if len(objects.with_truth.rows) >= FEWEST:
        right, against = objects.truth, objects.against
    found = []
    shares = committee.shares_asked
    for name, answer in zip(committee.votes.labelers, committee.everyone.labels, strict=True):
        compared = (answer >= 0) & (right >= 0)
        n = int(compared.sum())
        if name == GIVEN or n < FEWEST:
            continue
        value = kappa(answer[compared].astype(np.int64), right[compared], committee.votes.classes)
        if value < LEAST_KAPPA:
            found.append({"labeler": name, "kappa": round(value, 4), "n": n, "against": against, "asked": shares[name]})
    return found


def repeats_given(committee: Remerge, objects: Objects) -> list[dict[str, Any]]:
    """Return the labelers that repeat the given label on every object while another labeler often differs from it.

    Such a labeler has probably learned from the labels that it should check.
    """
    same = {}
    for name, answer in zip(committee.votes.labelers, committee.everyone.labels, strict=True):
        compared = (answer >= 0) & (objects.given >= 0)
        if name != GIVEN and int(compared.sum()) >= FEWEST:
            same[name] = float((answer == objects.given)[compared].mean()), int(compared.sum())
    if min((share for share, _ in same.values()), default=1.0) > MOST_ALIKE:
        return []
    return [{"labeler": name, "n": n} for name, (share, n) in same.items() if share == 1]

"""Labelers that are right hardly more often than chance."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.stages.evaluate.methods import Objects, answers
from secondlook.stages.evaluate.remerge import Remerge
from secondlook.stats.consensus.votes import GIVEN

LEAST_KAPPA = 0.1
FEWEST = 30  # answers below which nothing is said
BY_CONSENSUS = "the consensus"


def near_chance(committee: Remerge, objects: Objects, consensus: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the labelers whose kappa against the truth, or else the consensus (objects,), is below LEAST_KAPPA.

    Kappa (J. Cohen, Educational and Psychological Measurement 20, 1960) is the agreement beyond that of independent
    answers with the same shares of classes: 0 for chance, 1 for always right.
    """
    known = len(objects.with_truth.rows) >= FEWEST
    right, against = (objects.truth, objects.against) if known else (consensus, BY_CONSENSUS)
    found = []
    for name, answer in zip(committee.votes.labelers, answers(committee), strict=True):
        compared = (answer >= 0) & (right >= 0)
        n = int(compared.sum())
        if name == GIVEN or n < FEWEST:
            continue
        value = _kappa(answer[compared], right[compared], committee.votes.classes)
        if value < LEAST_KAPPA:
            found.append({"labeler": name, "kappa": round(value, 4), "n": n, "against": against})
    return found


def _kappa(answer: NDArray[np.int64], right: NDArray[np.int64], classes: int) -> float:
    shares = [np.bincount(one, minlength=classes) / len(one) for one in (answer, right)]
    by_chance = float(shares[0] @ shares[1])
    return 1.0 if by_chance == 1 else (float((answer == right).mean()) - by_chance) / (1 - by_chance)

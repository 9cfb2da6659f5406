"""What asking everybody about everything would give, from the objects that a tier of labelers was asked about.

Doubt asks about some objects, the random share about a few of the others. So the chance of an object to be asked is

    chance_i = 1                                                 where doubt asks
               drawn among the others / number of the others     elsewhere

With u_i a figure of object i (whether its label is right, say) merged with the votes of the tier, v_i the same without
them, and a_i = 1 where the tier was asked,

    all   = 1 / N sum_i [ v_i + a_i / chance_i (u_i - v_i) ]     difference estimator (C.-E. Saerndal, B. Swensson and
                                                                 J. Wretman, "Model Assisted Survey Sampling", 1992)
    alone = sum_i a_i / chance_i u_i / sum_i a_i / chance_i      for the tier by itself (J. Hajek, 1971)

Without a random share, nothing is known of the objects that were not asked.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64


@dataclass(frozen=True)
class Tier:
    """Who was asked about what, (objects,) each: `asked`; `drawn`, the random share; `doubted`, asked for any doubt."""

    asked: NDArray[np.bool_]
    drawn: NDArray[np.bool_]
    doubted: NDArray[np.bool_]

    @property
    def weight(self) -> Floats64 | None:
        """How many objects each one stands for, (objects,): 1 / chance where it was asked, 0 elsewhere.

        None where nothing is known of those that were not asked.
        """
        others = ~self.doubted
        drawn = self.drawn & others
        if others.any() and not drawn.any():
            return None
        each = others.sum() / max(1, int(drawn.sum()))
        return np.where(self.doubted, 1.0, np.where(drawn, each, 0.0))


def joint(tiers: Iterable[Tier], objects: int) -> Floats64 | None:
    """Return how many objects each one stands for that all tiers were asked about, (objects,); None as above.

    The random shares are nested, as one hash of the id draws all of them: the chance is the smallest of all tiers.
    """
    weights = [np.ones(objects), *(tier.weight for tier in tiers)]
    known = [weight for weight in weights if weight is not None]
    if len(known) < len(weights):
        return None
    every = np.stack(known)
    return np.asarray(np.where((every > 0).all(axis=0), every.max(axis=0), 0.0))


def as_if_all(weight: Floats64, asked: Floats64, without: Floats64) -> Floats64:
    """Return terms (objects,) whose mean estimates the figure if a tier was asked about everything.

    `asked` is the figure of each object merged with the votes of the tier, `without` without them.
    """
    return np.asarray(without + weight * (asked - without))

"""Given labels that look wrong: confident learning.

C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70
(2021), sections 3.1 and 3.2: an object counts for a class when its probability reaches the mean of the objects
given that class. The flags are those of cleanlab's `filter_by="confident_learning"`. They say where to stop, not what
to look at first: flagged objects first, as cleanlab orders them, rank planted errors worse than the margin alone
(docs/evaluate.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondlook.base.arrays import Floats64

ROUNDING = 1e-6  # probabilities that are this close are equal
NEVER = 2.0  # the threshold of a class that no object is given
LEAST = 2 * ROUNDING
_ROWS = 65_536  # compared at once


@dataclass(frozen=True)
class Suspicion:
    """The evidence against the given label of each object, (objects,); `threshold` and `n` are (classes,).

    `quality` is the normalised margin (p_given - max of the others + 1) / 2: near 0 the label looks wrong. It alone
    ranks the objects.
    """

    suggested: NDArray[np.int64]
    flagged: NDArray[np.bool_]
    quality: Floats64
    threshold: Floats64
    n: NDArray[np.int64]

    def order(self) -> NDArray[np.int64]:
        """Return the objects, the worst quality first; ties stay in their order."""
        return np.argsort(self.quality, kind="stable")


def suspect(posterior: NDArray[np.floating], given: NDArray[np.int64]) -> Suspicion:
    """Check the given labels (objects,) by probabilities (objects, classes) that were made without them.

    t_c = mean of p_ic over the objects given c. Of the classes with p_ic >= t_c the suggestion is the only one, or
    the most probable class when there are several; the object is flagged when it is not the given class, unless no
    other class is more probable than that.
    """
    objects, classes = posterior.shape
    n = np.bincount(given, minlength=classes)
    own = np.bincount(given, posterior[np.arange(objects), given], minlength=classes)
    threshold = np.where(n > 0, np.maximum(own / np.maximum(n, 1), LEAST), NEVER)
    parts = [
        _compared(posterior[start : start + _ROWS].astype(np.float64), given[start : start + _ROWS], threshold)
        for start in range(0, max(1, objects), _ROWS)
    ]
    guess, flagged, quality = map(np.concatenate, zip(*parts, strict=True))
    return Suspicion(guess, flagged, quality, threshold, n)


def _compared(
    posterior: Floats64, given: NDArray[np.int64], threshold: Floats64
) -> tuple[NDArray[np.int64], NDArray[np.bool_], Floats64]:
    """Return what is suggested for each of some objects, whether it is flagged, and its quality."""
    rows = np.arange(len(given))
    reached = posterior >= threshold - ROUNDING
    guess = np.where(reached.sum(axis=1) == 1, reached.argmax(axis=1), posterior.argmax(axis=1))
    others = posterior.copy()
    others[rows, given] = 0
    margin = posterior[rows, given] - others.max(axis=1, initial=0)
    return guess, reached.any(axis=1) & (guess != given) & (margin < -ROUNDING), (margin + 1) / 2

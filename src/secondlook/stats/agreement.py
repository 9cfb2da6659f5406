"""Agreement of two answers beyond chance."""

import numpy as np
from numpy.typing import NDArray


def kappa(one: NDArray[np.int64], other: NDArray[np.int64], classes: int) -> float:
    """Return Cohen's kappa of two columns of class positions, (objects,) each; 1 where both always say the same class.

    The agreement beyond that of independent answers with the same shares of classes (J. Cohen, Educational and
    Psychological Measurement 20, 1960): 0 for chance, 1 for equal answers.
    """
    shares = [np.bincount(column, minlength=classes) / len(column) for column in (one, other)]
    by_chance = float(shares[0] @ shares[1])
    return 1.0 if by_chance == 1 else (float((one == other).mean()) - by_chance) / (1 - by_chance)

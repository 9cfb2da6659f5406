"""What held-out figures use: folds that keep groups whole, and the log-loss of probabilities."""

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
LEAST_P = 1e-6  # a zero from a softmax means less than this, not never


def folds(group: NDArray[np.int64], seed: int, at_most: int = FOLDS) -> list[NDArray[np.bool_]]:
    """Return masks of the objects of each fold, (objects,) each; all objects of a group are in one fold."""
    groups, position = np.unique(group, return_inverse=True)
    count = min(at_most, len(groups))
    fold = np.random.default_rng(seed).permutation(len(groups)) % max(1, count)
    return [fold[position] == number for number in range(count)]


def log_loss(posterior: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return -log p(label) of each object, (objects,), with p floored at LEAST_P."""
    return np.asarray(-np.log(np.maximum(posterior[np.arange(len(label)), label], LEAST_P)))

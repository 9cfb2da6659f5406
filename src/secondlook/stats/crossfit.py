"""What held-out figures use: folds that keep groups whole, and the log-loss of probabilities."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Folds:
    """The fold of each group by its number, (groups,), the same also where only some objects are at hand."""

    of_group: NDArray[np.int64]

    @classmethod
    def drawn(cls, group: NDArray[np.int64], seed: int) -> "Folds":
        """Draw the folds of all groups; `group` is that of each object, (objects,)."""
        of_group = np.zeros(int(group.max(initial=-1)) + 1, dtype=np.int64)
        for number, fold in enumerate(folds(group, seed)):
            of_group[group[fold]] = number
        return cls(of_group)

    def __len__(self) -> int:
        return int(self.of_group.max(initial=0)) + 1

    def of(self, group: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the fold of each object, (objects,), from its group."""
        return self.of_group[group]


def log_loss(posterior: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return -log p(label) of each object, (objects,), with p floored at LEAST_P."""
    return np.asarray(-np.log(np.maximum(posterior[np.arange(len(label)), label], LEAST_P)))

"""Votes as arrays: one entry per answer, abstentions simply absent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Posterior = NDArray[np.float64]  # (objects, classes), rows sum to 1


@dataclass(frozen=True)
class Votes:
    """The answers of all labelers.

    `object_index`, `labeler_index` and `class_index` are (answers,); a labeler may answer an object twice, both
    count. `families` names the relatives of each labeler, (labelers,).
    """

    object_index: NDArray[np.int64]
    labeler_index: NDArray[np.int64]
    class_index: NDArray[np.int64]
    objects: int
    labelers: tuple[str, ...]
    families: tuple[str, ...]
    classes: int

    def counts(self) -> NDArray[np.float64]:
        """Return the number of answers per object and class, (objects, classes)."""
        shape = (self.objects, self.classes)
        flat = self.object_index * self.classes + self.class_index
        return np.bincount(flat, minlength=self.objects * self.classes).reshape(shape).astype(np.float64)

    def per_object(self) -> NDArray[np.int64]:
        """Return the number of answers of each object, (objects,)."""
        return np.bincount(self.object_index, minlength=self.objects)


def collect(answers: Sequence[tuple[int, int, int]], objects: int, families: dict[str, str], classes: int) -> Votes:
    """Make `Votes` of (object, labeler, class) positions; `families` maps each labeler, in order, to its family."""
    columns = np.array(answers, dtype=np.int64).reshape(-1, 3)
    return Votes(
        *(columns[:, 0], columns[:, 1], columns[:, 2]),
        objects=objects,
        labelers=tuple(families),
        families=tuple(families.values()),
        classes=classes,
    )

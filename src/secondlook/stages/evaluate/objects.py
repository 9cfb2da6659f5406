"""The objects that are evaluated: what they were given, what is true of them, and which belong together."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.io import records
from secondlook.stats.consensus.read import Dataset
from secondlook.stats.consensus.votes import Reviewed

_COLUMNS = ["instance_id", "image_path", "given", "truth"]
TRUTH, BY_PEOPLE = "truth", "by people, random sample"


@dataclass(frozen=True)
class Sample:
    """Some objects: their positions `rows` and the number of the group of each, (n,), counted from 0."""

    rows: NDArray[np.int64]
    group: NDArray[np.int64]
    groups: int

    @classmethod
    def of(cls, rows: NDArray[np.int64], group: NDArray[np.int64]) -> "Sample":
        """Number the groups of some objects; `group` is (objects,)."""
        groups, position = np.unique(group[rows], return_inverse=True)
        return cls(rows, position.astype(np.int64), len(groups))


@dataclass(frozen=True)
class Objects:
    """All objects: `given` and `truth` are class positions, -1 where unknown, (objects,).

    `group` holds positions in `group_names`, (objects,).
    `against` says what the truth is: TRUTH, BY_PEOPLE, or empty if there is none.
    """

    instance_ids: pa.Array
    image_paths: pa.Array
    given: NDArray[np.int64]
    truth: NDArray[np.int64]
    group: NDArray[np.int64]
    group_names: tuple[str, ...]
    against: str

    @cached_property
    def with_truth(self) -> Sample:
        """The objects with truth."""
        return Sample.of(np.flatnonzero(self.truth >= 0), self.group)

    @cached_property
    def known_truth(self) -> NDArray[np.int64]:
        """The truth of these objects, (objects with truth,)."""
        return self.truth[self.with_truth.rows]

    @cached_property
    def everything(self) -> Sample:
        """All of them."""
        return Sample.of(np.arange(len(self.truth)), self.group)


def load_objects(instances: Path, dataset: Dataset, people: Reviewed) -> Objects:
    """Read the objects; if the dataset has no truth, what people agreed on in the random sample is the truth."""
    classes = records.taxonomy_of(instances).classes
    table = records.read(instances, records.INSTANCE, columns=_COLUMNS)
    truth, against = records.class_positions(table["truth"], classes), TRUTH
    if not (truth >= 0).any():
        truth, against = np.where(people.sampled, people.label, -1), BY_PEOPLE
    return Objects(
        table["instance_id"].combine_chunks(),
        table["image_path"].combine_chunks(),
        records.class_positions(table["given"], classes),
        truth,
        dataset.group,
        dataset.group_names,
        against if (truth >= 0).any() else "",
    )

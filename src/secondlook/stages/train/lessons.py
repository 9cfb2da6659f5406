"""What labelers learn out of fold: the given label of each object, or that of people, with its group and fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import records
from secondlook.io.groups import fold_count
from secondlook.models.lessons import Lessons
from secondlook.stats.consensus.read import read_dataset, read_reviewed


@dataclass(frozen=True)
class Inputs:
    """The objects to judge, their groups, trusted objects of other datasets, and decisions of people to learn from."""

    instances: Path
    groups: Path
    reference: Path | None = None
    reviewed: Path | None = None


def write_lessons(inputs: Inputs, out: Path) -> None:
    """Write what each object teaches: its given class, or in a new round that on which people agree.

    Objects of the reference teach their class; those near no object belong to no fold, and those without a crop teach
    nothing. Raises DataError for an object without a group, and for a fold outside which no two classes are taught.
    """
    folds = fold_count(inputs.groups)
    taxonomy = records.taxonomy_of(inputs.instances)
    dataset = read_dataset(inputs.instances)
    said = read_reviewed(dataset, inputs.reviewed).label
    given = _names(dataset.given, taxonomy.classes)
    label = _names(np.where(said >= 0, said, dataset.given), taxonomy.classes)
    ids, groups = dataset.instance_ids, records.read(inputs.groups, records.GROUP)
    if inputs.reference is not None:
        known = records.read(inputs.reference, records.INSTANCE, columns=["instance_id", "truth"])
        known = known.filter(pc.is_in(known["instance_id"], value_set=groups["instance_id"].combine_chunks()))
        ids = pa.chunked_array([ids, *known["instance_id"].chunks])
        label = pa.chunked_array([label, *known["truth"].chunks])
        given = pa.chunked_array([given, pa.nulls(len(known), pa.string())])
    table = _with_folds([ids, given, label], groups, inputs.groups)
    _require_two_classes(Lessons(inputs.groups, table, folds))
    made_by = {"stage": "train", "step": "lessons", "folds": folds, "reviewed": int((said >= 0).sum())}
    records.write(out, table, records.LESSON, taxonomy=taxonomy, made_by=made_by)
    progress.say(
        f"lessons: {len(dataset)} objects in {folds} folds, {len(table) - len(dataset)} of the reference, "
        f"{int((said >= 0).sum())} labels of people"
    )


def _with_folds(columns: Sequence[pa.Array | pa.ChunkedArray], groups: pa.Table, path: Path) -> pa.Table:
    """Return the lessons of objects, given their ids, given classes and taught classes; `path` holds the groups."""
    ids, given, label = columns
    place = pc.index_in(ids, value_set=groups["instance_id"])
    if place.null_count:
        first = ids.filter(place.is_null())[0]
        raise DataError(f"{path}: has no group of {first}; make the groups of this dataset again.")
    lessons = [ids, groups["group"].take(place), groups["fold"].take(place), given, label]
    return pa.Table.from_arrays(lessons, schema=records.LESSON.schema)


def _require_two_classes(lessons: Lessons) -> None:
    for fold in lessons.folds:
        taught = lessons.classes_without(fold)
        if len(taught) < 2:
            classes = f"only the class `{next(iter(taught))}` is" if taught else "no class is"
            raise DataError(
                f"{lessons.path}: outside fold {fold} of {lessons.count}, {classes} taught (groups that teach: "
                f"{len(lessons.groups_without(fold))}), and labelers need two; add reference `sources`, let `group_by` "
                "of the dataset make smaller groups, or choose another number of `folds`."
            )


def _names(positions: np.ndarray, classes: tuple[str, ...]) -> pa.Array:
    index = pa.array(positions, pa.int32(), mask=positions < 0)
    return pa.DictionaryArray.from_arrays(index, pa.array(classes, pa.string())).cast(pa.string())

"""What labelers learn out of fold: the given label of each object, or that of people, with its group and fold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import records
from secondlook.io.groups import fold_count
from secondlook.models.lessons import Lessons
from secondlook.stats.consensus.read import Dataset, read_dataset, read_reviewed

FRAMES = 5  # of a track that teach: from 3 to 10 gave the same, all of them a third more wrong labels


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
    own = read_reviewed(dataset, inputs.reviewed).label
    said = _spread(own, dataset)
    given = records.names_at(dataset.given, taxonomy.classes)
    taught = np.where(said >= 0, said, dataset.given)
    label = records.names_at(np.where(_few_of_each_track(inputs.instances) | (own >= 0), taught, -1), taxonomy.classes)
    trusted = pa.array(said >= 0)
    ids, groups = dataset.instance_ids, records.read(inputs.groups, records.GROUP)
    if inputs.reference is not None:
        known = records.read(inputs.reference, records.INSTANCE, columns=["instance_id", "truth"])
        known = known.filter(pc.is_in(known["instance_id"], value_set=groups["instance_id"].combine_chunks()))
        ids = pa.chunked_array([ids, *known["instance_id"].chunks])
        label = pa.chunked_array([label, *known["truth"].chunks])
        given = pa.chunked_array([given, pa.nulls(len(known), pa.string())])
        trusted = pa.chunked_array([trusted, pa.array(np.ones(len(known), dtype=np.bool_))])
    group, fold = _folds_of(ids, groups, inputs.groups)
    table = pa.Table.from_arrays([ids, group, fold, given, label, trusted], schema=records.LESSON.schema)
    _require_two_classes(Lessons(inputs.groups, table, folds))
    made_by = {"stage": "train", "step": "lessons", "folds": folds, "reviewed": int((own >= 0).sum())}
    records.write(out, table, records.LESSON, taxonomy=taxonomy, made_by=made_by)
    progress.say(
        f"lessons: {len(dataset)} objects in {folds} folds, {len(table) - len(dataset)} of the reference, "
        f"{int((own >= 0).sum())} labels of people"
    )


def _spread(said: NDArray[np.int64], dataset: Dataset) -> NDArray[np.int64]:
    """Return labels of people, (objects,), -1 for none; one of a track that was labelled once is one of all of it.

    Where people differ on a track, each of their labels is one of its own object.
    """
    spread, rows = said.copy(), np.flatnonzero((said >= 0) & (dataset.track >= 0))
    for track in np.unique(dataset.track[rows]):
        labels = np.unique(said[rows[dataset.track[rows] == track]])
        if len(labels) == 1:
            spread[dataset.track == track] = labels[0]
    return spread


def _few_of_each_track(instances: Path) -> NDArray[np.bool_]:
    """Tell which objects teach, (objects,): FRAMES of each track that is a group, evenly spread over its images.

    All frames of a long track would outweigh other tracks, and a wrong one would be its own proof. What people labelled
    teaches besides.
    """
    columns = ["track", "group", "image_path", "instance_id"]
    table = records.read(instances, records.INSTANCE, columns=columns).to_pandas()
    grouped = table[table["track"].notna() & (table["track"] == table["group"])]
    ordered = grouped.sort_values(["image_path", "instance_id"])
    place, size = ordered.groupby("track").cumcount(), ordered.groupby("track")["track"].transform("size")
    step = np.maximum(size / FRAMES, 1)
    teaches = np.ones(len(table), dtype=np.bool_)
    teaches[ordered.index] = (place / step).astype(int) > ((place - 1) / step).apply(np.floor).astype(int)
    return teaches


def _folds_of(ids: pa.Array | pa.ChunkedArray, groups: pa.Table, path: Path) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return the group and the fold of each object; `path` holds the groups."""
    place = pc.index_in(ids, value_set=groups["instance_id"])
    if place.null_count:
        first = ids.filter(place.is_null())[0]
        raise DataError(f"{path}: has no group of {first}; make the groups of this dataset again.")
    return groups["group"].take(place), groups["fold"].take(place)


def _require_two_classes(lessons: Lessons) -> None:
    for fold in lessons.folds:
        taught = lessons.classes_without(fold)
        if len(taught) < 2:
            everywhere = set(lessons.table["label"].drop_null().to_pylist())
            if len(everywhere) == 1:
                raise DataError(
                    f"{lessons.path}: all objects that teach have one class ({', '.join(everywhere)}), and "
                    "labelers need two; correct the classes of the task, or add reference `sources`."
                )
            classes = f"only the class `{next(iter(taught))}` is" if taught else "no class is"
            raise DataError(
                f"{lessons.path}: outside fold {fold} of {lessons.count}, {classes} taught (groups that teach: "
                f"{len(lessons.groups_without(fold))}), and labelers need two; add reference `sources`, let `group_by` "
                "of the dataset make smaller groups, or choose another number of `folds`."
            )

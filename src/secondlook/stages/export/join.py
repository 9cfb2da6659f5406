"""All objects of a dataset with decisions, votes and queue in one table, and the order of the export."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base.errors import DataError
from secondlook.io import facts, records, standing
from secondlook.stages.export.corrected import COLUMNS, IMAGE_COLUMNS, QUEUE_COLUMNS, Corrected, Rows
from secondlook.stages.export.votes import Ballots, read_ballots, views_of


@dataclass(frozen=True)
class Inputs:
    """What is exported.

    `reference` holds the reference objects and `background` the images without objects, read from next to the instances
    when None; `images` is the folder that names of images are relative to, detected when None.
    """

    instances: Path
    consensus: Path
    votes: Sequence[Path] = ()
    queue: Path | None = None
    images: Path | None = None
    reference: Path | None = None
    background: Path | None = None


def load(inputs: Inputs, *, every_column: bool = True) -> Corrected:
    """Join the files of an export; raise DataError when they are not about the same objects.

    Without `every_column` the table has those of `corrected.COLUMNS`, and those of votes and queue.
    """
    taxonomy = records.taxonomy_of(inputs.instances)
    columns = None if every_column else [*COLUMNS, "image_path", "posterior"]
    table = _in_one_piece(standing.whole(inputs.instances, inputs.consensus, inputs.reference, columns))
    background = facts.background(inputs.instances, inputs.background)
    paths = pa.chunked_array([*table["image_path"].chunks, *background["image_path"].chunks], pa.string())
    root, names = _image_names(paths, inputs.images)
    background = background.append_column("image", names[len(table) :])
    table = table.append_column("image", names[: len(table)])
    table = table.append_column("score", _scores(table, taxonomy.classes))
    ballots = read_ballots(inputs.votes, table["instance_id"].combine_chunks())
    about = facts.images(inputs.instances)
    table = _with_images(_with_votes(table, ballots), about)
    background = _with_images(background, about)
    order = _order(table)
    if inputs.queue is not None:
        table, background = _queued(table, inputs.queue), background.slice(0, 0)
        order = np.arange(len(table))
    if not every_column:
        table = table.drop_columns(["image_path", "posterior"])
    others = set(table["label"].unique().to_pylist()) - {None, *taxonomy.classes}
    classes = (*taxonomy.classes, *sorted(others))
    dataset, made_by = facts.of(inputs.instances), records.made_by(inputs.consensus)
    views, queued = views_of(inputs.votes), inputs.queue is not None
    return Corrected(table, order, background, taxonomy, classes, tuple(ballots), root, made_by, dataset, views, queued)


def _in_one_piece(table: pa.Table) -> pa.Table:
    """Return a table whose rows are quickly taken; the old columns go one by one, so that no two tables are held."""
    schema, columns = table.schema, table.columns
    del table
    for place in range(len(columns)):
        columns[place] = columns[place].combine_chunks()
    return pa.table(columns, schema=schema)


def _scores(table: pa.Table, classes: Sequence[str]) -> pa.Array:
    """Return the posterior of the final label; null if the decisions do not contain it."""
    column = records.class_positions(table["label"], classes)
    lists = table["posterior"].combine_chunks()
    complete = pc.fill_null(pc.equal(pc.list_value_length(lists), len(classes)), False).to_numpy(zero_copy_only=False)
    same = pc.fill_null(pc.equal(table["label"], table["proposal"]), False).to_numpy()
    score = np.where(same, table["confidence"].to_numpy(), np.nan)
    p = lists.filter(pa.array(complete)).flatten().to_numpy(zero_copy_only=False).reshape(-1, max(1, len(classes)))
    rows = np.flatnonzero(complete & (column >= 0))
    score[rows] = p[(np.cumsum(complete) - 1)[rows], column[rows]]
    return pa.array(score, pa.float32(), mask=np.isnan(score))


def _with_votes(table: pa.Table, ballots: Ballots) -> pa.Table:
    for labeler, (label, confidence) in ballots.items():
        table = table.append_column(f"vote_{labeler}", label).append_column(f"confidence_{labeler}", confidence)
    return table


def _with_images(table: pa.Table, about: pa.Table) -> pa.Table:
    """Add what the dataset says of the image of each row; null where it says nothing."""
    row = pc.index_in(table["image_path"].combine_chunks(), value_set=about["image_path"].combine_chunks())
    for name, source in IMAGE_COLUMNS.items():
        table = table.append_column(name, about[source].combine_chunks().take(row))
    return table


def _order(table: pa.Table) -> Rows:
    """Return the rows by image as the dataset lists them, by name where it does not; then as it numbers its objects.

    `a.txt:2` goes before `a.txt:10`.
    """
    padded = pa.chunked_array([_padded(part) for part in table["source_id"].chunks], pa.string())
    place = table["image_place"]
    keys = pa.table({"place": place, "image": table["image"], "number": padded, "id": table["instance_id"]})
    order = pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names])
    return np.asarray(order.to_numpy().astype(np.int64))


def _padded(texts: pa.Array) -> pa.Array:
    """Return texts with every number in them as twelve digits or more."""
    if pc.all(pc.match_substring_regex(texts, "^[0-9]+$")).as_py():
        return pc.utf8_lpad(texts, 12, "0")
    return pa.array(
        [re.sub(r"\d+", lambda number: number[0].zfill(12), text) for text in texts.to_pylist()], pa.string()
    )


def _queued(table: pa.Table, queue: Path) -> pa.Table:
    columns = ["instance_id", *QUEUE_COLUMNS]
    shown_again = pc.field("sample") == records.AUDIT  # with a wrong proposal, though people decided on it already
    queued = records.read(queue, records.QUEUE, columns=columns, filters=~shown_again).sort_by("rank")
    ids, own = queued["instance_id"], table["instance_id"].combine_chunks()
    table = table.take(records.object_positions(queue, ids, own, what="queues", remedy="run review again"))
    for name, column in QUEUE_COLUMNS.items():
        table = table.append_column(column, queued[name])
    return table


def _image_names(paths: pa.ChunkedArray, images: Path | None) -> tuple[Path, pa.Array]:
    """Return the folder that names are relative to, the deepest one that holds all, and the name of each image."""
    encoded = paths.combine_chunks().dictionary_encode()
    whole = list(map(_absolute, encoded.dictionary.to_pylist()))
    root = _absolute(images) if images else os.path.commonpath([str(Path(path).parent) for path in whole] or ["."])
    names = [Path(os.path.relpath(path, root)).as_posix() for path in whole]
    outside = next((name for name in names if name.startswith("../")), None)
    if outside is not None:
        raise DataError(f"{images}: the image {outside} is not in it; give another folder with --images.")
    shown = os.path.relpath(root)
    column = pa.DictionaryArray.from_arrays(encoded.indices, pa.array(names, pa.string()))
    return Path(root if shown.startswith("..") else shown), column.cast(pa.string())


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (removes `..`, keeps links)
